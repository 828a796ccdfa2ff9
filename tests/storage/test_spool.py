"""Spool files on disk: who may close them and when, and what an earlier run left."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import StoreBroken, WrongUsage
from proxy.model import Validator
from proxy.ports import SpoolState
from proxy.storage import spool as spool_files
from proxy.storage.journal import Journal
from tests import system
from tests.storage.disk import digest, opened

WEEK = 7 * 24 * 3600
STATE = SpoolState(100, Validator('"1"'), ())


async def test_write__many_small_chunks(tmp_path: Path) -> None:
    """More chunks than one system call takes are written one after another."""
    chunks = [b"%05d" % number for number in range(3000)]
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", None)
        await spool.write(10, chunks)

        assert await spool.read(10, 20_000) == b"".join(chunks)
        await spool.close(keep=False)


async def test_write__views(tmp_path: Path) -> None:
    """Parts of a buffer are written as they are, without a copy."""
    buffer = memoryview(bytearray(b"0123456789"))
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", None)
        await spool.write(0, [buffer[5:], b"abc", buffer[:2]])

        assert await spool.read(0, 100) == b"56789abc01"
        await spool.close(keep=False)


async def test_write_from__what_is_read(tmp_path: Path) -> None:
    """It is as if the same bytes were written, also for a later owner, however few come at a time."""
    body = os.urandom(400_000)

    def read(buffer: memoryview, position: int) -> int:
        count = min(len(buffer), 70_000)
        buffer[:count] = body[position : position + count]
        return count

    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", len(body))
        await spool.checkpoint(STATE)
        await spool.write_from(3, 300_000, read)
        await spool.write_from(300_003, 99_000, read)
        await spool.close(keep=True)

        later = await store.spool("whl", 20)
        assert later.state is not None
        assert ((3, 399_003),) == later.state.extents
        assert body[3:399_003] == await later.read(3, len(body))
        await later.close(keep=False)


async def test_write_from__what_cannot_be_read(tmp_path: Path) -> None:
    """The reader's own error is raised, and none of it is the disk's; what was closed takes no more."""

    def read(_buffer: memoryview, _position: int) -> int:
        raise WrongUsage("not this one")

    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", 20)
        with pytest.raises(WrongUsage):
            await spool.write_from(0, 20, read)
        assert store.healthy
        await spool.close(keep=False)
        with pytest.raises(RuntimeError, match="closed"):
            await spool.write_from(0, 20, read)


async def test_write__short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes a few bytes at a time gets all of them."""
    write = os.pwrite

    def seven(descriptor: int, data: Sequence[bytes] | bytes, offset: int) -> int:
        whole = data if isinstance(data, bytes | memoryview) else b"".join(data)
        return write(descriptor, whole[:7], offset)

    monkeypatch.setattr(os, system.WRITE_AT, seven)
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", None)
        await spool.write(0, [b"0123456789", b"abcdefghij", b"x"])

        assert await spool.read(0, 100) == b"0123456789abcdefghijx"
        await spool.close(keep=False)


async def test_close__while_a_thread_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write whose task was cancelled goes on in its thread: the file is closed after it, and not before."""
    entered, go_on = threading.Event(), threading.Event()
    write = getattr(os, system.WRITE_AT)

    def slow(*arguments: Any) -> Any:
        entered.set()
        go_on.wait()
        return write(*arguments)

    async with opened(tmp_path / "data") as store:
        monkeypatch.setattr(os, system.WRITE_AT, slow)
        spool = await store.spool("whl", 100)
        await spool.checkpoint(STATE)
        writing = asyncio.create_task(spool.write(0, [b"body"]))
        await asyncio.to_thread(entered.wait)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        closing = asyncio.create_task(spool.close(keep=True))
        await asyncio.sleep(0)
        assert not closing.done()
        assert os.fstat(spool.fd).st_size == 0
        go_on.set()
        await closing

        again = await store.spool("whl", 100)
        assert again.state is not None
        assert again.state.extents == ((0, 4),)
        await again.close(keep=False)


async def test_share__keeps_the_blob_from_eviction(tmp_path: Path) -> None:
    """Who follows a download keeps its blob in use after the adoption."""
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", 4)
        await spool.write(0, [b"body"])
        with spool.share():
            await store.adopt(spool, digest(b"body"), 4)
            assert store._blobs.leased > 0
        assert store._blobs.leased == 0
        with spool.share():
            assert store._blobs.leased > 0
        assert store._blobs.leased == 0


async def test_adopt__journal_is_closed_before_it_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes a deleted file last frees its blocks: that is left to the thread, and not to the last reader."""
    open_journals: list[bool] = []
    delete = spool_files.delete

    def watched(folder: Path, names: Sequence[str]) -> None:
        open_journals.append(journal._descriptor >= 0)
        delete(folder, names)

    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", 4)
        assert isinstance(spool, spool_files.DiskSpool)
        journal = spool._journal
        with spool.share():
            await spool.write(0, [b"body"])
            monkeypatch.setattr(spool_files, "delete", watched)
            await store.adopt(spool, digest(b"body"), 4)

    assert [False] == open_journals


