"""Proving large files in the background: those whose stamp differs, and those that a new index knows by name only.

They do not count as stored until they are proved; meanwhile whoever asks is served past them.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from proxy.errors import StoreError
from proxy.storage.blobs import Record
from proxy.storage.changes import Noted
from proxy.storage.holdings import Holdings
from proxy.storage.proof import proves_slowly, stamp_of


class Checking:
    """The files in doubt, the one asked for last first. `doubt` may be called from any thread."""

    def __init__(self, holdings: Holdings, drop: Callable[[Record], Awaitable[None] | None]) -> None:
        self._folder = holdings.folder
        self._backlog = holdings.backlog
        self._blobs = holdings.blobs
        self._threads = holdings.threads
        self._drop = drop
        self._doubted: OrderedDict[str, None] = OrderedDict()
        self._more = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def doubt(self, record: Record) -> None:
        """Prove this one soon."""
        self._loop.call_soon_threadsafe(self._enqueue, record.value)

    def _enqueue(self, value: str) -> None:
        self._doubted[value] = None
        self._doubted.move_to_end(value)
        self._more.set()

    async def run(self) -> None:
        """Prove what is in doubt, one after another, for ever."""
        while True:
            self._more.clear()
            while self._doubted:
                value, _ = self._doubted.popitem()
                try:
                    await self.verify(value)
                except StoreError:  # the disk is the matter, not this file; it is asked for again
                    continue
            await self._more.wait()

    async def verify(self, value: str) -> bool | None:
        """Read a blob and compare its digest; drop it if it is wrong.

        Gives whether it was right; None if it is not there. Raises StoreBroken, StoreFull.
        """
        record = self._blobs.acquire(value)
        if record is None:
            return None
        try:
            before = record.stamp
            stamp = await self._prove(record)
            if not self._blobs.holds(record):
                return None  # another took its place, or it was evicted
            if stamp is None:
                dropping = self._drop(record)
                if dropping is not None:
                    await dropping
                return False
            record.stamp = stamp
            if stamp != before:
                self._backlog.add(Noted(stamps=((stamp, value),)))
            return True
        finally:
            self._blobs.release(record)

    async def _prove(self, record: Record) -> str | None:
        """The stamp of the file if it is right."""
        try:
            descriptor = await self._threads.files(
                os.open, self._folder.blob(record.value), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            )
        except StoreError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != record.size:
                return None
            try:
                right = await proves_slowly(self._threads, descriptor, record.size, record.value)
            except StoreError:
                return None
            stamp = stamp_of(status)
            return stamp if right and stamp == stamp_of(os.fstat(descriptor)) else None
        finally:
            os.close(descriptor)
