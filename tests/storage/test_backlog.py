"""The database is written behind what is known: nobody waits for it, and it gets all of it in the end."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.storage.backlog import Backlog, Change, Dropped, Forgotten, Saved, Used
from proxy.storage.index import IndexDatabase
from proxy.storage.store import DiskStore
from proxy.storage.threads import Threads
from tests.storage.disk import adopt, digest, digests, entry, file_of, keep, locked, opened

MIB = 1 << 20
BODY = b"body"


def saved(key: str, value: str = "value") -> Saved:
    """An entry on its way."""
    return Saved(key, b"{}", value, 0.0)


async def test_store__while_the_index_is_locked(tmp_path: Path) -> None:
    """All that is stored, replaced and forgotten meanwhile is so at once; afterwards, and after a restart, too."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "old", b"old")
        await keep(store, "gone", b"gone")
        with locked(path):
            await adopt(store, "whl", bytes(MIB))
            await store.save(entry("whl", bytes(MIB)))
            kept = [await keep(store, key, key.encode() * 100) for key in ("page", "old", "b/1", "b/2")]
            await store.forget("gone")

            assert [*kept, entry("whl", bytes(MIB)), None] == [
                store.find(key) for key in ("page", "old", "b/1", "b/2", "whl", "gone")
            ]
            assert ["b/1", "b/2"] == list(store.keys("b/"))
            assert ["b/1", "b/2", "old", "page", "whl"] == list(store.keys(""))
            for known in kept:
                blob = store.blob(known.digest)
                assert blob is not None
                with store.lease(blob) as descriptor:
                    assert os.pread(descriptor, 1000, 0) == known.key.encode() * 100
        await store.flush()
        assert store.healthy
        assert not {digest(b"old"), digest(b"gone")} & set(digests(store))
    async with opened(path) as store:
        assert [*kept, entry("whl", bytes(MIB)), None] == [
            store.find(key) for key in ("page", "old", "b/1", "b/2", "whl", "gone")
        ]
        assert not file_of(path, b"old").exists()


async def test_store__health_while_the_index_is_locked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says once that the index cannot be written, and once that it can again."""
    path = tmp_path / "data"
    async with opened(path) as store:
        with caplog.at_level(logging.WARNING), locked(path):
            for number in range(50):
                await keep(store, f"{number}", b"%d" % number)
            await _until(store, healthy=False)
            await keep(store, "more", BODY)
        store._backlog.try_again()
        await store.flush()
        await _until(store, healthy=True)
    reasons = [record.__dict__.get("reason", "") for record in caplog.records]
    assert ["locked" in str(reason) for reason in reasons] == [True, False], reasons


async def test_evict__while_the_index_is_locked(tmp_path: Path) -> None:
    """Room is made all the same, and the bound holds; what was evicted is gone for good."""
    path = tmp_path / "data"
    limit = 8 * MIB
    async with opened(path, limit) as store:
        for number in range(5):
            body = bytes([number]) * MIB
            await adopt(store, f"{number}", body)
            await store.save(entry(f"{number}", body))
        await store.flush()
        with locked(path):
            for number in range(5, 15):
                body = bytes([number]) * MIB
                await adopt(store, f"{number}", body)
                await store.save(entry(f"{number}", body))
                used = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
                assert used <= limit
            assert store.find("0") is None
            assert store.find("14") is not None
        await store.flush()
        left = digests(store)
    async with opened(path, limit) as store:
        await store.sweep()
        assert left == digests(store)
        assert store.find("0") is None
        assert store.find("14") is not None


async def test_close__while_the_index_is_locked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end does not wait for ever, and says what is lost: entries. Bodies are found again by their names."""
    monkeypatch.setattr("proxy.storage.store._CLOSING", 0.1)
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "before", b"before")
        await store.flush()
        with locked(path):
            await keep(store, "a", BODY)
            await store.close()
    assert any("the last changes could not be written" in record.message for record in caplog.records)

    async with opened(path) as store:
        await store.sweep()
        assert (entry("before", b"before"), None) == (store.find("before"), store.find("a"))
        blob = store.blob(digest(BODY))
        assert blob is not None
        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == BODY


