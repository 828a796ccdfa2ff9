"""When short files that are whole go to the disk: together, when no further one has come for a moment.

An install fetches many of them at once, and its client waits for the next one while the last is written. Nobody waits
for the disk: clients have each file from memory. Not for long, since a kill loses what waits.
"""

from __future__ import annotations

import asyncio

_GATHER = 0.03  # seconds without a further file after which those that wait are written,
_LONGEST = 0.25  # seconds after the first of them, at the latest,
_FILES = 64  # or as soon as there are so many,
_BYTES = 16 << 20  # or they have so many bytes


class Settling:
    """Gives turns. Mutable state: the files that wait, as the future that ends their waiting, and what they come to."""

    def __init__(self) -> None:
        self._turn: asyncio.Future[None] | None = None
        self._files = self._seen = self._bytes = 0
        self._latest = 0.0

    async def turn(self, size: int) -> None:
        """Wait with a file of `size` bytes until it may go to the disk."""
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
