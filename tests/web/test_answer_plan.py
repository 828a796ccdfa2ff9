"""Status, fields and framing of an answer, before any of it leaves."""

from __future__ import annotations

import pytest
from msgspec import structs

from proxy.cache.representation import Representation
from proxy.errors import RangeNotSatisfiable
from proxy.model import Kind, Outcome, Query, Source, Span
from proxy.web.answer_plan import (
    Framing,
    fields_of,
    finish_head,
    not_modified,
    plan,
    plan_stream,
    range_applies,
    start_head,
)

REPRESENTATION = Representation(
    b"0123456789", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE, vary="Accept"
)
GET = Query(None)
STAYS = Framing((1, 1), keep_alive=True)


def test_plan__whole() -> None:
    """A plain GET."""
    made = plan(REPRESENTATION, GET, STAYS)
    assert (200, 0, 10, False, None) == (made.status, made.start, made.end, made.bodiless, made.connection)
    assert {("Content-Length", "10"), ("Content-Type", "text/html"), ("Vary", "Accept")} <= set(made.fields)


@pytest.mark.parametrize(
    ("span", "expected", "content_range"),
    [
        (Span(2, 5), (2, 5), "bytes 2-4/10"),
        (Span(5), (5, 10), "bytes 5-9/10"),
        (Span(suffix=3), (7, 10), "bytes 7-9/10"),
        (Span(0, 999), (0, 10), "bytes 0-9/10"),
        (Span(suffix=999), (0, 10), "bytes 0-9/10"),
    ],
)
def test_plan__part(span: Span, expected: tuple[int, int], content_range: str) -> None:
    """A range (RFC 9110 §14.4)."""
    made = plan(REPRESENTATION, structs.replace(GET, span=span), STAYS)
    assert (206, *expected) == (made.status, made.start, made.end)
    assert ("Content-Range", content_range) in made.fields
    assert ("Content-Length", str(expected[1] - expected[0])) in made.fields


@pytest.mark.parametrize("span", [Span(10), Span(10, 12), Span(suffix=0)])
def test_plan__part_out_of_reach(span: Span) -> None:
    """There is nothing to send."""
    with pytest.raises(RangeNotSatisfiable) as caught:
        plan(REPRESENTATION, structs.replace(GET, span=span), STAYS)
    assert caught.value.size == 10


@pytest.mark.parametrize(("if_range", "status"), [('"tag"', 206), ('"other"', 200), ('W/"tag"', 200), ("a date", 200)])
def test_plan__if_range(if_range: str, status: int) -> None:
    """RFC 9110 §13.1.5: only the very same strong tag keeps the range."""
    assert status == plan(REPRESENTATION, structs.replace(GET, span=Span(1, 2), if_range=if_range), STAYS).status


def test_plan__not_modified_comes_before_the_range() -> None:
    """RFC 9110 §13.2.2: a client that has it all needs no part of it. Nothing describes a body."""
    made = plan(REPRESENTATION, structs.replace(GET, span=Span(99), if_none_match='"tag"'), STAYS)
    assert (304, True) == (made.status, made.bodiless)
    assert {"Content-Length", "Content-Type", "Content-Range"}.isdisjoint(name for name, _ in made.fields)


def test_plan__coded() -> None:
    """The coding is named."""
    assert ("Content-Encoding", "gzip") in plan(structs.replace(REPRESENTATION, encoding="gzip"), GET, STAYS).fields


@pytest.mark.parametrize(
    ("version", "keep_alive", "connection"),
    [((1, 1), True, None), ((1, 1), False, "close"), ((1, 0), True, "keep-alive"), ((1, 0), False, None)],
)
def test_plan__connection(version: tuple[int, int], *, keep_alive: bool, connection: str | None) -> None:
    """The Connection field is left out where it is the default of the version."""
    assert connection == plan(REPRESENTATION, GET, Framing(version, keep_alive)).connection


def test_plan_stream__to_a_new_client() -> None:
    """Chunks, and the connection stays."""
    made = plan_stream(GET, STAYS, [])
    assert (True, True, ("Transfer-Encoding", "chunked")) == (made.chunked, made.keep_alive, made.fields[-1])


