"""The store on disk: `ports.Store` on one folder of one process.

Built by `app`. What is there is decided here on the event loop, from the picture in memory; threads then make the disk
follow. Nobody waits for the database: `backlog` writes it. Work that was begun is finished even if whoever asked for it
goes away. It never decides what is worth keeping.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import threading
from collections.abc import Awaitable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Self

from proxy.errors import StoreError
from proxy.events import Evicted, Stored
from proxy.model import Blob, Digest, Entry
from proxy.ports import Clock, Observer, Spool
from proxy.storage.backlog import Backlog
from proxy.storage.blob_files import Adoption
from proxy.storage.blobs import Blobs, Record
from proxy.storage.changes import Noted
from proxy.storage.dropping import Dropping
from proxy.storage.entries import Entries
from proxy.storage.folder import DataFolder
from proxy.storage.holdings import Holdings
from proxy.storage.index_opening import open_index
from proxy.storage.journal import boot_id
from proxy.storage.lease import Lease
from proxy.storage.places import Places
from proxy.storage.probe import probe
from proxy.storage.proof import SYNCED_FROM
from proxy.storage.space import Space
from proxy.storage.spool import DiskSpool
from proxy.storage.spool_folder import clear
from proxy.storage.threads import Tasks, Threads
from proxy.storage.upkeep import Renewal
from proxy.storage.verification import Checking

_log = logging.getLogger(__name__)

_PATIENCE = 0.05  # seconds that the event loop waits for a lock of the index, at most
_ROUND = 5.0  # seconds between two rounds of `_tend`
_CLOSING = 3.0  # seconds that the end waits for what is not in the index yet


class DiskStore:
    """See `ports.Store`. Belongs to the event loop that opened it; leases may be taken on any thread."""

    def __init__(self, holdings: Holdings, limit: int, observer: Observer) -> None:
        self._holdings = holdings
        self._folder = holdings.folder
        self._index = holdings.index
        self._blobs = holdings.blobs
        self._threads = holdings.threads
        self._observer = observer
        self._tasks = Tasks()
        self._backlog = holdings.backlog
        self._dropping = Dropping(holdings, self._tell)
        self._space = Space(self._folder.path, limit, self._blobs, self._evict, self._threads.health)
        self._entries = Entries(holdings, self._drop)
        self._renewal = Renewal(holdings, self._entries)
        self._threads.on_damage = self._renew
        self._adoption = Adoption(holdings)
        self._checking = Checking(holdings, self._dropping.drop)
        self._spools: set[str] = set()
        self._tending: list[asyncio.Task[None]] = []
        self._boot = boot_id()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._closing = AsyncExitStack()

    @classmethod
    async def open(cls, path: Path, limit: int, observer: Observer, clock: Clock) -> Self:
        """Open or create the data folder `path`, to hold at most `limit` bytes.

        Raises StoreRefused where only a person can help, StoreFull or StoreBroken where it may be over in a moment.
        """
        async with AsyncExitStack() as stack:
            folder = DataFolder.open(path)
            stack.callback(folder.lock.release)
            threads = Threads()
            stack.push_async_callback(threads.close)
            index, rows, damaged = await open_index(folder, limit, threads)
            stack.callback(index.close)  # each thread has a connection of its own
            stack.push_async_callback(threads.index, index.close)
            index.be_patient(_PATIENCE)
            backlog = Backlog(index, threads)
            holdings = Holdings(folder, index, backlog, Blobs(str(folder.index), rows), Places(), threads)
            store = cls(holdings, limit, observer)
            await store._begin_with(clock.now(), complete=not damaged and bool(rows))
            store._closing = stack.pop_all()
            return store
        raise AssertionError("unreachable")

    async def _begin_with(self, now: float, *, complete: bool) -> None:
        """Count what an earlier run left. `complete`: what the index does not know can wait for the first round."""
        for name, size in await self._threads.files(clear, self._folder.spool, now, self._boot):
            self._space.leave(name, size)
        if not complete:
            await self.sweep()
        for record in self._blobs:
            if record.hidden:
                self._checking.doubt(record)
        self._measure()
        self._space.check_limit()
        self._tell()
        self._tending = [
            asyncio.create_task(self._tend(sweep=complete)),
            asyncio.create_task(self._checking.run()),
        ]

    async def close(self) -> None:
        """Finish what was begun, write down what was used, and let go of the folder."""
        for task in self._tending:
            task.cancel()
        await asyncio.gather(*self._tending, return_exceptions=True)
        await self._tasks.done()
        self._note()
        await self._backlog.settled(_CLOSING)
        await self._tasks.done()
        await self._backlog.close(_CLOSING)
        with contextlib.suppress(StoreError):
            await self._closing.aclose()

    async def settled(self) -> None:
        """Wait until what was changed so far is in the index, and what follows from it is done."""
        self._note()
        await self._backlog.settled()
        await self._tasks.settled()

    @property
    def healthy(self) -> bool:
        """False from a failed write until writing works again."""
        return self._threads.health.well

    @property
    def failures(self) -> int:
        """How many reads and writes failed so far."""
        return self._threads.health.failures

    def find(self, key: str) -> Entry | None:
        return self._entries.find(key)

    def keys(self, prefix: str) -> Sequence[str]:
        return self._entries.keys(prefix)

    async def save(self, entry: Entry) -> bool:
        try:
            return self._entries.save(entry)
        except StoreError as error:
            _log.debug("entry not stored", extra={"reason": str(error)})
            return False

    async def forget(self, key: str) -> None:
        self._entries.forget(key)

    def blob(self, digest: Digest) -> Blob | None:
        record = self._blobs.get(digest.value) if digest.algorithm == "sha256" else None
        if record is None:
            return None
        if record.hidden:
            self._checking.doubt(record)
            return None
        return self._blobs.use(record)

    def lease(self, blob: Blob) -> AbstractContextManager[int]:
        return Lease(blob, self._blobs, self._damaged, self._checking.doubt)

    def recheck(self, blob: Blob) -> None:
        record = self._blobs.get(blob.digest.value)
        if record is not None:
            self._checking.doubt(record)

    def _damaged(self, record: Record) -> None:
        if threading.get_ident() == self._thread:
            self._drop(record)
        else:
            self._loop.call_soon_threadsafe(self._drop, record)

    async def spool(self, name: str, size: int | None) -> Spool:
        if name in self._spools:
            raise RuntimeError("a download of this name is under way")
        self._spools.add(name)
        spool = DiskSpool(self._folder.spool, name, self._threads, self._space, lambda: self._spools.discard(name))
        left = self._space.take(spool.part.stem)
        try:
            spool.reservation = await self._space.claim(max(size or 0, left))
        except BaseException:
            if left:
                self._space.leave(spool.part.stem, left)
            self._spools.discard(name)
            raise
        await spool.open(self._boot)
        return spool

    async def adopt(self, spool: Spool, digest: Digest, size: int) -> Blob | None:
        if not isinstance(spool, DiskSpool):
            raise TypeError("a spool file is adopted by the store that made it")
        try:
            return await self._tasks.finish(self._adopt(spool, digest.value, size))
        except StoreError as error:
            _log.debug("file not stored", extra={"reason": str(error)})
            return None

    async def _adopt(self, spool: DiskSpool, value: str, size: int) -> Blob:
        record = None
        try:
            await spool.seal(size)
            record = await self._adoption.take(value, spool.part, size)
            blob = self._blobs.use(record)
        finally:
            await spool.settle(self._blobs, (record, self._folder.blob(value)) if record is not None else None)
        self._measure()
        self._tell()
        return blob

    async def put(self, body: bytes) -> Blob | None:
        try:
            return await self._tasks.finish(self._put(body))
        except StoreError as error:
            _log.debug("body not stored", extra={"reason": str(error)})
            return None

    async def _put(self, body: bytes) -> Blob:
        long = len(body) > SYNCED_FROM
        value = (await self._threads.hash(hashlib.sha256, body) if long else hashlib.sha256(body)).hexdigest()
        record = self._blobs.get(value)
        if record is not None and not record.hidden:
            return self._blobs.use(record)
        reservation = await self._space.claim(len(body))
        try:
            record = await self._adoption.put(body, value, sync=long)
            blob = self._blobs.use(record)
        finally:
            self._space.release(reservation)
        self._measure()
        self._tell()
        return blob

    async def sweep(self) -> None:
        """Take in files that have no row, and drop blobs that have no file: what a kill or a power cut left."""
        for record in await self._tasks.finish(self._adoption.sweep()):
            self._drop(record)
        self._tell()

    def _note(self) -> None:
        """Write the order of use down, unless the index cannot be written: it is kept in memory then."""
        uses = () if self._backlog.stuck else self._blobs.take_uses()
        if uses:
            self._backlog.add(Noted(tuple(uses)))

    async def _tend(self, *, sweep: bool) -> None:
        """The rounds: note what was used, and see whether what failed works again."""
        if sweep:
            with contextlib.suppress(StoreError):
                await self.sweep()
        while True:
            await asyncio.sleep(_ROUND)
            with contextlib.suppress(StoreError):
                self._note()
                self._measure()
                if not self.healthy:
                    await self.probe()

    async def probe(self) -> None:
        """Try everything that can fail, so that the health is known without waiting for a client. Raises StoreError."""
        await probe(self._holdings)
        self._backlog.try_again()
        self._space.release(await self._space.claim(0))

    def _measure(self) -> None:
        """Count what the index takes itself."""
        self._space.ledger.index = self._index.bytes_on_disk()

    def _tell(self) -> None:
        self._observer(Stored(self._blobs.size, len(self._blobs)))

    def _renew(self) -> None:
        if self._renewal.due():
            self._tasks.background(self._renewal.run())

    def _drop(self, record: Record) -> None:
        """Forget a blob here and now, and delete it from the disk, with all entries that name it."""
        dropping = self._dropping.drop(record)
        if dropping is not None:
            self._tasks.background(dropping)

    def _evict(self, records: Sequence[Record], names: Sequence[str]) -> Awaitable[None]:
        """Delete blobs and left-over downloads that `space` took off its books, here and now."""
        for record in records:
            self._observer(Evicted(record.size))
        return self._tasks.finish(self._dropping.delete(records, names))
