"""Heads of answers as bytes."""

from __future__ import annotations

from dataclasses import replace
from email.utils import parsedate_to_datetime

from proxy.cache.representation import Representation
from proxy.model import Kind, Outcome, Source
from proxy.web import heads

SHOWN = Representation(b"body", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE)


def test_head() -> None:
    """Status line, fields, date, empty line."""
    raw = heads.finish(heads.head(206, [("A", "1"), ("B", "2")], connection="close"))
    first, a, b, connection, date, *rest = raw.decode().split("\r\n")
    assert (first, a, b, connection) == ("HTTP/1.1 206 Partial Content", "A: 1", "B: 2", "Connection: close")
    assert rest == ["", ""]
    assert parsedate_to_datetime(date.removeprefix("Date: ")).tzinfo is not None


def test_fields() -> None:
    """What a 304 carries too: caching, tag, ranges, and where it came from."""
    assert heads.fields(SHOWN) == [
        ("Cache-Control", "max-age=600"),
        ("ETag", '"tag"'),
        ("Accept-Ranges", "bytes"),
        ("X-Cache", "hit"),
        ("X-Content-Type-Options", "nosniff"),
    ]


def test_fields__dated() -> None:
    """Upstream's date is passed on."""
    assert ("Last-Modified", "then") in heads.fields(replace(SHOWN, last_modified="then"))


def test_date_line__is_the_same_within_a_second() -> None:
    """It ends in a line end, and is a date."""
    line = heads.DateLine()()
    assert line.startswith(b"Date: ")
    assert line.endswith(b" GMT\r\n")
