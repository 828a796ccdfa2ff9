"""How finished files become blobs: renamed to where their digest says, then a record in memory, then a row.

In this order, so that a kill at any point leaves a file without a row at worst; `sweep` takes those in. One file of a
digest at a time: the second finds the first one there.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path

from proxy.storage import places
from proxy.storage.blobs import Record
from proxy.storage.changes import Adopted
from proxy.storage.disk_health import Component
from proxy.storage.holdings import Holdings

_REST = re.compile(r"[0-9a-f]{62}")
_FRONT = re.compile(r"[0-9a-f]{2}")


class Adoption:
    """Takes files in. Changed on the event loop only."""

    def __init__(self, holdings: Holdings) -> None:
        self._folder = holdings.folder
        self._blobs = holdings.blobs
        self._threads = holdings.threads
        self._places = holdings.places
        self._backlog = holdings.backlog
        self._numbers = count()

    async def take(self, value: str, path: Path, size: int) -> Record:
        """Make a file that is on the platter the blob whose sha256 is `value`; if there is one, the file stays.

        Raises StoreFull, StoreBroken.
        """
        return await self._in(value, size, self._threads.files, partial(places.move, path), synced=True)

    async def put(self, body: bytes, value: str, *, sync: bool) -> Record:
        """Write a body to a file and take it. Without `sync`, it is proved again after the next start.

        That spares short bodies the wait for the platter: a file that a power cut emptied is noticed and dropped.
        """
        path = self._folder.spool / f"{value}-{next(self._numbers)}.tmp"
        run = self._threads.sync if sync else self._threads.files
        return await self._in(value, len(body), run, partial(places.write, path, body, sync=sync), synced=sync)

    async def _in(
        self,
        value: str,
        size: int,
        run: Callable[[Callable[[Path], str], Path], Awaitable[str]],
        work: Callable[[Path], str],
        *,
        synced: bool,
    ) -> Record:
        """Let `work`, which is run by `run`, bring a file to its place and give its stamp, unless there is one."""
        await self._places.free(value)
        before = self._blobs.get(value)
        if before is not None:
            if not before.hidden:
                return before
            self._blobs.remove(before)  # nobody knows whether it is right: this one is
        self._backlog.refuse_if_full()
        release = self._places.take((value,))
        try:
            stamp = await run(work, self._folder.blob(value))
            self._threads.health.worked(Component.FILES)
            record = Record(value, size, stamp, self._blobs.next_place())
            self._blobs.add(record)
            # What a power cut may take is written down without a stamp: it is proved after the next start.
            self._backlog.add(Adopted(((value, size, stamp if synced else None, record.used),)))
            return record
        finally:
            release()

    async def sweep(self) -> list[Record]:
        """Take in files that have no row. Reads names, and sizes of those only. Gives the blobs that have no file.

        Raises StoreFull, StoreBroken.
        """
        known = [record for record in self._blobs if not self._places.taken(record.value)]
        there = set(await self._threads.files(_values, self._folder.index / "sha256"))
        unknown = [value for value in there if self._blobs.get(value) is None and not self._places.taken(value)]
        release = self._places.take(unknown)
        try:
            found = await self._threads.files(_sizes, [(value, self._folder.blob(value)) for value in unknown])
            for value, size in found:
                self._blobs.add_unknown(value, size)
            if found:
                self._backlog.add(Adopted(tuple((value, size, None, 0.0) for value, size in found)))
        finally:
            release()
        lost = [record for record in known if record.value not in there]
        gone = await self._threads.files(_missing, [self._folder.blob(record.value) for record in lost])
        return [record for record, missing in zip(lost, gone, strict=True) if missing]


def _sizes(places_of: Iterable[tuple[str, Path]]) -> list[tuple[str, int]]:
    """The files among these, with their sizes in bytes."""
    found: list[tuple[str, int]] = []
    for value, path in places_of:
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found.append((value, status.st_size))
    return found


def _missing(paths: Iterable[Path]) -> list[bool]:
    """Of which there is nothing."""
    return [not os.path.lexists(path) for path in paths]


def _values(folder: Path) -> list[str]:
    """The digests that file names below `folder` give."""
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        for front in os.listdir(folder):  # noqa: PTH208 names are enough, and there may be many
            if _FRONT.fullmatch(front):
                with contextlib.suppress(NotADirectoryError, FileNotFoundError):
                    found += [front + rest for rest in os.listdir(folder / front) if _REST.fullmatch(rest)]  # noqa: PTH208
    return found
