"""All that is stored, for those who look after it: listed, removed on a person's wish, and verified.

Called by `control`, while the store serves. Lists are read in pieces, so that nothing waits long for the index. Whoever
reads a removed blob is not disturbed: the system keeps the file until it is closed. It never chooses what to remove.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import structs

from proxy.errors import BlobDamaged, StoreBroken
from proxy.model import Blob, Entry
from proxy.storage import pins
from proxy.storage.backlog import Backlog
from proxy.storage.blob_files import BlobFiles
from proxy.storage.blobs import Blobs
from proxy.storage.deletion import Deletion
from proxy.storage.digest_set import DigestSet
from proxy.storage.disk_health import Undeleted
from proxy.storage.entries import Entries, decode
from proxy.storage.index import IndexDatabase
from proxy.storage.loading import Loading
from proxy.storage.record import Record
from proxy.storage.space import Space
from proxy.storage.threads import Tasks, Threads
from proxy.storage.verification import OPEN_FLAGS, Verifier, stamp_of

_READ_AT_ONCE = 1 << 16  # bytes of a short file
_PIECE = 5_000  # rows that are read at once
_FLUSH = 3.0  # seconds that a list waits for changes that the index does not have yet


class _Times(msgspec.Struct):
    """What a list needs of an entry's JSON."""

    checked: float


_decoder = msgspec.json.Decoder(_Times)


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry whose blob is stored. `confirmed`: when upstream last gave or confirmed it, seconds since the epoch."""

    key: str
    sha256: str
    confirmed: float


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A body on the disk. `size` in bytes; a `pinned` one is never evicted."""

    sha256: str
    size: int
    pinned: bool = False


