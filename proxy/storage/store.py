"""The store on disk: `ports.Store` on one folder of one process.

Built by `opening`. The event loop decides here what is stored, from what is in memory; threads then make the disk
follow. Nobody waits for the database: `backlog` writes it. Work that was begun is finished even if its caller is
cancelled. It never decides what is worth storing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

from proxy.errors import StoreBroken, StoreError
from proxy.events import Evicted, Stored
from proxy.model import Blob, Digest, Entry
from proxy.ports import Observer, Spool
from proxy.storage import spool as spool_files
from proxy.storage.backlog import Backlog
from proxy.storage.blob_files import BlobFiles
from proxy.storage.blobs import Blobs
from proxy.storage.deletion import Deletion
from proxy.storage.disk_health import Component, Undeleted
from proxy.storage.entries import Entries
from proxy.storage.folder import DataFolder
from proxy.storage.index import BlobPiece, IndexDatabase
from proxy.storage.inventory import Inventory
from proxy.storage.lease import Lease
from proxy.storage.loading import Loading
from proxy.storage.many_bodies import ManyBodies
from proxy.storage.pins import Pins
from proxy.storage.record import Record
from proxy.storage.short_spool import Memory, ShortSpool, short_spool
from proxy.storage.space import Space
from proxy.storage.spool import DiskSpool
from proxy.storage.threads import Tasks, Threads
from proxy.storage.unloaded import Totals
from proxy.storage.upkeep import Upkeep
from proxy.storage.verification import SYNCED_FROM, Verifier

_log = logging.getLogger(__name__)

_CLOSING = 3.0  # seconds that the end waits for what is not in the index yet


class DiskStore:
    """See `ports.Store`. Belongs to the event loop that made it; leases may be taken on any thread."""

    def __init__(  # noqa: PLR0913, PLR0917 an open folder, and what it is to hold
        self,
        folder: DataFolder,
        index: IndexDatabase,
        totals: Totals,
        first: BlobPiece,
        threads: Threads,
        limit: int,
        observer: Observer,
        pins: Pins,
    ) -> None:
        """`totals` and `first`: of the blobs of the index. `limit`: in bytes. `pins`: what is never evicted."""
        self._folder = folder
        self._threads = threads
        self._health = threads.health
        self._observer = observer
        self._tasks = Tasks()
        self._blobs = Blobs(str(folder.index), pins=pins)
        self._backlog = Backlog(index.write, index.batch, threads)
        self._verifier = Verifier(folder, self._blobs, self._backlog, threads, self._drop)
        self._files = BlobFiles(folder, self._blobs, self._backlog, threads, self._verifier.enqueue)
        self._deletion = Deletion(folder, self._blobs, self._backlog, threads, self._files.locks)
        self._loading = Loading(folder.index, index, self._blobs, threads, self._verifier.enqueue)
        self._loading.begin(totals, first)
        self._space = Space(folder.path, limit, self._blobs, self._loading.more, self._evict, threads.health)
        self._many = ManyBodies(folder, self._blobs, self._files, self._backlog, threads, self._space)
        self._entries = Entries(index, self._blobs, self._backlog, threads, self._discard)
        self._upkeep = Upkeep(
            folder, index, self._blobs, self._backlog, self._entries, self._space, threads, self._tasks, observer
        )
        self.inventory = Inventory(
            folder.path,
            index,
            self._blobs,
            self._backlog,
            self._entries,
            self._files,
            self._deletion,
            self._loading,
            self._space,
            self._verifier,
            threads,
            self._tasks,
            self._report,
            self.lease,
        )
        self.resources = AsyncExitStack()  # what `close` closes last
        self._spools: set[str] = set()
        self._memory = Memory()
        self._boot = index.boot
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    async def begin(self, now: float, *, complete: bool) -> None:
        """Count what an earlier run left, and start what runs in the background. Raises StoreError.

        `now`: wall time in seconds since the epoch. `complete`: files that the index does not know can wait.
        """
        for name, size in await self._threads.files(spool_files.clear, self._folder.spool, now, self._boot):
            self._space.add_left_over(name, size)
        if not complete:
            await self.sweep()
        self._upkeep.measure()
        self._space.check_limit()
        self._space.allow_surplus()
        self._report()
        await self._upkeep.look_at_disk()
        self._rounds = asyncio.create_task(self._upkeep.run())
        self._verifying = asyncio.create_task(self._verifier.run())
        self._tasks.background(self._catch_up() if complete else self._space.shrink())

    async def _catch_up(self) -> None:
        """What a start leaves to do."""
        await self._loading.run()
        with contextlib.suppress(StoreError):
            await self._space.shrink()
        await self.sweep()
        await self._space.shrink()  # what was found, too

    async def close(self) -> None:
        """Finish what was begun, write down what was used, and let go of the folder."""
        self._verifier.stop()
        self._loading.stop()
        self._space.stop()
        self._files.stop()
        self._rounds.cancel()
        await asyncio.gather(self._rounds, self._verifying, return_exceptions=True)
        self._upkeep.note()  # whoever does not wait for the end of this program loses no use
        await self._tasks.done()
        self._upkeep.note()
        await self._backlog.flush(_CLOSING)
        await self._tasks.done()
        await self._backlog.close(_CLOSING)
        with contextlib.suppress(StoreError):
            await self.resources.aclose()

    def keep_all(self) -> None:
        """Evict nothing for the bound: the folder may have been filled under a larger one. Before `begin`."""
        self._space.ledger.bounded = False

    async def flush(self) -> None:
        """Wait until what was changed so far is in the index, and what follows from it is done."""
        self._upkeep.note()
        await self._backlog.flush()
        await self._tasks.settled()

    @property
    def healthy(self) -> bool:
        """False from a failed write until writing works again."""
        return self._threads.health.well

    async def when_open(self, work: Callable[[DiskStore], Awaitable[None]]) -> None:
        """Have `work` done with the store: it is open. As of `PendingStore`."""
        await work(self)

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self._folder.path

    @property
    def failures(self) -> int:
        """How many reads and writes failed so far."""
        return self._threads.health.failures

    def find(self, key: str) -> Entry | None:
        return self._entries.find(key) if self._health.readable else None

    def stands(self, entry: Entry) -> bool:
        return self._health.readable and self._entries.stands(entry)

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
        if record is None or not self._health.readable:
            return None
        if record.hidden:
            self._verifier.check(record)
            return None
        return self._blobs.use(record)

    def has(self, digest: Digest) -> bool:
        record = self._blobs.get(digest.value) if digest.algorithm == "sha256" else None
        return record is not None and not record.hidden and self._health.readable

    def lease(self, blob: Blob) -> AbstractContextManager[int]:
        return Lease(blob, self._blobs, self._damaged, self._verifier.check, self._look)

    def recheck(self, blob: Blob) -> None:
        record = self._blobs.get(blob.digest.value)
        if record is not None:
            self._verifier.check(record)

    async def spool(self, name: str, size: int | None, *, brief: bool = False) -> Spool:
        if name in self._spools:
            raise RuntimeError("a download of this name is under way")
        self._spools.add(name)
        spool = DiskSpool(self._folder.spool, name, self._threads, self._space, lambda: self._spools.discard(name))
        left = self._space.take_left_over(spool.stem)
        try:
            await self._files.locks.free(spool.stem)  # what an earlier one left may be on its way out
            spool.reservation = await self._space.reserve(max(size or 0, left))
        except BaseException:
            if left:
                self._space.add_left_over(spool.stem, left)
            self._spools.discard(name)
            raise
        if brief and size is not None and not left:
            short = short_spool(size, self._memory, self._space, spool, self._boot)
            if short is not None:
                return short
        try:
            await spool.open(self._boot)
        except BaseException:
            if left and spool.part.exists():
                self._space.add_left_over(spool.stem, left)
            raise
        return spool

    async def adopt(self, spool: Spool, digest: Digest, size: int) -> Blob | None:
        if isinstance(spool, ShortSpool):
            return await self._stored(self._adopt_short(spool, digest.value, size))
        if not isinstance(spool, DiskSpool):
            raise TypeError("a spool file is adopted by the store that made it")
        return await self._stored(self._adopt(spool, digest.value, size))

    async def _adopt(self, spool: DiskSpool, sha256: str, size: int) -> Blob:
        record = None
        try:
            await spool.complete(size)
            record = await self._files.adopt(spool.part, sha256, size)
            blob = self._blobs.use(record)
        finally:
            await spool.adopted(self._blobs, (record, self._folder.blob(sha256)) if record is not None else None)
        self._changed()
        return blob

    async def _adopt_short(self, spool: ShortSpool, sha256: str, size: int) -> Blob:
        record = None
        try:
            spool.complete(size)
            record = await self._files.copy(spool.fd, size, sha256)
            blob = self._blobs.use(record)
        finally:
            spool.adopted(self._blobs, (record, self._folder.blob(sha256)) if record is not None else None)
        self._changed()
        return blob

    async def put(self, body: bytes) -> Blob | None:
        return await self._stored(self._put(body))

    async def _put(self, body: bytes) -> Blob:
        long = len(body) > SYNCED_FROM
        sha256 = (await self._threads.hash(hashlib.sha256, body) if long else hashlib.sha256(body)).hexdigest()
        record = self._blobs.get(sha256)
        if not self._health.readable:
            raise StoreBroken("The data folder cannot be read.")
        if record is not None and not record.hidden:
            return self._blobs.use(record)
        reservation = await self._space.reserve(len(body))
        try:
            record = await self._files.put(body, sha256)
            blob = self._blobs.use(record)
        finally:
            self._space.release(reservation)
        self._changed()
        return blob

    async def put_all(self, bodies: Sequence[tuple[str, bytes]]) -> bool:
        try:
            await self._tasks.finish(self._many.put(bodies))
        except StoreError as error:
            _log.debug("bodies not stored", extra={"reason": str(error)})
            return False
        finally:
            self._changed()
        return True

    async def _stored(self, storing: Coroutine[Any, Any, Blob]) -> Blob | None:
        """What `storing` gives; it is finished even if the caller is cancelled. None if the disk cannot be used."""
        try:
            return await self._tasks.finish(storing)
        except StoreError as error:
            _log.debug("body not stored", extra={"reason": str(error)})
            return None

    async def sweep(self) -> None:
        """Take in files that have no row, and drop blobs that have no file: what a kill or a power cut left."""
        if not await self._loading.whole():
            return  # nobody knows which have a row
        for record in await self._tasks.finish(self._files.sweep()):
            self._drop(record)
        self._report()

    def _damaged(self, record: Record) -> None:
        if threading.get_ident() == self._thread:
            self._drop(record)
        else:
            self._loop.call_soon_threadsafe(self._drop, record)

    def _look(self) -> bool:
        """Whether files of the data folder can be read now. Where not, nothing counts as stored until they can."""
        try:
            self._folder.look()
        except OSError as error:
            self._health.readable = False
            self._loop.call_soon_threadsafe(self._threads.failed, error, Component.READING)
            return False
        return True

    def _drop(self, record: Record) -> None:
        """Forget a damaged blob here and now, and delete it from the disk, with all entries that name it."""
        if self._blobs.remove(record):
            self._tasks.background(self._deletion.drop(record))
            self._report()

    def _discard(self, record: Record) -> None:
        """Delete a blob that no entry names any more."""
        if self._blobs.remove(record):
            self._tasks.background(self._deletion.delete((record,)))
            self._report()

    def _evict(self, records: Sequence[Record], downloads: Sequence[str], reason: str) -> Awaitable[Undeleted]:
        """Delete blobs and left-over downloads that `space` chose, for this reason."""
        self._report()
        return self._tasks.finish(self._evicted(self._deletion.delete(records, downloads), records, reason))

    async def _evicted(
        self, deleting: Coroutine[Any, Any, Undeleted], records: Sequence[Record], reason: str
    ) -> Undeleted:
        left = await deleting
        for record in records:
            if record.sha256 not in left.blobs:
                self._observer(Evicted(record.size, reason))
        if left.blobs:
            self._report()  # they are here still
        return left

    def _changed(self) -> None:
        """A blob was stored, and its row is about to be."""
        self._upkeep.measure_now_and_then()
        self._report()

    def _report(self) -> None:
        self._observer(Stored(self._blobs.size, len(self._blobs)))
