"""What an answer will say before any of it leaves: status, header fields, part of the body, framing. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

from aiohttp import web

from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import RangeNotSatisfiable
from proxy.model import Span
from proxy.web import conditions, heads
from proxy.web.browsers import READABLE

_PERSISTENT = (1, 1)  # the HTTP version from which on connections stay open, and bodies may be chunked


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request decides how it is answered."""

    method: str
    version: tuple[int, int]
    keep_alive: bool
    span: Span | None = None
    if_range: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    readable: bool = False  # whether pages of any site may read the answer

    @classmethod
    def of(cls, request: web.BaseRequest, span: Span | None) -> Self:
        """Read it from a request."""
        headers = request.headers
        version = (request.version.major, request.version.minor)
        conditional = (headers.get("If-Range"), headers.get("If-None-Match"), headers.get("If-Modified-Since"))
        return cls(request.method, version, request.keep_alive, span, *conditional)


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer: bytes `[start, end)` of a representation; `end` None where its length is unknown."""

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
        return heads.finish(heads.head(self.status, self.lines, connection=self.connection))


def plan(shown: Representation, asked: Asked) -> Plan:
    """Decide how `asked` is answered with `shown`. Raises RangeNotSatisfiable."""
    fields = [*heads.fields(shown), *(READABLE if asked.readable else ())]
    date = shown.last_modified if shown.dated else None
    if conditions.not_modified(asked.if_none_match, shown.etag, asked.if_modified_since, date):
        return _framed(asked, HTTPStatus.NOT_MODIFIED, fields, (0, 0), bodiless=True)
    fields.append(("Content-Type", shown.content_type))
    if shown.encoding:
        fields.append(("Content-Encoding", shown.encoding))
    status, start, end = _part(shown, asked)
    if status is HTTPStatus.PARTIAL_CONTENT:
        fields.append(("Content-Range", f"bytes {start}-{(end or 1) - 1}/{shown.size}"))
    if end is not None:
        fields.append(("Content-Length", str(end - start)))
    return _framed(asked, status, fields, (start, end), bodiless=asked.method == "HEAD")


def stream(asked: Asked, fields: list[tuple[str, str]]) -> Plan:
    """An answer of unknown length."""
    if asked.readable:
        fields = [*fields, *READABLE]
    return _framed(asked, HTTPStatus.OK, fields, (0, None), bodiless=asked.method == "HEAD")


def _part(shown: Representation, asked: Asked) -> tuple[HTTPStatus, int, int | None]:
    body, size = shown.body, shown.size
    if isinstance(body, Passthrough):  # opened for what was asked
        whole = body.whole or body.end is None
        return HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT, body.start, body.end
    date = shown.last_modified if shown.dated else None
    if asked.span is None or size is None or not conditions.range_applies(asked.if_range, shown.etag, date):
        return HTTPStatus.OK, 0, size
    meant = asked.span.within(size)
    if meant is None:
        raise RangeNotSatisfiable(size)
    return HTTPStatus.PARTIAL_CONTENT, *meant


def _framed(
    asked: Asked, status: HTTPStatus, fields: list[tuple[str, str]], part: tuple[int, int | None], *, bodiless: bool
) -> Plan:
    chunked = part[1] is None and asked.version >= _PERSISTENT
    if chunked:
        fields = [*fields, ("Transfer-Encoding", "chunked")]
    # A body of unknown length that is not chunked ends with the connection (RFC 9112 §6.3).
    keep_alive = asked.keep_alive and (part[1] is not None or chunked or bodiless)
    if asked.version >= _PERSISTENT:
        connection = None if keep_alive else "close"
    else:
        connection = "keep-alive" if keep_alive else None
    return Plan(status.value, tuple(fields), *part, bodiless, chunked, keep_alive, connection)
