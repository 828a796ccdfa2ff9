"""The store on disk: what survives a restart, and what becomes of damage, full disks and jumping clocks."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import BlobDamaged, StoreBroken, StoreError
from proxy.events import Event, Stored
from proxy.model import Digest, Validator
from proxy.ports import SpoolState
from tests.memory_store import stored
from tests.storage.disk import LARGE, adopt, digest, digests, entry, file_of, keep, opened, verify

BODY = b"the body that was stored"


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"X")


def _halve(path: Path) -> None:
    os.truncate(path, len(BODY) // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def _make_link(path: Path) -> None:
    aside = path.with_name("aside")
    path.rename(aside)
    path.symlink_to(aside)


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [_flip, _halve, _empty, _lengthen, Path.unlink, _make_folder, _make_link, _make_pipe])
async def test_lease__damaged_file(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Whatever became of the file: it is noticed, dropped with its entries, and can be stored again."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", BODY)
        blob = store.blob(digest(BODY))
        assert blob is not None
        harm(file_of(path, BODY))

        with pytest.raises(BlobDamaged), store.lease(blob):
            pass

        assert store.blob(digest(BODY)) is None
        assert store.find("a") is None
        await adopt(store, "again", BODY)
        again = store.blob(digest(BODY))
        assert again is not None
        with store.lease(again) as descriptor:
            assert os.pread(descriptor, 100, 0) == BODY
        assert store.healthy
    async with opened(path) as store:
        assert digests(store) == [digest(BODY)]
        assert store.find("a") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
async def test_lease__unreadable_file(tmp_path: Path) -> None:
    """A file that may not be read any more is as good as none."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await stored(store, BODY)
        file_of(path, BODY).chmod(0)

        with pytest.raises(BlobDamaged), store.lease(blob):
            pass
        assert store.blob(digest(BODY)) is None


async def test_lease__mode_changed_only(tmp_path: Path) -> None:
    """A file whose mode was changed and that can still be read is still right."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await stored(store, BODY)
        file_of(path, BODY).chmod(stat.S_IRUSR)

        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == BODY


async def test_lease__restored_backup(tmp_path: Path) -> None:
    """Files with other inodes and times are served once their digest was checked; large ones in the background."""
    path, moved = tmp_path / "data", tmp_path / "moved"
    async with opened(path) as store:
        await keep(store, "small", BODY)
        await adopt(store, "large", LARGE)
        await store.save(entry("large", LARGE))
    shutil.copytree(path, moved, copy_function=shutil.copyfile)

    async with opened(moved) as store:
        small = store.blob(digest(BODY))
        assert small is not None
        with store.lease(small) as descriptor:
            assert os.pread(descriptor, 100, 0) == BODY

        before = store.blob(digest(LARGE))
        assert before is not None
        with pytest.raises(BlobDamaged), store.lease(before):
            pass
        assert await verify(store, digest(LARGE))
        assert store.find("large") == entry("large", LARGE)
        after = store.blob(digest(LARGE))
        assert after is not None
        with store.lease(after) as descriptor:
            assert os.pread(descriptor, 10, 0) == LARGE[:10]


async def test_lease__large_file_damaged(tmp_path: Path) -> None:
    """A large file that was touched is not served until it was checked, and is dropped if it is wrong."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await adopt(store, "large", LARGE)
        await store.save(entry("large", LARGE))
        blob = store.blob(digest(LARGE))
        assert blob is not None
        _flip(file_of(path, LARGE))

        with pytest.raises(BlobDamaged), store.lease(blob):
            pass
        assert store.blob(digest(LARGE)) is None
        assert store.find("large") is None
        await verify(store, digest(LARGE))
        await store.settled()
        assert digests(store) == []
        assert not file_of(path, LARGE).exists()


async def test_adopt__in_place_of_a_doubtful_file(tmp_path: Path) -> None:
    """A download of a file that is in doubt takes its place."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await adopt(store, "large", LARGE)
        await store.save(entry("large", LARGE))
        blob = store.blob(digest(LARGE))
        assert blob is not None
        _flip(file_of(path, LARGE))
        with pytest.raises(BlobDamaged), store.lease(blob):
            pass

        await adopt(store, "large", LARGE)

        again = store.blob(digest(LARGE))
        assert again is not None
        with store.lease(again) as descriptor:
            assert os.pread(descriptor, len(LARGE), 0) == LARGE
        assert await verify(store, digest(LARGE)) is True


async def test_lease__in_a_thread(tmp_path: Path) -> None:
    """A damaged file that is noticed in a worker thread is dropped on the loop."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await stored(store, BODY)
        file_of(path, BODY).unlink()

        def read() -> None:
            with store.lease(blob):
                pass

        with pytest.raises(BlobDamaged):
            await asyncio.to_thread(read)
        assert store.blob(digest(BODY)) is None


async def test_lease__out_of_descriptors(tmp_path: Path) -> None:
    """That this process cannot open one more file says nothing against the file."""
    import resource  # noqa: PLC0415

    async with opened(tmp_path / "data") as store:
        blob = await stored(store, BODY)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            with pytest.raises(StoreBroken), store.lease(blob):
                pass
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == BODY


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


async def test_adopt__asker_goes_away(tmp_path: Path) -> None:
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
    """A file shorter than was said is not kept, nor is anything of it."""
    path = tmp_path / "data"
    async with opened(path) as store:
        spool = await store.spool("whl", 100)
        await spool.write(0, [BODY])

        assert await store.adopt(spool, digest(BODY), 100) is None
        assert digests(store) == []
        assert list((path / "spool").iterdir()) == []
        assert store._space.ledger.reserved == 0


async def test_save__index_fails(tmp_path: Path) -> None:
    """A write that fails is said, makes the health bad, and the next that succeeds makes it good again."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", BODY)
        await store._threads.index(lambda: store._index._sql("PRAGMA query_only = ON"))

        await store.save(entry("b", BODY))
        await store.forget("a")
        with pytest.raises(StoreError):
            await store.probe()
        healthy = [store.healthy]
        assert (store.find("a"), store.find("b")) == (None, entry("b", BODY))
        assert list(store.keys("")) == ["b"]

        await store._threads.index(lambda: store._index._sql("PRAGMA query_only = OFF"))
        await store.probe()
        await store.settled()
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
