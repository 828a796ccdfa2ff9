"""Blobs go: from memory, which callers have done, then their rows with all entries that name them, then their files.

So a kill leaves a file without a row at worst, which a sweep takes in. Only where the index cannot be written are files
deleted before their rows: the room is needed now. The next start notices rows without a file. What the disk does not
let go is no room, and is not told as gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from proxy.errors import StoreError
from proxy.storage import spool
from proxy.storage.backlog import Adopted, Backlog, Dropped
from proxy.storage.blob_files import DigestLocks, is_missing
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import Component, Undeleted
from proxy.storage.folder import DataFolder
from proxy.storage.record import BlobRow, Record
from proxy.storage.threads import Threads

_PATIENCE = 0.5  # seconds that a deletion waits for the index


class Deletion:
    """Changed on the event loop only."""

    def __init__(
        self, folder: DataFolder, blobs: Blobs, backlog: Backlog, threads: Threads, locks: DigestLocks
    ) -> None:
        """`locks`: of those who bring files."""
        self._folder = folder
        self._blobs = blobs
        self._backlog = backlog
        self._threads = threads
        self._locks = locks

    def delete(self, records: Sequence[Record], downloads: Sequence[str] = ()) -> Coroutine[Any, Any, Undeleted]:
        """Delete blobs that are not in memory any more, and left-over downloads. What is given must be awaited.

        Their digests and names are locked when this returns. What cannot be deleted is a blob again at the end, the
        last used, so that others are evicted before it is tried again; with its entries, where that can be told
        beforehand.
        """
        held = (*(record.sha256 for record in records), *downloads)
        return self._delete(records, downloads, self._locks.hold(held))

    def drop(self, record: Record) -> Coroutine[Any, Any, Undeleted]:
        """Delete a blob that is damaged, and not in memory any more. Whatever stays of it on the disk is no blob.

        What is given must be awaited. Its digest is locked, and its row in the backlog, when this returns.
        """
        number = self._backlog.add(Dropped((record.sha256,)))
        return self._drop(record.sha256, number, self._locks.hold((record.sha256,)))

    async def _drop(self, sha256: str, number: int, locked: contextlib.ExitStack) -> Undeleted:
        with locked:
            await self._backlog.written(number, _PATIENCE)
            stay, error = await self._threads.files(delete, [self._folder.blob(sha256)])
            return Undeleted(frozenset((sha256,) if stay else ()), (), self._failure(error))

    async def _delete(
        self, records: Sequence[Record], downloads: Sequence[str], locked: contextlib.ExitStack
    ) -> Undeleted:
        with locked:
            failure = await self._delete_downloads(downloads)
            places = {self._folder.blob(record.sha256): record for record in records}
            fixed, error = await self._threads.files(undeletable, places) if places else (set(), None)
            stay, late = await self._delete_with_rows({place: places[place] for place in places if place not in fixed})
            self._take_again([places[place] for place in stay], forgotten=True)
            self._take_again([places[place] for place in fixed], forgotten=False)
            left = frozenset(places[place].sha256 for place in (*fixed, *stay))
            return Undeleted(left, tuple(downloads) if failure else (), failure or self._failure(error or late))

    async def _delete_with_rows(self, places: Mapping[Path, Record]) -> tuple[list[Path], OSError | None]:
        """Delete files behind their rows. Gives what `delete` gives."""
        if not places:
            return [], None
        number = self._backlog.add(Dropped(tuple(record.sha256 for record in places.values())))
        await self._backlog.written(number, _PATIENCE)
        return await self._threads.files(delete, list(places))

    async def _delete_downloads(self, names: Sequence[str]) -> StoreError | None:
        """Gives what kept some of them from being deleted."""
        try:
            if names:
                await self._threads.files(spool.delete, self._folder.spool, names)
        except StoreError as failure:
            return failure
        return None

    def _take_again(self, records: Iterable[Record], *, forgotten: bool) -> None:
        """Take in again blobs whose digests are locked. `forgotten`: they have no rows any more."""
        rows: list[BlobRow] = []
        for one in records:
            record = Record(one.sha256, one.size, one.stamp, self._blobs.next_place())
            self._blobs.add(record)
            rows.append((record.sha256, record.size, record.stamp, record.used))
        if rows and forgotten:
            self._backlog.add(Adopted(tuple(rows), fsynced=False))

    def _failure(self, error: OSError | None) -> StoreError | None:
        """Note what kept a file from being deleted."""
        if error is None:
            return None
        failure = self._threads.failed(error, Component.FILES)
        failure.__cause__ = error
        return failure


# What follows is blocking work for a thread.


def undeletable(targets: Iterable[Path]) -> tuple[set[Path], OSError | None]:
    """Those in folders of which nothing can be deleted, and why: a disk to read only, or folders of another user."""
    fixed = {target for target in targets if not _gives(target.parent) and not is_missing(target)}
    if not fixed:
        return fixed, None
    try:
        to_read_only = os.statvfs(next(iter(fixed)).parent).f_flag & os.ST_RDONLY
    except OSError as error:
        return fixed, error
    number = errno.EROFS if to_read_only else errno.EACCES
    return fixed, OSError(number, os.strerror(number))


def _gives(folder: Path) -> bool:
    """Whether files can be deleted of a folder, as far as its mode and its disk tell."""
    return os.access(folder, os.W_OK | os.X_OK)


def delete(targets: Iterable[Path]) -> tuple[list[Path], OSError | None]:
    """Delete blobs' files, or whatever has their names, and folders that are empty then.

    Gives those that could not be deleted, and why the first of them could not.
    """
    stay: list[Path] = []
    first: OSError | None = None
    for target in targets:
        try:
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()
        except OSError as error:
            if not is_missing(target):
                stay.append(target)
                first = first or error
        with contextlib.suppress(OSError):
            target.parent.rmdir()
    return stay, first
