"""Whether a file is what was stored."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.errors import BlobDamaged
from proxy.model import Blob
from proxy.storage.store import DiskStore
from proxy.storage.verification import has_digest, stamp_of
from tests import system
from tests.storage.disk import LARGE, adopt, digest, digests, entry, file_of, keep, opened, verify

BODY = b"the body that was stored"
LONG = b"x" * (5 << 20)


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"X")


async def _keep_large(store: DiskStore) -> Blob:
    """A large file that is stored."""
    await adopt(store, "large", LARGE)
    await store.save(entry("large", LARGE))
    blob = store.blob(digest(LARGE))
    assert blob is not None
    return blob


@pytest.mark.parametrize(
    ("body", "right"),
    [(LONG, True), (LONG[:-1], False), (LONG + b"x", False), (LONG[:-1] + b"y", False), (b"", False)],
)
def test_has_digest__content(tmp_path: Path, body: bytes, right: bool) -> None:
    """Only the very bytes will do."""
    path = tmp_path / "file"
    path.write_bytes(body)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert has_digest(descriptor, len(LONG), hashlib.sha256(LONG).hexdigest()) is right
    finally:
        os.close(descriptor)


def test_stamp_of__another_file_or_time(tmp_path: Path) -> None:
    """Another file has another stamp, even with the same times; so has a file that was touched and set back."""
    first, second = tmp_path / "first", tmp_path / "second"
    stamps = []
    for path, time in ((first, 5), (second, 5), (first, 5)):
        path.touch()
        os.utime(path, ns=(time, time))
        stamps.append(stamp_of(path.stat()))

    assert len(set(stamps)) == 3


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
        blob = await _keep_large(store)
        _flip(file_of(path, LARGE))

        with pytest.raises(BlobDamaged), store.lease(blob):
            pass
        assert store.blob(digest(LARGE)) is None
        assert store.find("large") is None
        await verify(store, digest(LARGE))
        await store.flush()
        assert digests(store) == []
        assert not file_of(path, LARGE).exists()


async def test_adopt__in_place_of_a_doubtful_file(tmp_path: Path) -> None:
    """A download of a file that is in doubt takes its place."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await _keep_large(store)
        _flip(file_of(path, LARGE))
        with pytest.raises(BlobDamaged), store.lease(blob):
            pass

        await adopt(store, "large", LARGE)

        again = store.blob(digest(LARGE))
        assert again is not None
        with store.lease(again) as descriptor:
            assert os.pread(descriptor, len(LARGE), 0) == LARGE
        assert await verify(store, digest(LARGE)) is True


async def _put_all(store: DiskStore, _: str, body: bytes) -> None:
    assert not await store.put_all([(digest(body).value, body)])


@pytest.mark.parametrize("bring", [adopt, _put_all])
@pytest.mark.parametrize("failure", ["the disk", "the index"])
async def test_adopt__doubtful_file_and_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bring: Callable[..., Awaitable[None]], failure: str
) -> None:
    """Where nothing takes its place, it stays with what names it, and is checked."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await _keep_large(store)
        await store.flush()
        os.utime(file_of(path, LARGE))
        gate = threading.Event()
        held = [store._threads._hashing.submit(gate.wait) for _ in range(2)]
        with pytest.raises(BlobDamaged), store.lease(blob):
            pass
        with monkeypatch.context() as patch:
            if failure == "the disk":
                for call in ("replace", "rename"):
                    patch.setattr(os, call, _failing)
            else:
                patch.setattr(store._backlog, "_most", 0)
            await bring(store, "large", LARGE)
        gate.set()
        await asyncio.gather(*map(asyncio.wrap_future, held))

        while not store.has(digest(LARGE)):
            await asyncio.sleep(0.01)
        assert store.find("large") == entry("large", LARGE)


@pytest.mark.parametrize("pause", range(12))
async def test_stop__while_a_file_is_checked(tmp_path: Path, pause: int) -> None:
    """Closing the store ends a check at whatever point: nothing stays open, and the file is not dropped for it."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await _keep_large(store)
        store.recheck(blob)
        for _ in range(pause):
            await asyncio.sleep(0)
            await store._threads.files(int)
    async with opened(path) as store:
        assert store.find("large") == entry("large", LARGE)
        assert store.blob(digest(LARGE)) is not None


async def test_verify__without_descriptors(tmp_path: Path) -> None:
    """A file that this process cannot open now is not dropped for it."""
    async with opened(tmp_path / "data") as store:
        blob = await _keep_large(store)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        try:
            assert await verify(store, blob.digest) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)

        assert store.find("large") == entry("large", LARGE)
        assert await verify(store, blob.digest) is True


async def test_verify__disk_that_does_not_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is right is not dropped when the disk fails to sync it; no new stamp is believed."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await _keep_large(store)
        os.utime(file_of(path, LARGE))
        with pytest.raises(BlobDamaged), store.lease(blob):
            pass
        with monkeypatch.context() as disk:
            disk.setattr(os, system.SYNC, _failing)
            assert await verify(store, blob.digest) is None
        assert store.find("large") is None

        assert await verify(store, blob.digest) is True
        assert store.find("large") == entry("large", LARGE)


async def test_verify__close_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late_close: Callable[[int], None]
) -> None:
    """A network disk may report late, when a file is closed: checks in the background go on."""
    async with opened(tmp_path / "data") as store:
        blob = await _keep_large(store)
        with monkeypatch.context() as disk:
            disk.setattr(os, "close", late_close)
            assert await verify(store, blob.digest) is True


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["short", "long"])
async def test_verify__folder_that_is_away(tmp_path: Path, body: bytes) -> None:
    """Where nothing can be read, nobody knows of a file whether it is right, and it stays."""
    path, aside = tmp_path / "data", tmp_path / "aside"
    async with opened(path) as store:
        known = await keep(store, "a", body)
        path.rename(aside)
        path.mkdir()
        assert await verify(store, known.digest) is None
        path.rmdir()
        aside.rename(path)

        assert known == store.find("a")
        assert await verify(store, known.digest) is True


@pytest.mark.parametrize(("times", "right"), [(1, True), (9, False)], ids=["once", "always"])
async def test_verify__file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, right: bool
) -> None:
    """It is tried again, since others can be read, and dropped if it still cannot be."""
    path = tmp_path / "data"
    async with opened(path) as store:
        known = await keep(store, "a", LARGE)
        left, read = times, os.pread
        sector = file_of(path, LARGE).stat()

        def failing(descriptor: int, count: int, offset: int) -> bytes:
            nonlocal left
            if left and os.path.samestat(os.fstat(descriptor), sector):
                left -= 1
                raise OSError(errno.EIO, "Input/output error")
            return read(descriptor, count, offset)

        with monkeypatch.context() as disk:
            disk.setattr(os, "pread", failing)
            assert await verify(store, known.digest) is right
        assert store.has(known.digest) is right


def _failing(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")
