"""A start on a disk that cannot be used now, or not at all."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.errors import BlobDamaged, StoreError, StoreRefused
from proxy.model import Blob, Validator
from proxy.ports import SpoolState
from proxy.storage.opening import PendingStore, open_store
from tests.storage.disk import PLENTY, FixedClock, adopt, digest, entry, keep, locked, opened, usable

BODY = b"body"


@asynccontextmanager
async def started(path: Path) -> AsyncGenerator[PendingStore]:
    """A store that is late, closed at the end."""
    store = await open_store(path, PLENTY, lambda _: None, FixedClock())
    try:
        assert isinstance(store, PendingStore)
        yield store
    finally:
        await store.close()


async def _refuses(store: PendingStore) -> None:
    """Nothing is stored, nothing is found, and nothing else happens."""
    assert await store.put(BODY) is None
    with pytest.raises(StoreError):
        await store.spool("whl", 4)
    assert not await store.save(entry("a", BODY))
    await store.forget("a")
    assert (None, None, []) == (store.find("a"), store.blob(digest(BODY)), list(store.keys("")))
    with pytest.raises(BlobDamaged), store.lease(Blob(digest(BODY), 4, "nowhere")):
        pass
    assert not store.healthy


async def test_when_open__at_once_or_later(tmp_path: Path) -> None:
    """What waits for the real store gets it once: now, or as soon as it could be opened."""
    seen: list[object] = []

    async def note(store: object) -> None:
        seen.append(store)

    async with opened(tmp_path) as store:
        await store.when_open(note)
        assert [store] == seen
    with locked(tmp_path):
        late = await open_store(tmp_path, PLENTY, lambda _: None, FixedClock())
        assert isinstance(late, PendingStore)
        await late.when_open(note)
        assert 1 == len(seen)
    try:
        await usable(late)
        await late.when_open(note)
        assert [late.store, late.store] == seen[1:]
    finally:
        await late.close()


async def _keeps(store: PendingStore) -> None:
    """It is a store like any other."""
    await usable(store)
    inner = store.store
    assert inner is not None
    await adopt(inner, "whl", bytes(1000))
    spool = await store.spool("another", 4)
    await spool.write(0, [BODY])
    await store.adopt(spool, digest(BODY), 4)
    await store.put(b"page")
    await store.save(entry("page", b"page"))
    await store.save(entry("whl", bytes(1000)))
    await store.forget("whl")
    blob = store.blob(digest(BODY))
    assert blob is not None
    with store.lease(blob) as descriptor:
        assert os.pread(descriptor, 10, 0) == BODY
    assert (entry("page", b"page"), ["page"]) == (store.find("page"), list(store.keys("")))
    assert store.healthy


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("call", ["mkdir", "open", "replace"])
async def test_open_store__disk_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str, number: int
) -> None:
    """Whatever cannot be made: one line is logged, nothing is stored, and everything once the folder can be used."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with caplog.at_level(logging.INFO), monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        starting = started(tmp_path / "data")
        store = await starting.__aenter__()
        await _refuses(store)
        lines = list(caplog.records)
    await _keeps(store)
    await starting.__aexit__(None, None, None)

    assert ["ERROR"] == [line.levelname for line in lines]
    assert "data folder" in str(lines[0].__dict__["reason"])
    assert 2 == store.failures
    async with opened(tmp_path / "data") as again:
        assert again.find("page") == entry("page", b"page")


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN])
async def test_open_store__database_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """What keeps SQLite from making its files is over in a moment, too."""

    def fail(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("no")
        error.sqlite_errorcode = code
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", fail)
        starting = started(tmp_path / "data")
        store = await starting.__aenter__()
        await _refuses(store)
    await _keeps(store)
    await starting.__aexit__(None, None, None)


async def test_open_store__database_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A start while another process has the database locked serves past it, and finds all when the lock is gone."""
    monkeypatch.setattr("proxy.storage.examination._TIMEOUT", 0.0)
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "before", BODY)
    with locked(path):
        starting = started(path)
        late = await starting.__aenter__()
        assert (None, False) == (late.find("before"), late.healthy)
        assert "locked by another process" in str(caplog.records[-1].__dict__["reason"])
    await usable(late)
    assert late.find("before") == entry("before", BODY)
    await starting.__aexit__(None, None, None)


async def test_close__never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ends on a disk that never could be used ends at once."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", fail)
        async with started(tmp_path / "data") as store:
            await asyncio.sleep(0)
        assert store.store is None


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOLCK, errno.EMFILE])
async def test_open_store__only_a_person_can_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """What does not pass by itself ends the start."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(StoreRefused):
            await open_store(tmp_path / "data", PLENTY, lambda _: None, FixedClock())


async def test_open_store__file_in_its_place_or_in_use(tmp_path: Path) -> None:
    """So does a file where the folder is to be, and a folder that another process uses."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused, match="is a file and not a folder"):
        await open_store(tmp_path / "file", PLENTY, lambda _: None, FixedClock())
    async with opened(tmp_path / "data"):
        with pytest.raises(StoreRefused, match="in use by process"):
            await open_store(tmp_path / "data", PLENTY, lambda _: None, FixedClock())


@pytest.fixture
def tiny(tmp_path: Path) -> Generator[Path]:
    """A file system of four megabytes."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=200", "none", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs the rights of root")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))


async def test_open_store__really_full(tiny: Path) -> None:
    """A disk without a free block: past it, until there is room."""
    _fill(tiny / "ballast")
    async with started(tiny / "data") as store:
        await _refuses(store)
        (tiny / "ballast").unlink()
        await _keeps(store)


async def test_open_store__full_with_what_is_stored(tiny: Path) -> None:
    """What others filled does not make a restart forget what is stored: a few bodies give way to the database.

    None of them is pinned.
    """
    path = tiny / "data"
    bodies = [bytes([number]) * 100_000 for number in range(25)]
    async with opened(path) as store:
        for number, body in enumerate(bodies):
            await adopt(store, f"{number}", body)
            await store.save(entry(f"{number}", body))
        pinned = set(range(0, 20, 2))
        await store.inventory.pin(digest(bodies[number]).value for number in pinned)
    _fill(tiny / "ballast")

    again = await open_store(path, PLENTY, lambda _: None, FixedClock())
    assert not isinstance(again, PendingStore)
    try:
        await again.sweep()
        found = [number for number in range(25) if again.find(f"{number}") is not None]
        assert 5 < len(found) < 25
        assert pinned <= set(found)
        for number in found:
            blob = again.blob(digest(bodies[number]))
            assert blob is not None
            with again.lease(blob) as descriptor:
                assert os.pread(descriptor, 100_001, 0) == bodies[number]
    finally:
        await again.close()


@pytest.mark.parametrize("rubbish", [True, False])
async def test_open_store__full_with_what_downloads_left(tiny: Path, rubbish: bool) -> None:
    """What nobody can resume goes first, then downloads that broke off: no body goes while there is some of that."""
    path = tiny / "data"
    bodies = [bytes([number]) * 100_000 for number in range(10)]
    async with opened(path) as store:
        for number, body in enumerate(bodies):
            await adopt(store, f"{number}", body)
        spool = await store.spool("whl", 1_200_000)
        await spool.checkpoint(SpoolState(1_200_000, Validator('"1"'), ()))
        await spool.write(0, [bytes(1_200_000)])
        await spool.close(keep=True)
    if rubbish:
        (path / "spool" / "probe.tmp").write_bytes(bytes(1_200_000))
    _fill(tiny / "ballast")

    async with opened(path) as store:
        await store.sweep()
        assert all(store.has(digest(body)) for body in bodies)
        assert rubbish == bool(store.inventory.broken_off)