def test_plan_stream__to_an_old_client() -> None:
    """No chunks: the end of the connection ends the body (RFC 9112 §6.3)."""
    made = plan_stream(GET, Framing((1, 0), keep_alive=True), [])
    assert (False, False, ()) == (made.chunked, made.keep_alive, made.fields)


DATE, OTHER = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"


@pytest.mark.parametrize(("dated", "date", "status"), [(True, DATE, 304), (True, OTHER, 200), (False, DATE, 200)])
def test_plan__not_modified_since(dated: bool, date: str, status: int) -> None:
    """A date leads to 304 only if no other representation has it; it is sent in any case."""
    made = plan(
        structs.replace(REPRESENTATION, last_modified=DATE, dated=dated),
        structs.replace(GET, if_modified_since=date),
        STAYS,
    )

    assert status == made.status
    assert ("Last-Modified", DATE) in made.fields


@pytest.mark.parametrize(("dated", "date", "status"), [(True, DATE, 206), (True, OTHER, 200), (False, DATE, 200)])
def test_plan__part_by_date(dated: bool, date: str, status: int) -> None:
    """apt goes on with a file by its date."""
    made = plan(
        structs.replace(REPRESENTATION, last_modified=DATE, dated=dated),
        structs.replace(GET, span=Span(5), if_range=date),
        STAYS,
    )

    assert status == made.status


PAGE = Representation(b"body", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE)


def test_finish_head() -> None:
    """Status line, fields, date, empty line."""
    raw = finish_head(start_head(206, [("A", "1"), ("B", "2")], connection="close"), 1445412480.9)
    assert raw.decode().split("\r\n") == [
        "HTTP/1.1 206 Partial Content",
        "Server: pullthrough",
        "A: 1",
        "B: 2",
        "Connection: close",
        "Date: Wed, 21 Oct 2015 07:28:00 GMT",
        "",
        "",
    ]


def test_finish_head__date() -> None:
    """It is that of the second in which the head leaves."""
    dates = [finish_head(b"", 1445412480.0 + seconds) for seconds in (0.0, 0.99, 1.0, 0.0)]
    assert [f"Date: {date}\r\n\r\n".encode() for date in (DATE, DATE, OTHER, DATE)] == dates


def test_fields_of() -> None:
    """What a 304 carries too: caching, tag, ranges, and where it came from."""
    assert fields_of(PAGE) == [
        ("Cache-Control", "max-age=600"),
        ("ETag", '"tag"'),
        ("Accept-Ranges", "bytes"),
        ("X-Cache", "hit"),
        ("X-Content-Type-Options", "nosniff"),
    ]


@pytest.mark.parametrize(("age", "shown"), [(0.0, "0"), (59.99, "59"), (1e6, "1000000")])
def test_fields_of__age(age: float, shown: str) -> None:
    """The age is in whole seconds (RFC 9111 §5.1), in the fields or at the end of the head."""
    assert ("Age", shown) in fields_of(structs.replace(PAGE, age=age))
    assert finish_head(b"", 0.0, age).endswith(f"\r\nAge: {shown}\r\n\r\n".encode())


def test_fields_of__dated() -> None:
    """Upstream's date is passed on."""
    assert ("Last-Modified", "then") in fields_of(structs.replace(PAGE, last_modified="then"))


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
    assert applies is range_applies(if_range, etag)


DATE, OTHER = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"


@pytest.mark.parametrize(
    ("if_range", "date", "applies"),
    [(DATE, DATE, True), (OTHER, DATE, False), (DATE, None, False), ('"a"', DATE, True)],
)
def test_range_applies__date(if_range: str, date: str | None, applies: bool) -> None:
    """A date keeps the range if no other representation has it, and it is the same to the letter."""
    assert applies is range_applies(if_range, '"a"', date)


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [(None, False), ('"a"', True), ('W/"a"', True), ('"x", "a"', True), ('"x"', False), ("*", True), ("a", False)],
)
def test_not_modified__weak_comparison(if_none_match: str | None, expected: bool) -> None:
    """Any of the client's validators may match (RFC 9110 §13.1.2)."""
    assert expected is not_modified(if_none_match, '"a"')


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
    """Only the same date means the same copy, and only without a tag (RFC 9110 §13.1.3)."""
    assert expected is not_modified(if_none_match, '"a"', since, date)
