"""When files that are whole are stored: together, when no further one has come for a moment.

An install fetches many of them at once, and its client waits for the next one while the last is written, or fsynced.
Nobody waits for that: clients have each file from the memory of the cache or of the system. Not for long, since a kill
loses the short ones that wait; of a long one a spool file and its journal are there.
"""

from __future__ import annotations

import asyncio

_GATHER = 0.25  # seconds without a further file after which those that wait are written,
_LONGEST = 1.0  # seconds after the first of them, at the latest,
_FILES = 128  # or as soon as there are so many,
_BYTES = 32 << 20  # or they take so many bytes of memory


class Settling:
    """Gives turns. Mutable state: the files that wait, as the future that ends their waiting, and what they come to."""

    def __init__(self) -> None:
        self._turn: asyncio.Future[None] | None = None
        self._files = self._seen = self._bytes = 0
        self._latest = 0.0

    async def turn(self, size: int) -> None:
        """Wait until a file that takes `size` bytes of memory may be stored."""
        loop = asyncio.get_running_loop()
        if self._turn is None:
            self._turn = loop.create_future()
            self._files = self._bytes = 0
            self._latest = loop.time() + _LONGEST
            self._watch(self._turn)
        turn = self._turn
        self._files += 1
        self._bytes += size
        if self._files >= _FILES or self._bytes >= _BYTES:
            self.hurry()
        await asyncio.wait((turn,))

    def hurry(self) -> None:
        """It is the turn of all that wait."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.set_result(None)

    def _watch(self, turn: asyncio.Future[None]) -> None:
        self._seen = self._files
        asyncio.get_running_loop().call_later(_GATHER, self._look, turn)

    def _look(self, turn: asyncio.Future[None]) -> None:
        if turn is not self._turn:
            return
        if self._seen != self._files and asyncio.get_running_loop().time() < self._latest:
            self._watch(turn)
        else:
            self.hurry()
