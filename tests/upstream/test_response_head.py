"""What the head of an upstream response means."""

from __future__ import annotations

import pytest

from proxy.errors import NotFound, PullthroughError, UpstreamBroken, UpstreamDenied, UpstreamThrottled, Withheld
from proxy.model import Part, Validator
from proxy.upstream.response_head import headers_of, part_of, refusal, retry_after, size_of, validator_of

NOW = 1_750_000_000.0  # Sun, 15 Jun 2025 15:06:40 GMT


def test_headers_of__names_values_and_repetitions() -> None:
    """Names in lower case, values trimmed and decoded byte by byte; lists are joined, else the first counts."""
    raw = [(b"ETag", b' "a\xfc" '), (b"Vary", b"Accept"), (b"vary", b"Origin"), (b"etag", b'"b"'), (b"X", b"a\tb")]
    assert headers_of(raw) == {"etag": '"a\xfc"', "vary": "Accept, Origin", "x": "a\tb"}


@pytest.mark.parametrize(
    "raw",
    [
        [(b"X", b"a\x00b")],
        [(b"X", b"a\rb")],
        [(b"X", b"a\nb")],
        [(b"X\x01", b"b")],
        [(b"Content-Length", b"5"), (b"content-length", b"6")],
        [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked, chunked")],
        [(b"Content-Length", b"+5")],
        [(b"Content-Length", b"5, 5")],
        [(b"Content-Range", b"bytes 0-1/9"), (b"Content-Range", b"bytes 2-3/9")],
        [(b"Location", b"/a"), (b"Location", b"/b")],
    ],
)
def test_headers_of__control_characters_and_two_ways_to_read(raw: list[tuple[bytes, bytes]]) -> None:
    """Headers that two readers could read differently are no answer."""
    with pytest.raises(UpstreamBroken):
        headers_of(raw)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, NotFound),
        (410, NotFound),
        (401, UpstreamDenied),
        (451, UpstreamDenied),
        (403, Withheld),
        (429, UpstreamThrottled),
        (503, UpstreamThrottled),
        (500, UpstreamBroken),
        (504, UpstreamBroken),
        (101, UpstreamBroken),
        (204, UpstreamBroken),
        (300, UpstreamBroken),
        (418, UpstreamBroken),
        (206, UpstreamBroken),
        (304, UpstreamBroken),
        (416, UpstreamBroken),
    ],
)
def test_refusal__status_that_nobody_asked_for(status: int, expected: type[PullthroughError]) -> None:
    """Every status but 200 is a failure for a plain request, each of its kind."""
    assert expected is type(refusal(status, {"content-range": "bytes 0-1/2"}, {}, NOW))


@pytest.mark.parametrize("status", [401, 403, 407])
def test_refusal__somebody_whom_upstream_knows(status: int) -> None:
    """To who showed credentials a 403 says no, not that there is nothing."""
    assert isinstance(refusal(status, {}, {}, NOW, known=True), UpstreamDenied)


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (200, {}),
        (200, {"range": "bytes=0-1"}),
        (304, {"if-none-match": '"x"'}),
        (304, {"if-modified-since": "Sun, 15 Jun 2025 15:06:40 GMT"}),
        (416, {"range": "bytes=9-"}),
    ],
)
def test_refusal__answer_that_was_asked_for(status: int, asked: dict[str, str]) -> None:
    """These are of use."""
    assert refusal(status, {}, asked, NOW) is None


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("bytes=0-99", "bytes 0-99/1000"),
        ("bytes=0-99", "bytes 0-49/50"),
        ("bytes=0-99", "bytes 0-99/*"),
        ("bytes=500-", "bytes 500-999/1000"),
        ("bytes=-100", "bytes 900-999/1000"),
        ("bytes=-100", "bytes 0-49/50"),
    ],
)
def test_refusal__right_part(asked: str, given: str) -> None:
    """A part that begins where it should and ends within what was asked for is of use."""
    assert refusal(206, {"content-range": given}, {"range": asked}, NOW) is None


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("bytes=10-99", "bytes 0-99/1000"),
        ("bytes=0-99", "bytes 0-100/1000"),
        ("bytes=0-99", "bytes 0-99/99"),
        ("bytes=0-99", "bytes 50-10/100"),
        ("bytes=-100", "bytes 0-99/1000"),
        ("bytes=-100", "bytes 901-999/1000"),
        ("bytes=-100", "bytes 900-999/*"),
        ("bytes=0-1,5-6", "bytes 0-1/10"),
        ("bytes=0-99", "items 0-99/1000"),
        ("bytes=0-99", ""),
    ],
)
def test_refusal__wrong_part(asked: str, given: str) -> None:
    """Another part than the one asked for, or one that is not named, is refused before it is read."""
    assert isinstance(refusal(206, {"content-range": given}, {"range": asked}, NOW), UpstreamBroken)


def test_refusal__part_whose_length_contradicts() -> None:
    """The length of the body and of the part must agree."""
    headers = {"content-range": "bytes 0-99/1000", "content-length": "1000"}
    assert isinstance(refusal(206, headers, {"range": "bytes=0-99"}, NOW), UpstreamBroken)


@pytest.mark.parametrize(
    ("status", "field", "part"),
    [
        (206, "bytes 10-20/100", Part(10, 21, 100)),
        (206, "bytes 10-20/*", Part(10, 21, None)),
        (206, "bytes 10-20", None),
        (206, "", None),
        (200, "bytes 10-20/100", None),
        (416, "bytes */100", None),
    ],
)
def test_part_of__a_206_only(status: int, field: str, part: Part | None) -> None:
    """Only a 206 says by its Content-Range which bytes its body has."""
    assert part == part_of(status, {"content-range": field})


@pytest.mark.parametrize(
    ("status", "headers", "size"),
    [
        (200, {"content-length": "100"}, 100),
        (200, {"content-length": "0"}, 0),
        (200, {}, None),
        (206, {"content-length": "11", "content-range": "bytes 10-20/100"}, 100),
        (206, {"content-length": "11", "content-range": "bytes 10-20/*"}, None),
        (304, {"content-length": "100"}, None),
        (416, {"content-length": "7", "content-range": "bytes */100"}, None),
    ],
)
def test_size_of__the_whole(status: int, headers: dict[str, str], size: int | None) -> None:
    """The length is that of the whole representation, also where a part of it came."""
    assert size == size_of(status, headers)


def test_validator_of__both() -> None:
    """The ETag and the date are taken as they came."""
    headers = {"etag": 'W/"a"', "last-modified": "yesterday"}
    assert [Validator('W/"a"', "yesterday"), Validator()] == [validator_of(headers), validator_of({})]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120),
        ("0", 0),
        ("99999999", 86_400),
        ("-5", None),
        ("soon", None),
        ("Sun, 15 Jun 2025 15:07:40 GMT", 60),
        ("Sun, 15 Jun 2025 15:00:00 GMT", 0),
        ("Sun, 15 Jun 2099 15:00:00 GMT", 86_400),
        ("Sun, 99 Jun 2025 15:00:00 GMT", None),
    ],
)
def test_retry_after__seconds_and_dates(value: str | None, seconds: int | None) -> None:
    """Both forms of RFC 9110 §10.2.3, and None for what is neither."""
    assert seconds == retry_after(value, NOW)


def test_refusal__throttled_with_a_wait() -> None:
    """The seconds that upstream asks for are passed on."""
    error = refusal(503, {"retry-after": "7"}, {}, NOW)
    assert isinstance(error, UpstreamThrottled)
    assert error.retry_after == 7
