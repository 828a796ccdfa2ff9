"""A short file under construction, in memory: `ports.Spool` for what comes in a moment.

A file on disk with a journal beside it costs a dozen system calls in threads, whatever its length. A short download
need not survive a kill, so its bytes are in a file of the memory, which followers read as they do any other. It goes to
the disk once, as a whole, when it is right; or as a part with a journal, when it broke off.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from proxy import operating_system
from proxy.cache.extents import Extents
from proxy.errors import StoreBroken, StoreError, StoreFull
from proxy.ports import SpoolState
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import to_store_error
from proxy.storage.record import Record
from proxy.storage.shared_file import SharedFile
from proxy.storage.space import Space
from proxy.storage.spool import DiskSpool

_SHORT = 1 << 20  # bytes, at most, of a file that begins in memory
_TOGETHER = 64 << 20  # bytes of all of them


class Memory:
    """The bytes of memory that all short spool files may take. Mutable state: those that are taken."""

    def __init__(self, limit: int = _TOGETHER) -> None:
        self.taken = 0
        self._limit = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take `size` bytes, if there are as many."""
        with self._lock:
            if self.taken + size > self._limit:
                return False
            self.taken += size
            return True

    def give_back(self, size: int) -> None:
        """May be called in any thread: the last reader of a file lets go of it there."""
        with self._lock:
            self.taken -= size


class ShortSpool(SharedFile):
    """See `ports.Spool`. Changed on the event loop; the count of users also in threads."""

    in_memory = True
    state: SpoolState | None = None

    def __init__(  # noqa: PLR0913, PLR0917 where the bytes are, and where they may go
        self, descriptor: int, size: int, memory: Memory, space: Space, disk: DiskSpool, boot: str
    ) -> None:
        """`descriptor`: an empty file in memory, for which `size` bytes of `memory` are taken already.

        `disk`: where a part of the file would be left for a later run, not open yet. It has the reservation. `boot`:
        this run of the machine.
        """
        super().__init__()
        self.fd = descriptor
        self._memory = memory
        self._taken = size
        self._space = space
        self._disk = disk
        self._boot = boot
        self._checkpoint: SpoolState | None = None
        self._extents = Extents()
        self._done = False

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        """As `ports.Spool.write`, but here and now: it copies, and waits for no disk."""
        await self._make_room(offset + sum(map(len, chunks)))
        for chunk in chunks:
            self._put(offset, memoryview(chunk))
            offset += len(chunk)

    async def write_from(self, offset: int, size: int, read: Callable[[memoryview, int], int]) -> None:
        await self._make_room(offset + size)
        buffer, end = memoryview(bytearray(size)), offset + size
        while offset < end:
            count = read(buffer[: end - offset], offset)
            self._put(offset, buffer[:count])
            offset += count

    async def _make_room(self, end: int) -> None:
        """For a file that is longer than it was said to be."""
        self._refuse_if_done()
        more = end - self._taken
        if more <= 0:
            return
        if not self._memory.take(more):
            raise StoreFull("A file is longer than its index says, and there is no memory for it now.")
        self._taken = end
        reservation = self._disk.reservation
        if end > reservation.size:
            await self._space.grow(reservation, end - reservation.size)

    def _put(self, offset: int, piece: memoryview) -> None:
        self._extents = self._extents.add(offset, offset + len(piece))
        try:
            while piece:
                written = operating_system.write_at(self.fd, [piece], offset)
                offset, piece = offset + written, piece[written:]
        except OSError as error:
            raise to_store_error(error) from error

    async def read(self, offset: int, size: int) -> bytes:
        return os.pread(self.fd, size, offset)

    async def checkpoint(self, state: SpoolState) -> None:
        self._refuse_if_done()
        self._checkpoint, self._extents = state, Extents(state.extents)

    async def restart(self) -> None:
        self._refuse_if_done()
        os.ftruncate(self.fd, 0)
        self._checkpoint, self._extents = None, Extents()

    async def close(self, *, keep: bool) -> None:
        if self._done:
            return
        self._done = True
        try:
            if keep and self._checkpoint is not None and self._extents.ranges:
                await self._leave(self._checkpoint)
        finally:
            self._end()

    async def _leave(self, state: SpoolState) -> None:
        """Write what came to the disk, for a later run."""
        disk, kept = self._disk, False
        with contextlib.suppress(StoreError):
            await disk.open(self._boot)
            try:
                await disk.restart()
                await disk.checkpoint(SpoolState(state.size, state.validator, ()))
                for start, end in self._extents.ranges:
                    await disk.write_from(start, end - start, self._read_back)
                kept = True
            finally:
                await disk.close(keep=kept)

    def _read_back(self, buffer: memoryview, offset: int) -> int:
        return operating_system.read_at(self.fd, buffer, offset)

    def complete(self, size: int) -> None:
        """The owner is done, and the file has all its bytes. Raises StoreBroken."""
        self._refuse_if_done()
        self._done = True
        if self._extents.end_from(0) < size:
            raise StoreBroken("A download lost bytes in memory.")

    def adopted(self, blobs: Blobs, blob: tuple[Record, Path] | None) -> None:
        """What became of a complete file: nothing, or a blob, which stays leased while somebody reads it from here."""
        self._became(blobs, blob)
        self._end()

    def _end(self) -> None:
        self._disk.abandon()
        self._release()

    def _refuse_if_done(self) -> None:
        if self._done:
            raise RuntimeError("this spool file was adopted or closed")

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            taken, self._taken = self._taken, 0
            self._memory.give_back(taken)


def short_spool(size: int, memory: Memory, space: Space, disk: DiskSpool, boot: str) -> ShortSpool | None:
    """A spool file in memory in place of `disk`, which has its reservation. None: too long, or there is no memory."""
    if size > _SHORT or not memory.take(size):
        return None
    descriptor = None
    with contextlib.suppress(OSError):  # no descriptor is left: on disk that fails as it should
        descriptor = operating_system.file_in_memory()
    if descriptor is None:
        memory.give_back(size)
        return None
    return ShortSpool(descriptor, size, memory, space, disk, boot)
