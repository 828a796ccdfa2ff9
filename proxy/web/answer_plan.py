"""What an answer says before any of it leaves: status, header fields, part of the body, framing. Pure.

Conditions and ranges are judged here (RFC 9110 §13, §14). A head holds known values only and never repeats text of the
request. Called by `responses` and `replay`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import msgspec

from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import RangeNotSatisfiable
from proxy.model import Query
from proxy.web.admission import CORS_FIELDS

_PERSISTENT = (1, 1)  # the first HTTP version with connections that stay open, and with chunked bodies
_TAG = re.compile(r'(?:W/)?"[^"]*"')

Fields = list[tuple[str, str]]


class Framing(msgspec.Struct, frozen=True):
    """How the client's connection takes answers (RFC 9112): the request's HTTP version, and whether it stays open."""

    version: tuple[int, int]
    keep_alive: bool


class Plan(msgspec.Struct, frozen=True):
    """An answer: bytes `[start, end)` of a representation; `end` is None where its length is unknown."""

    status: int
    fields: tuple[tuple[str, str], ...]
    start: int
    end: int | None
    bodiless: bool
    chunked: bool
    keep_alive: bool
    connection: str | None  # the Connection header, where it is not the default of the request's version

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection tells where the body ends (RFC 9112 §6.3)."""
        return self.end is None and not self.chunked and not self.bodiless

    def head(self, now: float) -> bytes:
        """The whole head. `now`: seconds since the epoch."""
        return finish_head(start_head(self.status, self.fields, connection=self.connection), now)


def plan(representation: Representation, query: Query[object], framing: Framing, *, cors: bool = False) -> Plan:
    """Decide how `query` is answered with `representation`. Raises RangeNotSatisfiable.

    `cors`: pages of any site may read the answer.
    """
    fields = fields_of(representation)
    if cors:
        fields += CORS_FIELDS
    date = _condition_date(representation)
    if not_modified(query.if_none_match, representation.etag, query.if_modified_since, date):
        return _framed(framing, HTTPStatus.NOT_MODIFIED, fields, (0, 0), bodiless=True)
    fields.append(("Content-Type", representation.content_type))
    if representation.encoding:
        fields.append(("Content-Encoding", representation.encoding))
    status, start, end = _part(representation, query)
    if status is HTTPStatus.PARTIAL_CONTENT:
        fields.append(("Content-Range", f"bytes {start}-{(end or 1) - 1}/{representation.size}"))
    if end is not None:
        fields.append(("Content-Length", str(end - start)))
    return _framed(framing, status, fields, (start, end), bodiless=query.head)


def plan_stream(query: Query[object], framing: Framing, fields: Fields, *, cors: bool = False) -> Plan:
    """An answer of unknown length."""
    if cors:
        fields = [*fields, *CORS_FIELDS]
    return _framed(framing, HTTPStatus.OK, fields, (0, None), bodiless=query.head)


def range_applies(if_range: str | None, etag: str | None, date: str | None = None) -> bool:
    """Whether `If-Range` lets a range be answered as such: RFC 9110 §13.1.5, strong comparison.

    `date` is the Last-Modified, if it is a strong validator of the representation; it has to match to the letter.
    """
    return if_range is None or if_range.strip() in {etag, date} - {None}


def not_modified(
    if_none_match: str | None, etag: str | None, if_modified_since: str | None = None, date: str | None = None
) -> bool:
    """Whether the client's copy is the present one: RFC 9110 §13.1.2, weak comparison.

    `If-Modified-Since` counts only without `If-None-Match` (RFC 9110 §13.1.3). `date` as for `range_applies`: an
    earlier or later date means another copy, whichever is newer.
    """
    if if_none_match is None:
        return date is not None and if_modified_since is not None and if_modified_since.strip() == date
    if etag is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(tag.removeprefix("W/") == etag.removeprefix("W/") for tag in _TAG.findall(if_none_match))


def fields_of(representation: Representation) -> Fields:
    """The header fields of every answer with this representation, a 304 included (RFC 9110 §15.4.5)."""
    fields = [("Cache-Control", representation.cache_control)]
    if representation.age is not None:
        fields.append(("Age", str(int(representation.age))))  # RFC 9111 §5.1
    if representation.etag:
        fields.append(("ETag", representation.etag))
    if representation.last_modified:
        fields.append(("Last-Modified", representation.last_modified))
    if representation.vary:
        fields.append(("Vary", representation.vary))
    if representation.size is not None:
        fields.append(("Accept-Ranges", "bytes"))
    fields += [("X-Cache", representation.outcome.value), ("X-Content-Type-Options", "nosniff")]
    return fields


def start_head(status: int, fields: Iterable[tuple[str, str]], *, connection: str | None = None) -> bytes:
    """The status line and header fields. `finish_head` adds what changes with the time, and the empty line."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Server: pullthrough",
        *(f"{name}: {value}" for name, value in fields),
    ]
    if connection:
        lines.append(f"Connection: {connection}")
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def finish_head(start: bytes, now: float, age: float | None = None) -> bytes:
    """A whole head. `now`: seconds since the epoch. `age`: seconds for the `Age` field, unless `start` has it."""
    return start + _date_line(int(now)) + (b"\r\n" if age is None else b"Age: %d\r\n\r\n" % age)


@lru_cache(maxsize=2)
def _date_line(second: int) -> bytes:
    """The `Date` header; most answers have that of the answer before."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode()


def _condition_date(representation: Representation) -> str | None:
    """The Last-Modified, where it may stand for the representation in a condition."""
    return representation.last_modified if representation.dated else None


def _part(representation: Representation, query: Query[object]) -> tuple[HTTPStatus, int, int | None]:
    body, size = representation.body, representation.size
    if isinstance(body, Passthrough):  # opened for this range
        whole = body.whole or body.end is None
        return HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT, body.start, body.end
    if (
        query.span is None
        or size is None
        or not range_applies(query.if_range, representation.etag, _condition_date(representation))
    ):
        return HTTPStatus.OK, 0, size
    part = query.span.within(size)
    if part is None:
        raise RangeNotSatisfiable(size)
    return HTTPStatus.PARTIAL_CONTENT, *part


def _framed(
    framing: Framing, status: HTTPStatus, fields: Fields, part: tuple[int, int | None], *, bodiless: bool
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
