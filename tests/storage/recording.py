"""Records what a store does to its disk, in order: run by `test_power_cut.py` in a process of its own.

`python -m tests.storage.recording <folder> <file>` lets a store work in the folder and writes the operations into the
file: those of Python, whose functions of `os` are wrapped here, and those of SQLite, which `vfs` records.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from proxy import operating_system
from proxy.model import Validator
from proxy.ports import SpoolState
from proxy.storage.store import DiskStore
from tests.memory_store import stored
from tests.storage.disk import digest, entry, file_of, keep, opened
from tests.storage.operations import Closed, MakeFolder, Recorder, RemoveFolder, Sync, Truncate, Write
from tests.storage.vfs import RecordedVfs
from tests.system import path_of

CALLS = (
    *("open", "close", "write", "pwrite", "pwritev", "ftruncate", "fsync", "fdatasync"),
    *("replace", "unlink", "mkdir", "rmdir"),
)
LIMIT = 6 << 20
PAGES = [b"a page" * 200, b"its next version" * 200]
WHEEL = bytes(range(256)) * 4200
SHORT = bytes(range(255)) * 300  # of those that are not fsynced although they are a download
LONG = b"a long body" * 100_000  # of those that are fsynced although they come in one piece
OLD = bytes(1_200_000)
FOUND = b"restored from a backup" * 60_000
BODIES = [*PAGES, WHEEL, SHORT, LONG, OLD, FOUND, b"first", b"touched", b"during", b"later", b"small"]
KEYS = ["first", "page", "whl", "short", "long", "old", "touched", "during", "later", "small"]


class RecordedOs:
    """Records what is done by the functions of `os` that a store uses. Each method gets result and arguments."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._files: dict[int, int] = {}  # by descriptor
        for name in filter(partial(hasattr, os), CALLS):
            setattr(os, name, self._recorded(getattr(os, name), getattr(self, f"_{name}")))

    def _recorded(self, real: Callable[..., Any], record: Callable[..., None]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._recorder.lock:
                result = real(*args, **kwargs)
                record(result, *args)
                return result

        return call

    def _open(self, descriptor: int, path: Any, *_: Any) -> None:
        name = self._recorder.inside(path)
        if name is not None:
            self._files[descriptor] = self._recorder.opened(name)

    def _close(self, _: None, descriptor: int) -> None:
        self._files.pop(descriptor, None)

    def _write(self, written: int, descriptor: int, data: Any) -> None:
        if descriptor in self._files:
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            self._recorder.add(Write(self._files[descriptor], end - written, bytes(data[:written])))

    def _pwrite(self, written: int, descriptor: int, data: bytes, offset: int) -> None:
        self._pwritev(written, descriptor, [data], offset)

    def _pwritev(self, written: int, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
        if descriptor in self._files:
            self._recorder.add(Write(self._files[descriptor], offset, b"".join(buffers)[:written]))

    def _ftruncate(self, _: None, descriptor: int, size: int) -> None:
        if descriptor in self._files:
            self._recorder.add(Truncate(self._files[descriptor], size))

    def _fsync(self, _: None, descriptor: int) -> None:
        path = path_of(descriptor)
        name = self._recorder.inside(path)
        if name is not None:
            known = descriptor in self._files
            self._recorder.add(Sync(self._files[descriptor] if known else self._recorder.written(name, path)))

    _fdatasync = _fsync

    def _replace(self, _: None, source: Any, target: Any) -> None:
        before, after = self._recorder.inside(source), self._recorder.inside(target)
        if before is not None and after is not None:
            self._recorder.renamed(before, after)

    def _unlink(self, _: None, path: Any) -> None:
        name = self._recorder.inside(path)
        if name is not None:
            self._recorder.unlinked(name)

    def _mkdir(self, _: None, path: Any, *_mode: int) -> None:
        name = self._recorder.inside(path)
        if name is not None:
            self._recorder.add(MakeFolder(name))

    def _rmdir(self, _: None, path: Any) -> None:
        name = self._recorder.inside(path)
        if name is not None:
            self._recorder.add(RemoveFolder(name))


async def _download(store: DiskStore, name: str, body: bytes) -> None:
    """A download that breaks off and is resumed."""
    half = len(body) // 2
    spool = await store.spool(name, len(body))
    await spool.checkpoint(SpoolState(len(body), Validator('"1"'), ()))
    await spool.write(half, [body[half:]])
    await spool.close(keep=True)
    spool = await store.spool(name, len(body))
    await spool.write(0, [body[:half]])
    await store.adopt(spool, digest(body), len(body))
    await store.save(entry(name, body))


def _restored(path: Path, body: bytes) -> str:
    """Write a body into the folder as other programs do, without waiting for the disk. Gives the file's name."""
    file = file_of(path, body)
    file.parent.mkdir()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, body)
    os.close(descriptor)
    return os.path.relpath(file, path)


async def work(path: Path, recorder: Recorder) -> None:
    """Everything that a store does: in a new folder, then in that folder again."""
    async with opened(path, LIMIT) as store:
        await keep(store, "first", b"first")
        await keep(store, "page", PAGES[0])
        await store.flush()
        await keep(store, "page", PAGES[1])
        await _download(store, "whl", WHEEL)
        await _download(store, "short", SHORT)
        await keep(store, "long", LONG)
        await store.forget("first")
        await store.flush()
    recorder.add(Closed(["whl", "long"]))
    async with opened(path, LIMIT) as store:
        await keep(store, "touched", b"touched")
        file = file_of(path, b"touched")
        os.utime(file)
        recorder.touched(os.path.relpath(file, path))
        assert await store._verifier.verify(digest(b"touched").value)
        await store.flush()
        await keep(store, "old", OLD)
        recorder.touched(_restored(path, FOUND))
        await store.sweep()
        with store.lease(await stored(store, FOUND)):
            pass
        await store.flush()
        recorder.add(Closed([]))
        with sqlite3.connect(path / "index" / "cache.db", isolation_level=None) as other:
            other.execute("DROP TABLE Cache")
        other.close()
        assert store.find("unknown") is None  # that the index is corrupt is noticed now, and it is rebuilt
        await keep(store, "during", b"during")
        await store.flush()
        await keep(store, "later", b"later")
        for number in range(3):  # evicts the oldest
            spool = await store.spool(f"{number}", 2_000_000)
            await spool.close(keep=False)
            await store.flush()
        await keep(store, "small", b"small")
    recorder.add(Closed(["old"]))


def main(folder: Path, output: Path) -> None:
    """Let a store work in `folder`, and write what it did."""
    boot = output.with_suffix(".boot")
    boot.write_text("an earlier run of the machine", encoding="ascii")
    operating_system._BOOT_ID = boot
    recorder = Recorder(folder)
    RecordedOs(recorder)
    RecordedVfs(recorder)
    asyncio.run(work(folder, recorder))
    output.write_bytes(msgspec.msgpack.encode(recorder.operations))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
