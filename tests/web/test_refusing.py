"""Requests that are refused by their head. What clients see is held by the flows of bad input."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.web.refusing import no_such_method, refusal


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Host": "cache"}, None),
        ("HEAD", {"Host": "cache"}, None),
        ("CONNECT", {"Host": "cache"}, None),
        ("OPTIONS", {"Host": "cache"}, None),
        ("POST", {"Host": "cache"}, 405),
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


def test_no_such_method() -> None:
    """The answer says which there are, and its connection ends: a body may follow."""
    answer = no_such_method()

    assert ("GET, HEAD", False) == (answer.headers["Allow"], answer.keep_alive)
