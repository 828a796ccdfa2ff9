"""The files of blobs: at the places that their digests say, without a row, and in the order in which they go."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from proxy import operating_system
from proxy.storage import blob_files
from proxy.storage.blob_files import DigestLocks, move, write
from proxy.storage.deletion import delete
from proxy.storage.verification import stamp_of
from proxy.storage.writing import write_all
from tests import system
from tests.memory_store import stored
from tests.storage.disk import LARGE, digest, digests, file_of, keep, locked, opened, verify


async def test_sweep__file_without_a_row(tmp_path: Path) -> None:
    """A file that a kill left between its renaming and its row is a blob again; anything else is left alone."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        for body in (b"left behind", LARGE):
            file_of(path, body).parent.mkdir(exist_ok=True)
            file_of(path, body).write_bytes(body)
        foreign = path / "index" / "sha256" / "notes.txt"
        foreign.write_text("mine")
        (path / "index" / "sha256" / "zz").mkdir()
        (file_of(path, b"body").parent / "short").write_text("mine")
        (file_of(path, b"body").parent / ("0" * 62)).mkdir()
        gate = threading.Event()
        held = [store._threads._hashing.submit(gate.wait) for _ in range(2)]

        await store.sweep()

        assert set(digests(store)) == {digest(b"body"), digest(b"left behind"), digest(LARGE)}
        assert digests(store)[-1] == digest(b"body")
        blob = store.blob(digest(b"left behind"))
        assert blob is not None
        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == b"left behind"
        assert store.blob(digest(LARGE)) is None
        gate.set()
        await asyncio.gather(*map(asyncio.wrap_future, held))
        assert await verify(store, digest(LARGE))
        assert store.blob(digest(LARGE)) is not None
        assert foreign.read_text() == "mine"
    async with opened(path) as store:
        assert store.blob(digest(LARGE)) is not None


async def test_sweep__long_file_behind_a_start(tmp_path: Path) -> None:
    """It is checked though nobody asks for it, and counts as stored then."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
    file_of(path, LARGE).parent.mkdir(exist_ok=True)
    file_of(path, LARGE).write_bytes(LARGE)
    async with opened(path) as store:
        while not store.has(digest(LARGE)):
            await asyncio.sleep(0.01)


async def test_sweep__file_that_is_being_deleted(tmp_path: Path) -> None:
    """A file that is there when names are read, and deleted before it is taken in, leaves no row and no blob."""
    async with opened(tmp_path / "data") as store:
        known = await keep(store, "a", b"body")
        await store.flush()
        gate = threading.Event()
        held = store._threads.submit_index(gate.wait)  # the deletion waits for its row
        try:
            store._drop(next(iter(store._blobs)))
            await store.sweep()
        finally:
            gate.set()
        await asyncio.wrap_future(held)
        await store.flush()

        assert digests(store) == []
        blob = await stored(store, b"body")
        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == b"body"
        assert known.digest == blob.digest


async def test_sweep__row_without_a_file(tmp_path: Path) -> None:
    """A blob whose file is gone is none any more, nor what named it; others stay."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"gone")
        there = await keep(store, "b", b"there")
        file_of(path, b"gone").unlink()

        await store.sweep()

        assert digests(store) == [there.digest]
        assert list(store.keys("")) == ["b"]
    async with opened(path) as store:
        assert (store.find("a"), store.find("b")) == (None, there)


