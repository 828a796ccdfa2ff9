"""Opening the store: at once, or as soon as the disk allows.

Called by `app`. On a disk that is full, read-only or failing nothing is stored until the folder can be opened. Files
are served past it meanwhile; the log and `/healthz` say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from itertools import islice
from pathlib import Path

from proxy import operating_system
from proxy.errors import BlobDamaged, StoreError, StoreRefused
from proxy.model import Blob, Digest, Entry
from proxy.ports import Clock, Observer, Spool
from proxy.storage import deletion
from proxy.storage import spool as spool_files
from proxy.storage.disk_health import DISK_ERRORS, to_store_error
from proxy.storage.folder import DataFolder, unusable
from proxy.storage.index import IndexDatabase
from proxy.storage.loading import FIRST
from proxy.storage.pins import Pins
from proxy.storage.space import file_system
from proxy.storage.store import DiskStore
from proxy.storage.threads import Threads
from proxy.storage.unloaded import Totals

_log = logging.getLogger(__name__)

_PATIENCE = 0.05  # seconds that the event loop waits for a lock of the index, at most
_AGAIN = 5.0  # seconds between two tries to open the folder
_PENDING = "the data folder cannot be used; files are served and not stored until it can"
_NEEDED = 1 << 20  # bytes that the database may need to be opened
_FILES = 8  # that it may need
_BODIES = 10_000  # that are deleted for it, at most


async def open_store(
    path: Path, limit: int, observer: Observer, clock: Clock, *, keep_all: bool = False
) -> DiskStore | PendingStore:
    """The store on the data folder `path`, bounded to `limit` bytes; a pending one if it cannot be opened now.

    `keep_all`: as of `DiskStore.keep_all`. Raises StoreRefused where only a person can help.
    """

    async def opening() -> DiskStore:
        return await open_disk_store(path, limit, observer, clock, keep_all=keep_all)

    try:
        return await opening()
    except StoreRefused:
        raise
    except StoreError as error:
        _log.error(_PENDING, extra={"reason": str(error)})
        return PendingStore(opening, error)


async def open_disk_store(
    path: Path, limit: int, observer: Observer, clock: Clock, *, keep_all: bool = False
) -> DiskStore:
    """Open or create the data folder `path`, bounded to `limit` bytes. `keep_all`: as of `DiskStore.keep_all`.

    Raises StoreRefused where only a person can help, StoreFull or StoreBroken where it may be over in a moment.
    """
    async with AsyncExitStack() as stack:
        folder = DataFolder.open(path)
        stack.callback(folder.lock.release)
        threads = Threads()
        stack.push_async_callback(threads.close)
        index, totals, damaged = await _open_index(folder, limit, threads, clock.now())
        stack.callback(index.close)  # each thread has a connection of its own
        stack.push_async_callback(threads.index, index.close)
        index.set_busy_timeout(_PATIENCE)
        pins = await threads.files(Pins.read, folder.path)
        first = await threads.index(index.blobs, last=totals.place, most=FIRST)
        store = DiskStore(folder, index, totals, first, threads, limit, observer, pins)
        if keep_all:
            store.keep_all()
        await store.begin(clock.now(), complete=not damaged and totals.count > 0)
        store.resources = stack.pop_all()
        return store
    raise AssertionError("unreachable")


async def _open_index(
    folder: DataFolder, limit: int, threads: Threads, now: float
) -> tuple[IndexDatabase, Totals, bool]:
    """What `IndexDatabase.open` gives. Raises StoreRefused where only a person can help, StoreFull, StoreBroken.

    On a full disk downloads that broke off, then some bodies, whichever, are deleted for the room that the database
    needs to be opened: a disk that others filled must not make a restart forget all that is stored. `now`: wall time.
    """
    for again in (True, False):
        try:
            return await asyncio.wrap_future(threads.submit_index(IndexDatabase.open, folder.index, limit))
        except DISK_ERRORS as error:
            full = await threads.files(_full, folder)
            if again and full and await threads.files(_make_room, folder, now):
                continue
            if full:
                raise unusable(folder.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
            if isinstance(error, OSError):
                raise unusable(folder.path, error) from error
            raise to_store_error(error) from error
    raise AssertionError("the second try returns or raises")


def _full(folder: DataFolder) -> bool:
    _, free, files = file_system(folder.path)
    return free < _NEEDED or files < _FILES


def _make_room(folder: DataFolder, now: float) -> bool:
    """Delete what is worth least until there is room: what no download can resume, then the others, then bodies.

    False if there was nothing of it.
    """
    left_over = spool_files.clear(folder.spool, now, operating_system.boot_id())
    for name, _ in left_over:
        if not _full(folder):
            break
        spool_files.delete(folder.spool, [name])
    return not _full(folder) or _delete_bodies(folder) or bool(left_over)


def _delete_bodies(folder: DataFolder) -> bool:
    """Delete bodies that are not pinned until there is room. False if there were none.

    `BlobFiles.sweep` notices rows without a file.
    """
    pins = Pins.read(folder.path)
    bodies = (
        path
        for path in (folder.index / "sha256").glob("??/*")
        if path.parent.name + path.name not in pins and path.is_file()
    )
    deleted = False
    for body in islice(bodies, _BODIES):
        stays, _ = deletion.delete([body])
        deleted |= not stays
        if not _full(folder):
            break
    return deleted


class PendingStore:
    """See `ports.Store`. Mutable state: the real store, which does everything as soon as it could be opened."""

    def __init__(self, opening: Callable[[], Awaitable[DiskStore]], failure: StoreError) -> None:
        """`opening` opens the real store; `failure` is what it raised the last time."""
        self.store: DiskStore | None = None
        self._opening = opening
        self._failures = 0
        self._failure = failure.again()
        self._again = asyncio.Event()
        self._closing = False
        self._waiting: list[Callable[[DiskStore], Awaitable[None]]] = []
        self._task = asyncio.get_running_loop().create_task(self._open(), name="pending store")

    async def when_open(self, work: Callable[[DiskStore], Awaitable[None]]) -> None:
        """Have `work` done with the real store, as soon as there is one."""
        if self.store is not None:
            await work(self.store)
        else:
            self._waiting.append(work)

    @property
    def healthy(self) -> bool:
        """False until the folder is open; then that of the real store."""
        return self.store is not None and self.store.healthy

    @property
    def failures(self) -> int:
        """How many reads and writes failed so far."""
        return self._failures + (self.store.failures if self.store is not None else 0)

    def find(self, key: str) -> Entry | None:
        return None if self.store is None else self.store.find(key)

    def stands(self, entry: Entry) -> bool:
        return self.store is not None and self.store.stands(entry)

    def keys(self, prefix: str) -> Sequence[str]:
        return [] if self.store is None else self.store.keys(prefix)

    async def save(self, entry: Entry) -> bool:
        return self.store is not None and await self.store.save(entry)

    async def forget(self, key: str) -> None:
        if self.store is not None:
            await self.store.forget(key)

    def blob(self, digest: Digest) -> Blob | None:
        return None if self.store is None else self.store.blob(digest)

    def has(self, digest: Digest) -> bool:
        return self.store is not None and self.store.has(digest)

    def lease(self, blob: Blob) -> AbstractContextManager[int]:
        if self.store is None:
            raise BlobDamaged("The file is not stored any more.")
        return self.store.lease(blob)

    def recheck(self, blob: Blob) -> None:
        if self.store is not None:
            self.store.recheck(blob)

    async def spool(self, name: str, size: int | None, *, brief: bool = False) -> Spool:
        if self.store is None:
            self._failures += 1
            raise self._failure.again()
        return await self.store.spool(name, size, brief=brief)

    async def adopt(self, spool: Spool, digest: Digest, size: int) -> Blob | None:
        assert self.store is not None, "it made the spool file"
        return await self.store.adopt(spool, digest, size)

    async def put(self, body: bytes) -> Blob | None:
        if self.store is None:
            self._failures += 1
            return None
        return await self.store.put(body)

    async def put_all(self, bodies: Sequence[tuple[str, bytes]]) -> bool:
        if self.store is None:
            self._failures += 1
            return False
        return await self.store.put_all(bodies)

    async def close(self) -> None:
        """Stop trying, or close the real store."""
        self._closing = True
        self.try_again()
        await self._task  # not cancelled: a half-open store would be left behind
        if self.store is not None:
            await self.store.close()

    def try_again(self) -> None:
        """The folder may be usable now: try at once."""
        self._again.set()

    async def _open(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN):
                    await self._again.wait()
            self._again.clear()
            if self._closing:
                return
            try:
                self.store = await self._opening()
            except StoreError as error:
                if str(error) != str(self._failure):
                    _log.error(_PENDING, extra={"reason": str(error)})
                self._failure = error.again()
            else:
                _log.warning("the data folder can be used now; files are stored from now on")
                for work in self._waiting:
                    await work(self.store)
                return
