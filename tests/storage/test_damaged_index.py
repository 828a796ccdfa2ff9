"""Starting with a damaged index: blobs are found again by their names, entries are lost, nothing wrong is served."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from proxy.errors import BlobDamaged, StoreBroken
from proxy.storage.store import DiskStore
from tests.storage.disk import LARGE, adopt, digest, digests, entry, file_of, keep, opened, verify
from tests.storage.vfs import FailingVfs

SMALL = [b"body %d" % number for number in range(200)]


async def _fill(path: Path) -> None:
    async with opened(path) as store:
        for number, body in enumerate(SMALL):
            await keep(store, f"key {number}", body)
        await adopt(store, "large", LARGE)
        await store.save(entry("large", LARGE))


async def _check(store: DiskStore) -> None:
    """Whatever is still found is right, and every blob is."""
    for number, body in enumerate(SMALL):
        assert store.find(f"key {number}") in (None, entry(f"key {number}", body))
        blob = store.blob(digest(body))
        assert blob is not None
        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == body
    assert await verify(store, digest(LARGE))
    assert store.blob(digest(LARGE)) is not None
    assert {digest(body) for body in (*SMALL, LARGE)} == set(digests(store)) - {digest(b"new")}
    await keep(store, "new", b"new")
    assert store.find("new") == entry("new", b"new")


def _cut(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def _cut_into_page(database: Path) -> None:
    os.truncate(database, 5000)


def _empty(database: Path) -> None:
    os.truncate(database, 0)


def _remove(database: Path) -> None:
    database.unlink()


def _overwrite(database: Path) -> None:
    database.write_bytes(b"this is no database at all" * 1000)


def _flip_header(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(b"X")


def _flip_pages(database: Path) -> None:
    with database.open("r+b") as file:
        for page in range(1, database.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(64))


def _change_schema(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DROP TABLE Cache")
        connection.execute("CREATE TABLE Cache (key TEXT, body BLOB)")


@pytest.mark.parametrize(
    "harm", [_cut, _cut_into_page, _empty, _remove, _overwrite, _flip_header, _flip_pages, _change_schema]
)
async def test_open__damaged_database(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """The start takes in all files by their names; they are proved before they are served."""
    path = tmp_path / "data"
    await _fill(path)
    harm(path / "index" / "cache.db")

    async with opened(path) as store:
        await _check(store)
    async with opened(path) as store:
        await _check(store)
        assert store.find("new") == entry("new", b"new")


@pytest.mark.parametrize("page", range(1, 60, 4))
async def test_open__one_page_flipped(tmp_path: Path, page: int) -> None:
    """Whichever page is hit, the store starts, and never gives one address the body of another."""
    path = tmp_path / "data"
    await _fill(path)
    with (path / "index" / "cache.db").open("r+b") as file:
        file.seek(page * 4096 + 100)
        file.write(bytes(byte ^ 0x55 for byte in file.read(1)))
        file.seek(page * 4096 + 1500)
        old = file.read(40)
        file.seek(page * 4096 + 1500)
        file.write(bytes(byte ^ 0x01 for byte in old))

    async with opened(path) as store:
        await store.sweep()
        for number, body in enumerate(SMALL):
            known = store.find(f"key {number}")
            assert known is None or (known.key, known.digest) == (f"key {number}", digest(body))
            blob = store.blob(digest(body))
            if blob is not None:
                try:
                    with store.lease(blob) as descriptor:
                        assert os.pread(descriptor, 100, 0) == body
                except BlobDamaged:
                    assert store.blob(digest(body)) is None
            await keep(store, f"key {number}", body)
            assert store.find(f"key {number}") == entry(f"key {number}", body)
        await store.flush()
        assert store.healthy
    async with opened(path) as store:
        for number, body in enumerate(SMALL):
            assert store.find(f"key {number}") == entry(f"key {number}", body)


async def test_open__wrong_file_under_a_name(tmp_path: Path) -> None:
    """A file that is not what its name says is not served after the index was rebuilt."""
    path = tmp_path / "data"
    await _fill(path)
    file_of(path, SMALL[0]).write_bytes(SMALL[1])
    with file_of(path, LARGE).open("r+b") as file:
        file.write(b"wrong")
    (path / "index" / "cache.db").unlink()

    async with opened(path) as store:
        blob = store.blob(digest(SMALL[0]))
        assert blob is not None
        with pytest.raises(BlobDamaged), store.lease(blob):
            pass
        assert store.blob(digest(LARGE)) is None
        await verify(store, digest(LARGE))
        assert digest(LARGE) not in digests(store)


async def test_open__log_cut(tmp_path: Path) -> None:
    """A write-ahead log that lost its end: what it still holds is there, the rest is found by name."""
    path = tmp_path / "data"
    await _fill(path)
    copy = tmp_path / "copy"
    async with opened(path) as store:
        for number in range(20):
            await keep(store, f"later {number}", b"later %d" % number)
        log = (path / "index" / "cache.db-wal").read_bytes()
        (copy / "index").mkdir(parents=True)
        (copy / "index" / "cache.db").write_bytes((path / "index" / "cache.db").read_bytes())
        (copy / "index" / "cache.db-wal").write_bytes(log[: len(log) // 2 + 77])
        (path / "index" / "sha256").rename(copy / "index" / "sha256")

    async with opened(copy) as store:
        await store.sweep()
        for number in range(20):
            body = b"later %d" % number
            assert store.find(f"later {number}") in (None, entry(f"later {number}", body))
            blob = store.blob(digest(body))
            assert blob is not None
            with store.lease(blob) as descriptor:
                assert os.pread(descriptor, 100, 0) == body


async def test_open__database_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that has the database open for itself is named as the reason; nothing is thrown away."""
    monkeypatch.setattr("proxy.storage.examination._TIMEOUT", 0.0)
    path = tmp_path / "data"
    await _fill(path)
    with closing(sqlite3.connect(path / "index" / "cache.db", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBroken, match="locked by another process"):
            async with opened(path):
                pass
    async with opened(path) as store:
        assert store.find("key 0") == entry("key 0", SMALL[0])


async def test_find__row_of_another_key(tmp_path: Path) -> None:
    """A row whose text belongs to another address is no answer, and is removed."""
    path = tmp_path / "data"
    await _fill(path)
    with closing(sqlite3.connect(path / "index" / "cache.db", isolation_level=None)) as connection:
        connection.execute(
            "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'e:key 1') WHERE key = 'e:key 0'"
        )

    async with opened(path) as store:
        assert store.find("key 0") is None
        assert store.find("key 1") == entry("key 1", SMALL[1])
    async with opened(path) as store:
        assert "key 0" not in store.keys("key 0")


async def test_find__pickled_row(tmp_path: Path) -> None:
    """A row that holds a pickle is never loaded: it is removed."""
    path = tmp_path / "data"
    await _fill(path)
    touched = tmp_path / "touched"
    bomb = b"cpathlib\nPath\n(V%s\ntR." % str(touched).encode()
    with closing(sqlite3.connect(path / "index" / "cache.db", isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET value = ?, mode = 4 WHERE key = 'e:key 0'", (bomb,))
        connection.execute("UPDATE Cache SET raw = 0, key = ? WHERE key = 'e:key 1'", (bomb,))

    async with opened(path) as store:
        assert store.find("key 0") is None
        assert store.find("key 1") is None
        assert list(store.keys("key 0")) == []
    async with opened(path) as store:
        assert "key 0" not in store.keys("")


async def test_write__disk_that_fails_once(tmp_path: Path, failing_disk: FailingVfs) -> None:
    """A page that could not be read for a moment is no damage: all entries stay, and the change is written again."""
    path = tmp_path / "data"
    await _fill(path)
    async with opened(path) as store:
        await store._threads.index(lambda: store._upkeep._index._sql("PRAGMA shrink_memory"))
        failing_disk.reads = 1
        await keep(store, "new", b"new")
        await store.flush()

        assert 0 == failing_disk.reads
        assert not (path / "index" / "cache.db.damaged").exists()
        assert len(SMALL) + 2 == len(store.keys(""))
        assert store.healthy
    async with opened(path) as store:
        assert len(SMALL) + 2 == len(store.keys(""))