async def test_sweep__few_names_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are looked at a few at a time, however their names and the blobs that are known are spread over them."""
    monkeypatch.setattr(blob_files, "_TOGETHER", 3)
    bodies = [str(number).encode() for number in range(40)]
    path = tmp_path / "data"
    async with opened(path) as store:
        for number, body in enumerate(bodies[:20]):
            await keep(store, str(number), body)
        for body in bodies[:10]:
            file_of(path, body).unlink()
        for body in bodies[20:]:
            file_of(path, body).parent.mkdir(exist_ok=True)
            file_of(path, body).write_bytes(body)

        await store.sweep()

        assert set(digests(store)) == {digest(body) for body in bodies[10:]}


async def test_sweep__two_at_once(tmp_path: Path) -> None:
    """Each ends when all is taken in, though two must not take in the same file: a start looks around by itself."""
    bodies = [str(number).encode() for number in range(300)]
    path = tmp_path / "data"
    async with opened(path) as store:
        for body in bodies:
            file_of(path, body).parent.mkdir(parents=True, exist_ok=True)
            file_of(path, body).write_bytes(body)

        async def missing_after_sweep() -> list[bytes]:
            await store.sweep()
            return [body for body in bodies if not store.has(digest(body))]

        assert not any(await asyncio.gather(missing_after_sweep(), missing_after_sweep()))


async def test_stop__in_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the program waits for the few folders that are being looked at, and for no others."""
    monkeypatch.setattr(blob_files, "_TOGETHER", 3)
    path = tmp_path / "data"
    strays = [str(number).encode() for number in range(300)]
    async with opened(path) as store:
        for body in strays:
            file_of(path, body).parent.mkdir(parents=True, exist_ok=True)
            file_of(path, body).write_bytes(body)
        await store.flush()
        gate = threading.Event()
        held = [store._threads.submit(gate.wait) for _ in range(4)]
        sweeps = [asyncio.create_task(store.sweep()) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(closing, *sweeps, *map(asyncio.wrap_future, held))

        assert 0 < len(digests(store)) < 100
    async with opened(path) as store:
        await store.sweep()
        assert set(map(digest, strays)) == set(digests(store))


async def test_put__proved_once_in_a_run_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short body is not fsynced, and yet not proved again after each start: only a power cut takes some of it."""
    path, boot = tmp_path / "data", tmp_path / "boot"
    monkeypatch.setattr(operating_system, "_BOOT_ID", boot)
    boot.write_text("one run", encoding="ascii")
    async with opened(path) as store:
        await keep(store, "a", b"body")
    right = stamp_of(file_of(path, b"body").stat())

    async def stamp(*, read: bool = False) -> str | None:
        async with opened(path) as store:
            _, found = store._blobs.peek(digest(b"body").value) or (0, "")
            blob = store.blob(digest(b"body"))
            assert blob is not None
            if read:
                with store.lease(blob) as descriptor:
                    assert os.pread(descriptor, 100, 0) == b"body"
            return found

    assert right == await stamp()
    boot.write_text("another run", encoding="ascii")
    assert [None, None, right] == [await stamp(), await stamp(read=True), await stamp()]


async def test_put__dropped_in_the_same_moment(tmp_path: Path) -> None:
    """A body that is stored again while its file is being deleted has its new file."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        for _ in range(20):
            store._drop(next(iter(store._blobs)))
            blob = await stored(store, b"body")
            await store.flush()
            with store.lease(blob) as descriptor:
                assert os.pread(descriptor, 100, 0) == b"body"


async def test_drop__row_before_file(tmp_path: Path) -> None:
    """The file stays until the row is gone: a kill in between leaves a file that is found again, not a row without."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        await store.flush()
        gate = threading.Event()
        held = store._threads.submit_index(gate.wait)
        store._drop(next(iter(store._blobs)))
        for _ in range(10):
            await store._threads.files(int)
        there = file_of(path, b"body").exists()
        gate.set()
        await asyncio.wrap_future(held)
        await store.flush()

        assert (True, False) == (there, file_of(path, b"body").exists())
        assert [] == digests(store)


async def test_drop__index_cannot_be_written(tmp_path: Path) -> None:
    """Where the index cannot be written the file goes all the same: its room is needed."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        await store.flush()
        with locked(path):
            store._drop(next(iter(store._blobs)))
            while file_of(path, b"body").exists():
                await asyncio.sleep(0.01)
            assert (None, None) == (store.find("a"), store.blob(digest(b"body")))
        store._backlog.try_again()
        await store.flush()
    async with opened(path) as store:
        assert (None, []) == (store.find("a"), digests(store))


async def test_drop__twice(tmp_path: Path) -> None:
    """Dropping what is gone does nothing."""
    async with opened(tmp_path / "data") as store:
        await keep(store, "a", b"body")
        record = next(iter(store._blobs))
        store._drop(record)
        store._drop(record)
        await keep(store, "b", b"body")
        store._drop(record)
        await store.flush()

        assert [digest(b"body")] == digests(store)


def _finished(tmp_path: Path, body: bytes = b"body") -> Path:
    path = tmp_path / f"finished-{threading.get_ident()}"
    path.write_bytes(body)
    return path


@pytest.mark.parametrize("there", ["nothing", "a file", "a folder", "a link", "a dead link"])
def test_move__whatever_is_there(tmp_path: Path, there: str) -> None:
    """A finished file is renamed, not copied, and takes the place of what is there."""
    target = tmp_path / "ab" / "cd"
    target.parent.mkdir()
    if there == "a file":
        target.write_bytes(b"old")
    elif there == "a folder":
        (target / "below").mkdir(parents=True)
    elif there != "nothing":
        target.symlink_to("/etc/hostname" if there == "a link" else "nowhere")
    path = _finished(tmp_path)
    inode = path.stat().st_ino

    stamp = move(path, target)

    assert (inode, b"body", stamp) == (target.lstat().st_ino, target.read_bytes(), stamp_of(target.lstat()))
    assert not path.exists()


def test_move__folder_goes_in_that_moment(tmp_path: Path) -> None:
    """A folder that goes with the last file in it is made again."""
    with ThreadPoolExecutor(1) as other:
        for number in range(300):
            first, second = tmp_path / "ab" / "1", tmp_path / "ab" / f"2{number}"
            move(_finished(tmp_path), first)
            deleting = other.submit(delete, [first])
            move(_finished(tmp_path), second)
            deleting.result()
            assert second.read_bytes() == b"body"
            delete([second])


@pytest.mark.parametrize("call", [system.WRITE_AT, system.SYNC, "replace", "open"])
def test_write__fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Whichever call fails, nothing is left."""

    def fail(*_: object) -> None:
        raise OSError(5, "no")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="no"):
            write(tmp_path / "new", partial(write_all, [b"body"]), tmp_path / "ab" / "cd", sync=True)

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_free__in_turn() -> None:
    """One at a time for each digest; others do not wait."""
    locks = DigestLocks()
    order: list[str] = []

    async def one(value: str) -> None:
        await locks.free(value)
        with locks.hold([value]):
            order.append(value)
            await asyncio.sleep(0)

    with locks.hold(["a", "b"]):
        waiting = [asyncio.create_task(one(value)) for value in ("a", "a", "c", "b")]
        for _ in range(5):
            await asyncio.sleep(0)
        assert (["c"], True, False) == (order, locks.held("a"), locks.held("c"))
    await asyncio.gather(*waiting)
    assert (["a", "a", "b", "c"], False) == (sorted(order), locks.held("a"))
