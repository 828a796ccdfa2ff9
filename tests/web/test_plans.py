"""What an answer will say before any of it leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.cache.representation import Representation
from proxy.errors import RangeNotSatisfiable
from proxy.model import Kind, Outcome, Source, Span
from proxy.web.plans import Asked, plan, stream

SHOWN = Representation(
    b"0123456789", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE, vary="Accept"
)
GET = Asked("GET", (1, 1), keep_alive=True)


def test_plan__whole() -> None:
    """A plain GET."""
    made = plan(SHOWN, GET)
    assert (200, 0, 10, False, None) == (made.status, made.start, made.end, made.bodiless, made.connection)
    assert {("Content-Length", "10"), ("Content-Type", "text/html"), ("Vary", "Accept")} <= set(made.lines)


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
    made = plan(SHOWN, replace(GET, span=span))
    assert (206, *expected) == (made.status, made.start, made.end)
    assert ("Content-Range", content_range) in made.lines
    assert ("Content-Length", str(expected[1] - expected[0])) in made.lines


@pytest.mark.parametrize("span", [Span(10), Span(10, 12), Span(suffix=0)])
def test_plan__part_out_of_reach(span: Span) -> None:
    """There is nothing to send."""
    with pytest.raises(RangeNotSatisfiable) as caught:
        plan(SHOWN, replace(GET, span=span))
    assert caught.value.size == 10


@pytest.mark.parametrize(("if_range", "status"), [('"tag"', 206), ('"other"', 200), ('W/"tag"', 200), ("a date", 200)])
def test_plan__if_range(if_range: str, status: int) -> None:
    """RFC 9110 §13.1.5: only the very same strong tag keeps the range."""
    assert status == plan(SHOWN, replace(GET, span=Span(1, 2), if_range=if_range)).status


def test_plan__not_modified_comes_before_the_range() -> None:
    """RFC 9110 §13.2.2: a client that has it all needs no part of it. Nothing describes a body."""
    made = plan(SHOWN, replace(GET, span=Span(99), if_none_match='"tag"'))
    assert (304, True) == (made.status, made.bodiless)
    assert {"Content-Length", "Content-Type", "Content-Range"}.isdisjoint(name for name, _ in made.lines)


def test_plan__coded() -> None:
    """The coding is named."""
    assert ("Content-Encoding", "gzip") in plan(replace(SHOWN, encoding="gzip"), GET).lines


@pytest.mark.parametrize(
    ("version", "keep_alive", "connection"),
    [((1, 1), True, None), ((1, 1), False, "close"), ((1, 0), True, "keep-alive"), ((1, 0), False, None)],
)
def test_plan__connection(version: tuple[int, int], *, keep_alive: bool, connection: str | None) -> None:
    """What is the default of a version is not said."""
    assert connection == plan(SHOWN, Asked("GET", version, keep_alive)).connection


def test_stream__to_a_new_client() -> None:
    """Chunks, and the connection stays."""
    made = stream(GET, [])
    assert (True, True, ("Transfer-Encoding", "chunked")) == (made.chunked, made.keep_alive, made.lines[-1])


def test_stream__to_an_old_client() -> None:
    """No chunks: the end of the connection ends the body (RFC 9112 §6.3)."""
    made = stream(Asked("GET", (1, 0), keep_alive=True), [])
    assert (False, False, ()) == (made.chunked, made.keep_alive, made.lines)


DATE, OTHER = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"


@pytest.mark.parametrize(("dated", "date", "status"), [(True, DATE, 304), (True, OTHER, 200), (False, DATE, 200)])
def test_plan__not_modified_since(dated: bool, date: str, status: int) -> None:
    """A date is answered 304 only where it stands for this representation; it is sent in any case."""
    made = plan(replace(SHOWN, last_modified=DATE, dated=dated), replace(GET, if_modified_since=date))

    assert status == made.status
    assert ("Last-Modified", DATE) in made.lines


@pytest.mark.parametrize(("dated", "date", "status"), [(True, DATE, 206), (True, OTHER, 200), (False, DATE, 200)])
def test_plan__part_by_date(dated: bool, date: str, status: int) -> None:
    """apt goes on with a file by its date."""
    made = plan(replace(SHOWN, last_modified=DATE, dated=dated), replace(GET, span=Span(5), if_range=date))

    assert status == made.status
