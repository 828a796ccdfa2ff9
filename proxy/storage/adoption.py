"""How finished files become blobs: renamed into the index's folder, then a row, then a record in memory.

In this order, so that a kill at any point leaves a file without a row at worst; `sweep` takes those in. One file of a
digest at a time: the second finds the first one there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from itertools import count
from pathlib import Path

from proxy.storage.adopting_disk import Finished
from proxy.storage.blobs import Record
from proxy.storage.failures import Place
from proxy.storage.holdings import Holdings

_REST = re.compile(r"[0-9a-f]{62}")
_FRONT = re.compile(r"[0-9a-f]{2}")


class Adoption:
    """Takes files in. Changed on the event loop only."""

    def __init__(self, holdings: Holdings) -> None:
        self._folder = holdings.folder
        self._index = holdings.index
        self._blobs = holdings.blobs
        self._threads = holdings.threads
        self._under_way: dict[str, asyncio.Event] = {}  # by sha256
        self._numbers = count()

    async def take(self, value: str, finished: Finished) -> Record:
        """Make a file the blob whose sha256 is `value`; if there is one, the file is deleted.

        Raises StoreFull, StoreBroken.
        """
        while (other := self._under_way.get(value)) is not None:
            await other.wait()
        before = self._blobs.get(value)
        if before is not None:
            if not before.hidden:
                await self._threads.files(finished.path.unlink, missing_ok=True)
                return before
            self._blobs.remove(before)  # nobody knows whether it is right: this one is
        done = self._under_way[value] = asyncio.Event()
        try:
            place = self._blobs.next_place()
            stamp = await self._threads.index(self._index.adopt, value, finished, place)
            record = Record(value, finished.size, stamp, place)
            self._blobs.add(record)
            return record
        finally:
            del self._under_way[value]
            done.set()

    async def put(self, body: bytes, value: str, *, sync: bool) -> Record:
        """Write a body to a file and take it. Without `sync`, it is proved again after the next start.

        That spares short bodies the wait for the platter: a file that a power cut emptied is noticed and dropped.
        """
        path = self._folder.spool / f"{value}-{next(self._numbers)}.tmp"
        try:
            await (self._threads.sync if sync else self._threads.files)(_write, path, body, sync=sync)
            self._threads.health.worked(Place.FILES)
            return await self.take(value, Finished(path, len(body), synced=sync))
        except BaseException:
            await self._threads.files(path.unlink, missing_ok=True)
            raise

    async def sweep(self) -> None:
        """Take in files that have no row. Reads names, and sizes of those only. Raises StoreFull, StoreBroken."""
        values = await self._threads.files(_values, self._folder.index / "sha256")
        unknown = [value for value in values if self._blobs.get(value) is None and value not in self._under_way]
        if not unknown:
            return
        for value, size in await self._threads.index(self._index.take_in, unknown):
            if value not in self._under_way:
                self._blobs.add_unknown(value, size)


def _write(path: Path, body: bytes, *, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with memoryview(body) as rest:
            written = 0
            while written < len(body):
                written += os.write(descriptor, rest[written:])
        if sync:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _values(folder: Path) -> list[str]:
    """The digests that file names below `folder` give."""
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        for front in os.listdir(folder):  # noqa: PTH208 names are enough, and there may be many
            if _FRONT.fullmatch(front):
                with contextlib.suppress(NotADirectoryError, FileNotFoundError):
                    found += [front + rest for rest in os.listdir(folder / front) if _REST.fullmatch(rest)]  # noqa: PTH208
    return found
