"""What the store does by itself: it writes uses and proofs down, tries what failed again, and rebuilds the index.

The index is rebuilt while the program runs when SQLite finds that it is corrupt. All blobs are known in memory, and so
are the entries used lately; the others are fetched again. Blobs that a start has not loaded yet are found by their
names.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path

from proxy import operating_system
from proxy.errors import StoreError
from proxy.events import DiskMeasured
from proxy.ports import Observer
from proxy.storage.backlog import Backlog, Proved, Used
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import Component
from proxy.storage.entries import Entries
from proxy.storage.folder import DataFolder
from proxy.storage.index import IndexDatabase
from proxy.storage.record import INLINE
from proxy.storage.space import Space, file_system
from proxy.storage.threads import Tasks, Threads

_log = logging.getLogger(__name__)

_ROUND = 5.0  # seconds between two rounds
_MOMENT = 0.05  # seconds for which a measure of the index is good enough
_PROBE = 64 << 10  # bytes of the file that is written to see whether that works


class Upkeep:
    """Changed on the event loop only. Mutable state: whether the index is being rebuilt, and when it was measured."""

    def __init__(  # noqa: PLR0913, PLR0917 the parts that it looks after
        self,
        folder: DataFolder,
        index: IndexDatabase,
        blobs: Blobs,
        backlog: Backlog,
        entries: Entries,
        space: Space,
        threads: Threads,
        tasks: Tasks,
        observer: Observer,
    ) -> None:
        self._folder = folder
        self._index = index
        self._blobs = blobs
        self._backlog = backlog
        self._entries = entries
        self._space = space
        self._threads = threads
        self._tasks = tasks
        self._observer = observer
        self._rebuilding = False
        self._measured = -_MOMENT  # when the index was last measured
        threads.on_damage = self._damaged

    async def run(self) -> None:
        """The rounds, for ever."""
        while True:
            await asyncio.sleep(_ROUND)
            with contextlib.suppress(StoreError):
                self.note()
                self.measure()
                await self.look_at_disk()
                if not self._threads.health.well:
                    await self.probe()

    def note(self) -> None:
        """Write down what was used, and what was proved. It stays in memory while the index cannot be written."""
        if self._backlog.stuck:
            return
        if uses := self._blobs.take_uses():
            self._backlog.add(Used(tuple(uses)))
        if proofs := self._blobs.take_proofs():
            self._backlog.add(Proved(tuple(proofs)))

    def measure(self) -> None:
        """Count what the index takes of the bound."""
        self._measured = time.monotonic()
        self._space.ledger.index = self._index.bytes_on_disk()

    def measure_now_and_then(self) -> None:
        """The same after a change, unless it was done a moment ago: what it may grow by meanwhile is counted."""
        if time.monotonic() - self._measured > _MOMENT:
            self.measure()

    async def look_at_disk(self) -> None:
        """Report what the file system has, and how long the longest unused blob was not used."""
        size: int | None = None
        free: int | None = None
        with contextlib.suppress(StoreError):
            size, free, _ = await self._threads.files(file_system, self._folder.path)
        self._observer(DiskMeasured(free, size, self._blobs.longest_unused()))

    async def probe(self) -> None:
        """Try everything that can fail, so that the health does not wait for the next client. Raises StoreError."""
        await self._threads.files(self._folder.look)
        self._threads.health.worked(Component.READING)
        await self._threads.sync(_write, self._folder.spool / "probe.tmp")
        self._threads.health.worked(Component.FILES)
        await self._threads.index(self._index.probe)
        self._backlog.try_again()
        self._space.release(await self._space.reserve(0))

    def _damaged(self) -> None:
        """The index is corrupt: rebuild it, once for all who notice."""
        if not self._rebuilding:
            self._rebuilding = True
            self._tasks.background(self._rebuild())

    async def _rebuild(self) -> None:
        _log.error("the index in the data folder is damaged; it is rebuilt")
        try:
            with self._entries.in_memory_only():
                self._index.close()  # the event loop's connection
                self._blobs.all_loaded()
                blobs = [
                    # A large file has a stamp only if it was fsynced; others are checked again.
                    (sha256, size, stamp if size > INLINE else None, used)
                    for sha256, size, stamp, used in self._blobs.rows()
                ]
                await self._threads.index(self._index.rebuild, blobs, self._entries.in_memory())
        finally:
            self._rebuilding = False


def _write(path: Path) -> None:
    try:
        with path.open("wb") as file:
            file.write(bytes(_PROBE))
            file.flush()
            operating_system.sync_data(file.fileno())
    finally:
        path.unlink(missing_ok=True)
