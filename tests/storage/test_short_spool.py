"""Short downloads, which are in memory until they are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy import operating_system
from proxy.errors import StoreBroken, StoreFull
from proxy.model import Validator
from proxy.ports import SpoolState
from proxy.storage.short_spool import Memory, ShortSpool
from proxy.storage.store import DiskStore
from tests.storage.disk import digest, file_of, opened

BODY = b"a short body"
SIZE = len(BODY)
STATE = SpoolState(SIZE, Validator('"1"'), ())

pytestmark = pytest.mark.skipif(operating_system.file_in_memory() is None, reason="this system has no files in memory")


async def begun(store: DiskStore, size: int = SIZE) -> ShortSpool:
    """A download that begins in memory."""
    spool = await store.spool("whl", size, brief=True)
    assert isinstance(spool, ShortSpool)
    return spool


async def test_adopt__first_time_on_disk(tmp_path: Path) -> None:
    """Nothing is on disk before the whole is; a reader that came early has all of it, one that comes late too."""
    data = tmp_path / "data"
    async with opened(data) as store:
        spool = await begun(store)
        await spool.write(0, [BODY[:5], BODY[5:]])
        assert [] == list((data / "spool").iterdir())
        with spool.share() as early:
            blob = await store.adopt(spool, digest(BODY), SIZE)
            assert blob is not None
            assert BODY == os.pread(early, 100, 0) == file_of(data, BODY).read_bytes()
        with spool.share() as late:
            assert BODY == os.pread(late, 100, 0)
        assert [] == list((data / "spool").iterdir())

    async with opened(data) as again:
        assert blob == again.blob(digest(BODY))


async def test_adopt__twice(tmp_path: Path) -> None:
    """Another download of the same bytes becomes the blob that is there."""
    async with opened(tmp_path / "data") as store:
        for _ in range(2):
            spool = await begun(store)
            await spool.write(0, [BODY])
            assert await store.adopt(spool, digest(BODY), SIZE) == store.blob(digest(BODY)) is not None


async def test_adopt__bytes_missing(tmp_path: Path) -> None:
    """A file that is shorter than its owner says becomes nothing."""
    async with opened(tmp_path / "data") as store:
        spool = await begun(store)
        await spool.write(0, [BODY[:5]])
        assert await store.adopt(spool, digest(BODY), SIZE) is None
        assert store.blob(digest(BODY)) is None


async def test_adopt__disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk does not take is served all the same, and nothing of it is left."""
    data = tmp_path / "data"

    def fail(*_: object) -> int:
        raise OSError(28, "full")

    async with opened(data) as store:
        spool = await begun(store)
        await spool.write(0, [BODY])
        with spool.share() as descriptor, monkeypatch.context() as patch:
            patch.setattr(operating_system, "send_file", fail)
            assert await store.adopt(spool, digest(BODY), SIZE) is None
            assert BODY == os.pread(descriptor, 100, 0)
        with pytest.raises(StoreBroken), spool.share():
            pass
        assert [] == [path for path in data.rglob("*") if path.is_file() and BODY == path.read_bytes()]
        await store.put(b"another")  # it works again


async def test_close__part_is_left(tmp_path: Path) -> None:
    """A part is on disk for whoever goes on with it, after a restart too; what nobody wants is nowhere."""
    data = tmp_path / "data"
    async with opened(data) as store:
        spool = await begun(store)
        await spool.checkpoint(STATE)
        await spool.write(0, [b"abc"])
        await spool.write(6, [b"def"])
        await spool.close(keep=True)
        assert [".journal", ".part"] == sorted(path.suffix for path in (data / "spool").iterdir())

    async with opened(data) as store:
        again = await store.spool("whl", SIZE, brief=True)
        assert SpoolState(SIZE, Validator('"1"'), ((0, 3), (6, 9))) == again.state
        assert await again.read(0, 100) == b"abc\0\0\0def"
        await again.close(keep=False)

        spool = await begun(store)
        await spool.write(0, [BODY])
        await spool.close(keep=False)
        assert [] == list((data / "spool").iterdir())


async def test_close__nothing_known(tmp_path: Path) -> None:
    """A part of which nobody knows to what it belongs is not left."""
    async with opened(tmp_path / "data") as store:
        spool = await begun(store)
        await spool.write(0, [BODY])
        await spool.close(keep=True)
        assert [] == list((tmp_path / "data" / "spool").iterdir())


async def test_write__longer_than_said(tmp_path: Path) -> None:
    """An index may say less than a file has: it is stored all the same."""
    body = os.urandom(3 << 20)
    async with opened(tmp_path / "data") as store:
        spool = await begun(store)
        for at in range(0, len(body), 1 << 20):
            await spool.write(at, [memoryview(body)[at : at + (1 << 20)]])
        assert await store.adopt(spool, digest(body), len(body)) is not None
        assert body == file_of(tmp_path / "data", body).read_bytes()


async def test_write_from__what_is_read(tmp_path: Path) -> None:
    """It is as if the same bytes were written, however few come at a time."""

    def read(buffer: memoryview, position: int) -> int:
        count = min(len(buffer), 5)
        buffer[:count] = BODY[position : position + count]
        return count

    async with opened(tmp_path / "data") as store:
        spool = await begun(store)
        await spool.write_from(0, SIZE, read)
        assert await spool.read(0, 100) == BODY
        await spool.close(keep=False)


async def test_spool__memory_is_bounded(tmp_path: Path) -> None:
    """What there is no memory for is on disk; memory is given back when nobody reads any more."""
    async with opened(tmp_path / "data", limit=1 << 30) as store:
        store._memory = memory = Memory(2 * SIZE)
        first, second = await begun(store), await store.spool("other", SIZE, brief=True)
        third = await store.spool("third", SIZE, brief=True)
        assert [True, True, False] == [first.in_memory, second.in_memory, third.in_memory]
        with pytest.raises(StoreFull):
            await first.write(0, [bytes(SIZE + 1)])
        with first.share():
            await first.close(keep=False)
            assert 2 * SIZE == memory.taken
        assert SIZE == memory.taken
        await second.close(keep=False)
        await third.close(keep=False)
        assert 0 == memory.taken


@pytest.mark.parametrize(("size", "brief"), [((1 << 20) + 1, True), (None, True), (SIZE, False)])
async def test_spool__not_in_memory(tmp_path: Path, size: int | None, brief: bool) -> None:
    """A file that is long, may be long, or has to survive a kill, is on disk."""
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", size, brief=brief)
        assert not spool.in_memory
        await spool.close(keep=False)


async def test_spool__no_files_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has none, or no descriptor for one, it is on disk, and no memory is counted."""
    async with opened(tmp_path / "data") as store:
        monkeypatch.setattr(operating_system, "file_in_memory", lambda: None)
        spool = await store.spool("whl", SIZE, brief=True)
        assert not spool.in_memory
        assert not store._memory.taken
        await spool.close(keep=False)


async def test_spool__reservation(tmp_path: Path) -> None:
    """Room on the disk is reserved at the start, and given back with the end, whatever that is."""
    async with opened(tmp_path / "data") as store:
        ledger = store._space.ledger
        for keep in (False, True):
            spool = await begun(store)
            assert ledger.reserved >= SIZE
            await spool.checkpoint(STATE)
            await spool.write(0, [BODY])
            await spool.close(keep=keep)
            await spool.close(keep=keep)
            assert not ledger.reserved
            with pytest.raises(RuntimeError):
                await spool.write(0, [b"x"])
