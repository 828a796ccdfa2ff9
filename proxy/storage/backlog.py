"""What is known in memory and has yet to be written into the index: a queue, so that nobody waits for the database.

Changes are written in the order in which they were made, several at once, by one task. One that cannot be written,
because another process has the database locked or the disk is full, is tried again until it can; meanwhile what it says
is true in memory. A kill loses what waits: files of blobs are found again by their names, entries are asked for again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from proxy.errors import StoreBroken, StoreError
from proxy.storage.changes import Change, Saved
from proxy.storage.index import Index
from proxy.storage.threads import Threads

_log = logging.getLogger(__name__)

_MOST = 10_000  # changes that may wait; whoever wants to keep more is refused
_AGAIN = 1.0  # seconds between two tries
_GATHER = 0.01  # seconds that the first change waits for others to be written with it

Written = Callable[[Sequence[Change], Mapping[str, float]], None]


class Backlog:
    """Changed on the event loop only. `on_written` is called with changes, and what `Index.write` gave for them."""

    def __init__(self, index: Index, threads: Threads, most: int = _MOST) -> None:
        self.stuck = False  # whether the last try failed
        self.on_written: Written | None = None
        self._index = index
        self._threads = threads
        self._most = most
        self._waiting: deque[Change] = deque()
        self._added = self._done = 0
        self._task: asyncio.Task[None] | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._closed = False
        self._again = asyncio.Event()
        self._progress = asyncio.Event()

    def refuse_if_full(self) -> None:
        """Raise StoreBroken where too much waits already: called before anything that needs not be kept."""
        if len(self._waiting) >= self._most:
            raise StoreBroken("The index in the data folder cannot be written for a while; its last error says why.")

    def add(self, change: Change) -> int:
        """Let `change` be written after all that were added before. Gives its number, for `written`."""
        self._waiting.append(change)
        self._added += 1
        if self._soon is None and not self._closed and (self._task is None or self._task.done()):
            self._soon = asyncio.get_running_loop().call_later(_GATHER, self._begin)
        return self._added

    def _begin(self) -> None:
        """Write what waits now."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
            self._task = asyncio.get_running_loop().create_task(self._write(), name="index backlog")

    async def written(self, number: int, patience: float) -> bool:
        """Whether a change is written, waiting for that `patience` seconds; not while writing fails."""
        self._begin()
        try:
            async with asyncio.timeout(patience):
                while self._done < number and not self.stuck:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            pass
        return self._done >= number

    async def settled(self, patience: float | None = None) -> None:
        """Wait until nothing waits to be written; at most `patience` seconds."""
        self._begin()
        if self._task is not None and not self._task.done():
            self.try_again()
            await asyncio.wait((self._task,), timeout=patience)

    def try_again(self) -> None:
        """What failed may work now."""
        self._again.set()

    async def close(self, patience: float) -> None:
        """Write what waits, for at most `patience` seconds, and not while writing fails; the rest is lost."""
        await self.settled(0.0 if self.stuck else patience)
        self._closed = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self._waiting:
            _log.error(
                "the index does not have the last changes; what they are about is fetched again",
                extra={"changes": len(self._waiting)},
            )

    async def _write(self) -> None:
        most = self._index.batch
        while self._waiting:
            batch = list(islice(self._waiting, most))
            self._again.clear()
            _take(batch, taken=True)
            try:
                unnamed = await self._threads.index(self._index.write, batch)
            except StoreError:
                _take(batch, taken=False)
                self.stuck = True
                self._progress.set()
                await self._pause()
                continue
            except Exception as error:  # noqa: BLE001 one change that cannot be written must not hold up all others
                if len(batch) > 1:  # find the one that is wrong
                    _take(batch, taken=False)
                    most = 1
                    continue
                reason = type(error).__name__
                _log.error("a change of the index is given up: it cannot be written", extra={"reason": reason})
                unnamed, most = {}, self._index.batch
            for _ in batch:
                self._waiting.popleft()
            self._done += len(batch)
            self.stuck = False
            self._progress.set()
            if self.on_written is not None:
                self.on_written(batch, unnamed)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_AGAIN):
                await self._again.wait()
        except TimeoutError:
            pass


def _take(batch: list[Change], *, taken: bool) -> None:
    for change in batch:
        if isinstance(change, Saved):
            change.taken = taken
