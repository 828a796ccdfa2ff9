"""The machine stops at any moment: writes that were not synced are lost, and the store is started on what is left."""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from proxy.errors import BlobDamaged
from proxy.model import Digest
from proxy.storage.store import DiskStore
from tests.storage import vfs
from tests.storage.disk import digest, digests, entry, keep, opened
from tests.storage.operations import (
    Closed,
    Create,
    MakeFolder,
    Operation,
    RemoveFolder,
    Rename,
    Stamp,
    Sync,
    Truncate,
    Unlink,
    Write,
)
from tests.storage.recording import BODIES, KEYS, LIMIT

ROOT = Path(__file__).parents[2]


class Loss(enum.Enum):
    """Which of the writes that were not synced are lost."""

    ALL = enum.auto()
    BODIES = enum.auto()  # all but those of the database; files have their length
    SOME = enum.auto()


class File:
    """A file as programs see it, and as it is on the disk for certain."""

    def __init__(self) -> None:
        self.content = b""
        self.synced = b""
        self.unsynced: list[tuple[int, Write | Truncate]] = []  # with their numbers
        self.stamp: str | None = None

    def change(self, number: int, operation: Write | Truncate) -> None:
        """Write to it."""
        self.content = _changed(self.content, operation)
        self.unsynced.append((number, operation))

    def sync(self) -> None:
        """Wait for the disk."""
        self.synced, self.unsynced = self.content, []

    def left(self, loss: Loss, *, database: bool) -> bytes:
        """What a power cut leaves."""
        match loss:
            case Loss.ALL:
                return self.synced
            case Loss.BODIES:
                size = len(self.content)
                return self.content if database else self.synced[:size].ljust(size, b"\0")
            case Loss.SOME:
                content = self.synced
                for number, operation in self.unsynced:
                    if number // 3 % 2:
                        content = _changed(content, operation)
                return content


def _changed(content: bytes, operation: Write | Truncate) -> bytes:
    if isinstance(operation, Truncate):
        return content[: operation.size].ljust(operation.size, b"\0")
    before = content[: operation.offset].ljust(operation.offset, b"\0")
    return before + operation.data + content[operation.offset + len(operation.data) :]


Contents = dict[str, tuple[bytes, str | None]]  # of files, by name, with their stamps


class Disk:
    """A folder and all below it. Names, unlike writes, come to the disk in order, and at once."""

    def __init__(self) -> None:
        self.files: dict[int, File] = {}
        self.names: dict[str, int] = {}
        self.folders: set[str] = set()
        self.closed: Closed | None = None

    def do(self, number: int, operation: Operation) -> None:
        """What was recorded."""
        match operation:
            case Create(path, file):
                self.files[file] = File()
                self.names[path] = file
            case Write(file) | Truncate(file):
                self.files[file].change(number, operation)
            case Sync(file):
                self.files[file].sync()
            case Rename(source, target):
                self.names[target] = self.names.pop(source)
            case Unlink(path):
                del self.names[path]
            case MakeFolder(path):
                self.folders.add(path)
            case RemoveFolder(path):
                self.folders.remove(path)
            case Stamp(file, stamp):
                self.files[file].stamp = stamp
            case Closed():
                self.closed = operation

    def left(self, loss: Loss) -> Contents:
        """What a power cut leaves of the files; nothing depends on what the lock's file says."""
        return {
            path: (self.files[file].left(loss, database="cache.db" in path), self.files[file].stamp)
            for path, file in self.names.items()
            if path != "lock"
        }


def states(operations: list[Operation]) -> Iterator[tuple[str, set[str], Contents, Closed | None]]:
    """What may be left by a power cut after each operation: folders, and files with their stamps; each state once."""
    disk, seen = Disk(), set[int]()
    for number, operation in enumerate(operations):
        disk.do(number, operation)
        # What may become of several writes is looked at when there was something else after them.
        for loss in [Loss.ALL] if isinstance(operation, Write) else Loss:
            left = disk.left(loss)
            state = hash((frozenset(left.items()), frozenset(disk.folders)))
            if state not in seen:
                seen.add(state)
                yield f"{number}, {loss.name}", disk.folders, left, disk.closed


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what is lost here is not lost by this machine."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


