"""The one thread that writes to standard error: lines of the access log and of the program's log.

Callers hand a line over and go on. Lines wait in bounded memory, and leave by few large writes: what the thread does
beside them, it does with the interpreter's lock, while requests wait. When standard error takes nothing (a pipe without
a reader, a full disk), lines are dropped and counted. The thread never delays the end of the program by more than two
seconds.
"""

from __future__ import annotations

import math
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from proxy import operating_system

_INTERVAL = 0.25  # seconds between writes
_MOST = 8 << 20  # bytes that may wait, about
_OVERHEAD = 64  # bytes of memory for a waiting line, beside its text
_FILE_PIECE = 1 << 20  # bytes of one write; a file never blocks
_GRACE = 2.0  # seconds in which `close` writes what is left
_BATCH = 1024  # lines that are joined at once; at each write the thread has to get the interpreter back
_EARLY = 4096  # waiting lines that are written at once, without waiting for the interval
_POLL = 0.2  # seconds between checks whether to stop, while the stream takes nothing


class _Blocked(Exception):
    """The grace is over, and the stream takes nothing."""


class LogWriter:
    """Writes lines to `stream`. Any thread may call `queue` and `write`. `dropped` counts the lines not written."""

    def __init__(self, stream: IO[str] | None, lost: Callable[[int], str], *, most: int = _MOST) -> None:
        """`lost` makes the line that says how many were dropped. With a `stream` of None all lines vanish."""
        self.dropped = 0
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._file = _is_file(self._descriptor)
        self._lost = lost
        self._most = most
        self._waiting: deque[str] = deque()
        # The bytes of all lines that were queued and dequeued since the start. There is no lock, since each request
        # would take it: when two threads queue a line at once, one of the two may not be counted.
        self._queued = self._dequeued = 0
        self._reported = 0  # how many of the dropped lines a line was written about
        self._cut = False  # whether the last line was written in part
        self._wake = threading.Event()
        self._deadline: float | None = None  # monotonic seconds; set by `close`
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def queue(self, line: str) -> None:
        """Queue a line, line end included."""
        if self._queued - self._dequeued >= self._most or self._deadline is not None:
            self.dropped += 1
            return
        self._queued += len(line) + _OVERHEAD
        self._waiting.append(line)
        if len(self._waiting) == _EARLY:
            self._wake.set()

    def write(self, text: str) -> None:
        """Write a text at once. It gets a line end."""
        self.queue(f"{text}\n")
        self._wake.set()

    def close(self) -> None:
        """Write the waiting lines, as far as the stream takes them within two seconds, and end the thread."""
        self._deadline = time.monotonic() + _GRACE
        self._wake.set()
        self._thread.join(_GRACE + 2 * _POLL)

    def _run(self) -> None:
        while self._deadline is None:
            self._wake.wait(_INTERVAL)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        # Lines that come meanwhile wait for the next time: small batches would interrupt the event loop too often.
        left = len(self._waiting)
        while left:
            batch = [self._waiting.popleft() for _ in range(min(left, _BATCH))]
            left -= len(batch)
            lines = "".join(batch)
            self._dequeued += len(lines) + len(batch) * _OVERHEAD
            self.dropped += self._write_lines(lines)
        lost = self.dropped - self._reported
        if lost and not self._write_lines(self._lost(lost)):
            self._reported += lost

    def _write_lines(self, text: str) -> int:
        """Write lines. Gives the number of lines that were not written, or only in part."""
        if self._descriptor is None:
            return self._write_to_stream(text)
        rest = text.encode("utf-8", "backslashreplace")
        if self._cut:
            rest = b"\n" + rest
        left = memoryview(rest)
        try:
            while left:
                room = _FILE_PIECE if self._file else self._room(self._descriptor)
                try:
                    left = left[os.write(self._descriptor, left[:room]) :]
                except BlockingIOError:  # another process made the shared terminal non-blocking
                    time.sleep(_POLL)
        except (OSError, _Blocked):
            pass  # EPIPE: the reader is gone. ENOSPC: the disk is full. The server goes on.
        written = rest[: len(rest) - len(left)]
        self._cut = not written.endswith(b"\n") if written else self._cut
        return bytes(left).count(b"\n")

    def _write_to_stream(self, text: str) -> int:
        try:
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):  # closed
            return text.count("\n")
        return 0

    def _room(self, descriptor: int) -> int:
        """Wait until a write does not block; gives of how many bytes. Raises _Blocked when the grace is over."""
        room = operating_system.pipe_room(descriptor)
        if room >= select.PIPE_BUF:
            return room
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        while not poll.poll(min(_POLL, self._left()) * 1000):
            if not self._left():
                raise _Blocked
        return select.PIPE_BUF  # what is ready takes so many (POSIX)

    def _left(self) -> float:
        """Seconds until the thread has to end."""
        return math.inf if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)


def _descriptor(stream: IO[str] | None) -> int | None:
    """The stream's file descriptor, if it has one."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def _is_file(descriptor: int | None) -> bool:
    """Whether writes go to a file or to the null device, which need no reader."""
    if descriptor is None:
        return False
    try:
        status = os.fstat(descriptor)
        return stat.S_ISREG(status.st_mode) or status.st_rdev == Path(os.devnull).stat().st_rdev
    except OSError:
        return False
