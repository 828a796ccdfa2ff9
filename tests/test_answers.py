"""The rules by which the tests' upstream answers ranges and conditions."""

from __future__ import annotations

import pytest

from tests.answers import LONG_AGO, span
from tests.exchange import ask
from tests.origin import Origin

_PATH = "/packages/demo-1.0-py3-none-any.whl"
_BODY = bytes(range(256)) * 4


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-9", "206", 0, 10),
        ("bytes=1000-", "206", 1000, 1024),
        ("bytes=-24", "206", 1000, 1024),
        ("bytes=1000-5000", "206", 1000, 1024),
        ("bytes=0-0,5-9", "200", 0, 1024),
        ("bytes=9-5", "200", 0, 1024),
        ("lines=1-2", "200", 0, 1024),
        ("bytes=1024-", "416", 0, 0),
    ],
)
async def test_file__range(origin: Origin, asked: str, status: str, start: int, end: int) -> None:
    """One range is answered with that part, several or malformed ones with everything (RFC 9110 §14.2)."""
    origin.file(_PATH, _BODY)

    answer = await ask(origin.url + _PATH, Range=asked)

    assert (status, _BODY[start:end]) == (answer.status, answer.rest)
    assert (status == "206") == (f"Content-Range: bytes {start}-{end - 1}/1024" in answer.head)
    assert (status == "416") == ("Content-Range: bytes */1024" in answer.head)


@pytest.mark.parametrize(
    ("etag", "condition", "status"),
    [
        ('"a"', '"a"', "206"),
        ('"a"', '"b"', "200"),
        ('"a"', LONG_AGO, "206"),
        ('W/"a"', 'W/"a"', "200"),
        ('"a"', "Thu, 02 Jan 2025 00:00:00 GMT", "200"),
    ],
)
async def test_file__if_range(origin: Origin, etag: str, condition: str, status: str) -> None:
    """A part is sent only if the strong validator is still right (RFC 9110 §13.1.5)."""
    origin.file(_PATH, _BODY, etag=etag)

    answer = await ask(origin.url + _PATH, Range="bytes=10-", If_Range=condition)

    assert (status, _BODY[10:] if status == "206" else _BODY) == (answer.status, answer.rest)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": '"a"'}, "304"),
        ({"If_None_Match": 'W/"a"'}, "304"),
        ({"If_None_Match": '"b", "a"'}, "304"),
        ({"If_None_Match": '"b"'}, "200"),
        ({"If_Modified_Since": LONG_AGO}, "304"),
        ({"If_None_Match": '"b"', "If_Modified_Since": LONG_AGO}, "200"),
    ],
)
async def test_file__unchanged(origin: Origin, headers: dict[str, str], status: str) -> None:
    """A condition that holds is answered without a body (RFC 9110 §13.2.2)."""
    origin.file(_PATH, _BODY, etag='"a"')

    answer = await ask(origin.url + _PATH, **headers)

    assert (status, b"" if status == "304" else _BODY) == (answer.status, answer.rest)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", (0, 9)),
        ("bytes=-0", (9, 9)),
        ("bytes=-99", (0, 9)),
        ("bytes=-", None),
        ("", None),
        ("bytes=a-b", None),
    ],
)
def test_span__edges(header: str, expected: tuple[int, int] | None) -> None:
    """What cannot be read as one range is no range."""
    assert expected == span(header, 9)
