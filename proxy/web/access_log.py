"""The access log: one line for each request. The event loop hands the event over; the log's thread makes the line.

What is the same in many lines, which is most of a line, is made once and remembered.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import unquote

from proxy.control.holdings import named
from proxy.events import OWN, Event, Served
from proxy.model import Kind
from proxy.ports import Clock
from proxy.user_agent import UserAgent
from proxy.web.log_writer import LogWriter

_quoted = json.JSONEncoder().encode  # a JSON string in ASCII
_REMEMBERED = 1024  # addresses
_LONGEST = 512  # characters of an address that is remembered
_OF_FILES = (Kind.FILE, Kind.METADATA)


class AccessLog:
    """An `Observer` that hands `Served` events to a writer."""

    def __init__(self, writer: LogWriter, clock: Clock, *, structured: bool) -> None:
        """`structured`: JSON lines; else plain text."""
        self._queue = writer.queue
        self._now = clock.now
        self._form = _json_line if structured else _text_line

    def __call__(self, event: Event) -> None:
        if isinstance(event, Served):
            self._queue(self._form, (self._now(), event), len(event.path))


def _json_line(entry: tuple[float, Served]) -> str:
    """JSON in ASCII, so that no path can control a terminal. Written by hand for speed: each request has a line."""
    when, event = entry
    sent = ", ".join([f'"{source.value}": {size}' for source, size in event.sent.items() if size])
    asked = _asked if len(event.path) <= _LONGEST else _asked.__wrapped__
    return (
        f'{{"time": "{_second(int(when))}.{int(when % 1 * 1000):03d}+00:00", "client": {_quoted(event.client)}, '
        f"{_of_agent(event.agent)}{asked(event.method, event.path, event.upstream, event.kind, event.project)}"
        f'"status": {event.status}, "outcome": "{event.outcome.value}", "sent": {{{sent}}}, '
        f'"seconds": {round(event.seconds, 6)}}}\n'
    )


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


@lru_cache(maxsize=_REMEMBERED)
def _of_agent(agent: UserAgent) -> str:
    """The fields of the program that asks."""
    name, version, build = (text or None for text in agent)
    return _fields({"client_name": name, "client_version": version, "build": build})


def _fields(values: dict[str, str | None]) -> str:
    """A part of a line; what is not known is left out."""
    return "".join([f'"{name}": {_quoted(value)}, ' for name, value in values.items() if value is not None])


@lru_cache(maxsize=2)
def _second(when: int) -> str:
    """Date and time in UTC; most lines have that of the line before."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _text_line(entry: tuple[float, Served]) -> str:
    when, event = entry
    path = _quoted(event.path)[1:-1]
    sent = "+".join([f"{size} {source.value}" for source, size in event.sent.items() if size]) or "0"
    name, version, _ = event.agent
    return (
        f"{_second(int(when))}+00:00 {event.client} {event.method} {path} {event.status} {event.outcome.value} "
        f"{sent} {event.seconds:.4f}s {'/'.join(filter(None, (name, version))) or '-'}\n"
    )
