"""Whether a stored file is what was stored: by its stamp, cheaply, or by its digest, for certain.

A stamp is the time of the last change of the inode (nanoseconds) and its number: it differs once somebody wrote to the
file, set its times back, or put another in its place. `lease` compares it each time a blob is opened. Where it differs,
as in a restored backup or after a chmod, or where there is none yet, only the digest can tell: of a small file at once,
of a large one in the background. Until then a large file does not count as stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable

from proxy import operating_system
from proxy.errors import StoreError
from proxy.storage.backlog import Backlog, Verified
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import OUT_OF_DESCRIPTORS
from proxy.storage.folder import DataFolder
from proxy.storage.record import Record
from proxy.storage.threads import Threads

# Without O_NONBLOCK a named pipe in a blob's place would be waited for.
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

# Files that are longer are fsynced before they count as stored; shorter ones are checked once
# the machine has started anew.
SYNCED_FROM = 1 << 20

_PIECE = 4 << 20  # bytes read at once


def stamp_of(status: os.stat_result) -> str:
    """The stamp of a file."""
    return f"{status.st_ctime_ns}:{status.st_ino}"


def has_digest(descriptor: int, size: int, sha256: str) -> bool:
    """Whether a file has exactly `size` bytes with this sha256. Raises OSError."""
    running = hashlib.sha256()
    position = 0
    while piece := os.pread(descriptor, _PIECE, position):
        running.update(piece)
        position += len(piece)
        if position > size:
            return False
    return position == size and running.hexdigest() == sha256


class _CannotRead(Exception):
    """A file could not be opened or read. That is no proof that it is wrong."""


class Verifier:
    """Checks files in the background, the one asked for last first. Mutable state: those that wait."""

    def __init__(
        self, folder: DataFolder, blobs: Blobs, backlog: Backlog, threads: Threads, drop: Callable[[Record], None]
    ) -> None:
        """`drop` is called with a blob whose file is wrong."""
        self._folder = folder
        self._blobs = blobs
        self._backlog = backlog
        self._threads = threads
        self._drop = drop
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._more = asyncio.Event()
        self._stopped = False
        self._loop = asyncio.get_running_loop()

    def check(self, record: Record) -> None:
        """Have a file checked soon. From any thread."""
        self._loop.call_soon_threadsafe(self.enqueue, record.sha256)

    def enqueue(self, sha256: str) -> None:
        """Have the file of a blob checked soon. On the event loop."""
        self._waiting[sha256] = None
        self._waiting.move_to_end(sha256)
        self._more.set()

    async def run(self) -> None:
        """Check the files that wait, one after another, until `stop`. Not to be cancelled: threads read its files."""
        while not self._stopped:
            self._more.clear()
            while self._waiting and not self._stopped:
                sha256, _ = self._waiting.popitem()
                await self.verify(sha256)
            await self._more.wait()

    def stop(self) -> None:
        """Let `run` end soon, also in the middle of a file."""
        self._stopped = True
        self._more.set()

    async def verify(
        self,
        sha256: str,
        advanced: Callable[[int], None] = lambda _: None,
        drop: Callable[[Record], None] | None = None,
    ) -> bool | None:
        """Whether a blob's file is right; it is dropped if not. None if unknown: it is gone, or the check failed.

        `advanced` is called with the number of bytes that were read since the last call. `drop`: in place of the usual.
        """
        record = self._blobs.acquire(sha256)
        if record is None:
            return None
        try:
            try:
                stamp = await self._verified(record, advanced)
            except StoreError:
                return None  # the process or the disk failed, and not the file
            if self._stopped or not self._blobs.holds(record):
                return None  # nobody knows; or another took its place, or it was evicted
            if stamp is None:
                (drop or self._drop)(record)
                return False
            if stamp != record.stamp:
                record.stamp = stamp
                self._backlog.add(Verified(sha256, stamp))
            return True
        finally:
            self._blobs.release(record)

    async def _verified(self, record: Record, advanced: Callable[[int], None]) -> str | None:
        """The stamp of the file if it is right.

        Raises StoreError if this process is out of descriptors, if nothing else can be read, either, or if the file is
        right and cannot be fsynced.
        """
        try:
            return await self._read(record, advanced)
        except _CannotRead:
            await self._threads.files(self._folder.look)
        try:  # the disk may have been away until now
            return await self._read(record, lambda _: None)
        except _CannotRead:
            return None

    async def _read(self, record: Record, advanced: Callable[[int], None]) -> str | None:
        """The stamp of the file if it is right. Raises _CannotRead, and StoreError as `_verified`."""
        try:
            descriptor = await self._threads.files(os.open, self._folder.blob(record.sha256), OPEN_FLAGS)
        except StoreError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in OUT_OF_DESCRIPTORS:
                raise
            raise _CannotRead from error
        try:
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_size != record.size:
                    return None
                right = await self._has_digest(descriptor, record, advanced)
                stamp = stamp_of(status)
                if not right or stamp != stamp_of(os.fstat(descriptor)):
                    return None
            except (StoreError, OSError) as error:
                raise _CannotRead from error
            # The download that wrote the file may not have waited for the disk. A stamp in the index is believed after
            # a power cut, too.
            await self._threads.sync(operating_system.sync_data, descriptor)
            return stamp
        finally:
            with contextlib.suppress(OSError):  # what a network disk reports late says nothing of what was read
                os.close(descriptor)

    async def _has_digest(self, descriptor: int, record: Record, advanced: Callable[[int], None]) -> bool:
        """As `has_digest`, in threads, piece by piece: other work gets its turn. Raises StoreBroken."""
        running = hashlib.sha256()

        def advance(position: int) -> int:
            piece = os.pread(descriptor, _PIECE, position)
            running.update(piece)
            return len(piece)

        position = 0
        while position < record.size and not self._stopped:
            length = await self._threads.hash(advance, position)
            if not length:
                return False
            position += length
            advanced(length)
        return running.hexdigest() == record.sha256
