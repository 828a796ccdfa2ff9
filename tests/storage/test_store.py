"""The store on disk: what survives a restart, and what becomes of damage, full disks and jumping clocks."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from proxy.errors import BlobDamaged, StoreBroken, StoreError
from proxy.events import Event, Stored
from proxy.model import Digest, Validator
from proxy.ports import SpoolState
from proxy.storage.store import DiskStore
from tests.storage.disk import adopt, digest, digests, entry, file_of, keep, opened, verify

BODY = b"the body that was stored"


async def test_open__after_a_restart(tmp_path: Path) -> None:
    """Everything is there again, and reported."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", BODY)
        await adopt(store, "b", b"adopted")
    events: list[Event] = []

    async with opened(path, events=events) as store:
        assert store.find("a") == entry("a", BODY)
        assert {digest(BODY), digest(b"adopted")} == set(digests(store))
        assert events[0] == Stored(len(BODY) + len(b"adopted"), 2)
        for body in (BODY, b"adopted"):
            blob = store.blob(digest(body))
            assert blob is not None
            with store.lease(blob) as descriptor:
                assert os.pread(descriptor, 100, 0) == body


async def test_open__reads_no_file(tmp_path: Path) -> None:
    """The start trusts the rows: with all files gone it knows of all blobs, until they are opened."""
    path = tmp_path / "data"
    bodies = [bytes([number]) for number in range(50)]
    async with opened(path) as store:
        for body in bodies:
            await store.put(body)
    shutil.rmtree(path / "index" / "sha256")

    async with opened(path) as store:
        assert [digest(body) for body in bodies] == digests(store)
        blob = store.blob(digest(bodies[0]))
        assert blob is not None
        with pytest.raises(BlobDamaged), store.lease(blob):
            pass


@pytest.mark.parametrize("ahead", [0.0, -86_400.0, 400 * 86_400.0])
async def test_open__order_of_use_survives(tmp_path: Path, ahead: float) -> None:
    """The order of use is the same after a restart, whatever the wall clock says by then."""
    path = tmp_path / "data"
    bodies = [bytes([number]) for number in range(5)]
    async with opened(path) as store:
        for body in bodies:
            await store.put(body)
        for number in (1, 0, 1, 3):
            store.blob(digest(bodies[number]))
    async with opened(path, ahead=ahead) as store:
        assert [digest(bodies[number]) for number in (2, 4, 0, 1, 3)] == digests(store)
        store.blob(digest(bodies[2]))
        await store.put(b"new")
    async with opened(path) as store:
        expected = [digest(bodies[number]) for number in (4, 0, 1, 3, 2)]
        assert [*expected, digest(b"new")] == digests(store)


async def test_open__bound_that_was_lowered(tmp_path: Path) -> None:
    """What is above it goes by itself, the longest unused first, also what is found without a row."""
    path = tmp_path / "data"
    bodies = [b"%d" % number for number in range(3000)]
    async with opened(path) as store:
        assert await store.put_all([(digest(body).value, body) for body in bodies])
        limit = store._blobs.footprint // 10
    limit += (path / "index" / "cache.db").stat().st_size + (1 << 20)
    for number in range(200):
        stray = file_of(path, b"stray %d" % number)
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"stray %d" % number)

    async with opened(path, limit) as store:
        await store._tasks.settled()
        there = [file_of(path, body).exists() for body in bodies]
        assert (False, True) == (there[0], there[-1])
        assert there == sorted(there)
        assert there == [store.has(digest(body)) for body in bodies]
        assert not any(file_of(path, b"stray %d" % number).exists() for number in range(200))
        assert store._space.ledger.excess(store._blobs.footprint) <= 0


async def test_open__folders_are_private(tmp_path: Path) -> None:
    """What is stored is for this user only."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await store.put(BODY)
        for folder in (path, path / "index", path / "spool", file_of(path, BODY).parent):
            assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE(file_of(path, BODY).stat().st_mode) & 0o077 == 0


async def test_open__in_use(tmp_path: Path) -> None:
    """A second store on the same folder is refused, saying who has it; afterwards it may be had."""
    async with opened(tmp_path / "data"):
        with pytest.raises(StoreBroken, match=f"in use by process {os.getpid()}"):
            async with opened(tmp_path / "data"):
                pass
    async with opened(tmp_path / "data"):
        pass


async def test_open__later_format(tmp_path: Path) -> None:
    """A folder of a later version is left alone, and the message says so."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", BODY)
    (path / "format").write_text("2\n")

    with pytest.raises(StoreBroken, match="later version"):
        async with opened(path):
            pass
    assert (path / "format").read_text() == "2\n"
    (path / "format").write_text("1\n")
    async with opened(path) as store:
        assert store.find("a") == entry("a", BODY)


