"""Room on the disk: reserved before a download begins, made by evicting what was unused the longest.

Counts blobs, downloads under way, downloads that broke off, and the database, against the bound and against what the
file system has left. The store owns the records; this decides which of them go. Downloads that broke off go first.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from proxy.errors import StoreFull, StoreRefused
from proxy.storage.blobs import Blobs, Record, footprint
from proxy.storage.disk_health import Component, DiskHealth, to_store_error
from proxy.storage.eviction import Ledger, Reservation, victims

_log = logging.getLogger(__name__)

_QUIET = 60.0  # seconds between two lines that say the same
_FREE_MOST = 256 << 20  # bytes of the file system that are left to others, or one per cent of it if that is less
_STEP = 8 << 20  # bytes that a download of unknown length reserves at once
_FILES = 16  # files that the file system must be able to take before one more is begun

Evict = Callable[[Sequence[Record], Sequence[str]], Awaitable[None]]


class Space:
    """The bound, and who holds how much of it. Changed on the event loop only."""

    def __init__(self, path: Path, limit: int, blobs: Blobs, evict: Evict, health: DiskHealth) -> None:
        self.ledger = Ledger(limit)
        self._path = path
        self._blobs = blobs
        self._evict = evict
        self._health = health
        self._left_over: dict[str, int] = {}  # broken off downloads, the oldest first: bytes on disk
        self._going = 0  # bytes of files that are being deleted
        self._said = -_QUIET  # when it was said that something does not fit

    def check_limit(self) -> None:
        """Raise StoreRefused where the database alone fills the bound: nothing would be stored, and all be evicted."""
        database, limit = self.ledger.index, self.ledger.limit
        if database >= limit:
            least = (database + database // 4) // 10**6 + 1
            raise StoreRefused(
                f"The data folder {self._path} cannot be held to {limit} bytes: its database alone takes {database}. "
                f"Give it more with --disk, at least {least} MB, or choose another folder with --data."
            )

    def leave(self, name: str, size: int) -> None:
        """A download broke off and left `size` bytes on disk."""
        self.take(name)
        self._left_over[name] = size
        self.ledger.left_over += size

    def take(self, name: str) -> int:
        """What a broken off download left is another's now, or gone. Gives its bytes on disk."""
        size = self._left_over.pop(name, 0)
        self.ledger.left_over -= size
        return size

    async def claim(self, size: int) -> Reservation:
        """Reserve room for `size` bytes. Raises StoreFull, and then nothing was evicted; StoreBroken."""
        reservation = Reservation(0)
        await self.grow(reservation, footprint(size))
        return reservation

    async def grow(self, reservation: Reservation, size: int) -> None:
        """Reserve `size` bytes more. Raises as `claim`."""
        records, names, going = self._choose(size)
        self.ledger.reserve(reservation, size)
        if not (records or names):
            return
        self._going += going
        try:
            await self._evict(records, names)
        except BaseException:
            self.ledger.reserve(reservation, -size)
            raise
        finally:
            self._going -= going

    async def grow_ahead(self, reservation: Reservation, size: int) -> None:
        """Reserve at least `size` bytes more, for a download that does not know how long it is. Raises as `claim`."""
        try:
            await self.grow(reservation, max(size, _STEP))
        except StoreFull:
            await self.grow(reservation, size)

    def release(self, reservation: Reservation) -> None:
        """A download ended: its file is a blob now, left over, or gone."""
        self.ledger.release(reservation)

    def _choose(self, need: int) -> tuple[list[Record], list[str], int]:
        """What must go to write `need` bytes more: it is taken off the books here. Raises StoreFull."""
        free, files_short = self._file_system()
        blobs, ledger = self._blobs, self.ledger
        shortage = ledger.shortage(blobs.footprint, need, free)
        if not shortage and not files_short:
            self._health.worked(Component.ROOM)
            return [], [], 0
        names = victims(self._left_over.items(), shortage)
        if names is None:
            names = list(self._left_over)
        going = sum(self._left_over[name] for name in names)
        shortage = max(shortage - going, 0)
        records = self._unread(shortage, files_short)
        if records is None:
            if need <= free - ledger.promised:
                self._say(need)
                raise StoreFull("No room below the bound: what is stored is in use, or the file is too large for it.")
            full = StoreFull("The disk of the data folder is nearly full. Free some space there.")
            self._health.failed(Component.ROOM, full)
            raise full
        self._health.worked(Component.ROOM)
        for name in names:
            self.take(name)
        for record in records:
            going += footprint(record.size)
            blobs.remove(record)
        return records, names, going

    def _say(self, need: int) -> None:
        """Tell who runs the cache, now and then, that the bound is too small for something."""
        now = time.monotonic()
        if now - self._said >= _QUIET:
            self._said = now
            _log.warning("what does not fit below the bound is not kept", extra={"bytes": need})

    def _unread(self, shortage: int, files: int) -> list[Record] | None:
        if shortage > self._blobs.footprint - self._blobs.leased:
            return None
        for count in (files, 0):  # too few blobs to help a file system that is out of files: let it say so itself
            unread = ((record, footprint(record.size)) for record in self._blobs if not record.leases)
            records = victims(unread, shortage, count)
            if records is not None:
                return records
        return None

    def _file_system(self) -> tuple[int, int]:
        """Bytes that the file system has to give, and how many files must go so that it can take more."""
        try:
            status = os.statvfs(self._path)
        except OSError as error:
            raise to_store_error(error) from error
        kept_free = min(_FREE_MOST, status.f_blocks * status.f_frsize // 100)
        free = status.f_bavail * status.f_frsize - kept_free + self._going
        # File systems without a fixed number of files report none at all.
        short = status.f_files and status.f_favail < _FILES
        return free, _FILES if short else 0
