"""Room on the disk: reserved before a download begins, made by evicting what was unused the longest.

Blobs, downloads under way, downloads that broke off, and the database count against the bound. What is to be written
must also fit into what the file system has left. Downloads that broke off are evicted first. The store deletes what is
chosen here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from proxy.errors import StoreFull, StoreRefused
from proxy.storage.blob_table import footprint
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import Component, DiskHealth, Undeleted, to_store_error
from proxy.storage.record import Record

T = TypeVar("T")

_log = logging.getLogger(__name__)

_QUIET = 60.0  # seconds between two log lines that a file does not fit
_FREE_MOST = 256 << 20  # bytes of the file system that are left to others, or one per cent of it if that is less
_STEP = 8 << 20  # bytes that a download of unknown length reserves at once
_FILES = 16  # files that the file system must be able to take before one more is begun
_TOGETHER = 500  # blobs that are evicted at once where nobody waits for it


@dataclass(slots=True)
class Reservation:
    """Bytes that a download may write, and how many of them it did: the disk has yet to take the rest."""

    size: int
    written: int = 0

    @property
    def promised(self) -> int:
        """Bytes that are still to come."""
        return max(self.size - self.written, 0)


@dataclass(slots=True)
class Ledger:
    """Everything that counts against the bound but blobs. All in bytes on disk."""

    limit: int
    reserved: int = 0  # by downloads under way
    promised: int = 0  # the part of it that is not written yet
    left_over: int = 0  # of downloads that broke off and may be resumed
    index: int = 0  # the database
    surplus: int = 0  # what is above the bound and goes by and by, so that nobody waits for it
    bounded: bool = True  # False: nothing goes for the bound, and only for what the file system has left

    def shortage(self, blobs: int, need: int, free: int) -> int:
        """How many bytes must go before `need` more may be written. `free`: what the file system has to give."""
        # With a surplus, too, nothing comes in that is longer than the bound.
        surplus = self.surplus if self.reserved + self.index + need <= self.limit else 0
        by_bound = self.excess(blobs) + need - surplus if self.bounded else 0
        by_disk = need + self.promised - free
        return max(by_bound, by_disk, 0)

    def excess(self, blobs: int) -> int:
        """How many bytes all takes above the bound; below zero where it takes less."""
        return blobs + self.reserved + self.left_over + self.index - self.limit

    def reserve(self, reservation: Reservation, size: int) -> None:
        """Let a download write `size` bytes more; fewer, if negative."""
        self._change(reservation, size, 0)

    def wrote(self, reservation: Reservation, size: int) -> None:
        """A download wrote `size` bytes of those that it reserved."""
        self._change(reservation, 0, size)

    def _change(self, reservation: Reservation, size: int, written: int) -> None:
        before = reservation.promised
        reservation.size += size
        reservation.written += written
        self.reserved += size
        self.promised += reservation.promised - before

    def release(self, reservation: Reservation) -> None:
        """A download is over. May be called twice."""
        self.reserved -= reservation.size
        self.promised -= reservation.promised
        reservation.size = reservation.written = 0


def victims(candidates: Iterable[tuple[T, int]], size: int, count: int = 0) -> list[T] | None:
    """The first of `candidates` (with their bytes on disk) that together free `size` bytes and `count` files.

    None when all of them do not: then nothing is to be evicted, since it would not help.
    """
    chosen: list[T] = []
    for candidate, weight in candidates:
        if size <= 0 and len(chosen) >= count:
            return chosen
        chosen.append(candidate)
        size -= weight
    return chosen if size <= 0 and len(chosen) >= count else None


def file_system(path: Path) -> tuple[int, int, int]:
    """The bytes of the file system at `path`, those that are free, and how many files it takes. Raises OSError."""
    status = os.statvfs(path)
    # File systems without a fixed number of files report none at all.
    files = status.f_favail if status.f_files else sys.maxsize
    return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize, files


class Space:
    """The bound, and who holds how much of it. Changed on the event loop only."""

    def __init__(  # noqa: PLR0913, PLR0917 the disk, what is on it, and who makes room
        self,
        path: Path,
        limit: int,
        blobs: Blobs,
        more: Callable[[], Awaitable[bool]],
        evict: Callable[[Sequence[Record], Sequence[str], str], Awaitable[Undeleted]],
        health: DiskHealth,
    ) -> None:
        """`more` waits until more blobs are loaded, and gives False where that is over or cannot be.

        `evict` deletes blobs and left-over downloads that are chosen, and do not count any more, and is told why. Blobs
        that it cannot delete count again when it returns.
        """
        self.ledger = Ledger(limit)
        self._path = path
        self._blobs = blobs
        self._more = more
        self._evict = evict
        self._health = health
        self._left_over: dict[str, int] = {}  # broken off downloads, the oldest first: bytes on disk
        self._deleting = 0  # bytes of files that are being deleted
        self._deleted = asyncio.Event()  # set when some of them are gone, and replaced
        self._logged_at = -_QUIET  # when it was logged that something does not fit
        self._stopped = False

    def check_limit(self) -> None:
        """Raise StoreRefused where the database alone fills the bound: nothing would be stored, and all be evicted."""
        database, limit = self.ledger.index, self.ledger.limit
        if database >= limit:
            least = (database + database // 4) // 10**6 + 1
            raise StoreRefused(
                f"The data folder {self._path} cannot be held to {limit} bytes: its database alone takes {database}. "
                f"Give it more with --disk, at least {least} MB, or choose another folder with --data."
            )

    def add_left_over(self, name: str, size: int) -> None:
        """A download broke off and left `size` bytes on disk."""
        self.take_left_over(name)
        self._left_over[name] = size
        self.ledger.left_over += size

    def take_left_over(self, name: str) -> int:
        """What a download left is taken up again, or gone. Gives its bytes on disk."""
        size = self._left_over.pop(name, 0)
        self.ledger.left_over -= size
        return size

    def take_all_left_over(self) -> dict[str, int]:
        """All that downloads left is about to be deleted: their names, and their bytes on disk."""
        return {name: self.take_left_over(name) for name in list(self._left_over)}

    async def reserve(self, size: int) -> Reservation:
        """Reserve room for `size` bytes. Raises StoreFull, and then nothing was evicted; StoreBroken."""
        reservation = Reservation(0)
        await self.grow(reservation, footprint(size))
        return reservation

    async def grow(self, reservation: Reservation, size: int) -> None:
        """Reserve `size` bytes more. Raises as `reserve`."""
        last = False
        while (chosen := self._choose(size, last=last)) is None:
            last = not await self._more()
        records, left_over, freed, reason = chosen
        self.ledger.reserve(reservation, size)
        try:
            if records or left_over:
                await self._delete(records, left_over, freed, reason)
            # Files that are evicted for other downloads take up their room until they are deleted.
            while self._deleting and self.ledger.shortage(self._blobs.footprint + self._deleting, 0, sys.maxsize):
                await self._deleted.wait()
        except BaseException:
            self.ledger.reserve(reservation, -size)
            raise

    async def _delete(self, records: Sequence[Record], left_over: Mapping[str, int], freed: int, reason: str) -> None:
        self._deleting += freed
        try:
            await self._evict_all(records, left_over, reason)
        finally:
            self._deleting -= freed
            self._deleted.set()
            self._deleted = asyncio.Event()

    async def _evict_all(self, records: Sequence[Record], left_over: Mapping[str, int], reason: str) -> None:
        """Raises StoreFull, StoreBroken where something could not be deleted: then the room is not there."""
        left = await self._evict(records, list(left_over), reason)
        for name in left.downloads:
            self.add_left_over(name, left_over[name])
        if left.failure is not None:
            raise left.failure

    def allow_surplus(self) -> None:
        """Let what is above the bound stay until `shrink` evicts it: whoever needs room only waits for his own."""
        self.ledger.surplus = max(self.ledger.excess(self._blobs.footprint), 0) if self.ledger.bounded else 0

    async def shrink(self) -> None:
        """Evict what is above the bound, since that was lowered or files were found, some at a time. Raises StoreError.

        Ends soon after `stop`.
        """
        ledger = self.ledger
        self.allow_surplus()
        try:
            while ledger.bounded and (excess := ledger.excess(self._blobs.footprint)) > 0 and not self._stopped:
                records, left_over, freed = self._some(excess)
                if not freed:
                    return  # the rest is in use or pinned
                await self._evict_all(records, left_over, "limit")  # whoever needs room does not wait for it
                ledger.surplus = max(ledger.surplus - freed, 0)
        finally:
            if not self._stopped:
                ledger.surplus = 0  # the bound holds, whatever there is

    def _some(self, size: int) -> tuple[list[Record], dict[str, int], int]:
        """Some of what must go to free `size` bytes: as of `_choose`."""
        left_over: dict[str, int] = {}
        freed = 0
        while self._left_over and freed < size:
            name = next(iter(self._left_over))
            left_over[name] = self.take_left_over(name)
            freed += left_over[name]
        records: list[Record] = []
        for sha256, weight in list(islice(self._blobs.evictable(), _TOGETHER)):
            if freed >= size:
                break
            if (record := self._blobs.get(sha256)) is not None:
                records.append(record)
                freed += weight
        for record in records:
            self._blobs.remove(record)
        return records, left_over, freed

    def stop(self) -> None:
        """Have `shrink` end soon: what is left of the surplus goes after the next start."""
        self._stopped = True

    async def grow_ahead(self, reservation: Reservation, size: int) -> None:
        """Reserve at least `size` bytes more, for a download whose length is not known. Raises as `reserve`."""
        try:
            await self.grow(reservation, max(size, _STEP))
        except StoreFull:
            await self.grow(reservation, size)

    def release(self, reservation: Reservation) -> None:
        """A download ended: its file is a blob now, left over, or gone."""
        self.ledger.release(reservation)

    def _choose(self, need: int, *, last: bool) -> tuple[list[Record], dict[str, int], int, str] | None:
        """What must go so that `need` bytes can be written: blobs, left-over downloads, the bytes of both, and why.

        When this returns it does not count any more. None if that cannot be told before more blobs are loaded, unless
        it is asked for the `last` time. Raises StoreFull.
        """
        total, free, files_short = self._free()
        blobs, ledger = self._blobs, self.ledger
        shortage = ledger.shortage(blobs.footprint, need, free)
        reason = "disk" if files_short or shortage > ledger.shortage(blobs.footprint, need, sys.maxsize) else "limit"
        if not shortage and not files_short:
            self._health.worked(Component.ROOM)
            return [], {}, 0, ""
        names = victims(self._left_over.items(), shortage)
        if names is None:
            names = list(self._left_over)
        freed = sum(self._left_over[name] for name in names)
        shortage = max(shortage - freed, 0)
        records = self._evictable(shortage, files_short, last=last)
        if records is None:
            if blobs.loading and not last and shortage <= blobs.footprint - blobs.leased:
                return None
            if need <= free - ledger.promised or need > min(ledger.limit, total):
                self._log_no_room(need)
                raise StoreFull(
                    "The cache is full: what is stored is in use or pinned, or the file is too large for the bound."
                )
            full = StoreFull("The disk of the data folder is nearly full. Free some space there.")
            self._health.failed(Component.ROOM, full)
            raise full
        self._health.worked(Component.ROOM)
        left_over = {name: self.take_left_over(name) for name in names}
        for record in records:
            freed += footprint(record.size)
            blobs.remove(record)
        return records, left_over, freed, reason

    def _log_no_room(self, need: int) -> None:
        now = time.monotonic()
        if now - self._logged_at >= _QUIET:
            self._logged_at = now
            _log.warning(
                "a file does not fit below the bound and is not stored; give the cache more with --disk",
                extra={"bytes": need},
            )

    def _evictable(self, shortage: int, files: int, *, last: bool) -> list[Record] | None:
        """The longest unused blobs that nobody reads or pinned and that free this much; None if there are too few.

        `last`: all that can be loaded is.
        """
        blobs = self._blobs
        if shortage > blobs.footprint - blobs.leased:
            return None
        # Too few blobs help no file system that is out of files: its own error tells.
        for count in (files, 0) if last or not blobs.loading else (files,):
            chosen = victims(blobs.evictable(), shortage, count)
            if chosen is not None:
                return [record for sha256 in chosen if (record := blobs.get(sha256)) is not None]
        return None

    def _free(self) -> tuple[int, int, int]:
        """Bytes of the file system, those it has to give, and how many files must go so that it can take more."""
        try:
            total, free, files = file_system(self._path)
        except OSError as error:
            raise to_store_error(error) from error
        reserve = min(_FREE_MOST, total // 100)
        return total, free - reserve + self._deleting, _FILES if files < _FILES else 0
