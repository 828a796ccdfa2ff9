"""What an answer says before any of it leaves: status, header fields, part of the body, framing. Pure.

Conditions and ranges are judged here (RFC 9110 §13, §14). A head is built from known values only: nothing of a request
is ever repeated in one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import RangeNotSatisfiable
from proxy.model import Query
from proxy.web.admission import READABLE

_PERSISTENT = (1, 1)  # the HTTP version from which on connections stay open, and bodies may be chunked
_TAG = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Framing:
    """How the client's connection takes answers (RFC 9112): the request's HTTP version, and whether it stays open."""

    version: tuple[int, int]
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer: bytes `[start, end)` of a representation; `end` is None where its length is unknown."""

    status: int
    lines: tuple[tuple[str, str], ...]
    start: int
    end: int | None
    bodiless: bool
    chunked: bool
    keep_alive: bool
    connection: str | None  # the Connection header, where it is not the default of the request's version

    def head(self) -> bytes:
        """The head as bytes."""
        return finished(head_lines(self.status, self.lines, connection=self.connection))


def plan(shown: Representation, query: Query[object], framing: Framing, *, readable: bool = False) -> Plan:
    """Decide how `query` is answered with `shown`. Raises RangeNotSatisfiable.

    `readable`: pages of any site may read the answer.
    """
    fields = [*fields_of(shown), *(READABLE if readable else ())]
    date = shown.last_modified if shown.dated else None
    if not_modified(query.if_none_match, shown.etag, query.if_modified_since, date):
        return _framed(framing, HTTPStatus.NOT_MODIFIED, fields, (0, 0), bodiless=True)
    fields.append(("Content-Type", shown.content_type))
    if shown.encoding:
        fields.append(("Content-Encoding", shown.encoding))
    status, start, end = _part(shown, query)
    if status is HTTPStatus.PARTIAL_CONTENT:
        fields.append(("Content-Range", f"bytes {start}-{(end or 1) - 1}/{shown.size}"))
    if end is not None:
        fields.append(("Content-Length", str(end - start)))
    return _framed(framing, status, fields, (start, end), bodiless=query.head)


def stream(query: Query[object], framing: Framing, fields: list[tuple[str, str]], *, readable: bool = False) -> Plan:
    """An answer of unknown length."""
    if readable:
        fields = [*fields, *READABLE]
    return _framed(framing, HTTPStatus.OK, fields, (0, None), bodiless=query.head)


def range_applies(if_range: str | None, etag: str | None, date: str | None = None) -> bool:
    """Whether a range may be answered as such: RFC 9110 §13.1.5, strong comparison.

    `date` is the Last-Modified if it may stand for the representation, and matches to the letter; else None.
    """
    return if_range is None or if_range.strip() in {etag, date} - {None}


def not_modified(
    if_none_match: str | None, etag: str | None, if_modified_since: str | None = None, date: str | None = None
) -> bool:
    """Whether the client's copy is the present one: RFC 9110 §13.1.2, weak comparison.

    `If-Modified-Since` counts only without the other (RFC 9110 §13.1.3). `date` as for `range_applies`: an earlier or
    later one is another copy, whichever is newer.
    """
    if if_none_match is None:
        return date is not None and if_modified_since is not None and if_modified_since.strip() == date
    if etag is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(tag.removeprefix("W/") == etag.removeprefix("W/") for tag in _TAG.findall(if_none_match))


def fields_of(shown: Representation) -> list[tuple[str, str]]:
    """The header fields that every answer with this representation carries, a 304 included (RFC 9110 §15.4.5)."""
    lines = [("Cache-Control", shown.cache_control)]
    if shown.age is not None:
        lines.append(("Age", str(int(shown.age))))  # RFC 9111 §5.1
    if shown.etag:
        lines.append(("ETag", shown.etag))
    if shown.last_modified:
        lines.append(("Last-Modified", shown.last_modified))
    if shown.vary:
        lines.append(("Vary", shown.vary))
    if shown.size is not None:
        lines.append(("Accept-Ranges", "bytes"))
    lines += [("X-Cache", shown.outcome.value), ("X-Content-Type-Options", "nosniff")]
    return lines


def head_lines(status: int, lines: Iterable[tuple[str, str]], *, connection: str | None = None) -> bytes:
    """A status line and header fields, without the `Date` and the empty line: `finished` adds them."""
    text = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Server: pullthrough",
        *(f"{name}: {value}" for name, value in lines),
    ]
    if connection:
        text.append(f"Connection: {connection}")
    return ("\r\n".join(text) + "\r\n").encode("ascii")


class _DateLine:
    """The `Date` header, made anew once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def __call__(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_date_line = _DateLine()


def finished(lines: bytes, age: float | None = None) -> bytes:
    """A whole head. `age`: seconds since upstream confirmed the answer, unless `lines` has it already."""
    return lines + _date_line() + (b"\r\n" if age is None else b"Age: %d\r\n\r\n" % age)


def _part(shown: Representation, query: Query[object]) -> tuple[HTTPStatus, int, int | None]:
    body, size = shown.body, shown.size
    if isinstance(body, Passthrough):  # opened for this range
        whole = body.whole or body.end is None
        return HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT, body.start, body.end
    date = shown.last_modified if shown.dated else None
    if query.span is None or size is None or not range_applies(query.if_range, shown.etag, date):
        return HTTPStatus.OK, 0, size
    meant = query.span.within(size)
    if meant is None:
        raise RangeNotSatisfiable(size)
    return HTTPStatus.PARTIAL_CONTENT, *meant


def _framed(
    framing: Framing, status: HTTPStatus, fields: list[tuple[str, str]], part: tuple[int, int | None], *, bodiless: bool
) -> Plan:
    chunked = part[1] is None and framing.version >= _PERSISTENT
    if chunked:
        fields = [*fields, ("Transfer-Encoding", "chunked")]
    # A body of unknown length that is not chunked ends with the connection (RFC 9112 §6.3).
    keep_alive = framing.keep_alive and (part[1] is not None or chunked or bodiless)
    if framing.version >= _PERSISTENT:
        connection = None if keep_alive else "close"
    else:
        connection = "keep-alive" if keep_alive else None
    return Plan(status.value, tuple(fields), *part, bodiless, chunked, keep_alive, connection)
