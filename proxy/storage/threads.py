"""Where the store's work runs: blocking calls in threads, and tasks that outlive their callers.

One thread writes the index, so that rows change in the order in which the changes were submitted; a few others work on
files, hash, and wait for fsync.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from proxy.cache.workers import ended
from proxy.errors import StoreError
from proxy.storage.disk_health import DISK_ERRORS, Component, DiskHealth, is_damage, to_store_error
from proxy.storage.short_work import ShortWork

P = ParamSpec("P")
T = TypeVar("T")

_FILE_THREADS = 4
_HASH_THREADS = 2
_SYNC_THREADS = 4  # an fsync may take long: reading and writing must not wait for it


class Threads:
    """Runs blocking functions off the event loop. What fails is reported to `health`."""

    def __init__(self) -> None:
        self.health = DiskHealth()
        self.on_damage: Callable[[], None] | None = None  # called on the event loop when the index is corrupt
        self._index = ThreadPoolExecutor(1, "index")
        self._files = ThreadPoolExecutor(_FILE_THREADS, "files")
        self._hashing = ThreadPoolExecutor(_HASH_THREADS, "proof")
        self._short = ShortWork(self._files, _FILE_THREADS // 2)
        self._syncing = ThreadPoolExecutor(_SYNC_THREADS, "sync")

    async def index(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` after everything that was submitted to the index before. Raises StoreFull, StoreBroken."""
        result = await self._outcome(self.submit_index(work, *args, **kwargs), Component.INDEX)
        self.health.worked(Component.INDEX)
        return result

    def submit_index(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Put `work` behind everything that was submitted to the index before. Its errors are the caller's."""
        return self._index.submit(work, *args, **kwargs)

    async def files(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on files. Raises StoreFull, StoreBroken."""
        return await self.outcome(self.submit(work, *args, **kwargs))

    async def short(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for what takes less than it takes to wake a thread, as writing a short file does."""
        try:
            return await self._short.run(partial(work, *args, **kwargs))
        except DISK_ERRORS as error:
            raise self.failed(error, Component.FILES) from error

    async def hash(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` that hashes. Raises StoreFull, StoreBroken."""
        return await self.outcome(self._hashing.submit(work, *args, **kwargs))

    async def sync(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` that ends with fsync. Raises StoreFull, StoreBroken."""
        return await self.outcome(self._syncing.submit(work, *args, **kwargs))

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start `work` on files; `outcome` waits for it. Cancelling the wait does not stop what runs."""
        return self._files.submit(work, *args, **kwargs)

    async def outcome(self, future: Future[T]) -> T:
        """The result of work on files. Raises StoreFull, StoreBroken."""
        return await self._outcome(future, Component.FILES)

    async def _outcome(self, future: Future[T], component: Component) -> T:
        try:
            return await asyncio.wrap_future(future)
        except DISK_ERRORS as error:
            raise self.failed(error, component) from error

    def failed(self, error: Exception, component: Component) -> StoreError:
        """Note a failure, on the event loop. Gives it as the ports know it."""
        failure = to_store_error(error)
        self.health.failed(component, failure)
        if self.on_damage is not None and isinstance(error, sqlite3.Error) and is_damage(error):
            self.on_damage()
        return failure

    async def close(self) -> None:
        """Wait until everything that was submitted has ended."""
        for pool in (self._files, self._hashing, self._syncing, self._index):
            await ended(pool)


class Tasks:
    """Tasks that run to their end even if their caller is cancelled: memory and disk must agree."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, and wait for it as long as the caller is not cancelled."""
        return await asyncio.shield(self._start(work))

    def background(self, work: Coroutine[Any, Any, object]) -> None:
        """Run `work` to its end. A StoreError is dropped: the disk's health has it already."""

        async def quietly() -> None:
            with contextlib.suppress(StoreError):
                await work

        self._start(quietly())

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: the caller has it, or was cancelled

    async def settled(self) -> None:
        """Wait until what is under way now has ended."""
        if self._running:
            await asyncio.wait(self._running)

    async def done(self) -> None:
        """Wait until nothing is under way."""
        while self._running:
            await asyncio.wait(self._running)
