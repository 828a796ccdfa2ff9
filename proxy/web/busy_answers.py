"""Answers that leave many times in one second: each of them is a file that is nowhere but in memory, head and body.

Bytes that are sent are copied into new memory of the kernel. Where thousands of answers a second leave, that memory has
often left the processor's cache, and to copy 40 KB may take 25 µs instead of 3. sendfile hands over the pages of the
file as they are, and the whole answer takes one system call (ADR 31). Called by `replay`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from proxy import operating_system

_OFTEN = 8  # times that an answer leaves with one head before it becomes a file
_PAST = 2.0  # seconds; a head has the second in it, so an older file is not asked for any more
_FILES = 256  # descriptors at once, at most,
_SHARE = 16  # and one in so many of those that the process may have
_BYTES = 16 << 20  # at once, about


@dataclass(slots=True)
class BusyAnswer:
    """An answer with the head that it has for a second. Mutable state: how often it was asked for, and its file."""

    head: bytes
    size: int  # bytes, with the head
    was_busy: bool = False  # it left often with its last head, so it becomes a file at once
    times: int = 0
    descriptor: int | None = None  # of the file
    made: float = 0.0  # when the file was made, in monotonic seconds


class BusyAnswers:
    """Mutable state: the answers that have a file, by its descriptor, the oldest one first.

    A file is never written again, since the kernel may still hold its pages for clients. While there is no room, and
    where there are no such files (macOS), answers are sent from the program's memory.
    """

    def __init__(self) -> None:
        self._made: dict[int, BusyAnswer] = {}
        limit = operating_system.open_files_limit()
        self._most = _FILES if limit is None else min(limit // _SHARE, _FILES)
        self._bytes = 0

    def begin(self, head: bytes, body: bytes, before: BusyAnswer | None) -> BusyAnswer:
        """An answer with a new head. `before`: the same with its last head, which is closed."""
        if before is not None:
            self._close(before)
        return BusyAnswer(head, len(head) + len(body), before is not None and before.times > _OFTEN)

    def use(self, answer: BusyAnswer, body: bytes, now: float) -> None:
        """The answer is asked for; from some time on it has a file. `now`: monotonic seconds."""
        answer.times += 1
        if answer.descriptor is None and (answer.was_busy or answer.times > _OFTEN):
            self._make(answer, body, now)

    def clear(self) -> None:
        """Close all. Clients still get what is on its way to them."""
        for answer in list(self._made.values()):
            self._close(answer)

    def _make(self, answer: BusyAnswer, body: bytes, now: float) -> None:
        while self._made and (oldest := next(iter(self._made.values()))).made < now - _PAST:
            self._close(oldest)
        if len(self._made) >= self._most or self._bytes >= _BYTES:
            return
        try:
            descriptor = operating_system.file_in_memory()
        except OSError:  # no descriptor is left
            return
        if descriptor is None:
            return
        answer.descriptor, answer.made = descriptor, now
        self._made[descriptor] = answer
        self._bytes += answer.size
        try:
            whole = os.write(descriptor, answer.head + body) == answer.size
        except OSError:  # no memory is left
            whole = False
        if not whole:
            self._close(answer)

    def _close(self, answer: BusyAnswer) -> None:
        if answer.descriptor is not None:
            os.close(answer.descriptor)
            del self._made[answer.descriptor]
            self._bytes -= answer.size
            answer.descriptor = None
