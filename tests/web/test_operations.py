"""The program's own pages: which addresses are theirs."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.web.operations import Operations


def operations(trouble: str | None = None) -> Operations:
    """The pages of a program with two mounts."""
    return Operations(lambda: (b"figures", "text/plain"), lambda: trouble, {"pypi": "simple/", "bare": ""})


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
