"""Many short bodies at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from proxy.storage.backlog import Adopted
from proxy.storage.blob_files import PART
from tests.storage.disk import PLENTY, digest, file_of, opened

_BODIES = [b"body %d" % number for number in range(300)]
_NAMED = [(digest(body).value, body) for body in _BODIES]


async def test_put_all__are_blobs(tmp_path: Path) -> None:
    """Also after a restart; nothing else is left in the folder."""
    async with opened(tmp_path) as store:
        assert await store.put_all(_NAMED)
        assert await store.put_all(_NAMED[:10])
        await store.put_all(_NAMED[:1])
        assert len(_BODIES) == len(store.inventory.blobs())
    async with opened(tmp_path) as store:
        for body in _BODIES:
            blob = store.blob(digest(body))
            assert blob is not None
            with store.lease(blob) as descriptor:
                assert body == os.read(descriptor, 100)
    assert len(_BODIES) == sum(path.is_file() for path in (tmp_path / "index" / "sha256").rglob("*"))
    assert [] == list((tmp_path / "spool").iterdir())


async def test_put_all__together_with_others(tmp_path: Path) -> None:
    """The same bodies from several sides, one of them alone."""
    async with opened(tmp_path) as store:
        done = await asyncio.gather(
            store.put_all(_NAMED), store.put_all(_NAMED[::-1]), *(store.put(body) for body in _BODIES[:20])
        )

        assert all(done)
        assert len(_BODIES) == len(store.inventory.blobs())


async def test_put_all__no_room(tmp_path: Path) -> None:
    """Nothing is stored of what does not fit below the bound."""
    async with opened(tmp_path, PLENTY // 1000) as store:
        assert not await store.put_all([(digest(body).value, body) for body in map(_long, range(3))])
        assert [] == store.inventory.blobs()


def _long(number: int) -> bytes:
    return bytes([number]) * (PLENTY // 2000)


async def test_put_all__disk_that_fails_on_the_way(tmp_path: Path) -> None:
    """What is at its place is a blob; the rest is not."""
    async with opened(tmp_path) as store:
        await store.put_all(_NAMED[:1])
        folder = tmp_path / "index" / "sha256" / _NAMED[5][0][:2]
        folder.write_bytes(b"no folder")

        assert not await store.put_all([one for one in _NAMED[1:7] if one[0][:2] != folder.name] + [_NAMED[5]])
        assert 6 >= len(store.inventory.blobs()) >= 2
        assert store.blob(digest(_BODIES[1])) is not None
        folder.unlink()
        assert await store.put_all(_NAMED)
        assert len(_BODIES) == len(store.inventory.blobs())


async def test_put_all__something_else_in_its_place(tmp_path: Path) -> None:
    """A folder, or what a kill left half written, makes way."""
    async with opened(tmp_path) as store:
        await store.put_all(_NAMED[:1])
        place = file_of(tmp_path, _BODIES[1])
        place.mkdir(parents=True)
        half = file_of(tmp_path, _BODIES[2])
        half.parent.mkdir(exist_ok=True)
        half.with_name(half.name + PART).write_bytes(b"half of a much longer body")

        assert await store.put_all(_NAMED[:3])
        assert [_BODIES[1], _BODIES[2]] == [file_of(tmp_path, body).read_bytes() for body in _BODIES[1:3]]


async def test_put_all__waits_for_the_index(tmp_path: Path) -> None:
    """Not more changes wait than half of what may."""
    async with opened(tmp_path) as store:
        for _ in range(6_000):
            store._backlog.add(Adopted((), fsynced=False))
        assert await store.put_all(_NAMED[:1])
        assert len(store._backlog._waiting) <= 5_000 + 1


async def test_sweep__what_a_kill_left_half_written(tmp_path: Path) -> None:
    """It goes when it is old; a young one may be under construction."""
    old, young = (tmp_path / "index" / "sha256" / "ab" / f"{mark * 62}{PART}" for mark in "01")
    async with opened(tmp_path) as store:
        old.parent.mkdir(parents=True)
        for path in (old, young):
            path.write_bytes(b"half")
        os.utime(old, (1e9, 1e9))
        await store.sweep()

        assert [young] == list(old.parent.iterdir())
