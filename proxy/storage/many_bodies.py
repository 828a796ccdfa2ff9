"""Many short bodies at once: one look for room, one job of a thread, and one change of the index for all of them.

A bundle may bring a hundred thousand, and what each of them costs alone is mostly waiting for threads. Called by the
store. As of a single short body, nothing is fsynced: what a power cut takes is noticed by its digest.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path

from proxy.errors import StoreError
from proxy.storage import blob_files
from proxy.storage.backlog import Adopted, Backlog
from proxy.storage.blob_files import PART, BlobFiles
from proxy.storage.blob_table import footprint
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import Component
from proxy.storage.folder import DataFolder, blob_name
from proxy.storage.record import Record
from proxy.storage.space import Space
from proxy.storage.threads import Threads
from proxy.storage.verification import stamp_of
from proxy.storage.writing import write_all

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


class ManyBodies:
    """Changed on the event loop only."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it works on
        self, folder: DataFolder, blobs: Blobs, files: BlobFiles, backlog: Backlog, threads: Threads, space: Space
    ) -> None:
        self._folder = folder
        self._blobs = blobs
        self._files = files
        self._backlog = backlog
        self._threads = threads
        self._space = space
        self._numbers = count()
        self._turn = asyncio.Lock()  # one thread: the file system makes one file after another anyway

    async def put(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        """Make each body, which has this sha256, a blob. Raises StoreFull, StoreBroken: then some of them are."""
        await self._backlog.room()
        reservation = await self._space.reserve(sum(footprint(len(body)) for _, body in bodies))
        try:
            locks = self._files.locks
            while held := next((sha256 for sha256, _ in bodies if locks.held(sha256)), None):
                await locks.free(held)
            await self._write(dict(bodies))
        finally:
            self._space.release(reservation)

    async def _write(self, bodies: dict[str, bytes]) -> None:
        missing = [sha256 for sha256 in bodies if not self._is_here(sha256)]
        self._backlog.refuse_if_full()
        doubtful = [record for sha256 in missing if (record := self._blobs.get(sha256)) is not None]
        for record in doubtful:
            self._blobs.remove(record)  # nobody knows whether it is right: the new one is
        with self._files.locks.hold(missing):
            stamps: list[str] = []
            try:
                async with self._turn:
                    await self._threads.files(self._write_files, [(one, bodies[one]) for one in missing], stamps)
                self._threads.health.worked(Component.FILES)
            finally:
                self._add(
                    [(sha256, len(bodies[sha256]), stamp) for sha256, stamp in zip(missing, stamps, strict=False)]
                )
                if lost := [record.sha256 for record in doubtful if record.sha256 not in self._blobs]:
                    with contextlib.suppress(StoreError):
                        await self._files.take_in(lost)

    def _is_here(self, sha256: str) -> bool:
        """Whether there is such a blob that counts as stored."""
        before = self._blobs.get(sha256)
        return before is not None and not before.hidden

    def _add(self, stored: Sequence[tuple[str, int, str]]) -> None:
        rows = []
        for sha256, size, stamp in stored:
            record = Record(sha256, size, stamp, self._blobs.next_place())
            self._blobs.add(record)
            rows.append((sha256, size, stamp, record.used))
        if rows:
            self._backlog.add(Adopted(tuple(rows), fsynced=False))

    def _write_files(self, bodies: Sequence[tuple[str, bytes]], stamps: list[str]) -> None:
        """In a thread. `stamps` grows with each file that is at its place. Raises OSError."""
        spool, index, number = self._folder.spool, self._folder.index, next(self._numbers)
        for sha256, body in bodies:
            stamps.append(_write_file(f"{spool}/{sha256}-many{number}.tmp", body, f"{index}/{blob_name(sha256)}"))


def _write_file(spool: str, body: bytes, target: str) -> str:
    """Make a body the file at `target`. Gives its stamp. Raises OSError.

    It is written beside its place: to bring it there out of another folder costs twice the time. Where that cannot be
    done, such as in a folder that is not there yet, it goes by way of the file `spool`.
    """
    part = f"{target}{PART}"
    try:
        descriptor = os.open(part, _FLAGS, 0o600)
        try:
            write_all([body], descriptor)
        finally:
            os.close(descriptor)
        os.rename(part, target)  # noqa: PTH104 - called very often
        return stamp_of(os.stat(target, follow_symlinks=False))  # noqa: PTH116 - as above
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part)  # noqa: PTH108 - as above
        return blob_files.write(Path(spool), partial(write_all, [body]), Path(target), sync=False)
