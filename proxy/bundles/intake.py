"""One body on its way into the store: hashed while it is written, and adopted only if it is what it has to be.

A short body stays in memory until it is whole. Of a long one, a batch is hashed and written while the next one comes.
One that lies in a file is read, hashed and written by one thread, in parts that the processor's cache holds. Called by
`importing` and `loose_files`, on the event loop. It never writes an entry.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from proxy.bundles.tar_file import FileRange, RangeOf
from proxy.cache.workers import Workers
from proxy.errors import StoreBroken
from proxy.model import Blob, Digest
from proxy.ports import Spool, Store

SHORT = 1 << 20  # bytes of a body that stays in memory
_INLINE = 1 << 16  # bytes that are hashed on the event loop: sooner than a thread would begin
_BATCH = 4 << 20  # bytes that are hashed and written at once
_STEP = 8 << 20  # bytes of a file that are taken before one looks whether to go on
_HASHED = 1 << 18  # bytes that are read and hashed at once, while the processor's cache has them


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
        self._range: FileRange | None = None
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

    def take(self, range_of: RangeOf, position: int) -> bool:
        """All of the body, which is at `position` of the tar, if it is long and lies in a file. It is read by `end`."""
        if self._size > SHORT:
            self._range = range_of(position, self._size)
        return self._range is not None

    async def end(self) -> None:
        """The body is whole, and on its way to the disk. Raises what `check` of the hashes does, StoreError.

        Raises what reading raises, too, if it is taken from a file.
        """
        if self._range is not None:
            await self._take_range(self._range)
        elif self._size > SHORT:
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

    async def _open(self) -> None:
        if self._spool is None and self._name is not None:
            self._spool = await self._store.spool(self._name, self._size)
            if self._spool.state is not None:
                await self._spool.restart()

    async def _take_range(self, body: FileRange) -> None:
        """Step by step, so that it can be broken off, and is seen to advance."""
        await self._open()
        read = partial(_read, body, self._hashes)
        for start in range(0, body.size, _STEP):
            count = min(_STEP, body.size - start)
            if self._spool is None:
                await self._hashing.run(_read_all, read, start, count)
            else:
                await self._spool.write_from(start, count, read)
            body.taken(count)

    async def _flush(self) -> None:
        await self._settled()
        await self._open()
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


def _read(body: FileRange, hashes: Hashes, buffer: memoryview, position: int) -> int:
    """Fill a buffer from a position on, and hash what it has then: what is written is what was hashed."""
    count = body.read_into(buffer, position)
    hashes.update([buffer[:count]])
    return count


def _read_all(read: Callable[[memoryview, int], int], position: int, size: int) -> None:
    buffer, end = memoryview(bytearray(min(_HASHED, size))), position + size
    while position < end:
        position += read(buffer[: end - position], position)
