"""Opening stored files: whatever became of one, it is noticed."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import BlobDamaged, StoreBroken
from tests.memory_store import stored
from tests.storage.disk import adopt, digest, digests, entry, file_of, keep, opened

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


async def test_lease__folder_that_is_away(tmp_path: Path) -> None:
    """A data folder whose disk is away for a moment counts as empty until it is there again, and loses nothing."""
    path, aside = tmp_path / "data", tmp_path / "aside"
    async with opened(path) as store:
        await keep(store, "a", BODY)
        blob = store.blob(digest(BODY))
        assert blob is not None
        path.rename(aside)
        path.mkdir()

        with pytest.raises(BlobDamaged, match="folder cannot be read"), store.lease(blob):
            pass
        assert (None, None, False) == (store.find("a"), store.blob(digest(BODY)), store.has(digest(BODY)))
        assert await store.put(BODY) is None
        await asyncio.sleep(0)
        well = store.healthy
        assert not well
        with pytest.raises(StoreBroken):
            await store._upkeep.probe()

        path.rmdir()
        aside.rename(path)
        await store._upkeep.probe()
        assert store.healthy
        assert entry("a", BODY) == store.find("a")
        with store.lease(blob) as descriptor:
            assert os.pread(descriptor, 100, 0) == BODY


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN])
@pytest.mark.parametrize("all_of_them", [True, False])
async def test_lease__error_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, all_of_them: bool
) -> None:
    """A file is dropped that cannot be read while others can be; in a thread as on the event loop."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await stored(store, BODY)
        refused, open_file = str(path if all_of_them else blob.path), os.open

        def failing(name: str | Path, flags: int, mode: int = 0o777) -> int:
            if str(name).startswith(refused):
                raise OSError(number, os.strerror(number))
            return open_file(name, flags, mode)

        def read() -> None:
            with store.lease(blob):
                pass

        with monkeypatch.context() as disk:
            disk.setattr(os, "open", failing)
            with pytest.raises(BlobDamaged):
                await asyncio.to_thread(read)
            assert store.blob(digest(BODY)) is None
        await store._upkeep.probe()
        assert (blob if all_of_them else None) == store.blob(digest(BODY))


async def test_lease__disk_that_comes_back_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that could not be read is tried again after another one could be: the first may have waited for long."""
    path = tmp_path / "data"
    async with opened(path) as store:
        blob = await stored(store, BODY)
        answers, open_file = [OSError(errno.ETIMEDOUT, "Connection timed out")], os.open

        def failing(name: str | Path, flags: int, mode: int = 0o777) -> int:
            if answers:
                raise answers.pop()
            return open_file(name, flags, mode)

        with monkeypatch.context() as disk:
            disk.setattr(os, "open", failing)
            with store.lease(blob) as descriptor:
                assert os.pread(descriptor, 100, 0) == BODY
        assert store.healthy


async def test_lease__close_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late_close: Callable[[int], None]
) -> None:
    """A network disk may report late, when a file is closed: it is no longer read all the same, and can be evicted."""
    async with opened(tmp_path / "data") as store:
        blob = await stored(store, BODY)
        spool = await store.spool("whl", len(BODY))
        await spool.write(0, [BODY])
        await store.adopt(spool, digest(BODY), len(BODY))
        for share in (store.lease(blob), spool.share()):
            with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"), share:
                patch.setattr(os, "close", late_close)

        assert 0 == store._blobs.leased
        assert [digest(BODY).value] == [sha256 for sha256, _ in store._blobs.evictable()]
