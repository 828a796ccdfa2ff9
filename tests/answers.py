"""One answer of the tests' upstream as a value, and the rules by which a well-behaved server makes it.

`tests.origin` sends it, `tests.faults` spoils it. The rules are RFC 9110: ranges (§14), conditions (§13).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Self

from tests.bodies import Body, Plain, sha256
from tests.gates import Gate

AUTO = "auto"
LONG_AGO = "Wed, 01 Jan 2025 00:00:00 GMT"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived. Header names are in lower case; `time` is the event loop's clock in seconds."""

    method: str
    target: str
    headers: dict[str, str]
    time: float
    version: str = "HTTP/1.1"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Framing(enum.Enum):
    """How the end of the body is told (RFC 9112 §6.3)."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send: the bytes `start` to `end` of `body`, and everything that can be wrong on the way.

    `declared` overrides Content-Length; `raw` replaces the whole answer; `prelude` goes before the status line;
    `cut` is the number of body bytes after which the connection ends, by RST if `reset`; `rate` is in bytes a second.
    `piece` is how many bytes of the body are written at once, before everybody else has a turn.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: Body = field(default_factory=Plain)
    start: int = 0
    end: int | None = None
    framing: Framing = Framing.LENGTH
    declared: int | None = None
    raw: bytes | None = None
    prelude: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()
    last_chunk: bool = True
    hang_up: bool = False
    cut: int | None = None
    reset: bool = False
    rate: int | None = None
    piece: int | None = None
    head_gate: Gate | None = None
    body_gates: tuple[tuple[int, Gate], ...] = ()

    @property
    def stop(self) -> int:
        """Where the sent part of the body ends."""
        return self.body.size if self.end is None else self.end

    @property
    def has_body(self) -> bool:
        return self.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED} and self.status >= HTTPStatus.OK

    def with_headers(self, *pairs: tuple[str, str]) -> Self:
        """Add headers in place of those of the same names."""
        names = {name.lower() for name, _ in pairs}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in names)
        return replace(self, headers=(*kept, *pairs))

    def without_headers(self, *names: str) -> Self:
        """Leave headers out; names in any case."""
        lowered = {name.lower() for name in names}
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() not in lowered))

    def whole(self) -> Self:
        """The same representation, all of it, as a plain 200."""
        return replace(self.without_headers("Content-Range"), status=200, start=0, end=None)

    def part(self, start: int, end: int) -> Self:
        """A 206 with the bytes from `start` to before `end`."""
        content_range = ("Content-Range", f"bytes {start}-{end - 1}/{self.body.size}")
        return replace(self.with_headers(content_range), status=206, start=start, end=end)


@dataclass(frozen=True, slots=True)
class Resource:
    """What lies at a path, with what a server says about it. `etag` includes its quotes, and W/ if it is weak."""

    body: Body
    content_type: str | None
    etag: str | None = None
    last_modified: str | None = None
    ranges: bool = True
    framing: Framing = Framing.LENGTH
    headers: tuple[tuple[str, str], ...] = ()

    def answer(self, request: Request) -> Answer:
        """The right answer to a GET or HEAD (RFC 9110 §13.2.2 gives the order of the conditions)."""
        described = (
            ("Content-Type", self.content_type),
            ("ETag", self.etag),
            ("Last-Modified", self.last_modified),
            ("Accept-Ranges", "bytes" if self.ranges else None),
        )
        known = tuple((name, value) for name, value in described if value is not None)
        answer = Answer(body=self.body, framing=self.framing).with_headers(*known).with_headers(*self.headers)
        if self._unchanged(request.headers):
            return replace(answer.without_headers("Content-Type"), status=304)
        if not self.ranges or request.method != "GET" or not self._may_be_partial(request.headers):
            return answer
        match span(request.headers.get("range", ""), self.body.size):
            case None:
                return answer
            case (start, end) if start < end:
                return answer.part(start, end)
            case _:
                return replace(answer, status=416, body=Plain(), framing=Framing.LENGTH).with_headers(
                    ("Content-Range", f"bytes */{self.body.size}")
                )

    def _unchanged(self, headers: dict[str, str]) -> bool:
        if (listed := headers.get("if-none-match")) is not None:
            tags = {tag.strip().removeprefix("W/") for tag in listed.split(",")}
            return self.etag is not None and ("*" in tags or self.etag.removeprefix("W/") in tags)
        return self.last_modified is not None and headers.get("if-modified-since") == self.last_modified

    def _may_be_partial(self, headers: dict[str, str]) -> bool:
        condition = headers.get("if-range")
        if condition is None:
            return True
        strong = None if self.etag is None or self.etag.startswith("W/") else self.etag
        return condition in {strong, self.last_modified}


def span(header: str, size: int) -> tuple[int, int] | None:
    """What a `Range` of one part means, half open; None if it is to be ignored, start >= end if out of reach."""
    matched = _RANGE.fullmatch(header.replace(" ", ""))
    if matched is None or matched.groups() == ("", ""):
        return None
    first, last = matched.groups()
    if not first:
        return max(size - int(last), 0), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


def strong_etag(body: Body) -> str:
    """A validator that changes with the bytes."""
    return f'"{sha256(body)[:32]}"'
