"""A start that does not wait for all blobs: what is asked meanwhile, what changes meanwhile, and the end."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from proxy.storage.blobs import Blobs
from proxy.storage.index import IndexDatabase
from proxy.storage.loading import Loading
from proxy.storage.store import DiskStore
from proxy.storage.threads import Threads
from tests.storage.disk import LARGE, PLENTY, adopt, digest, digests, entry, file_of, keep, opened, verify
from tests.storage.test_examination import overwrite_page

BODIES = [b"body %d" % number for number in range(20)]
BLOCK = 4096


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.storage.opening.FIRST", 3)
    monkeypatch.setattr("proxy.storage.loading._PIECE", 2)


async def _fill(path: Path, bodies: list[bytes] = BODIES) -> None:
    async with opened(path) as store:
        for number, body in enumerate(bodies):
            await keep(store, f"key {number:02}", body)


@asynccontextmanager
async def loading(path: Path, limit: int = PLENTY) -> AsyncGenerator[tuple[DiskStore, Callable[[], None]]]:
    """A store that has loaded three blobs, and goes on with the others when the function is called, or at the end."""
    async with opened(path, limit) as store:
        gate = threading.Event()
        store._threads.submit_index(gate.wait)
        try:
            yield store, gate.set
        finally:
            gate.set()


def _read(store: DiskStore, body: bytes) -> bytes:
    blob = store.blob(digest(body))
    assert blob is not None
    with store.lease(blob) as descriptor:
        return os.pread(descriptor, 100, 0)


async def test_run__small_store_is_whole(tmp_path: Path) -> None:
    """What fits into the first piece is loaded before the first answer."""
    path = tmp_path / "data"
    await _fill(path, BODIES[:3])
    async with loading(path) as (store, _):
        assert not store._blobs.loading
        assert list(map(digest, BODIES[:3])) == digests(store)


async def test_run__asked_meanwhile(tmp_path: Path) -> None:
    """Everything is found, counted and served before it is loaded; what was used is the last in the order then."""
    path = tmp_path / "data"
    await _fill(path)
    async with loading(path) as (store, go_on):
        assert (True, 3) == (store._blobs.loading, len(digests(store)))
        assert (20, sum(map(len, BODIES)), 20 * BLOCK) == (
            len(store._blobs),
            store._blobs.size,
            store._blobs.footprint,
        )
        for number in (19, 4, 0):
            assert entry(f"key {number:02}", BODIES[number]) == store.find(f"key {number:02}")
            assert BODIES[number] == _read(store, BODIES[number])
        assert [f"key {number:02}" for number in range(20)] == list(store.keys("key"))
        assert store.blob(digest(b"nobody stored it")) is None
        assert (20, 20 * BLOCK) == (len(store._blobs), store._blobs.footprint)
        go_on()
        await store.flush()

        assert not store._blobs.loading
        order = [body for body in BODIES if body not in (BODIES[19], BODIES[4], BODIES[0])]
        assert list(map(digest, [*order, BODIES[19], BODIES[4], BODIES[0]])) == digests(store)
        assert (20, sum(map(len, BODIES)), 20 * BLOCK) == (
            len(store._blobs),
            store._blobs.size,
            store._blobs.footprint,
        )


async def test_run__changed_meanwhile(tmp_path: Path) -> None:
    """What was dropped does not come back; what was stored, or stored again, is there once."""
    path = tmp_path / "data"
    await _fill(path)
    async with loading(path) as (store, go_on):
        for number in (1, 10, 11):
            record = store._blobs.get(digest(BODIES[number]).value)
            assert record is not None
            store._drop(record)
        assert (None, None) == (store.blob(digest(BODIES[10])), store.find("key 10"))
        assert "key 10" not in store.keys("key")
        storing = [asyncio.create_task(keep(store, "again", BODIES[11])), asyncio.create_task(keep(store, "b", b"new"))]
        await asyncio.sleep(0)
        go_on()
        await asyncio.gather(*storing)
        await store.flush()
        left = [body for number, body in enumerate(BODIES) if number not in (1, 10, 11)]

        assert {*map(digest, [*left, BODIES[11], b"new"])} == set(digests(store))
        assert list(map(digest, left)) == digests(store)[:17]
        assert (19, 19 * BLOCK) == (len(store._blobs), store._blobs.footprint)
        assert not file_of(path, BODIES[10]).exists()
    async with opened(path) as store:
        await store._loading.whole()
        assert list(map(digest, left)) == digests(store)[:17]
        assert entry("again", BODIES[11]) == store.find("again")


async def _let_run(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.create_task(work)
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_more__eviction_takes_what_was_unused_longest(tmp_path: Path) -> None:
    """Room for a download comes from what is loaded, else it waits for what was unused longest, and takes no more."""
    path = tmp_path / "data"
    bodies = [bytes([number]) * 100_000 for number in range(20)]
    await _fill(path, bodies)
    size = -(-100_000 // BLOCK) * BLOCK
    async with loading(path) as (store, go_on):
        store._space.ledger.limit = store._space.ledger.index + store._blobs.footprint  # it is full
        assert store.blob(digest(bodies[1])) is not None
        first = await _let_run(store._space.reserve(size))
        second = await _let_run(store._space.reserve(5 * size))
        assert (None, 19) == (store.blob(digest(bodies[0])), len(store._blobs))
        assert not second.done()
        go_on()
        reservations = await asyncio.gather(first, second)
        await store._loading.whole()

        assert [digest(body) for body in (*bodies[7:], bodies[1])] == digests(store)
        assert store._space.ledger.reserved == sum(one.size for one in reservations)


async def test_whole__lists_wait(tmp_path: Path) -> None:
    """A list for a person has everything, and so has the look at the files' names."""
    path = tmp_path / "data"
    await _fill(path)
    async with loading(path) as (store, go_on):
        listing = await _let_run(store.inventory.entries())
        sweeping = await _let_run(store.inventory.sweep())
        assert (False, False) == (listing.done(), sweeping.done())
        go_on()

        assert 20 == len(await listing)
        assert (0, 0) == await sweeping
        assert 20 == len(store.inventory.blobs())