async def test_spool__resumed_after_a_restart(tmp_path: Path) -> None:
    """A download goes on where the last run left it, and what it left counts against the bound meanwhile."""
    path = tmp_path / "data"
    async with opened(path) as store:
        spool = await store.spool("whl", 100_000)
        await spool.checkpoint(SpoolState(100_000, Validator('"1"'), ()))
        await spool.write(0, [b"x" * 50_000])
        await spool.close(keep=True)

    async with opened(path) as store:
        assert store._space.ledger.left_over >= 50_000
        spool = await store.spool("whl", 100_000)
        assert store._space.ledger.left_over == 0
        assert spool.state is not None
        assert spool.state.extents == ((0, 50_000),)
        await spool.write(50_000, [b"y" * 50_000])
        body = b"x" * 50_000 + b"y" * 50_000
        await store.adopt(spool, digest(body), len(body))
    assert list((path / "spool").iterdir()) == []


async def _leave(store: DiskStore) -> int:
    """A download that broke off in the middle; gives its bytes on disk."""
    spool = await store.spool("whl", 100_000)
    await spool.checkpoint(SpoolState(100_000, Validator('"1"'), ()))
    await spool.write(0, [b"x" * 50_000])
    await spool.close(keep=True)
    return store._space.ledger.left_over


async def test_spool__while_what_was_left_is_being_deleted(tmp_path: Path) -> None:
    """It begins when that is over: its own file is not deleted."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await _leave(store)
        gate = threading.Event()
        held = [store._threads.submit(gate.wait) for _ in range(3)]
        removing = asyncio.create_task(store.inventory.remove_broken_off())
        opening = asyncio.create_task(store.spool("whl", len(BODY)))
        spool, _ = await asyncio.gather(opening, removing)
        gate.set()
        await asyncio.gather(*map(asyncio.wrap_future, held))
        assert spool.state is None
        await spool.write(0, [BODY])

        assert await store.adopt(spool, digest(BODY), len(BODY)) is not None


async def test_spool__cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier download left stays where it is, and counts."""
    path = tmp_path / "data"
    async with opened(path) as store:
        left = await _leave(store)

        def fail(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", fail)
            with pytest.raises(StoreBroken):
                await store.spool("whl", 100_000)
        assert (left, 0) == (store._space.ledger.left_over, store._space.ledger.reserved)
        spool = await store.spool("whl", 100_000)
        assert spool.state is not None
        await spool.close(keep=False)


async def test_adopt__caller_is_cancelled(tmp_path: Path) -> None:
    """An adoption that was begun is finished, though nobody waits for it."""
    path = tmp_path / "data"
    async with opened(path) as store:
        spool = await store.spool("whl", len(BODY))
        await spool.write(0, [BODY])
        task = asyncio.create_task(store.adopt(spool, digest(BODY), len(BODY)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with opened(path) as store:
        assert digests(store) == [digest(BODY)]
    assert list((path / "spool").iterdir()) == []


async def test_adopt__bytes_are_missing(tmp_path: Path) -> None:
    """A file shorter than it should be is not stored, nor is anything of it."""
    path = tmp_path / "data"
    async with opened(path) as store:
        spool = await store.spool("whl", 100)
        await spool.write(0, [BODY])

        assert await store.adopt(spool, digest(BODY), 100) is None
        assert digests(store) == []
        assert list((path / "spool").iterdir()) == []
        assert store._space.ledger.reserved == 0


async def test_save__index_fails(tmp_path: Path) -> None:
    """A write that fails makes the health bad, and the next that succeeds makes it good again."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", BODY)
        await store._threads.index(lambda: store._upkeep._index._sql("PRAGMA query_only = ON"))

        await store.save(entry("b", BODY))
        await store.forget("a")
        with pytest.raises(StoreError):
            await store._upkeep.probe()
        healthy = [store.healthy]
        assert (store.find("a"), store.find("b")) == (None, entry("b", BODY))
        assert list(store.keys("")) == ["b"]

        await store._threads.index(lambda: store._upkeep._index._sql("PRAGMA query_only = OFF"))
        await store._upkeep.probe()
        await store.flush()
        assert [*healthy, store.healthy] == [False, True]
    async with opened(path) as store:
        assert (store.find("a"), store.find("b")) == (None, entry("b", BODY))


async def test_save__entry_follows_its_blob(tmp_path: Path) -> None:
    """An entry whose blob was dropped stays gone, even when the same body is stored again, and after a restart."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", BODY)
        blob = store.blob(digest(BODY))
        assert blob is not None
        file_of(path, BODY).unlink()
        with pytest.raises(BlobDamaged), store.lease(blob):
            pass
        await keep(store, "b", BODY)
        assert store.find("a") is None
    async with opened(path) as store:
        assert store.find("a") is None
        assert store.find("b") == entry("b", BODY)


async def test_bound__holds_on_disk(tmp_path: Path) -> None:
    """The whole data folder, index and all, stays below the bound while much more than that goes through."""
    path = tmp_path / "data"
    limit = 6 << 20
    async with opened(path, limit) as store:
        for number in range(60):
            body = number.to_bytes(2, "big") * (150_000 + 5_000 * number)
            spool = await store.spool(f"file {number}", len(body))
            await spool.write(0, [body])
            await store.adopt(spool, digest(body), len(body))
            await store.save(entry(f"file {number}", body))
            used = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
            assert used <= limit
        assert len(digests(store)) >= 4
    async with opened(path, limit) as store:
        for known in digests(store):
            assert await verify(store, Digest("sha256", known.value))