@pytest.fixture
def operations(folder: Path) -> list[Operation]:
    """What a store did."""
    if not hasattr(vfs.sqlite(), "sqlite3_vfs_register"):
        pytest.skip("this Python has its SQLite built in, without a way to it")
    (folder / "recorded").mkdir()
    output = folder / "operations"
    subprocess.run(
        [sys.executable, "-m", "tests.storage.recording", str(folder / "recorded"), str(output)], cwd=ROOT, check=True
    )
    return msgspec.msgpack.decode(output.read_bytes(), type=list[Operation])


@pytest.fixture
def stamps(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    """The files that look as they did before the power cut: by inode, the time of the last change and the inode."""
    stamps: dict[int, tuple[int, int]] = {}
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if status.st_ino not in stamps:
            return status
        changed, inode = stamps[status.st_ino]
        fields = (status.st_mode, inode, *status[2:])
        return os.stat_result(fields, {"st_ctime_ns": changed, "st_blocks": status.st_blocks})

    monkeypatch.setattr(os, "fstat", fstat)
    return stamps


def write_out(path: Path, folders: set[str], left: Contents, stamps: dict[int, tuple[int, int]]) -> None:
    """Make the folder that the power cut left."""
    stamps.clear()
    path.mkdir()
    for name in sorted(folders):
        (path / name).mkdir()
    for name, (content, stamp) in left.items():
        (path / name).write_bytes(content)
        if stamp is not None:
            changed, inode = stamp.split(":")
            stamps[(path / name).stat().st_ino] = int(changed), int(inode)


def read(store: DiskStore, known: Digest) -> bytes | None:
    """What a client gets of a blob; None where it cannot be had."""
    blob = store.blob(known)
    if blob is None:
        return None
    try:
        with store.lease(blob) as descriptor:
            return os.pread(descriptor, blob.size + 1, 0)
    except BlobDamaged:
        assert store.blob(known) is None
        return None


async def check(path: Path, closed: Closed | None) -> None:
    """The store opens. Whatever it finds is as it was stored, and what was synced is found. It stores what is new."""
    bodies = {digest(body): body for body in BODIES}
    async with opened(path, LIMIT) as store:
        for key in KEYS:
            known = store.find(key)
            if known is not None:
                assert known == entry(key, bodies[known.digest])
                body = read(store, known.digest)
                assert body in (None, bodies[known.digest]), f"{key} has other bytes"
                assert (store.find(key) is None) == (body is None)
        for blob in digests(store):
            assert read(store, blob) in (None, bodies[blob]), f"a blob has other bytes: {bodies[blob][:20]!r}"
        for key in closed.keys if closed is not None else ():
            assert store.find(key) is not None, f"{key} is lost"
        spool = await store.spool("whl", 100)
        assert spool.state is None
        await spool.close(keep=False)
        assert await keep(store, "new", b"new") == store.find("new")
        assert b"new" == read(store, digest(b"new"))
        assert store.healthy


@pytest.mark.timeout(300)
async def test_store__power_cut_after_every_operation(
    folder: Path, operations: list[Operation], stamps: dict[int, tuple[int, int]]
) -> None:
    """Whatever was not synced is lost: the store opens, finds what was synced, and serves no other bytes."""
    wrong: list[str] = []
    count = 0
    for name, folders, left, closed in states(operations):
        path = folder / "left"
        write_out(path, folders, left, stamps)
        try:
            await check(path, closed)
        except Exception as error:  # noqa: BLE001 all that is wrong is to be seen
            wrong.append(f"after {name}: {str(error) or repr(error)}"[:200])
        shutil.rmtree(path)
        count += 1

    assert [] == wrong
    assert count > 200


def test_recording__is_complete(folder: Path, operations: list[Operation]) -> None:
    """What was recorded makes the folder that the store left."""
    disk, left = Disk(), folder / "recorded"
    for number, operation in enumerate(operations):
        disk.do(number, operation)

    assert {name: disk.files[file].content for name, file in disk.names.items()} == {
        str(path.relative_to(left)): path.read_bytes() for path in left.rglob("*") if path.is_file()
    }
    assert disk.folders == {str(path.relative_to(left)) for path in left.rglob("*") if path.is_dir()}
