"""Ranges and validators of requests."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadTarget
from proxy.model import Span
from proxy.web import conditions


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-99", Span(0, 100)),
        ("bytes=100-", Span(100)),
        ("bytes=-500", Span(suffix=500)),
        ("Bytes=5-5", Span(5, 6)),
        ("bytes=0-1,5-9", None),
        ("pages=1-2", None),
        ("bytes=000-0099", Span(0, 100)),
        ("bytes=-0000500", Span(suffix=500)),
    ],
)
def test_parse_range__usual_forms(header: str | None, span: Span | None) -> None:
    """One byte range is read; several, or another unit, mean the whole (RFC 9110 §14.2)."""
    assert span == conditions.parse_range(header)


@pytest.mark.parametrize(
    "header",
    ["bytes=-", "bytes=9-3", "bytes=a-b", "bytes", "bytes=1-2x", "bytes=" + "9" * 40 + "-3", "bytes=\u0661-2"],
)
def test_parse_range__absurd(header: str) -> None:
    """What cannot be meant is refused."""
    with pytest.raises(BadTarget):
        conditions.parse_range(header)


@given(
    st.one_of(st.integers(0, 300), st.integers(0, 10**30), st.sampled_from([10**17, 10**18, 2**63, 2**64, 10**8000])),
    st.one_of(st.none(), st.integers(0, 300), st.integers(0, 10**30), st.just(10**7000)),
    st.integers(0, 9),
    st.integers(1, 200),
)
def test_parse_range__numbers_of_any_length(first: int, length: int | None, zeros: int, size: int) -> None:
    """They mean of a file what they say; none is too long to be read."""
    sys.set_int_max_str_digits(20_000)  # for the test's own texts
    begin, end = f"{first:0>{zeros}}", "" if length is None else f"{first + length}"
    suffix = f"bytes=-{'0' * zeros}{first}"
    sys.set_int_max_str_digits(4300)
    span = conditions.parse_range(f"bytes={begin}-{end}")
    assert span is not None
    last = size - 1 if length is None else min(first + length, size - 1)
    assert span.within(size) == ((first, last + 1) if first < size else None)
    tail = conditions.parse_range(suffix)
    assert tail is not None
    assert tail.within(size) == ((max(size - first, 0), size) if first else None)


@pytest.mark.parametrize(
    ("span", "meant"),
    [
        (Span(0, 10), (0, 10)),
        (Span(90, 200), (90, 100)),
        (Span(99), (99, 100)),
        (Span(100), None),
        (Span(suffix=5), (95, 100)),
        (Span(suffix=500), (0, 100)),
        (Span(suffix=0), None),
    ],
)
def test_within__hundred_bytes(span: Span, meant: tuple[int, int] | None) -> None:
    """A range is cut to the body; one that begins behind its end cannot be satisfied."""
    assert meant == span.within(100)


@pytest.mark.parametrize(
    ("if_range", "etag", "applies"),
    [
        (None, '"a"', True),
        ('"a"', '"a"', True),
        ('"b"', '"a"', False),
        ('W/"a"', '"a"', False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", '"a"', False),
        ('"a"', None, False),
    ],
)
def test_range_applies__strong_comparison(if_range: str | None, etag: str | None, applies: bool) -> None:
    """Only the same strong validator keeps the range (RFC 9110 §13.1.5)."""
    assert applies is conditions.range_applies(if_range, etag)


DATE, OTHER = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"


@pytest.mark.parametrize(
    ("if_range", "date", "applies"),
    [(DATE, DATE, True), (OTHER, DATE, False), (DATE, None, False), ('"a"', DATE, True)],
)
def test_range_applies__date(if_range: str, date: str | None, applies: bool) -> None:
    """A date keeps the range if it stands for the representation, and is the same to the letter."""
    assert applies is conditions.range_applies(if_range, '"a"', date)


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [(None, False), ('"a"', True), ('W/"a"', True), ('"x", "a"', True), ('"x"', False), ("*", True), ("a", False)],
)
def test_not_modified__weak_comparison(if_none_match: str | None, expected: bool) -> None:
    """Any of the client's validators may match (RFC 9110 §13.1.2)."""
    assert expected is conditions.not_modified(if_none_match, '"a"')


@pytest.mark.parametrize(
    ("if_none_match", "since", "date", "expected"),
    [
        (None, DATE, DATE, True),
        (None, OTHER, DATE, False),
        (None, DATE, OTHER, False),
        (None, DATE, None, False),
        (None, None, DATE, False),
        ('"x"', DATE, DATE, False),
        ('"a"', OTHER, DATE, True),
    ],
)
def test_not_modified__date(if_none_match: str | None, since: str | None, date: str | None, expected: bool) -> None:
    """The very date means the same copy; it counts only where no tag is given (RFC 9110 §13.1.3)."""
    assert expected is conditions.not_modified(if_none_match, '"a"', since, date)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["Basic YTpi"], "Basic YTpi"), ([], None), (["Basic YTpi", "Basic Yjpj"], None), (["a\nb"], None), (["ä"], None)],
)
def test_authorization(values: list[str], expected: str | None) -> None:
    """One field, in one line."""
    assert expected == conditions.authorization(values)
