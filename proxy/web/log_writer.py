"""The one thread that writes to standard error: lines of the access log, and what the program itself has to say.

Whoever has a line hands it over and goes on. Lines wait in bounded memory. When standard error takes nothing (a pipe
that nobody reads, a full disk), lines are dropped and counted; the thread never blocks what ends the program.
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
from typing import IO, Any, TypeVar

T = TypeVar("T")

_EVERY = 0.25  # seconds between writes
_MOST = 8 << 20  # bytes that may wait, about
_EACH = 600  # bytes that a line costs while it waits, beside its text
# A pipe that is ready takes so much without blocking (POSIX: PIPE_BUF is 512 at least, 4096 on Linux); a file, all.
_PIECE = select.PIPE_BUF
_OF_FILES = 1 << 20
_GRACE = 2.0  # seconds that `close` gives to what is left
_BATCH = 256  # lines that are made at once
_SOON = 2000  # lines that wait: then they are written before their time
_LOOK = 0.2  # seconds between looks whether to stop, while the stream takes nothing


class _Blocked(Exception):
    """The program ends, and the stream takes nothing."""


class LogWriter:
    """Writes lines to `stream`. Any thread may hand them over. `dropped` counts those that were not written."""

    def __init__(self, stream: IO[str] | None, lost: Callable[[int], str], *, most: int = _MOST) -> None:
        """`lost` makes the line that says how many were dropped. A `stream` of None takes everything, to nowhere."""
        self.dropped = 0
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._piece = _OF_FILES if _is_file(self._descriptor) else _PIECE
        self._lost = lost
        self._most = most
        self._waiting: deque[tuple[Callable[[Any], str], Any, int]] = deque()  # lines are made by the thread
        # The bytes of all lines that ever came, and of those that the thread took: there is no lock, since requests are
        # many. Two threads that hand over a line at once may be counted as one.
        self._came = self._went = 0
        self._told = 0  # how many of the dropped lines a line was written about
        self._cut = False  # whether the last line was written in part
        self._wake = threading.Event()
        self._deadline: float | None = None  # monotonic seconds: set when it ends
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def take(self, form: Callable[[T], str], what: T, size: int) -> None:
        """A line, which `form` makes of `what`, with its end. `size`: bytes that it holds meanwhile, about."""
        if self._came - self._went >= self._most or self._deadline is not None:
            self.dropped += 1
            return
        self._came += size + _EACH
        self._waiting.append((form, what, size))
        if len(self._waiting) == _SOON:
            self._wake.set()

    def say(self, text: str) -> None:
        """Write a text soon. It gets a line end."""
        self.take(str, f"{text}\n", len(text))
        self._wake.set()

    def close(self) -> None:
        """Write what waits, as far as the stream takes it within two seconds, and end the thread."""
        self._deadline = time.monotonic() + _GRACE
        self._wake.set()
        self._thread.join(_GRACE + 2 * _LOOK)

    def _run(self) -> None:
        while self._deadline is None:
            self._wake.wait(_EVERY)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        # What comes meanwhile waits for the next time: lines in small batches would keep taking the interpreter from
        # the event loop.
        left = len(self._waiting)
        while left:
            batch = [self._waiting.popleft() for _ in range(min(left, _BATCH))]
            left -= len(batch)
            self._went += sum(size + _EACH for _, _, size in batch)
            try:
                lines = "".join([form(what) for form, what, _ in batch])
            except Exception:  # noqa: BLE001 a line that cannot be made must not end all others
                self.dropped += len(batch)
            else:
                self.dropped += self._write(lines)
        lost = self.dropped - self._told
        if lost and not self._write(self._lost(lost)):
            self._told += lost

    def _write(self, text: str) -> int:
        """Write lines; gives how many of them were not written to their end."""
        if self._descriptor is None:
            return self._write_to_stream(text)
        rest = text.encode("utf-8", "backslashreplace")
        if self._cut:
            rest = b"\n" + rest
        left = memoryview(rest)
        try:
            while left:
                self._until_ready(self._descriptor)
                try:
                    left = left[os.write(self._descriptor, left[: self._piece]) :]
                except BlockingIOError:  # somebody else, who has the same terminal, made it so
                    time.sleep(_LOOK)
        except (OSError, _Blocked):
            pass  # EPIPE: nobody reads any more. ENOSPC: the disk is full. Serving goes on.
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

    def _until_ready(self, descriptor: int) -> None:
        """Wait until a write does not block. Raises _Blocked when there is no more time."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        while not poll.poll(min(_LOOK, self._left()) * 1000):
            if not self._left():
                raise _Blocked

    def _left(self) -> float:
        """Seconds until it has to end."""
        return math.inf if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)


def _descriptor(stream: IO[str] | None) -> int | None:
    """What the operating system calls the stream, if it is one of its own."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


def _is_file(descriptor: int | None) -> bool:
    """Whether what is written lands on a disk, or nowhere: nobody has to read it first."""
    if descriptor is None:
        return False
    try:
        found = os.fstat(descriptor)
        return stat.S_ISREG(found.st_mode) or found.st_rdev == Path(os.devnull).stat().st_rdev
    except OSError:
        return False
