"""Blobs' files go, and those that the disk does not let go are not told as gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.storage.deletion import delete, undeletable
from tests.storage.disk import digest, entry, file_of, fixed, keep, opened

_BODY = b"body"


@contextmanager
def _busy(file: Path) -> Generator[None]:
    """Have a file stay though its folder may be changed: something is mounted on it."""
    command = ["mount", "--bind", str(file), str(file)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs the rights of root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(file)], check=True)


def test_delete__what_is_there(tmp_path: Path) -> None:
    """Files go with their folders, if those are empty; what is not there is no failure."""
    for name in ("ab/1", "ab/2", "cd/1", "ef/1"):
        _put(tmp_path / name)
    (tmp_path / "gh" / "1" / "below").mkdir(parents=True)
    _put(tmp_path / "ij")

    stay, reason = delete([tmp_path / name for name in ("ab/1", "cd/1", "gh/1", "zz/1", "ij/1")])

    assert ([], None) == (stay, reason)
    assert {"ab", "ef", "ij"} == {path.name for path in tmp_path.iterdir()}


def test_delete__what_stays(tmp_path: Path) -> None:
    """It is told which files stay, and why the first of them does; the others go."""
    for name in ("ab/1", "ab/2", "cd/1"):
        _put(tmp_path / name)
    names = [tmp_path / name for name in ("ab/1", "ab/2", "ab/3", "cd/1")]
    with fixed(tmp_path / "ab"):
        found, why = undeletable(names)
        stay, reason = delete(names)

    assert (set(names[:2]), names[:2]) == (found, stay)
    assert why is not None
    assert reason is not None
    assert (why.errno, why.strerror) == (reason.errno, reason.strerror)
    assert not (tmp_path / "cd").exists()
    assert (set(), None) == undeletable(names)


async def test_delete__file_that_seemed_to_go(tmp_path: Path) -> None:
    """Where its folder does not tell, the file stays a blob without addresses, also after a restart."""
    async with opened(tmp_path) as store:
        await keep(store, "a", _BODY)
        await store.flush()
        with _busy(file_of(tmp_path, _BODY)):
            removal = await store.inventory.remove([digest(_BODY).value])

        assert (0, frozenset([digest(_BODY).value])) == (removal.freed, removal.left.blobs)
        assert (1, len(_BODY)) == store.inventory.total
        assert store.find("a") is None
        assert await store.save(entry("b", _BODY))
        blob = store.blob(digest(_BODY))
        assert blob is not None
        with store.lease(blob) as descriptor:
            assert _BODY == os.pread(descriptor, 100, 0)
    async with opened(tmp_path) as store:
        assert ["b"] == list(store.keys(""))


async def test_drop__damaged_file_that_stays(tmp_path: Path) -> None:
    """It is dropped all the same, and the health tells that the disk did not let it go."""
    async with opened(tmp_path) as store:
        await keep(store, "a", _BODY)
        await store.flush()
        with fixed(file_of(tmp_path, _BODY).parent):
            store._drop(next(iter(store._blobs)))
            await store.flush()
            assert not store.healthy

        assert (None, False) == (store.find("a"), store.has(digest(_BODY)))
        assert file_of(tmp_path, _BODY).exists()


def _put(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_BODY)
