"""Disks that are full or fail: what is there is served, what does not fit is not stored, and it passes by itself."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.errors import StoreBroken, StoreError, StoreFull
from proxy.model import Blob
from proxy.storage.store import DiskStore
from proxy.storage.verification import SYNCED_FROM
from tests import system
from tests.storage.disk import adopt, digest, digests, entry, keep, opened

MIB = 1 << 20
DOWNLOADED = b"downloaded" * (SYNCED_FROM // 10 + 1)  # long enough to be synced
DOWNLOADED = b"downloaded" * (SYNCED_FROM // 10 + 1)  # long enough to be synced


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of eight megabytes and 200 files."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=200", "none", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs the rights of root")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def _read(store: DiskStore, blob: Blob) -> bytes:
    with store.lease(blob) as descriptor:
        return os.pread(descriptor, blob.size + 1, 0)


async def test_spool__file_system_nearly_full(small_disk: Path) -> None:
    """Below a bound larger than the disk, blobs are evicted for what the file system lacks."""
    async with opened(small_disk / "data") as store:
        for number in range(20):
            body = bytes([number]) * MIB
            await adopt(store, f"file {number}", body)
        last = store.blob(digest(bytes([19]) * MIB))
        assert last is not None
        assert _read(store, last) == bytes([19]) * MIB
        assert store.healthy
        assert 1 < len(digests(store)) < 8


async def test_spool__others_fill_the_file_system(small_disk: Path) -> None:
    """Filled by somebody else: downloads are refused, hits go on, the health says so and recovers by itself."""
    ballast = small_disk / "ballast"
    async with opened(small_disk / "data") as store:
        await keep(store, "a", b"body")
        blob = store.blob(digest(b"body"))
        assert blob is not None
        with store.lease(blob):
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            ballast.write_bytes(bytes(free - 64 * 1024))
            with pytest.raises(StoreFull):
                await store.spool("whl", MIB)
            health = [store.healthy]
            assert _read(store, blob) == b"body"
            assert store.find("a") == entry("a", b"body")
        ballast.unlink()
        await store._upkeep.probe()
        assert [*health, store.healthy] == [False, True]
        await adopt(store, "whl", bytes(MIB))


async def test_write__file_system_full(small_disk: Path) -> None:
    """Filled in the middle of a download: the write says so, and what was there stays right."""
    ballast = small_disk / "ballast"
    async with opened(small_disk / "data") as store:
        await keep(store, "a", b"body")
        spool = await store.spool("whl", 4 * MIB)
        await spool.write(0, [b"1" * MIB])
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        ballast.write_bytes(bytes(free))
        with pytest.raises(StoreFull):
            await spool.write(MIB, [b"2" * MIB])
        health = [store.healthy]
        assert await spool.read(0, MIB) == b"1" * MIB
        await spool.close(keep=False)
        assert store.find("a") == entry("a", b"body")
        ballast.unlink()
        await store._upkeep.probe()
        assert [*health, store.healthy] == [False, True]
        assert store._space.ledger.reserved == 0


async def test_put__out_of_files(small_disk: Path) -> None:
    """A file system without a free inode takes a new file when old ones were evicted for it."""
    async with opened(small_disk / "data") as store:
        for number in range(400):
            await store.put(b"body %d" % number)
        last = store.blob(digest(b"body 399"))
        assert last is not None
        assert _read(store, last) == b"body 399"
        assert 20 < len(digests(store)) < 200


async def test_open__read_only(small_disk: Path) -> None:
    """A folder that cannot be written is refused at the start, in one line; it is not changed."""
    path = small_disk / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    with pytest.raises(StoreBroken, match=os.strerror(errno.EROFS)):
        async with opened(path):
            pass


async def test_write__file_size_limit(tmp_path: Path) -> None:
    """A limit on the size of files counts as a full disk."""

    class Limits(NamedTuple):
        soft: int
        hard: int

    limits = Limits(*resource.getrlimit(resource.RLIMIT_FSIZE))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with opened(tmp_path / "data") as store:
        spool = await store.spool("whl", 2 * MIB)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits.hard))
        try:
            with pytest.raises(StoreFull):
                await spool.write(0, [bytes(2 * MIB)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
        await spool.close(keep=False)


@pytest.mark.parametrize("call", [system.WRITE_AT, system.SYNC, "replace", "write", "open"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
async def test_download__every_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Whichever call of a download fails: nothing of it is stored, what was there is served, the next one succeeds."""
    path = tmp_path / "data"
    async with opened(path) as store:
        await keep(store, "a", b"body")
        blob = store.blob(digest(b"body"))
        assert blob is not None
        lease = store.lease(blob)

        def fail(*args: object) -> None:
            raise OSError(number, os.strerror(number))

        with lease as descriptor:
            with monkeypatch.context() as patch:
                patch.setattr(os, call, fail)
                assert not await downloaded(store, "whl", DOWNLOADED)
            assert os.pread(descriptor, 10, 0) == b"body"
        assert store.blob(digest(DOWNLOADED)) is None
        assert store._space.ledger.reserved == 0
        assert list((path / "spool").iterdir()) == [] or call == "open"

        await adopt(store, "whl", DOWNLOADED)
        again = store.blob(digest(DOWNLOADED))
        assert again is not None
        assert _read(store, again) == DOWNLOADED
    async with opened(path) as store:
        assert {digest(b"body"), digest(DOWNLOADED)} == set(digests(store))
        assert list((path / "spool").iterdir()) == []


async def downloaded(store: DiskStore, name: str, body: bytes) -> bool:
    """Whether a download is stored. A spool that fails before its adoption is closed by its owner."""
    try:
        spool = await store.spool(name, len(body))
    except StoreError:
        return False
    try:
        await spool.write(0, [body])
    except StoreError:
        await spool.close(keep=False)
        return False
    return await store.adopt(spool, digest(body), len(body)) is not None
