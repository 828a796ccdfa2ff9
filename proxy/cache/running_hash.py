"""Hashing a file while it is written, off the event loop.

Ranges land out of order; a hash needs them in order. What a writer has in memory just where the hash stands, it hands
over: that saves reading it back. All else is read back behind the writers, from the page cache. Either way the hash is
ready a moment after the last byte landed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os

from proxy.cache.workers import Workers
from proxy.errors import StoreBroken, WrongBytes
from proxy.model import Digest

_PIECE = 1 << 20  # bytes read at once


class RunningHash:
    """The running hashes of one file: its sha256, which names it, and the digest that the index gives, if another."""

    def __init__(self, expected: Digest | None, workers: Workers | None = None) -> None:
        """`workers`: the threads in which `advance` and `take` hash; without them there is `update` alone."""
        self._workers = workers
        self.position = 0  # bytes hashed
        self._claimed = 0  # where the bytes end that somebody is hashing, or will
        self._turn = asyncio.Lock()  # bytes are hashed in the order in which they were claimed
        self._expected = expected
        names = {"sha256"} | ({expected.algorithm} if expected else set())
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}

    async def advance(self, descriptor: int, end: int) -> None:
        """Hash on up to `end`, in a worker thread, where nobody else claimed it. Raises StoreBroken."""
        if self.behind(end):
            self._claimed = end
            async with self._turn:
                await self._in_threads.run(self._advance, descriptor, end)

    @property
    def _in_threads(self) -> Workers:
        assert self._workers is not None, "given to whoever hashes what is on disk"
        return self._workers

    def behind(self, end: int) -> bool:
        """Whether bytes before `end` have to be read back: they are not hashed, and nobody is at it."""
        return self.position == self._claimed < end

    def claim(self, start: int, end: int) -> bool:
        """Whether `[start, end)` are the next bytes; then the caller hands them over with `take`, whatever happens."""
        if start != self._claimed:
            return False
        self._claimed = end
        return True

    async def take(self, start: int, piece: memoryview) -> None:
        """Hash claimed bytes from memory, in a worker thread.

        Where that cannot be done, or could not be done for bytes before them, they are read back later.
        """
        async with self._turn:
            if start != self.position:
                return
            try:
                await self._in_threads.run(self.update, piece)
            except BaseException:
                self._claimed = self.position
                raise

    def _advance(self, descriptor: int, end: int) -> None:
        buffer = memoryview(bytearray(min(_PIECE, end - self.position)))
        while self.position < end:
            try:
                size = os.preadv(descriptor, [buffer[: end - self.position]], self.position)
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
        """The sha256 of the bytes that were hashed."""
        return self._hashes["sha256"].digest()

    def check(self) -> Digest:
        """The sha256 of the whole. Raises WrongBytes if the index promised another file."""
        expected = self._expected
        if expected is not None and self._hashes[expected.algorithm].hexdigest() != expected.value:
            raise WrongBytes("Upstream sent other bytes than the index promises: the digest differs. Nothing was kept.")
        return Digest("sha256", self._hashes["sha256"].hexdigest())
