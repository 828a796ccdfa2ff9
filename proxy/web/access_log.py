"""The access log: one line for each request. The event loop hands the event over; the log's thread makes the line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache

from proxy.events import Event, Served
from proxy.ports import Clock
from proxy.web.log_writer import LogWriter

_quoted = json.JSONEncoder().encode  # a JSON string in ASCII


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
    return (
        f'{{"time": "{_second(int(when))}.{int(when % 1 * 1000):03d}+00:00", "client": {_quoted(event.client)}, '
        f'"method": {_quoted(event.method)}, "path": {_quoted(event.path)}, "status": {event.status}, '
        f'"outcome": "{event.outcome.value}", "upstream": {_quoted(event.upstream)}, "sent": {{{sent}}}, '
        f'"seconds": {round(event.seconds, 6)}}}\n'
    )


@lru_cache(maxsize=2)
def _second(when: int) -> str:
    """Date and time in UTC; most lines have that of the line before."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _text_line(entry: tuple[float, Served]) -> str:
    when, event = entry
    path = _quoted(event.path)[1:-1]
    sent = "+".join([f"{size} {source.value}" for source, size in event.sent.items() if size]) or "0"
    return (
        f"{_second(int(when))}+00:00 {event.client} {event.method} {path} {event.status} {event.outcome.value} "
        f"{sent} {event.seconds:.4f}s\n"
    )
