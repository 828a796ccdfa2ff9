"""One structured line a request: the event loop only hands the event over, the log's thread makes the line."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from functools import lru_cache

from proxy.events import Event, Served
from proxy.web.log_writer import LogWriter

_quoted = json.JSONEncoder().encode  # a text in ASCII


class AccessLog:
    """An `Observer` that hands `Served` events to a writer."""

    def __init__(self, writer: LogWriter, *, structured: bool) -> None:
        """`structured`: JSON lines; else plain text."""
        self._take = writer.take
        self._form = _json_line if structured else _text_line

    def __call__(self, event: Event) -> None:
        if isinstance(event, Served):
            self._take(self._form, (_now(), event), len(event.path))


def _now() -> float:
    return time.time()


def _sent(event: Served) -> dict[str, int]:
    return {source.value: size for source, size in event.sent.items() if size}


def _json_line(what: tuple[float, Served]) -> str:
    """JSON in ASCII, whatever the texts, so that no path steers a terminal. By hand: each request has such a line."""
    when, event = what
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


def _text_line(what: tuple[float, Served]) -> str:
    when, event = what
    clock = datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")
    sent = "+".join(f"{size} {name}" for name, size in _sent(event).items()) or "0"
    path = json.dumps(event.path)[1:-1]
    said = f"{event.client} {event.method} {path} {event.status} {event.outcome.value}"
    return f"{clock} {said} {sent} {event.seconds:.4f}s\n"
