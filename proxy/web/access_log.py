"""One structured line a request, written by a thread of its own: the event loop only appends to a list."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import IO

from proxy.model import Event, Served

_EVERY = 0.25  # seconds between writes


class AccessLog:
    """An `Observer` that writes `Served` events to a stream. `close` writes what is left."""

    def __init__(self, stream: IO[str], *, structured: bool) -> None:
        """`structured`: JSON lines; else plain text."""
        self._stream = stream
        self._line = _json_line if structured else _text_line
        self._waiting: list[tuple[float, Served]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Served):
            self._waiting.append((_now(), event))

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self._write()
        self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        try:
            self._stream.write("".join([self._line(when, event) for when, event in waiting]))
            self._stream.flush()
        except (OSError, ValueError):  # the reader of a pipe went away: serving goes on
            return


def _now() -> float:
    return time.time()


def _sent(event: Served) -> dict[str, int]:
    return {source.value: size for source, size in event.sent.items() if size}


def _json_line(when: float, event: Served) -> str:
    line = {
        "time": datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds"),
        "client": event.client,
        "method": event.method,
        "path": event.path,
        "status": event.status,
        "outcome": event.outcome.value,
        "upstream": event.upstream,
        "sent": _sent(event),
        "seconds": round(event.seconds, 6),
    }
    return json.dumps(line) + "\n"


def _text_line(when: float, event: Served) -> str:
    clock = datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")
    sent = "+".join(f"{size} {name}" for name, size in _sent(event).items()) or "0"
    path = json.dumps(event.path)[1:-1]
    what = f"{event.client} {event.method} {path} {event.status} {event.outcome.value}"
    return f"{clock} {what} {sent} {event.seconds:.4f}s\n"
