"""Opening the index of a data folder that exists, on whatever disk. Called by the store, once."""

from __future__ import annotations

import asyncio
import errno
import os
from itertools import islice

from proxy.storage import places
from proxy.storage.changes import BlobRow
from proxy.storage.disk_health import DISK_ERRORS, to_store_error
from proxy.storage.folder import DataFolder, unusable
from proxy.storage.index import Index
from proxy.storage.threads import Threads

_NEEDED = 1 << 20  # bytes that the database may need to be opened
_FILES = 8  # that it may need
_BODIES = 10_000  # files that are given up for it, at most


async def open_index(folder: DataFolder, limit: int, threads: Threads) -> tuple[Index, list[BlobRow], bool]:
    """What `Index.open` gives. Raises StoreRefused where only a person can help, StoreFull, StoreBroken.

    On a full disk some bodies, whichever, are given up for the room that the database needs to be opened: what others
    filled must not make a restart forget all that is kept.
    """
    for again in (True, False):
        try:
            return await asyncio.wrap_future(threads.submit_index(Index.open, folder.index, limit))
        except DISK_ERRORS as error:
            full = await threads.files(_full, folder)
            if again and full and await threads.files(_make_room, folder):
                continue
            if full:
                raise unusable(folder.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
            if isinstance(error, OSError):
                raise unusable(folder.path, error) from error
            raise to_store_error(error) from error
    raise AssertionError("the second try returns or raises")


def _full(folder: DataFolder) -> bool:
    status = os.statvfs(folder.path)
    # File systems without a fixed number of files report none at all.
    return status.f_bavail * status.f_frsize < _NEEDED or (0 < status.f_files and status.f_favail < _FILES)


def _make_room(folder: DataFolder) -> bool:
    """Delete bodies until there is room. Gives whether there were any; the store notices rows without a file."""
    bodies = (path for path in (folder.index / "sha256").glob("??/*") if path.is_file())
    deleted = False
    for body in islice(bodies, _BODIES):
        places.delete([body])
        deleted = True
        if not _full(folder):
            break
    return deleted
