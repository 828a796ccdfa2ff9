"""A file under construction: `ports.Spool` on a file of the spool folder, with a journal beside it.

Opened by the store. Descriptors stay open until the owner, every share and every piece of work in a thread are done
with them: a cancelled task leaves its thread writing, and the file must stay open until that ends. `clear` decides at
the start what of an earlier run can be resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from proxy import operating_system
from proxy.ports import SpoolState
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import Component
from proxy.storage.journal import Journal, begun_in, replay
from proxy.storage.record import Record
from proxy.storage.shared_file import SharedFile
from proxy.storage.space import Reservation, Space
from proxy.storage.threads import Threads
from proxy.storage.verification import SYNCED_FROM
from proxy.storage.writing import write_all

P = ParamSpec("P")
T = TypeVar("T")

_COPIED = 1 << 18  # bytes that are copied at once: what is read is written while the processor's cache has it
_OWN = frozenset({".part", ".journal", ".tmp"})  # the endings of the files that are made here
_RESUMABLE = 7 * 24 * 3600  # seconds after its last write for which a download is kept


def file_name(name: str) -> str:
    """What the files of the download `name` are called, before `.part` and `.journal`."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


class DiskSpool(SharedFile):
    """See `ports.Spool`. `part` is its file. Changed on the event loop; the count of users also in threads."""

    in_memory = False

    def __init__(self, folder: Path, name: str, threads: Threads, space: Space, ended: Callable[[], None]) -> None:
        """`ended` is called when the owner is done."""
        super().__init__()
        self.state: SpoolState | None = None
        self.stem = file_name(name)  # what its files are called, before their endings
        self._folder = folder
        self.reservation = Reservation(0)
        self._name = name.encode("utf-8", "backslashreplace").decode()  # JSON has no lone surrogates
        self._boot = ""
        self._threads = threads
        self._space = space
        self._ended = ended
        self._end = 0  # of the last byte written
        self._done = False  # the owner is
        self._running: set[Future[Any]] = set()

    # Worked out when they are used: a short file in memory has one of these for nothing, most of the time.

    @cached_property
    def part(self) -> Path:
        """The file."""
        return self._folder / f"{self.stem}.part"

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self._folder / f"{self.stem}.journal")

    async def open(self, boot: str) -> None:
        """Open or create the files. Raises StoreFull, StoreBroken; then nothing is open."""
        self._boot = boot
        try:
            await self._run(self._open)
        except BaseException:
            self._done = True
            self._finish()
            raise
        if self.state is not None:
            self._end = self.state.extents[-1][1] if self.state.extents else 0
            self._space.ledger.wrote(self.reservation, sum(end - start for start, end in self.state.extents))

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        self.fd = os.open(self.part, flags, 0o600)
        try:
            self._journal.open()
            self.state = replay(self._journal.read(), self._name, self._boot, os.fstat(self.fd).st_size)
            if self.state is None:
                self._restart()
        except BaseException:
            self._close()
            if self.state is None:
                with contextlib.suppress(OSError):
                    self._delete()
            raise

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        size = sum(map(len, chunks))
        await self._make_room(offset + size)
        await self._run(self._write, offset, chunks, size)
        self._wrote(size)

    async def _make_room(self, end: int) -> None:
        self._refuse_if_done()
        self._end = max(self._end, end)
        if self._end > self.reservation.size:
            await self._space.grow_ahead(self.reservation, self._end - self.reservation.size)

    def _wrote(self, size: int) -> None:
        self._threads.health.worked(Component.FILES)
        self._space.ledger.wrote(self.reservation, size)

    def _write(self, offset: int, chunks: Sequence[bytes | memoryview], size: int) -> None:
        write_all(chunks, self.fd, offset)
        self._journal.wrote(offset, offset + size)

    async def write_from(self, offset: int, size: int, read: Callable[[memoryview, int], int]) -> None:
        await self._make_room(offset + size)
        await self._run(self._write_from, offset, offset + size, read)
        self._wrote(size)

    def _write_from(self, offset: int, end: int, read: Callable[[memoryview, int], int]) -> None:
        buffer, position = memoryview(bytearray(min(_COPIED, end - offset))), offset
        while position < end:
            count = read(buffer[: end - position], position)
            write_all([buffer[:count]], self.fd, position)
            position += count
        self._journal.wrote(offset, end)

    async def read(self, offset: int, size: int) -> bytes:
        return await self._run(os.pread, self.fd, size, offset)

    async def checkpoint(self, state: SpoolState) -> None:
        self._refuse_if_done()
        await self._run(self._journal.state, state)

    async def restart(self) -> None:
        self._refuse_if_done()
        await self._idle()
        await self._run(self._restart)
        self.state, self._end = None, 0
        self._space.ledger.wrote(self.reservation, -self.reservation.written)

    def _restart(self) -> None:
        self._journal.begin(self._name, self._boot)
        os.ftruncate(self.fd, 0)

    async def close(self, *, keep: bool) -> None:
        if self._done:
            return
        self._done = True
        await self._idle()
        try:
            left = await self._threads.files(self._bytes_on_disk if keep else self._delete)
            if left:
                self._space.add_left_over(self.stem, left)
        finally:
            self._finish()

    def _bytes_on_disk(self) -> int:
        return _bytes_on_disk(os.fstat(self.fd))

    def _delete(self) -> int:
        # Here, and not where the last user lets go: to close a file that is deleted takes milliseconds. Both may be
        # under way at once, after a cancellation.
        with self._lock:
            self._journal.close()
        delete(self._folder, (self.stem,))
        return 0

    async def complete(self, size: int) -> None:
        """The owner is done, and the file has all its bytes: fsync it, unless it is short. Raises StoreError.

        A short file is proved by its digest once the machine has started anew, as short bodies are (`SYNCED_FROM`).
        """
        self._refuse_if_done()
        self._done = True
        await self._idle()
        run = self._threads.sync if size > SYNCED_FROM else self._threads.files
        await run(self._finish_file, size)

    def _finish_file(self, size: int) -> None:
        status = os.fstat(self.fd)
        if status.st_size < size:
            raise OSError(0, "a download lost bytes on disk")
        if status.st_size > size:  # an earlier version of the file was longer
            os.ftruncate(self.fd, size)
        if size > SYNCED_FROM:
            operating_system.sync_data(self.fd)

    async def adopted(self, blobs: Blobs, blob: tuple[Record, Path] | None) -> None:
        """What became of a complete file: nothing, or a blob, which stays leased while somebody reads it from here."""
        self._became(blobs, blob)
        try:
            await self._threads.files(self._delete)
        finally:
            self._finish()

    def abandon(self) -> None:
        """The owner is done, and the files were not opened."""
        if not self._done:
            self._done = True
            self._finish()

    def _finish(self) -> None:
        self._space.release(self.reservation)
        self._release()
        self._ended()

    def _refuse_if_done(self) -> None:
        if self._done:  # it may be a blob by now
            raise RuntimeError("this spool file was adopted or closed")

    async def _idle(self) -> None:
        """Wait for work in threads, also that of tasks that were cancelled."""
        running = [asyncio.wrap_future(future) for future in list(self._running)]
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._acquire():
            raise RuntimeError("this spool file is closed")
        future = self._threads.submit(work, *args, **kwargs)
        self._running.add(future)
        future.add_done_callback(self._ran)
        return await self._threads.outcome(future)

    def _ran(self, future: Future[Any]) -> None:
        self._running.discard(future)
        self._release()

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            self._journal.close()