async def test_save__too_much_waits(tmp_path: Path) -> None:
    """Memory is bounded: what would wait behind too much is refused, but for what is confirmed again, or gone."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", BODY)
        await store.flush()
        store._backlog._most = 3
        with locked(path):
            for key in ("b", "c", "d"):
                assert await store.save(entry(key, BODY))
            assert not await store.save(entry("e", BODY))
            assert await store.put(b"another body") is None
            await store.forget("a")
            assert [None, True, None] == [store.find("a"), store.find("b") is not None, store.find("e")]
        store._backlog.try_again()
        await store.flush()
        await store.save(entry("e", BODY))
    async with opened(path) as store:
        assert ["b", "c", "d", "e"] == list(store.keys(""))


@pytest.fixture
async def index(tmp_path: Path) -> IndexDatabase:
    """An index."""
    opened_, _, _ = IndexDatabase.open(tmp_path, 1 << 30)
    return opened_


async def test_add__one_that_cannot_be_written(index: IndexDatabase, caplog: pytest.LogCaptureFixture) -> None:
    """A change that is wrong in itself holds up no other; it is logged, and skipped."""
    threads = Threads()
    backlog = Backlog(index.write, index.batch, threads)
    for change in (saved("a"), saved("b", "\ud800"), saved("c")):
        backlog.add(change)
    await backlog.flush()

    assert {"a", "c"} == {key for key, _ in index.keys("")}
    await threads.index(index.close)
    index.close()
    await threads.close()
    assert "UnicodeEncodeError" in [record.__dict__.get("reason") for record in caplog.records]


async def test_written__one_after_another(index: IndexDatabase) -> None:
    """Whoever waits for a change waits for it, and what was before; not for ever."""
    threads = Threads()
    backlog = Backlog(index.write, index.batch, threads)
    numbers = [backlog.add(saved(f"{number}")) for number in range(3)]
    assert await backlog.written(numbers[1], 30.0)
    assert {"0", "1"} <= {key for key, _ in index.keys("")}
    await backlog.flush()
    with sqlite3.connect(Path(index.directory, "cache.db"), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not await backlog.written(backlog.add(Used(())), 0.01)
        other.execute("ROLLBACK")
    other.close()
    backlog.try_again()
    await backlog.flush()
    assert await backlog.written(numbers[2], 0.0)
    await threads.index(index.close)
    index.close()
    await threads.close()


async def test_add__many_that_are_dropped() -> None:
    """The rows of thousands of blobs are deleted in several transactions, in order; who waits waits for the last."""
    written: list[Sequence[Change]] = []

    def write(changes: Sequence[Change]) -> dict[str, float]:
        written.append(changes)
        return {}

    threads = Threads()
    backlog = Backlog(write, 100, threads)
    many = tuple(map(str, range(1_200)))
    backlog.add(saved("before"))
    number = backlog.add(Dropped(many))
    backlog.add(saved("after"))
    assert await backlog.written(number, 30.0)
    await backlog.flush()
    dropped = [[one.sha256s for one in changes if isinstance(one, Dropped)] for changes in written]

    assert list(many) == [sha256 for pieces in dropped for piece in pieces for sha256 in piece]
    assert all(sum(map(len, pieces)) <= 500 for pieces in dropped)
    assert ["before", "after"] == [one.key for changes in written for one in changes if isinstance(one, Saved)]
    await threads.close()


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["keep", "confirm", "forget", "drop", "settle", "lock", "unlock"]),
        st.sampled_from("abc"),
        st.sampled_from([b"1", b"2", b"3"]),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_store__whatever_is_done(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bytes]]) -> None:
    """Locked or not: what is found in memory at any moment, and after a restart, is what was done last."""
    asyncio.run(_play(tmp_path_factory.mktemp("data"), steps))


async def _play(path: Path, steps: list[tuple[str, str, bytes]]) -> None:
    known: dict[str, bytes] = {}
    lock = sqlite3.connect(path / "other.db")  # replaced when the store has made its database
    async with opened(path) as store:
        lock.close()
        lock = sqlite3.connect(path / "index" / "cache.db", isolation_level=None, timeout=5)
        for step, key, body in steps:
            match step:
                case "keep":
                    await keep(store, key, body)
                    known[key] = body
                case "confirm" if key in known:
                    await store.save(entry(key, known[key]))
                case "forget":
                    await store.forget(key)
                    known.pop(key, None)
                case "drop":
                    _drop(store, body)
                    known = {each: kept for each, kept in known.items() if kept != body}
                case "settle" if not lock.in_transaction:
                    await store.flush()
                case "lock" if not lock.in_transaction:
                    lock.execute("BEGIN IMMEDIATE")
                case "unlock" if lock.in_transaction:
                    lock.execute("ROLLBACK")
            assert {key: entry(key, kept) for key, kept in known.items()} == _found(store)
            assert sorted(known) == list(store.keys(""))
        if lock.in_transaction:
            lock.execute("ROLLBACK")
        store._backlog.try_again()
        await store.flush()
        assert set(map(digest, known.values())) <= set(digests(store))
    lock.close()
    async with opened(path) as store:
        assert {key: entry(key, kept) for key, kept in known.items()} == _found(store)
        assert sorted(known) == list(store.keys(""))


async def _until(store: DiskStore, *, healthy: bool) -> None:
    while store.healthy is not healthy:
        await asyncio.sleep(0.01)


def _drop(store: DiskStore, body: bytes) -> None:
    record = store._blobs.get(digest(body).value)
    if record is not None:
        store._drop(record)


def _found(store: DiskStore) -> dict[str, object]:
    return {key: known for key in "abc" if (known := store.find(key)) is not None}


def test_changes__are_distinct() -> None:
    """Two changes that say the same are two: the later one of a key is known by itself."""
    changes: list[Change] = [Forgotten("a", 0.0), Forgotten("a", 0.0), saved("a"), saved("a")]
    assert 4 == len({id(change): change for change in changes})
    assert [index for index, change in enumerate(changes) if change == changes[1]] == [1]
