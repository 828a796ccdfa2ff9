"""Memory that bodies are read into, used again and again: new memory is cleared before it is used, and old is not.

`spool_writer` borrows from it; `downloads` has the only one. Called on the event loop only.
"""

from __future__ import annotations

LEAST = 64 << 10  # bytes of the shortest buffer; the others are twice as long each
MOST = 4 << 20  # bytes of the longest: each turn of the event loop and of the threads has its price
_KEPT = 16 << 20  # bytes of buffers that wait for the next body


class Buffers:
    """Lends buffers. Mutable state: those that nobody has, by their size in bytes."""

    def __init__(self) -> None:
        self.kept = 0  # bytes of them
        self._free: dict[int, list[memoryview]] = {}

    def borrow(self, size: int) -> memoryview:
        """A buffer of `size` bytes or more, `MOST` at most, with anything in it."""
        length = LEAST
        while length < min(size, MOST):
            length *= 2
        free = self._free.get(length)
        if not free:
            return memoryview(bytearray(length))
        self.kept -= length
        return free.pop()

    def give_back(self, buffer: memoryview) -> None:
        """Nobody reads this buffer any more, or writes to it."""
        if buffer and self.kept + len(buffer) <= _KEPT:
            self.kept += len(buffer)
            self._free.setdefault(len(buffer), []).append(buffer)
