"""The program's own pages. Real clients read them in the flows."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.web.own_pages import OwnPages, detecting_script, front_page

INDEXES = {"pypi": "simple/", "bare": ""}


class Transport:
    """A connection to port 3142 of an IPv6 address."""

    def get_extra_info(self, name: str) -> tuple[str, int, int, int] | None:
        return ("fd00::7", 3142, 0, 0) if name == "sockname" else None


def request(**headers: str) -> web.BaseRequest:
    """A request with these headers."""
    return make_mocked_request("GET", "/", headers=headers, transport=Transport())


def text(answer: web.Response) -> str:
    """The text of an answer."""
    assert answer.text is not None
    return answer.text


def test_front_page__indexes() -> None:
    """All of them, in order, each with the path below its mount."""
    said = text(front_page(request(Host="cache.example:3142"), INDEXES))
    assert "Indexes:\n  http://cache.example:3142/bare/\n  http://cache.example:3142/pypi/simple/\n" in said


def test_front_page__no_pypi() -> None:
    """The lines for clients are those of an index that is there."""
    assert "PIP_INDEX_URL=http://a/other/\n" in text(front_page(request(Host="a"), {"other": ""}))


@pytest.mark.parametrize(
    ("accept", "status"), [("text/html", 200), ("a/b, text/html;q=0.5", 200), ("text/*", 406), ("*/*", 406), ("", 406)]
)
def test_front_page__status(accept: str, status: int) -> None:
    """Only a client that accepts HTML gets status 200, and Vary says so."""
    answer = front_page(request(Host="a", Accept=accept), INDEXES)
    assert (status, "Accept") == (answer.status, answer.headers["Vary"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("cache.example", "http://cache.example"),
        ("10.0.0.7:3142", "http://10.0.0.7:3142"),
        ("[fd00::8]:80", "http://[fd00::8]:80"),
        ("a'b", "http://[fd00::7]:3142"),
        ("", "http://[fd00::7]:3142"),
    ],
)
def test_detecting_script__address(host: str, expected: str) -> None:
    """The one that the client used, if it is plain, else the one that it reached."""
    assert f"\ncache={expected}\n" in text(detecting_script(request(Host=host)))


def operations(trouble: str | None = None) -> OwnPages:
    """The pages of a program with two mounts."""
    return OwnPages(lambda: (b"figures", "text/plain"), lambda: trouble, {"pypi": "simple/", "bare": ""})


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 406),
        ("/api/apt-proxy-detect", 200),
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/api/x", 404),
        ("/pypi/", None),
        ("/x", None),
    ],
)
def test_answer(path: str, status: int | None) -> None:
    """Reserved addresses are answered here, all others are not."""
    answer = operations().answer(path, make_mocked_request("GET", path))
    assert status == (None if answer is None else answer.status)


def test_health__says_what_is_wrong() -> None:
    """A cache whose disk fails is alive: it serves past it."""
    answer = operations("the disk fails").answer("/healthz", make_mocked_request("GET", "/healthz"))
    assert answer is not None
    assert (200, "degraded: the disk fails\n") == (answer.status, answer.text)
