"""Requests that are refused by their head. What clients see is held by the flows of bad input."""

from __future__ import annotations

import re

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.errors import NotAllowed
from proxy.web.admission import check_browser_host, method_not_allowed, preflight, refusal


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Host": "cache"}, None),
        ("HEAD", {"Host": "cache"}, None),
        ("CONNECT", {"Host": "cache"}, None),
        ("OPTIONS", {"Host": "cache"}, None),
        ("POST", {"Host": "cache"}, 405),
        ("PUT", {"Host": "cache"}, 405),
        ("GET", {}, 400),
        ("CONNECT", {"Host": "cache", "Content-Length": "0"}, 400),
        ("GET", {"Host": "cache", "Via": "1.1 other"}, None),
        ("GET", {"Host": "cache", "Via": "1.1 other, 1.1 own"}, 508),
    ],
)
def test_refusal(method: str, headers: dict[str, str], status: int | None) -> None:
    """Methods, a Host, no body, no loop."""
    answer = refusal(make_mocked_request(method, "/a", headers), "own")

    assert status == (None if answer is None else answer.status)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", None),
        ("/?view=stored&q=a", None),
        ("/api/v1/stored", None),
        ("/api/v1/now", 405),
        ("/api/v1/stored/", 405),
        ("//", 405),
        ("/pypi/simple/six/", 405),
        ("http://archive.example/", 405),
        ("*", 405),
    ],
)
def test_refusal__posted(path: str, status: int | None) -> None:
    """POST is taken where the page's forms and the API lead, and nowhere else."""
    answer = refusal(make_mocked_request("POST", path, {"Host": "cache", "Content-Length": "3"}), "own")

    assert status == (None if answer is None else answer.status)


def test_refusal__allowed_methods() -> None:
    """Another method is told what goes there."""
    answer = refusal(make_mocked_request("PUT", "/api/v1/stored", {"Host": "cache"}), "own")

    assert answer is not None
    assert (405, "GET, HEAD, POST") == (answer.status, answer.headers["Allow"])


def test_method_not_allowed() -> None:
    """The answer names the methods, and closes the connection, since a body may follow."""
    answer = method_not_allowed()

    assert ("GET, HEAD", False) == (answer.headers["Allow"], answer.keep_alive)


NAMES = {"cache.example", "cache"}
OWN = re.compile(r"(localhost|cache|cache\.example|[0-9.]+|\[[0-9a-f:.]+\])\.?(:[0-9]*)?", re.IGNORECASE)
BROWSERS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"sec-fetch-mode": "no-cors"},
    {"Sec-Fetch-Dest": "empty"},
    {"Sec-Fetch-User": "?1"},
    {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
]


def refused(host: str, target: str = "/", **fields: str) -> bool:
    """Whether a request is."""
    try:
        check_browser_host(target, CIMultiDict({"Host": host, **fields}), NAMES)
    except NotAllowed:
        return True
    return False


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:3142", "10.1.2.3:80", "[::1]", "[::1]:3142", "[::ffff:10.0.0.1]:1", "localhost",
        "LOCALHOST:3142", "localhost.:3142", "cache.example", "Cache.Example.:3142", "cache:3142",
    ],
)  # fmt: skip
def test_own_names(browser: dict[str, str], host: str) -> None:
    """Addresses, localhost and the names of the settings, with a port or without."""
    assert not refused(host, **browser)


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:3142", "cache.example.evil.example", "127.0.0.1.evil.example", "notcache", "",
        ".", ":3142", "localhost.evil.example", "evil-localhost", "2130706433", "0x7f.1", "127.1", "[::1", "::1]",
        "cache.example:3142:3142", "user@cache.example", "cache.example/", "cache.example, evil.example",
    ],
)  # fmt: skip
def test_strange_names(browser: dict[str, str], host: str) -> None:
    """Any other name: its owner can let it resolve to this cache."""
    assert refused(host, **browser)


@pytest.mark.parametrize("host", ["evil.example", "cache.example", ""])
@pytest.mark.parametrize("agent", ["pip/26.0", "uv/0.9", "Debian APT-HTTP/1.3", "curl/8.0", "python-requests/2.32"])
def test_other_clients(host: str, agent: str) -> None:
    """Programs may use any name: no page of the internet steers them."""
    assert not refused(host, **{"User-Agent": agent, "Accept": "*/*"})


def test_proxy_form() -> None:
    """Both names have to be own ones: that in the target, and that of the Host field."""
    browser = {"Sec-Fetch-Site": "none"}
    assert not refused("127.0.0.1:3142", "http://cache.example:3142/a", **browser)
    assert refused("127.0.0.1:3142", "http://evil.example:3142/a", **browser)
    assert refused("evil.example", "http://cache.example:3142/a", **browser)
    assert refused("cache.example", "http://cache.example@evil.example/a", **browser)


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_host(host: str) -> None:
    """Only own names and addresses are accepted, and no text before the name of another site helps."""
    assert refused(host, **{"Sec-Fetch-Site": "none"}) or OWN.fullmatch(host)
    assert refused(f"{host}.evil.example", **{"Sec-Fetch-Site": "none"})


def test_sentence() -> None:
    """It names the setting, and repeats no text of the request."""
    with pytest.raises(NotAllowed, match="the setting names") as caught:
        check_browser_host("/", CIMultiDict({"Host": "evil.example", "Sec-Fetch-Site": "none"}), NAMES)
    assert "evil" not in str(caught.value)


def test_preflight() -> None:
    """It allows the methods of the cache, with any header field."""
    answer = preflight()
    assert (204, "*", "*") == (
        answer.status,
        answer.headers["Access-Control-Allow-Origin"],
        answer.headers["Access-Control-Allow-Headers"],
    )
    assert {"GET", "HEAD"} == set(answer.headers["Access-Control-Allow-Methods"].split(", "))
