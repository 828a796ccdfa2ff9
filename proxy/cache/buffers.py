"""Memory that bodies are read into, used again and again: new memory is cleared before it is used, and old is not.

`spool_writer` borrows from it; `downloads` has the only one. Called on the event loop only.
"""

from __future__ import annotations

SIZE = 256 << 10  # bytes of a buffer
_KEPT = 32  # buffers that wait for the next body


class Buffers:
    """Lends buffers. Mutable state: those that nobody has."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []

    def borrow(self, size: int) -> memoryview:
        """At least `size` bytes, with anything in them."""
        if size > SIZE:
            return memoryview(bytearray(size))
        return self._free.pop() if self._free else memoryview(bytearray(SIZE))

    def give_back(self, buffer: memoryview) -> None:
        """Nobody reads this buffer any more, or writes to it."""
        if len(buffer) == SIZE and len(self._free) < _KEPT:
            self._free.append(buffer)
