"""A file under construction: `ports.Spool` on a file of the spool folder, with a journal beside it.

Opened by the store. Descriptors stay open until the owner, every share and every piece of work in a thread are done
with them: a cancelled task leaves its thread writing, and must not close the file below it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from proxy.errors import StoreBroken
from proxy.ports import SpoolState
from proxy.storage.blobs import Blobs, Record
from proxy.storage.disk_health import Component
from proxy.storage.eviction import Reservation
from proxy.storage.journal import Journal, replay
from proxy.storage.space import Space
from proxy.storage.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

_BUFFERS = 512  # buffers for one pwritev: half of what Linux takes


def file_name(name: str) -> str:
    """What the files of the download `name` are called, before `.part` and `.journal`."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


class DiskSpool:
    """See `ports.Spool`. `part` is its file. Changed on the event loop; the count of users also in threads."""

    def __init__(self, folder: Path, name: str, threads: Threads, space: Space, ended: Callable[[], None]) -> None:
        self.fd = -1
        self.state: SpoolState | None = None
        self.part = folder / f"{file_name(name)}.part"
        self.reservation = Reservation(0)
        self._journal = Journal(self.part.with_suffix(".journal"))
        self._name = name.encode("utf-8", "backslashreplace").decode()  # JSON has no lone surrogates
        self._boot = ""
        self._threads = threads
        self._space = space
        self._ended = ended
        self._top = 0  # the end of the last byte written
        self._users = 1  # the owner
        self._over = False
        self._running: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._blob: tuple[Blobs, Record, Path] | None = None  # what became of it

    async def open(self, boot: str) -> None:
        """Open or create the files. Raises StoreFull, StoreBroken; then nothing is open."""
        self._boot = boot
        try:
            await self._run(self._open)
        except BaseException:
            self._over = True
            self._end()
            raise
        if self.state is not None:
            self._top = self.state.extents[-1][1] if self.state.extents else 0
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
        self._refuse_if_over()
        size = sum(map(len, chunks))
        self._top = max(self._top, offset + size)
        if self._top > self.reservation.size:
            await self._space.grow_ahead(self.reservation, self._top - self.reservation.size)
        await self._run(self._write, offset, chunks, size)
        self._threads.health.worked(Component.FILES)
        self._space.ledger.wrote(self.reservation, size)

    def _write(self, offset: int, chunks: Sequence[bytes | memoryview], size: int) -> None:
        position = offset
        for first in range(0, len(chunks), _BUFFERS):
            buffers = chunks[first : first + _BUFFERS]
            missing = sum(map(len, buffers))
            while missing:
                written = os.pwritev(self.fd, buffers, position)
                position += written
                missing -= written
                if missing:  # a short write: the next one says why
                    buffers = [memoryview(b"".join(buffers))[written:]]
        self._journal.wrote(offset, offset + size)

    async def read(self, offset: int, size: int) -> bytes:
        return await self._run(os.pread, self.fd, size, offset)

    async def checkpoint(self, state: SpoolState) -> None:
        self._refuse_if_over()
        await self._run(self._journal.state, state)

    async def restart(self) -> None:
        self._refuse_if_over()
        await self._quiet()
        await self._run(self._restart)
        self.state, self._top = None, 0
        self._space.ledger.wrote(self.reservation, -self.reservation.written)

    def _restart(self) -> None:
        self._journal.begin(self._name, self._boot)
        os.ftruncate(self.fd, 0)

    @contextmanager
    def share(self) -> Generator[int]:
        if not self._hold():
            self._open_again()
        try:
            yield self.fd
        finally:
            self._let_go()

    async def close(self, *, keep: bool) -> None:
        if self._over:
            return
        self._over = True
        await self._quiet()
        try:
            left = await self._threads.files(self._leave if keep else self._delete)
            if left:
                self._space.leave(self.part.stem, left)
        finally:
            self._end()

    def _leave(self) -> int:
        return os.fstat(self.fd).st_blocks * 512

    def _delete(self) -> int:
        for path in (self._journal.path, self.part):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        return 0

    async def seal(self, size: int) -> None:
        """The owner is done, and the file is complete: put it on the platter. Raises StoreFull, StoreBroken."""
        self._refuse_if_over()
        self._over = True
        await self._quiet()
        await self._threads.sync(self._seal, size)

    def _seal(self, size: int) -> None:
        status = os.fstat(self.fd)
        if status.st_size < size:
            raise OSError(0, "a download lost bytes on disk")
        if status.st_size > size:  # an earlier version of the file was longer
            os.ftruncate(self.fd, size)
        os.fdatasync(self.fd)

    async def settle(self, blobs: Blobs, adopted: tuple[Record, Path] | None) -> None:
        """What became of a sealed file: a blob, which is held as long as somebody reads it from here, or nothing."""
        if adopted is not None:
            record, path = adopted
            if blobs.holds(record) and blobs.acquire(record.value) is not None:
                self._blob = blobs, record, path
        try:
            await self._threads.files(self._delete)
        finally:
            self._end()

    def _end(self) -> None:
        self._space.release(self.reservation)
        self._let_go()
        self._ended()

    def _refuse_if_over(self) -> None:
        if self._over:  # it may be a blob by now
            raise RuntimeError("this spool file was adopted or closed")

    async def _quiet(self) -> None:
        """Wait for the work in threads that nobody waits for any more."""
        running = [asyncio.wrap_future(future) for future in list(self._running)]
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._hold():
            raise RuntimeError("this spool file is closed")
        future = self._threads.submit(work, *args, **kwargs)
        self._running.add(future)
        future.add_done_callback(self._ran)
        return await self._threads.outcome(future)

    def _ran(self, future: Future[Any]) -> None:
        self._running.discard(future)
        self._let_go()

    def _hold(self) -> bool:
        with self._lock:
            self._users += bool(self._users)
            return bool(self._users)

    def _open_again(self) -> None:
        """A share that comes after the end: the file is a blob by now, if all went well."""
        if self._blob is None:
            raise StoreBroken("The download is over, and its file is gone.")
        blobs, record, path = self._blob
        if not blobs.holds(record) or blobs.acquire(record.value) is None:
            raise StoreBroken("The downloaded file was removed from the disk.")
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            blobs.release(record)
            raise StoreBroken(f"The downloaded file cannot be opened: {error.strerror}.") from error
        self._users = 1

    def _let_go(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            self._close()
            if self._blob is not None:
                blobs, record, _ = self._blob
                blobs.release(record)

    def _close(self) -> None:
        descriptor, self.fd = self.fd, -1
        if descriptor >= 0:
            os.close(descriptor)
        self._journal.close()