async def test_run__what_must_be_checked_is(tmp_path: Path) -> None:
    """A large file without a stamp does not count as stored until it was checked, also one that is loaded late."""
    path = tmp_path / "data"
    await _fill(path)
    async with opened(path) as store:
        await adopt(store, "large", LARGE)
    with closing(sqlite3.connect(path / "index" / "cache.db", isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET value = NULL WHERE key = ?", (f"b:{digest(LARGE)}",))
    async with loading(path) as (store, go_on):
        assert store.blob(digest(LARGE)) is None
        go_on()
        await store._loading.whole()
        assert await verify(store, digest(LARGE))
        assert store.blob(digest(LARGE)) is not None


async def test_run__index_breaks_meanwhile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was not loaded when the index had to be made anew is found by its name."""
    path = tmp_path / "data"
    await _fill(path)
    async with loading(path) as (store, go_on):
        with closing(sqlite3.connect(path / "index" / "cache.db", isolation_level=None)) as connection:
            connection.execute("DROP TABLE Cache")
        with caplog.at_level(logging.ERROR):
            go_on()
            await store.flush()
            await store.flush()

        assert "the index in the data folder is damaged; it is rebuilt" in caplog.messages
        assert {*map(digest, BODIES)} == set(digests(store))
        assert (20, 20 * BLOCK) == (len(store._blobs), store._blobs.footprint)
        assert BODIES == [_read(store, body) for body in BODIES]
    async with opened(path) as store:
        await store._loading.whole()
        assert {*map(digest, BODIES)} == set(digests(store))


async def test_run__examined_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A large database is read whole behind the answers; if it is corrupt, it is made anew from memory."""
    path = tmp_path / "data"
    await _fill(path)
    overwrite_page(path / "index" / "cache.db", "Cache_expire_time")
    monkeypatch.setattr("proxy.storage.examination._SMALL", 0)
    with caplog.at_level(logging.ERROR):
        async with loading(path) as (store, go_on):
            assert entry("key 07", BODIES[7]) == store.find("key 07")
            go_on()
            await store.flush()
            assert list(map(digest, [*BODIES[:7], *BODIES[8:]])) == [
                one for one in digests(store) if one != digest(BODIES[7])
            ]
    assert "the index in the data folder is damaged; it is rebuilt" in caplog.messages
    assert (path / "index" / "cache.db.damaged").exists()
    monkeypatch.undo()
    async with opened(path) as store:
        assert set(map(digest, BODIES)) == set(digests(store))
        assert entry("key 07", BODIES[7]) == store.find("key 07")


async def test_stop__in_the_middle(tmp_path: Path) -> None:
    """The program may end before all is loaded: nothing is lost, and what was used has its new place."""
    path = tmp_path / "data"
    await _fill(path)
    async with loading(path) as (store, go_on):
        assert BODIES[12] == _read(store, BODIES[12])
        closing_it = await _let_run(store.close())
        go_on()
        await closing_it
        assert store._blobs.loading
    async with opened(path) as store:
        await store._loading.whole()
        assert list(map(digest, [*BODIES[:12], *BODIES[13:], BODIES[12]])) == digests(store)


class FailingIndex(IndexDatabase):
    """An index that another program has locked when it is read, so many times."""

    failing = 1

    def blobs(self, *args: Any, **kwargs: Any) -> Any:
        if self.failing:
            self.failing -= 1
            raise sqlite3.OperationalError("database is locked")
        return super().blobs(*args, **kwargs)


async def test_more__index_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an index that cannot be read; it is tried again."""
    monkeypatch.setattr("proxy.storage.loading._AGAIN", 0.0)
    path = tmp_path / "data"
    await _fill(path)
    index, totals, _ = FailingIndex.open(path / "index", PLENTY)
    threads = Threads()
    try:
        blobs = Blobs(str(path))
        work = Loading(path / "index", index, blobs, threads, lambda _: None)
        work.begin(totals, IndexDatabase.blobs(index, most=3))
        waiting = await _let_run(work.more())
        running = asyncio.create_task(work.run())

        assert not await waiting
        await running
        assert (False, False, 20) == (blobs.loading, await work.more(), len(list(blobs.rows())))
    finally:
        await threads.index(index.close)
        index.close()
        await threads.close()
