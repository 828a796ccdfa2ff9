"""Blocking work in threads, and tasks that outlive those who asked for them."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from proxy.errors import StoreBroken, StoreFull
from proxy.storage.threads import Tasks, Threads


@pytest.fixture
async def threads() -> AsyncGenerator[Threads]:
    """Threads that end with the test."""
    made = Threads()
    yield made
    await made.close()


def _raise(error: Exception) -> None:
    raise error


async def test_index__one_after_another(threads: Threads) -> None:
    """Work on the index runs in the order in which it was submitted."""
    gate, order = threading.Event(), list[int]()
    held = threads.submit_index(gate.wait)
    waiting = [asyncio.create_task(threads.index(order.append, number)) for number in range(20)]
    await asyncio.sleep(0)
    assert [] == order
    gate.set()
    await asyncio.gather(asyncio.wrap_future(held), *waiting)

    assert list(range(20)) == order


async def test_sync__holds_up_no_other(threads: Threads) -> None:
    """A disk that does not answer to fsync leaves the threads for files, hashes and rows alone."""
    gate = threading.Event()
    held = [asyncio.create_task(threads.sync(gate.wait)) for _ in range(20)]

    assert [1, 2, 3] == [await threads.files(int, 1), await threads.hash(int, 2), await threads.index(int, 3)]
    gate.set()
    await asyncio.gather(*held)


@pytest.mark.parametrize("way", [Threads.files, Threads.short])
@pytest.mark.parametrize(
    ("error", "kind"), [(OSError(errno.ENOSPC, "full"), StoreFull), (OSError(errno.EIO, "broken"), StoreBroken)]
)
async def test_files__fail(threads: Threads, error: Exception, kind: type[Exception], way: Any) -> None:
    """An error of the system comes back as the ports know it, and makes the health bad."""
    with pytest.raises(kind):
        await way(threads, _raise, error)

    assert (False, 1) == (threads.health.well, threads.health.failures)


async def test_index__fails_and_works(threads: Threads) -> None:
    """The health of the index is that of the last work on it."""
    error = sqlite3.OperationalError("locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    with pytest.raises(StoreBroken):
        await threads.index(_raise, error)
    before = threads.health.well
    await threads.index(int)

    assert [False, True] == [before, threads.health.well]


async def test_index__is_corrupt(threads: Threads) -> None:
    """Corruption is reported to those who can rebuild the index; a lock is not."""
    seen: list[str] = []
    threads.on_damage = lambda: seen.append("damage")
    for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CORRUPT):
        error = sqlite3.OperationalError("no")
        error.sqlite_errorcode = code
        with pytest.raises(StoreBroken):
            await threads.index(_raise, error)

    assert ["damage"] == seen


async def test_finish__caller_is_cancelled() -> None:
    """Work that was begun ends, though nobody waits for it any more."""
    tasks, gate, ended = Tasks(), asyncio.Event(), list[str]()

    async def work() -> None:
        await gate.wait()
        ended.append("work")

    caller = asyncio.create_task(tasks.finish(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.set()
    await tasks.done()

    assert ["work"] == ended


async def test_background__fails() -> None:
    """A StoreError of work in the background is nobody's; what that work began is waited for, too."""
    tasks, ended = Tasks(), list[str]()

    async def more() -> None:
        ended.append("more")

    async def work() -> None:
        tasks.background(more())
        raise StoreBroken("the disk fails")

    tasks.background(work())
    await tasks.done()

    assert ["more"] == ended
