"""Files of blobs, at the places that their digests say."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.storage import places
from proxy.storage.places import Places
from proxy.storage.proof import stamp_of


def _finished(tmp_path: Path, body: bytes = b"body") -> Path:
    path = tmp_path / f"finished-{threading.get_ident()}"
    path.write_bytes(body)
    return path


@pytest.mark.parametrize("there", ["nothing", "a file", "a folder", "a link", "a dead link"])
def test_move__whatever_is_there(tmp_path: Path, there: str) -> None:
    """A finished file is renamed, not copied, and takes the place of what is there."""
    target = tmp_path / "ab" / "cd"
    target.parent.mkdir()
    if there == "a file":
        target.write_bytes(b"old")
    elif there == "a folder":
        (target / "below").mkdir(parents=True)
    elif there != "nothing":
        target.symlink_to("/etc/hostname" if there == "a link" else "nowhere")
    path = _finished(tmp_path)
    inode = path.stat().st_ino

    stamp = places.move(path, target)

    assert (inode, b"body", stamp) == (target.lstat().st_ino, target.read_bytes(), stamp_of(target.lstat()))
    assert not path.exists()


def test_move__folder_goes_in_that_moment(tmp_path: Path) -> None:
    """A folder that goes with the last file in it is made again."""
    with ThreadPoolExecutor(1) as other:
        for number in range(300):
            first, second = tmp_path / "ab" / "1", tmp_path / "ab" / f"2{number}"
            places.move(_finished(tmp_path), first)
            deleting = other.submit(places.delete, [first])
            places.move(_finished(tmp_path), second)
            deleting.result()
            assert second.read_bytes() == b"body"
            places.delete([second])


@pytest.mark.parametrize("call", ["write", "fdatasync", "replace", "open"])
def test_write__fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Whichever call fails, nothing is left."""

    def fail(*_: object) -> None:
        raise OSError(5, "no")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="no"):
            places.write(tmp_path / "new", b"body", tmp_path / "ab" / "cd", sync=True)

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_delete__what_is_there(tmp_path: Path) -> None:
    """Files go with their folders, if those are empty; what is not there is no failure."""
    for name in ("ab/1", "ab/2", "cd/1", "ef/1"):
        places.move(_finished(tmp_path), tmp_path / name)
    (tmp_path / "gh" / "1" / "below").mkdir(parents=True)

    places.delete([tmp_path / name for name in ("ab/1", "cd/1", "gh/1", "zz/1")])

    assert {"ab", "ef"} == {path.name for path in tmp_path.iterdir()}


async def test_free__in_turn() -> None:
    """One at a time for each digest; others do not wait."""
    turns = Places()
    release = turns.take(["a", "b"])
    order: list[str] = []

    async def one(value: str) -> None:
        await turns.free(value)
        done = turns.take([value])
        order.append(value)
        await asyncio.sleep(0)
        done()

    waiting = [asyncio.create_task(one(value)) for value in ("a", "a", "c", "b")]
    for _ in range(5):
        await asyncio.sleep(0)
    assert (["c"], True, False) == (order, turns.taken("a"), turns.taken("c"))
    release()
    await asyncio.gather(*waiting)
    assert (["a", "a", "b", "c"], False) == (sorted(order), turns.taken("a"))
