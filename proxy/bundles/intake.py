"""One body on its way into the store: hashed while it is written, and adopted only if it is what it has to be.

A short body stays in memory until it is whole. Of a long one, a batch is hashed and written while the next one comes.
Called by `importing` and `loose_files`, on the event loop. It never writes an entry.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Protocol

from proxy.cache.workers import Workers
from proxy.errors import StoreBroken
from proxy.model import Blob, Digest
from proxy.ports import Spool, Store

SHORT = 1 << 20  # bytes of a body that stays in memory
_INLINE = 1 << 16  # bytes that are hashed on the event loop: sooner than a thread would begin
_BATCH = 4 << 20  # bytes that are hashed and written at once


class Hashes(Protocol):
    """What hashes a body."""

    def update(self, pieces: Iterable[bytes | memoryview]) -> None: ...

    def check(self) -> None:
        """Raise what is wrong with the whole body."""
        ...


class Sha256:
    """The name of a body of which nothing is known before."""

    def __init__(self) -> None:
        self._running = hashlib.sha256()

    def update(self, pieces: Iterable[bytes | memoryview]) -> None:
        for piece in pieces:
            self._running.update(piece)

    def check(self) -> None:
        """Any bytes are right."""

    @property
    def value(self) -> str:
        """In hexadecimal."""
        return self._running.hexdigest()


class Intake:
    """One body. `close` it whatever happened: what was not adopted leaves nothing."""

    def __init__(self, store: Store, hashing: Workers, hashes: Hashes, size: int, name: str | None) -> None:
        """`size` in bytes. `name`: of the download that it counts as, one at a time; None: it is hashed only."""
        self._store = store
        self._hashing = hashing
        self._hashes = hashes
        self._size = size
        self._name = name
        self._batch: list[memoryview] = []
        self._waiting = 0  # bytes of the batch
        self._offset = 0  # of its first byte
        self._spool: Spool | None = None
        self._under_way: asyncio.Task[None] | None = None

    @property
    def kept(self) -> bool:
        """Whether the body is stored, and not only hashed."""
        return self._name is not None

    async def write(self, piece: memoryview) -> None:
        """The next bytes. Raises StoreFull, StoreBroken."""
        self._batch.append(piece)
        self._waiting += len(piece)
        if self._size > SHORT and self._waiting >= _BATCH:
            await self._flush()

    async def end(self) -> None:
        """The body is whole, and on its way to the disk. Raises what `check` of the hashes does, StoreError."""
        if self._size > SHORT:
            await self._flush()
            await self._settled()
        elif self._size > _INLINE:
            await self._hashing.run(self._hashes.update, self._batch)
        else:
            self._hashes.update(self._batch)
        self._hashes.check()

    async def adopt(self, sha256: str) -> Blob:
        """Have the store take the body, which ended and has this sha256. Raises StoreBroken."""
        if self._spool is not None:
            blob = await self._store.adopt(self._spool, Digest("sha256", sha256), self._size)
        else:
            blob = await self._store.put(b"".join(self._batch))
        if blob is None:
            raise StoreBroken("The disk of the data folder takes no more, or fails. The log of the cache says why.")
        return blob

    async def close(self) -> None:
        """Let go of everything. May be called twice, and after `adopt`."""
        self._batch = []
        task, self._under_way = self._under_way, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        spool, self._spool = self._spool, None
        if spool is not None:
            await spool.close(keep=False)

    async def _flush(self) -> None:
        await self._settled()
        if self._spool is None and self._name is not None:
            self._spool = await self._store.spool(self._name, self._size)
            if self._spool.state is not None:
                await self._spool.restart()
        batch, offset = self._batch, self._offset
        self._batch, self._offset, self._waiting = [], offset + self._waiting, 0
        self._under_way = asyncio.create_task(self._take(batch, offset), name="taking a body in")

    async def _take(self, batch: list[memoryview], offset: int) -> None:
        hashing = self._hashing.run(self._hashes.update, batch)
        if self._spool is None:
            await hashing
        else:
            await asyncio.gather(hashing, self._spool.write(offset, batch))

    async def _settled(self) -> None:
        task, self._under_way = self._under_way, None
        if task is not None:
            await task
