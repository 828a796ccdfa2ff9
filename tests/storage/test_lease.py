"""Opening stored files: whatever became of one, it is noticed."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import BlobDamaged, StoreBroken
from tests.memory_store import stored
from tests.storage.disk import adopt, digest, digests, file_of, keep, opened

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