class StoredRow(NamedTuple):
    """What the index has of an entry: its key, the size of its blob in bytes, and its JSON."""

    key: str
    size: int
    text: bytes

    def entry(self) -> Entry | None:
        """The entry; None if it is damaged."""
        found = decode(self.key, self.text)
        return found if found is not None and found.size == self.size else None


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed: `freed` bytes. `left`: what could not be deleted."""

    freed: int
    left: Undeleted


class Inventory:
    """Belongs to the event loop of its store. Raises StoreFull or StoreBroken where the disk cannot be used."""

    def __init__(  # noqa: PLR0913, PLR0917 the parts that it looks into
        self,
        folder: Path,
        index: IndexDatabase,
        blobs: Blobs,
        backlog: Backlog,
        entries: Entries,
        files: BlobFiles,
        deletion: Deletion,
        loading: Loading,
        space: Space,
        verifier: Verifier,
        threads: Threads,
        tasks: Tasks,
        changed: Callable[[], None],
        lease: Callable[[Blob], AbstractContextManager[int]],
    ) -> None:
        """`folder`: the data folder. `changed` is called when blobs were removed. `lease`: as of `ports.BlobReader`."""
        self._lease = lease
        self._folder = folder
        self._pinning = asyncio.Lock()
        self._index = index
        self._blobs = blobs
        self._backlog = backlog
        self._entries = entries
        self._files = files
        self._deletion = deletion
        self._loading = loading
        self._space = space
        self._verifier = verifier
        self._threads = threads
        self._tasks = tasks
        self._changed = changed

    @property
    def limit(self) -> int:
        """The bound of the store in bytes."""
        return self._space.ledger.limit

    @property
    def broken_off(self) -> int:
        """Bytes on disk of downloads that broke off and may be resumed."""
        return self._space.ledger.left_over

    def blobs(self) -> list[StoredBlob]:
        """All blobs, the longest unused first; before `entries` has given something, those that are loaded."""
        held = self._blobs.pins
        return [StoredBlob(sha256, size, sha256 in held) for sha256, size, _, _ in self._blobs.rows()]

    def holds(self, sha256: str) -> bool:
        """Whether a blob is stored."""
        return sha256 in self._blobs

    async def entries(self) -> list[StoredEntry]:
        """All entries whose blobs are stored, by key."""
        return [
            StoredEntry(key, sha256, confirmed)
            async for piece in self._pieces("")
            for key, sha256, text in piece
            if sha256 in self._blobs and (confirmed := _confirmed(text)) is not None
        ]

    @property
    def total(self) -> tuple[int, int]:
        """How many blobs there are, and their bytes."""
        return len(self._blobs), self._blobs.size

    async def named(self) -> AsyncGenerator[list[tuple[str, str, int]]]:
        """All entries in the order of their blobs, some at once: sha256, key, size of the blob in bytes.

        From the index alone, and so also before all blobs are loaded.
        """
        await self._backlog.flush(_FLUSH)
        last = "", 0
        while rows := await self._threads.index(self._index.named, last, _PIECE):
            last = rows[-1][:2]
            yield [(sha256, key, size) for sha256, _, key, size in rows]

    async def largest(self, count: int) -> list[tuple[StoredBlob, list[StoredEntry]]]:
        """The largest blobs with their entries, the largest first. From the index alone, as `named`."""
        await self._backlog.flush(_FLUSH)
        return [
            (
                StoredBlob(sha256, size, sha256 in self._blobs.pins),
                [StoredEntry(key, sha256, found) for key, text in rows if (found := _confirmed(text)) is not None],
            )
            for sha256, size, rows in await self._threads.index(self._index.largest, count)
        ]

    async def rows(self, prefix: str = "") -> AsyncGenerator[list[StoredRow]]:
        """All entries whose blobs are stored, by key, some at once; of those only whose keys begin with `prefix`."""
        async for piece in self._pieces(prefix):
            found = ((key, self._blobs.peek(sha256), text) for key, sha256, text in piece)
            yield [StoredRow(key, blob[0], text) for key, blob, text in found if blob is not None]

    async def _pieces(self, prefix: str) -> AsyncGenerator[list[tuple[str, str, bytes]]]:
        """Key, sha256 and JSON of all entries, piece by piece, once all blobs are loaded."""
        await self._loading.whole()
        await self._backlog.flush(_FLUSH)
        last = prefix
        while rows := await self._threads.index(self._index.listed, last, _PIECE, prefix):
            last = rows[-1][0]
            yield rows

    @contextmanager
    def holding(self, sha256s: DigestSet) -> Generator[None]:
        """Keep these blobs meanwhile: none is evicted, or deleted since its address has another body."""
        self._blobs.kept.append(sha256s)
        try:
            yield
        finally:
            self._blobs.kept.remove(sha256s)

    def proved(self, sha256: str) -> bool:
        """Whether the file of a blob is what was stored, as far as can be told at once. In any thread.

        What is damaged is dropped; what has to be hashed for long is checked soon. Raises StoreBroken.
        """
        if (blob := self._blobs.peek(sha256)) is None:
            return False
        with suppress(OSError):
            if _is_that(os.stat(self._blobs.path_of(sha256), follow_symlinks=False), *blob):  # noqa: PTH116 called often
                return True
            if blob[1] is None and blob[0] <= _READ_AT_ONCE and self._prove(sha256):
                return True
        try:
            with self._leased(sha256):
                return True
        except BlobDamaged as error:
            if not self._threads.health.readable:
                raise StoreBroken("The data folder cannot be read now.") from error
            return False

    @contextmanager
    def open(self, sha256: str) -> Generator[int]:
        """Open a blob for reading, in any thread, without noting a use. Raises BlobDamaged, StoreBroken."""
        blob = self._blobs.peek(sha256)
        try:
            descriptor = os.open(self._blobs.path_of(sha256), OPEN_FLAGS)
        except OSError:
            descriptor = -1
        try:
            if blob is not None and descriptor >= 0 and _is_that(os.fstat(descriptor), *blob):
                yield descriptor
                return
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        with self._leased(sha256) as leased:
            yield leased

    def _prove(self, sha256: str) -> bool:
        """Whether a short file, of which nothing is known since the start, is what was stored. Raises OSError."""
        descriptor = os.open(self._blobs.path_of(sha256), OPEN_FLAGS)
        try:
            stamp = stamp_of(os.fstat(descriptor))
            right = hashlib.sha256(os.pread(descriptor, _READ_AT_ONCE + 1, 0)).hexdigest() == sha256
        finally:
            os.close(descriptor)
        if right:
            self._blobs.prove(sha256, stamp)
        return right

    def _leased(self, sha256: str) -> AbstractContextManager[int]:
        """With all that is to be done where a file is not what it was."""
        record = self._blobs.get(sha256)
        if record is None:
            raise BlobDamaged("The file is not stored any more.")
        return self._lease(self._blobs.blob_of(record))

    async def remove(self, sha256s: Sequence[str], keys: Sequence[str] = ()) -> Removal:
        """Remove blobs with all entries that name them, and entries alone.

        What was begun is finished even if the caller is cancelled.
        """
        records = [record for sha256 in sha256s if (record := self._blobs.get(sha256)) is not None]
        return await self._remove(records, keys)

    async def _remove(self, records: Iterable[Record], keys: Iterable[str] = ()) -> Removal:
        """Remove these blobs, as far as they are here, and not others of the same digests."""
        removed = [record for record in records if self._blobs.remove(record)]
        for key in keys:
            self._entries.forget(key)
        self._changed()
        left = await self._tasks.finish(self._deletion.delete(removed))
        if left.blobs:
            self._changed()
        return Removal(sum(record.size for record in removed if record.sha256 not in left.blobs), left)

    async def pin(self, add: Iterable[str], remove: Iterable[str] = ()) -> None:
        """Pin these bodies, so that they are never evicted, and those no longer. It holds when this returns."""
        await self._tasks.finish(self._pin(frozenset(add), frozenset(remove)))

    async def _pin(self, add: frozenset[str], remove: frozenset[str]) -> None:
        async with self._pinning:
            pinned = self._blobs.pins.changed(add, remove)
            if pinned != frozenset(self._blobs.pins):
                await self._threads.sync(pins.write, self._folder, pinned)
                self._blobs.pins.become(pinned)

    def expire(self, key: str, before: float) -> bool:
        """Have an entry count as confirmed `before` (seconds since the epoch) at the latest; False if it cannot change.

        What an index promised a digest of cannot.
        """
        entry = self._entries.find(key)
        if entry is None or entry.promised is not None:
            return False
        return self._entries.save(structs.replace(entry, checked=min(entry.checked, before)))

    async def remove_broken_off(self) -> Removal:
        """Remove what downloads left that broke off."""
        sizes = self._space.take_all_left_over()
        return await self._tasks.finish(self._removed(sizes, self._deletion.delete((), list(sizes))))

    async def _removed(self, sizes: Mapping[str, int], deleting: Awaitable[Undeleted]) -> Removal:
        left = await deleting
        for name in left.downloads:
            self._space.add_left_over(name, sizes[name])
        return Removal(sum(size for name, size in sizes.items() if name not in left.downloads), left)

    async def verify(
        self, sha256: str, advanced: Callable[[int], None], stays: Callable[[Undeleted], None] = lambda _: None
    ) -> bool | None:
        """Whether a blob's file is what was stored; it is dropped with its entries if not.

        `advanced` is called with the number of bytes that were read since the last call; `stays`, where a file that
        was dropped cannot be deleted. None: nobody knows, since the blob is gone, or the disk or this process failed.
        What was begun is finished even if the caller is cancelled.
        """
        return await self._tasks.finish(self._verify(sha256, advanced, stays))

    async def _verify(
        self, sha256: str, advanced: Callable[[int], None], stays: Callable[[Undeleted], None]
    ) -> bool | None:
        damaged: list[Record] = []
        right = await self._verifier.verify(sha256, advanced, damaged.append)
        for record in damaged:
            if self._blobs.remove(record):
                self._changed()
                left = await self._deletion.drop(record)
                if left.blobs:
                    stays(left)
        return right

    async def sweep(self) -> tuple[int, int]:
        """Take in files that the index does not know, and drop blobs that have no file: how many there were of each."""
        if not await self._loading.whole():
            raise StoreBroken("The index in the data folder cannot be read; the log says why.")
        before = len(self._blobs)
        lost = await self._tasks.finish(self._files.sweep())
        found = len(self._blobs) - before
        await self._remove(lost)
        return max(found, 0), len(lost)


def _is_that(status: os.stat_result, size: int, stamp: str | None) -> bool:
    """Whether a file has this size and stamp."""
    return status.st_size == size and stamp_of(status) == stamp


def _confirmed(text: bytes) -> float | None:
    try:
        return _decoder.decode(text).checked
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
