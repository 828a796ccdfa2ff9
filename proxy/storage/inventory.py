"""All that is stored, for those who look after it: listed, removed on a person's wish, and verified.

Called by `control`, while the store serves. Lists are read in pieces, so that nothing waits long for the index. Whoever
reads a removed blob is not disturbed: the system keeps the file until it is closed. It never chooses what to remove.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from proxy.storage.backlog import Backlog
from proxy.storage.blob_files import BlobFiles
from proxy.storage.blobs import Blobs
from proxy.storage.entries import Entries
from proxy.storage.index import IndexDatabase
from proxy.storage.space import Space
from proxy.storage.threads import Tasks, Threads
from proxy.storage.verification import Verifier

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
    """A body on the disk. `size` in bytes."""

    sha256: str
    size: int


class Inventory:
    """Belongs to the event loop of its store. Raises StoreFull or StoreBroken where the disk cannot be used."""

    def __init__(  # noqa: PLR0913, PLR0917 the parts that it looks into
        self,
        index: IndexDatabase,
        blobs: Blobs,
        backlog: Backlog,
        entries: Entries,
        files: BlobFiles,
        space: Space,
        verifier: Verifier,
        threads: Threads,
        tasks: Tasks,
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called when blobs were removed."""
        self._index = index
        self._blobs = blobs
        self._backlog = backlog
        self._entries = entries
        self._files = files
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
        """All blobs, the longest unused first."""
        return [StoredBlob(record.sha256, record.size) for record in self._blobs]

    def holds(self, sha256: str) -> bool:
        """Whether a blob is stored."""
        return self._blobs.get(sha256) is not None

    async def entries(self) -> list[StoredEntry]:
        """All entries whose blobs are stored, by key."""
        await self._backlog.flush(_FLUSH)
        found: list[StoredEntry] = []
        last = ""
        while rows := await self._threads.index(self._index.listed, last, _PIECE):
            last = rows[-1][0]
            found += [
                StoredEntry(key, sha256, confirmed)
                for key, sha256, text in rows
                if self._blobs.get(sha256) is not None and (confirmed := _confirmed(text)) is not None
            ]
        return found

    async def remove(self, sha256s: Sequence[str], keys: Sequence[str] = ()) -> int:
        """Remove blobs with all entries that name them, and entries alone; gives the bytes of the removed blobs.

        What was begun is finished even if the caller is cancelled.
        """
        records = [record for sha256 in sha256s if (record := self._blobs.get(sha256)) is not None]
        for record in records:
            self._blobs.remove(record)
        for key in keys:
            self._entries.forget(key)
        self._changed()
        await self._tasks.finish(self._files.delete(records))
        return sum(record.size for record in records)

    async def remove_broken_off(self) -> int:
        """Remove what downloads left that broke off; gives its bytes on disk."""
        names, freed = self._space.take_all_left_over()
        await self._tasks.finish(self._files.delete((), names))
        return freed

    async def verify(self, sha256: str, advanced: Callable[[int], None]) -> bool | None:
        """Whether a blob's file is what was stored; it is dropped with its entries if not.

        `advanced` is called with the number of bytes that were read since the last call. None: nobody knows, since the
        blob is gone, or the disk or this process failed. What was begun is finished even if the caller is cancelled.
        """
        return await self._tasks.finish(self._verifier.verify(sha256, advanced))

    async def sweep(self) -> tuple[int, int]:
        """Take in files that the index does not know, and drop blobs that have no file: how many there were of each."""
        before = len(self._blobs)
        lost = await self._tasks.finish(self._files.sweep())
        found = len(self._blobs) - before
        await self.remove([record.sha256 for record in lost])
        return max(found, 0), len(lost)


def _confirmed(text: bytes) -> float | None:
    try:
        return _decoder.decode(text).checked
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