# What follows is blocking work for a thread, and raises OSError.


def clear(folder: Path, now: float, boot: str) -> list[tuple[str, int]]:
    """Delete what an earlier run left and nobody can resume. Gives the rest, the oldest first: names, bytes on disk.

    `now` is wall time in seconds since the epoch, `boot` this run of the machine.
    """
    resumable: list[tuple[float, str, int]] = []
    files = {path.name: path.lstat() for path in folder.iterdir()}
    for name, status in files.items():
        path = folder / name
        journal = files.get(f"{path.stem}.journal")
        if path.suffix != ".part" or not stat.S_ISREG(status.st_mode) or not status.st_size or journal is None:
            continue
        if now - journal.st_mtime <= _RESUMABLE and begun_in(path.with_suffix(".journal"), boot):
            resumable.append((journal.st_mtime, path.stem, _bytes_on_disk(status)))
    resumable.sort()
    keep = {stem for _, stem, _ in resumable}
    for name, status in files.items():
        path = folder / name
        # This program makes no folders here, and no files of other names: they are somebody's.
        own = path.suffix in _OWN and not stat.S_ISDIR(status.st_mode)
        if own and not (path.stem in keep and path.suffix != ".tmp"):
            path.unlink(missing_ok=True)  # on macOS the companion `._x` of a file may go with it
    return [(stem, size) for _, stem, size in resumable]


def delete(folder: Path, names: Iterable[str]) -> None:
    """Delete the files of downloads."""
    for name in names:
        for suffix in (".journal", ".part"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)


def _bytes_on_disk(status: os.stat_result) -> int:
    return status.st_blocks * 512
