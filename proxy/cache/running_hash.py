"""The hashes of a file while it is written, off the event loop.

Ranges arrive out of order; a hash needs them in order. A writer hands over bytes that it has in memory, if the hash
stands just before them: that saves reading them back. All others are read back behind the writers, from the page cache.
Either way the hash is ready a moment after the last byte was written.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from proxy import operating_system
from proxy.cache.workers import Workers
from proxy.errors import DigestDiffers, StoreBroken
from proxy.model import Digest

_PIECE = 1 << 20  # bytes read at once
_QUICK = 256 << 10  # bytes that are hashed in less time than a thread takes to begin


def _nothing() -> None:
    """Nobody waits."""


class RunningHash:
    """The running hashes of one file: its sha256, which names it, and the index's digest, if that is another."""

    def __init__(self, expected: Digest | None, workers: Workers | None = None) -> None:
        """`workers`: the threads in which `advance` and `take` hash; without them only `update` works."""
        self._workers = workers
        self.progressed: Callable[[], None] = _nothing  # called by who hands over bytes, when they are hashed
        self.position = 0  # bytes hashed
        self._claimed = 0  # the end of the bytes that are being hashed, or will be
        self._turn = asyncio.Lock()  # bytes are hashed in the order in which they were claimed
        self._expected = expected
        names = {"sha256"} | ({expected.algorithm} if expected else set())
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}

    async def advance(self, descriptor: int, end: int) -> None:
        """Hash up to `end`, in a worker thread, unless a writer has claimed the next bytes. Raises StoreBroken."""
        if self.behind(end):
            self._claimed = end
            async with self._turn:
                await self._in_threads.run(self._advance, descriptor, end)

    @property
    def _in_threads(self) -> Workers:
        assert self._workers is not None, "a hash of bytes on disk has threads"
        return self._workers

    def behind(self, end: int) -> bool:
        """Whether bytes before `end` have to be read back: they are neither hashed nor claimed."""
        return self.position == self._claimed < end

    def claim(self, start: int, end: int) -> bool:
        """Whether `[start, end)` are the next bytes; then the caller must pass them to `take`, whatever happens."""
        if start != self._claimed:
            return False
        self._claimed = end
        return True

    async def take(self, start: int, piece: memoryview) -> None:
        """Hash claimed bytes from memory, in a worker thread.

        If that fails, for them or for bytes before them, they are read back later.
        """
        async with self._turn:
            if start != self.position:
                return
            try:
                await self._in_threads.run(self.update, piece)
            except BaseException:
                self._claimed = self.position
                raise

    def take_few(self, start: int, piece: memoryview) -> None:
        """Hash the next bytes here and now if they are few, and nothing is being hashed; else they are read back."""
        if len(piece) <= _QUICK and start == self.position == self._claimed:
            self._claimed += len(piece)
            self.update(piece)

    def _advance(self, descriptor: int, end: int) -> None:
        buffer = memoryview(bytearray(min(_PIECE, end - self.position)))
        while self.position < end:
            try:
                size = operating_system.read_at(descriptor, buffer[: end - self.position], self.position)
            except OSError as error:
                raise StoreBroken(f"Reading back a download failed: {error.strerror}.") from error
            if not size:
                raise StoreBroken("A download under way lost bytes on disk.")
            for running in self._hashes.values():
                running.update(buffer[:size])
            self.position += size

    def update(self, chunk: bytes | memoryview) -> None:
        """Hash the next bytes, here and now."""
        for running in self._hashes.values():
            running.update(chunk)
        self.position += len(chunk)

    def so_far(self) -> bytes:
        """The sha256 of the bytes that are hashed."""
        return self._hashes["sha256"].digest()

    def check(self) -> Digest:
        """The sha256 of the whole. Raises DigestDiffers if the index promised another file."""
        expected = self._expected
        if expected is not None and self._hashes[expected.algorithm].hexdigest() != expected.value:
            raise DigestDiffers(
                "Upstream sent other bytes than the index promises: the digest differs. Nothing was cached."
            )
        return Digest("sha256", self._hashes["sha256"].hexdigest())
