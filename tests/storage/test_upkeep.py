"""What the store does by itself: the index is rebuilt while the program runs, and uses are written down."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from proxy.errors import StoreError
from proxy.events import DiskMeasured, Event
from proxy.storage.store import DiskStore
from tests.storage.disk import LARGE, adopt, digest, digests, keep, locked, opened

KEYS = [f"key {number}" for number in range(20)]


def _break_index(path: Path) -> None:
    """What SQLite calls an error that only a new database helps against."""
    with closing(sqlite3.connect(path / "index" / "cache.db", isolation_level=None)) as connection:
        connection.execute("DROP TABLE Cache")


async def test_rebuild__while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All blobs and the entries used lately are in the new index; what is stored meanwhile is, too."""
    path = tmp_path / "data"
    async with opened(path) as store:
        known = [await keep(store, key, key.encode()) for key in KEYS]
        await adopt(store, "large", LARGE)
        await store.flush()
        _break_index(path)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                assert store.find("nobody knows") is None
        later = await keep(store, "later", b"stored while the index is rebuilt")
        await store.flush()
        await store.flush()

        assert (path / "index" / "cache.db.damaged").exists()
        assert ["the index in the data folder is damaged; it is rebuilt"] == [
            record.message for record in caplog.records if "rebuilt" in record.message
        ]
        left = digests(store)
    async with opened(path) as store:
        assert [*known, later] == [store.find(key) for key in (*KEYS, "later")]
        assert left == digests(store)
        assert store.blob(digest(LARGE)) is not None, "it was fsynced: its stamp is believed"


async def test_probe__says_what_fails(tmp_path: Path) -> None:
    """The health is bad as long as the index cannot be written, and good again without a client's help."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        await store.flush()
        with locked(path), pytest.raises(StoreError):
            await store._upkeep.probe()
        before = store.healthy
        await store._upkeep.probe()

        assert [False, True] == [before, store.healthy]


def _uses(path: Path) -> list[str]:
    """The keys of blobs in the index, the longest unused first."""
    with closing(sqlite3.connect(path / "index" / "cache.db")) as connection:
        rows = connection.execute("SELECT key FROM Cache WHERE mode = 2 ORDER BY access_time").fetchall()
    return [key.removeprefix("b:") for (key,) in rows]


async def _use(store: DiskStore, body: bytes) -> None:
    assert store.blob(digest(body)) is not None
    store._upkeep.note()


async def test_note__in_order(tmp_path: Path) -> None:
    """The order of use gets into the index while the program runs; while that is locked it waits in memory."""
    path = tmp_path / "data"
    async with opened(path) as store:
        for key in ("a", "b", "c"):
            await keep(store, key, key.encode())
        await _use(store, b"a")
        await store.flush()
        assert [str(digest(body)) for body in (b"b", b"c", b"a")] == _uses(path)
        store._backlog.stuck = True
        await _use(store, b"b")
        store._backlog.stuck = False
        await store.flush()

    assert [str(digest(body)) for body in (b"c", b"a", b"b")] == _uses(path)


async def test_look_at_disk__as_the_file_system_says(tmp_path: Path) -> None:
    """What is free and how long nothing was used is told from the start."""
    events: list[Event] = []
    async with opened(tmp_path / "data", events=events) as store:
        before = [event for event in events if isinstance(event, DiskMeasured)]
        await keep(store, "a", b"body")
        await store._upkeep.look_at_disk()
    measured = [event for event in events if isinstance(event, DiskMeasured)]

    assert [None] == [one.longest_unused for one in before]
    assert 0 < (measured[-1].free or 0) < (measured[-1].size or 0)
    assert measured[-1].longest_unused is not None
