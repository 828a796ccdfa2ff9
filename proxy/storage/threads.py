"""Where the store's blocking work runs: one thread for the index, a few for files, others for hashing and fsync.

The single writer makes the order of submission the order of effect for rows; `places` does that for files.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from proxy.cache.workers import ended
from proxy.errors import StoreError
from proxy.storage.disk_health import DISK_ERRORS, Health, Place, is_damage, to_store_error

P = ParamSpec("P")
T = TypeVar("T")

_FILE_THREADS = 4
_HASH_THREADS = 2
_SYNC_THREADS = 4  # they wait for the disk, which may take long: reading and writing must not wait with them


class Threads:
    """Runs functions off the event loop; their failures come back as StoreFull or StoreBroken."""

    def __init__(self) -> None:
        self.health = Health()
        self.on_damage: Callable[[], None] | None = None  # called on the event loop
        self._writer = ThreadPoolExecutor(1, "index")
        self._files = ThreadPoolExecutor(_FILE_THREADS, "files")
        self._hashing = ThreadPoolExecutor(_HASH_THREADS, "proof")
        self._syncing = ThreadPoolExecutor(_SYNC_THREADS, "sync")

    async def index(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` after everything that was given to the index before. Raises StoreFull, StoreBroken."""
        return await self.index_outcome(self.begin_index(work, *args, **kwargs))

    def begin_index(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Put `work` behind everything that was given to the index before; `index_outcome` waits for it."""
        return self._writer.submit(work, *args, **kwargs)

    async def index_outcome(self, future: Future[T]) -> T:
        """What became of it. Raises StoreFull, StoreBroken."""
        result = await self._outcome(future, Place.INDEX)
        self.health.worked(Place.INDEX)
        return result

    async def files(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` beside others. Raises StoreFull, StoreBroken."""
        return await self.outcome(self.begin(work, *args, **kwargs))

    async def hash(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` that hashes. Raises StoreFull, StoreBroken."""
        return await self.outcome(self._hashing.submit(work, *args, **kwargs))

    async def sync(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` that ends with fsync. Raises StoreFull, StoreBroken."""
        return await self.outcome(self._syncing.submit(work, *args, **kwargs))

    def begin(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start `work` beside others; `outcome` waits for it. Cancelling the wait does not stop what runs."""
        return self._files.submit(work, *args, **kwargs)

    async def outcome(self, future: Future[T]) -> T:
        """What became of it. Raises StoreFull, StoreBroken."""
        return await self._outcome(future, Place.FILES)

    async def _outcome(self, future: Future[T], place: Place) -> T:
        try:
            return await asyncio.wrap_future(future)
        except DISK_ERRORS as error:
            raise self.failed(error, place) from error

    def failed(self, error: Exception, place: Place) -> StoreError:
        """Note a failure, on the event loop. Gives it as the ports know it."""
        failure = to_store_error(error)
        self.health.failed(place, failure)
        if self.on_damage is not None and isinstance(error, sqlite3.Error) and is_damage(error):
            self.on_damage()
        return failure

    async def close(self) -> None:
        """Wait until all that was begun has ended."""
        for pool in (self._files, self._hashing, self._syncing, self._writer):
            await ended(pool)
