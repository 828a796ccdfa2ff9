"""One body on its way into the store."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

import pytest

from proxy.bundles.intake import SHORT, Intake, Sha256
from proxy.bundles.manifest import BadBundle
from proxy.bundles.tar_file import TarFile, nowhere
from proxy.cache.workers import Workers
from proxy.errors import StoreBroken, StoreFull
from proxy.model import Blob, Digest, Validator
from proxy.ports import SpoolState, Store
from tests.memory_store import MemoryStore
from tests.storage.disk import opened

_LONG = os.urandom(9 * SHORT + 17)
_FRONT = 1536  # bytes before it in a file


@pytest.fixture
async def hashing() -> AsyncIterator[Workers]:
    """Threads that hash."""
    workers = Workers("hashing", 2)
    yield workers
    await workers.close()


async def _take(store: MemoryStore, hashing: Workers, body: bytes, name: str | None = "a", step: int = 300_000) -> Blob:
    hashes = Sha256()
    intake = Intake(store, hashing, hashes, len(body), name)
    try:
        for start in range(0, len(body), step):
            await intake.write(memoryview(body)[start : start + step])
        await intake.end()
        return await intake.adopt(hashes.value)
    finally:
        await intake.close()


def _sha256(body: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("body", [b"", b"short", b"m" * 200_000, _LONG[:SHORT], _LONG[: SHORT + 1], _LONG])
async def test_intake__any_length(hashing: Workers, body: bytes) -> None:
    """A body of any length comes whole, under its sha256."""
    store = MemoryStore()

    blob = await _take(store, hashing, body)

    assert (_sha256(body), len(body)) == (blob.digest, blob.size)
    with store.lease(blob) as descriptor:
        assert body == os.pread(descriptor, len(body) + 1, 0)
    assert {} == store.spools


async def test_intake__hashed_only(hashing: Workers) -> None:
    """A body without a name is hashed, and not stored."""
    store, hashes = MemoryStore(limit=0), Sha256()
    intake = Intake(store, hashing, hashes, len(_LONG), None)

    await intake.write(memoryview(_LONG))
    await intake.end()
    await intake.close()

    assert not intake.kept
    assert _sha256(_LONG).value == hashes.value


async def test_intake__after_one_that_was_killed(hashing: Workers) -> None:
    """What an earlier run left of the same body is written anew."""
    store = MemoryStore()
    spool = await store.spool("a", len(_LONG))
    await spool.write(0, [b"wrong" * 1000])
    await spool.checkpoint(SpoolState(None, Validator(), ((0, 5000),)))
    await spool.close(keep=True)

    blob = await _take(store, hashing, _LONG)

    with store.lease(blob) as descriptor:
        assert _LONG == os.pread(descriptor, len(_LONG) + 1, 0)


async def test_intake__no_room(hashing: Workers) -> None:
    """A body that does not fit leaves nothing."""
    store = MemoryStore(limit=SHORT)

    with pytest.raises(StoreFull):
        await _take(store, hashing, _LONG)
    with pytest.raises(StoreBroken, match="takes no more"):
        await _take(MemoryStore(limit=1), hashing, b"short")

    assert {} == store.spools


async def test_intake__closed_in_the_middle(hashing: Workers) -> None:
    """What was not adopted is gone."""
    store = MemoryStore()
    intake = Intake(store, hashing, Sha256(), len(_LONG), "a")
    await intake.write(memoryview(_LONG)[: 5 * SHORT])

    await intake.close()
    await intake.close()

    assert {} == store.spools
    assert store.blob(_sha256(_LONG)) is None


async def _take_from_file(store: Store, hashing: Workers, tar: TarFile, size: int, name: str | None = "a") -> str:
    hashes = Sha256()
    intake = Intake(store, hashing, hashes, size, name)
    try:
        assert intake.take(tar.range, _FRONT)
        await intake.end()
        if intake.kept:
            await intake.adopt(hashes.value)
        return hashes.value
    finally:
        await intake.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IO[bytes]]:
    """A file that has the long body somewhere."""
    path = tmp_path / "tar"
    path.write_bytes(b"f" * _FRONT + _LONG + b"behind")
    with path.open("r+b") as opened_file:
        yield opened_file


async def test_take__of_a_file(hashing: Workers, file: IO[bytes], tmp_path: Path) -> None:
    """A long body is taken out of the file, and is whole under its sha256."""
    done = list[int]()
    async with opened(tmp_path / "data") as store:
        value = await _take_from_file(
            store, hashing, TarFile("tar", file.fileno(), lambda taken, _: done.append(taken)), len(_LONG)
        )

        assert _sha256(_LONG).value == value
        blob = store.blob(_sha256(_LONG))
        assert blob is not None
        with store.lease(blob) as descriptor:
            assert _LONG == os.pread(descriptor, len(_LONG) + 1, 0)
    assert sorted(done) == done
    assert len(_LONG) == done[-1]
    assert 1 < len(done)
    assert [] == [path for path in (tmp_path / "data" / "spool").iterdir() if path.suffix == ".part"]


async def test_take__hashed_only(hashing: Workers, file: IO[bytes]) -> None:
    """A body that is not stored is hashed where it lies."""
    store = MemoryStore(limit=0)

    assert _sha256(_LONG).value == await _take_from_file(
        store, hashing, TarFile("tar", file.fileno()), len(_LONG), None
    )


async def test_take__short_ones_come_in_pieces(hashing: Workers, file: IO[bytes]) -> None:
    """So does any body of what is no file."""
    short = Intake(MemoryStore(), hashing, Sha256(), SHORT, "a")
    long = Intake(MemoryStore(), hashing, Sha256(), SHORT + 1, "a")

    assert not short.take(TarFile("tar", file.fileno()).range, _FRONT)
    assert not long.take(nowhere, _FRONT)


@pytest.mark.parametrize("name", ["a", None])
async def test_take__file_becomes_shorter(hashing: Workers, file: IO[bytes], name: str | None) -> None:
    """A file that lost its end meanwhile is said to have, and nothing is left."""
    store, tar = MemoryStore(), TarFile("the.tar", file.fileno())
    os.ftruncate(file.fileno(), 6 * SHORT)

    with pytest.raises(BadBundle, match=r"the\.tar became shorter"):
        await _take_from_file(store, hashing, tar, len(_LONG), name)

    assert {} == store.spools


async def test_take__file_changes_meanwhile(hashing: Workers, file: IO[bytes], tmp_path: Path) -> None:
    """What is hashed is what the store has, whatever the file had before or after."""
    tar = TarFile("tar", file.fileno(), lambda _taken, _of: _overwrite(file.fileno()))
    async with opened(tmp_path / "data") as store:
        value = await _take_from_file(store, hashing, tar, len(_LONG))

        assert _sha256(_LONG).value != value
        blob = store.blob(Digest("sha256", value))
        assert blob is not None
        with store.lease(blob) as descriptor:
            assert value == hashlib.sha256(os.pread(descriptor, len(_LONG) + 1, 0)).hexdigest()


def _overwrite(descriptor: int) -> None:
    """As soon as a first part was copied."""
    os.pwrite(descriptor, bytes(len(_LONG)), _FRONT)


async def test_take__no_room(hashing: Workers, file: IO[bytes]) -> None:
    """A body that does not fit leaves nothing."""
    store = MemoryStore(limit=SHORT)

    with pytest.raises(StoreFull):
        await _take_from_file(store, hashing, TarFile("tar", file.fileno()), len(_LONG))

    assert {} == store.spools


async def test_take__interrupted(hashing: Workers, file: IO[bytes], tmp_path: Path) -> None:
    """When it is broken off half-way, nothing is left of it, and no thread writes on."""
    reached = asyncio.Event()
    tar = TarFile("tar", file.fileno(), lambda _done, _of: reached.set())
    async with opened(tmp_path / "data") as store:
        task = asyncio.create_task(_take_from_file(store, hashing, tar, len(_LONG)))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.blob(_sha256(_LONG)) is None
        assert [] == [path for path in (tmp_path / "data" / "spool").iterdir() if path.suffix == ".part"]
