"""A long file that is being written has its bytes on the disk soon behind: the disk works meanwhile, not at the end.

Called by `export`. Who writes goes on while a thread waits for the disk.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from proxy import operating_system

_STEP = 128 << 20  # bytes that are written before the disk is to have them


class SyncedBehind:
    """Syncs one file again and again. `wrote` and `done` raise the OSError of the disk: it is told once only."""

    def __init__(self, descriptor: int, thread: ThreadPoolExecutor) -> None:
        self._descriptor = descriptor
        self._thread = thread
        self._synced = 0  # bytes that were written when it last began
        self._under_way: Future[None] | None = None

    def wrote(self, size: int) -> None:
        """So many bytes were written so far."""
        if size - self._synced < _STEP or not (self._under_way is None or self._under_way.done()):
            return
        self.done()
        self._synced = size
        self._under_way = self._thread.submit(operating_system.sync_data, self._descriptor)

    def done(self) -> None:
        """Wait for what is under way."""
        before, self._under_way = self._under_way, None
        if before is not None:
            before.result()


@contextmanager
def synced_behind(descriptor: int) -> Generator[SyncedBehind]:
    """While this file is written. Whoever needs all of it on the disk syncs it afterwards. Raises OSError."""
    with ThreadPoolExecutor(1, "sync") as thread:
        syncing = SyncedBehind(descriptor, thread)
        yield syncing
        syncing.done()
