"""Heads of answers as bytes."""

from __future__ import annotations

from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest

from proxy.cache.representation import Representation
from proxy.model import Kind, Outcome, Source
from proxy.web import heads

SHOWN = Representation(b"body", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE)


def test_head() -> None:
    """Status line, fields, date, empty line."""
    raw = heads.finish(heads.head(206, [("A", "1"), ("B", "2")], connection="close"))
    first, server, a, b, connection, date, *rest = raw.decode().split("\r\n")
    assert (first, server) == ("HTTP/1.1 206 Partial Content", "Server: pullthrough")
    assert (a, b, connection) == ("A: 1", "B: 2", "Connection: close")
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


@pytest.mark.parametrize(("age", "shown"), [(0.0, "0"), (59.99, "59"), (1e6, "1000000")])
def test_fields__age(age: float, shown: str) -> None:
    """What was kept says for how many whole seconds (RFC 9111 §5.1), in the fields or where they are finished."""
    assert ("Age", shown) in heads.fields(replace(SHOWN, age=age))
    assert f"\r\nAge: {shown}\r\n\r\n".encode() in heads.finish(b"", age)


def test_fields__dated() -> None:
    """Upstream's date is passed on."""
    assert ("Last-Modified", "then") in heads.fields(replace(SHOWN, last_modified="then"))


def test_date_line__is_the_same_within_a_second() -> None:
    """It ends in a line end, and is a date."""
    line = heads.DateLine()()
    assert line.startswith(b"Date: ")
    assert line.endswith(b" GMT\r\n")
