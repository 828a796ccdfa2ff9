"""The access log: one line for each request, made on the event loop and handed to the log's thread.

Most of a line is the same whenever an answer is sent again. That part is made once, when the answer is remembered; what
is left is the time, the client, and how long it took. A thread that made the lines would hold the interpreter's lock
while requests wait.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote

from proxy.control.holdings import named
from proxy.events import OWN, Event, Served
from proxy.model import Kind
from proxy.ports import Clock
from proxy.user_agent import UserAgent
from proxy.web.log_writer import LogWriter

_quoted = json.JSONEncoder().encode  # a JSON string in ASCII
_REMEMBERED = 1024  # addresses
_ASKING = 6144  # clients with a program each; as many as `head_key` knows programs
_LONGEST = 512  # characters of an address that is remembered
_OF_FILES = (Kind.FILE, Kind.METADATA)


class Lines(Protocol):
    """A form of the log."""

    def part(self, event: Served) -> str:
        """What is the same in all lines of an answer."""
        ...

    def line(self, part: str, when: float, client: str, seconds: float, agent: UserAgent) -> str:
        """A line, its end included. `when`: seconds since the epoch."""
        ...


class AccessLog:
    """A `ports.AnswerObserver` that hands the lines of `Served` events to a writer."""

    def __init__(self, writer: LogWriter, clock: Clock, *, structured: bool) -> None:
        """`structured`: JSON lines; else plain text."""
        lines: Lines = JsonLines() if structured else TextLines()
        self._queue = writer.queue
        self._now = clock.now
        self._line = lines.line
        self.prepare = lines.part

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, Served):
            self.again(self.prepare(event), self._now(), event.client, event.seconds, event.agent)

    def again(self, prepared: str, when: float, client: str, seconds: float, agent: UserAgent, /) -> None:
        self._queue(self._line(prepared, when, client, seconds, agent))


class JsonLines:
    """JSON in ASCII, so that no path can control a terminal; by hand, since each request has a line.

    Mutable state: the time of the last line, which at much traffic the next ones have, too.
    """

    def __init__(self) -> None:
        self._begins = self._ends = 0.0  # of a millisecond, in seconds since the epoch
        self._time = ""  # in UTC (RFC 3339)

    def part(self, event: Served) -> str:
        sent = ", ".join([f'"{source.value}": {size}' for source, size in event.sent.items() if size])
        asked = _asked if len(event.path) <= _LONGEST else _asked.__wrapped__
        return (
            f"{asked(event.method, event.path, event.upstream, event.kind, event.project)}"
            f'"status": {event.status}, "outcome": "{event.outcome.value}", "sent": {{{sent}}}'
        )

    def line(self, part: str, when: float, client: str, seconds: float, agent: UserAgent) -> str:
        if not self._begins <= when < self._ends:
            self._begin(int(when * 1000))
        return f'{{"time": "{self._time}", {_asking(client, agent)}{part}, "seconds": {seconds:.6f}}}\n'

    def _begin(self, milliseconds: int) -> None:
        seconds, rest = divmod(milliseconds, 1000)
        self._begins, self._ends = milliseconds / 1000, (milliseconds + 1) / 1000
        self._time = f"{_second(seconds)}.{rest:03d}+00:00"


class TextLines:
    """Words."""

    def part(self, event: Served) -> str:
        path = _quoted(event.path)[1:-1]
        sent = "+".join([f"{size} {source.value}" for source, size in event.sent.items() if size]) or "0"
        return f"{event.method} {path} {event.status} {event.outcome.value} {sent}"

    def line(self, part: str, when: float, client: str, seconds: float, agent: UserAgent) -> str:
        program = "/".join(filter(None, agent[:2])) or "-"
        return f"{_second(int(when))}+00:00 {client} {part} {seconds:.4f}s {program}\n"


@lru_cache(maxsize=_REMEMBERED)
def _asked(method: str, path: str, upstream: str, kind: Kind, project: str | None) -> str:
    """The fields that an address has in every line."""
    file = version = None
    if project is None and upstream != OWN:
        name = unquote(path.partition("?")[0].rpartition("/")[2])
        project, version = named(upstream, name)
        if name and (kind in _OF_FILES or project is not None):
            file = name
    fields = {"method": method, "path": path, "upstream": upstream, "project": project, "version": version}
    return _fields({**fields, "file": file})


@lru_cache(maxsize=_ASKING)
def _asking(client: str, agent: UserAgent) -> str:
    """The fields of the client and of its program."""
    name, version, build = (text or None for text in agent)
    return _fields({"client": client, "client_name": name, "client_version": version, "build": build})


def _fields(values: dict[str, str | None]) -> str:
    """A part of a line; what is not known is left out."""
    return "".join([f'"{name}": {_quoted(value)}, ' for name, value in values.items() if value is not None])


@lru_cache(maxsize=2)
def _second(when: int) -> str:
    """Date and time in UTC, to the second."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S")