async def test_share__after_all_is_gone(tmp_path: Path) -> None:
    """A follower that comes after a download was given up gets an error."""
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", 4)
        await spool.close(keep=False)

        with pytest.raises(StoreBroken), spool.share():
            pass


async def test_close__twice(tmp_path: Path) -> None:
    """Closing a closed spool file does nothing."""
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", 4)
        await spool.close(keep=True)
        await spool.close(keep=False)
        assert store._space.ledger.reserved == 0


async def test_open__name_with_any_characters(tmp_path: Path) -> None:
    """A name is never a path."""
    async with opened(tmp_path / "data") as store:
        for name in ("../../escape", "/etc/passwd", "a\x00b", "\udcff", "x" * 5000):
            spool = await store.spool(name, 4)
            await spool.close(keep=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def _leave(folder: Path, name: str, boot: str = "boot", size: int = 5000) -> None:
    journal = Journal(folder / f"{name}.journal")
    journal.open()
    journal.begin(name, boot)
    journal.close()
    (folder / f"{name}.part").write_bytes(bytes(size))


def test_clear__keeps_what_can_be_resumed(tmp_path: Path) -> None:
    """Downloads of this run of the machine stay, the oldest first; other ones go, and nothing that is somebody's."""
    now = time.time()
    for age, name in ((10, "young"), (WEEK - 60, "older"), (WEEK + 60, "old"), (-1000, "future")):
        _leave(tmp_path, name)
        os.utime(tmp_path / f"{name}.journal", (now - age, now - age))
    _leave(tmp_path, "rebooted", boot="another")
    _leave(tmp_path, "empty", size=0)
    (tmp_path / "alone.part").write_bytes(b"x")
    (tmp_path / "alone too.journal").write_bytes(b"x")
    (tmp_path / "body.tmp").write_bytes(b"x")
    (tmp_path / "link.part").symlink_to(tmp_path / "young.part")
    (tmp_path / "link.journal").symlink_to(tmp_path / "young.journal")
    (tmp_path / "folder.part").mkdir()
    (tmp_path / "report.txt").write_bytes(b"x")

    resumable = spool_files.clear(tmp_path, now, "boot")

    assert [name for name, _ in resumable] == ["older", "young", "future"]
    assert all(size >= 5000 for _, size in resumable)
    expected = {f"{name}.{end}" for name in ("older", "young", "future") for end in ("part", "journal")}
    assert {path.name for path in tmp_path.iterdir()} == expected | {"folder.part", "report.txt"}


def test_delete__twice(tmp_path: Path) -> None:
    """What is gone already is no failure."""
    _leave(tmp_path, "whl")

    spool_files.delete(tmp_path, ["whl"])
    spool_files.delete(tmp_path, ["whl"])

    assert list(tmp_path.iterdir()) == []


def test_clear__file_that_goes_with_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On some file systems of macOS a file's companion `._x` goes with it: that is no reason not to start."""
    unlink = Path.unlink

    def all_of_them(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        for other in tmp_path.iterdir():
            unlink(other)

    for name in ("a.part", "._a.part"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr(Path, "unlink", all_of_them)

    assert [] == spool_files.clear(tmp_path, time.time(), "boot")
    assert [] == list(tmp_path.iterdir())
