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
from proxy.web.log_file import keep_within

_INTERVAL = 0.25  # seconds between writes
_MOST = 8 << 20  # bytes that may wait, about
_OVERHEAD = 64  # bytes of memory for a waiting line, beside its text
_FILE_PIECE = 1 << 20  # bytes of one write; a file never blocks
_GRACE = 2.0  # seconds in which `close` writes what is left
_BATCH = 1024  # lines of one write; at each the thread has to get the interpreter back
# Lines that are joined at once. For a longer text the system gives new memory each time, and to get it takes five times
# as long as to join it, with the interpreter's lock.
_JOINED = 128
# Waiting lines that are written at once. The fewer wait, the more of them the processor's cache still has.
_EARLY = _BATCH
_LINE_END = ord("\n")
_POLL = 0.2  # seconds between checks whether to stop, while the stream takes nothing


class _Blocked(Exception):
    """The grace is over, and the stream takes nothing."""


class LogWriter:
    """Writes lines to `stream`. Any thread may call `queue` and `write`. `dropped` counts the lines not written."""

    def __init__(self, stream: IO[str] | None, lost: Callable[[int], str], *, most: int = _MOST, size: int = 0) -> None:
        """`lost` makes the line that says how many were dropped. With a `stream` of None all lines vanish.

        `size`: bytes that a file which the stream is may have, with the one before it; 0: as many as come.
        """
        self.dropped = 0
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._file = _is_file(self._descriptor)
        self._lost = lost
        self._most = most
        self._size = size
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
            count = min(left, _BATCH)
            left -= count
            texts = [self._joined(min(count - first, _JOINED)) for first in range(0, count, _JOINED)]
            size = sum(map(len, texts)) + count * _OVERHEAD
            lost = self._write_lines(texts)
            self.dropped += lost  # not in one line: while it writes, others count what they drop
            self._dequeued += size  # until now they took memory
        lost = self.dropped - self._reported
        if lost and not self._write_lines([self._lost(lost)]):
            self._reported += lost

    def _joined(self, count: int) -> str:
        """So many of the waiting lines."""
        return "".join([self._waiting.popleft() for _ in range(count)])

    def _write_lines(self, texts: list[str]) -> int:
        """Write texts of lines. Gives the number of lines that were not written, or only in part."""
        if self._descriptor is None:
            return self._write_to_stream("".join(texts))
        if self._size:
            keep_within(self._descriptor, self._size)
        left = deque(memoryview(text.encode("utf-8", "backslashreplace")) for text in texts)
        if self._cut:
            left.appendleft(memoryview(b"\n"))
        try:
            while left:
                room = _FILE_PIECE if self._file else self._room(self._descriptor)
                try:
                    self._cut = _remove(left, os.writev(self._descriptor, _beginning(left, room))) != _LINE_END
                except BlockingIOError:  # another process made the shared terminal non-blocking
                    time.sleep(_POLL)
        except (OSError, _Blocked):
            pass  # EPIPE: the reader is gone. ENOSPC: the disk is full. The server goes on.
        return sum(bytes(piece).count(b"\n") for piece in left)

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


def _beginning(pieces: deque[memoryview], size: int) -> list[memoryview]:
    """The first `size` bytes of pieces."""
    found = []
    for piece in pieces:
        found.append(piece[:size])
        size -= len(piece)
        if size <= 0:
            break
    return found


def _remove(pieces: deque[memoryview], size: int) -> int | None:
    """Remove the first `size` bytes of pieces; gives the last one of them."""
    last = None
    while size:
        piece = pieces.popleft()
        if size < len(piece):
            pieces.appendleft(piece[size:])
        taken = min(size, len(piece))
        last = piece[taken - 1]
        size -= taken
    return last


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
