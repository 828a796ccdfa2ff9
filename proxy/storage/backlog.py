"""Changes of the index: what they are, and the queue in which they wait, so that nobody waits for the database.

In memory a change is made already. One task writes the changes, in the order in which they were made and several at
once. While it cannot, because another process has the database locked or the disk is full, it tries again. A kill loses
the changes that wait: the files of blobs are found again by their names, and entries are fetched again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from proxy.errors import StoreBroken, StoreError
from proxy.storage.record import BlobRow
from proxy.storage.threads import Threads

_log = logging.getLogger(__name__)

_MOST = 10_000  # changes that may wait
_AGAIN = 1.0  # seconds between two tries
_GATHER = 0.02  # seconds without a change after which those that wait are written together,
_LONGEST = 0.25  # and seconds after the first of them, at the latest
_DROPPED = 500  # blobs of which the rows are deleted in one transaction, about: a nearly full disk takes no long one


@dataclass(frozen=True, slots=True, eq=False)
class Adopted:
    """Files are blobs now. `fsynced`: so a power cut takes nothing of them."""

    rows: tuple[BlobRow, ...]
    fsynced: bool


@dataclass(slots=True, eq=False)
class Saved:
    """An entry. `text` is its JSON, which may be replaced until it is `taken`; `sha256` the blob it names."""

    key: str
    text: bytes
    sha256: str
    since: float  # the place in the order of use at which it was made
    taken: bool = False  # being written


@dataclass(frozen=True, slots=True, eq=False)
class Forgotten:
    """An entry is gone. `since`: as of `Saved`."""

    key: str
    since: float


@dataclass(frozen=True, slots=True, eq=False)
class Dropped:
    """Blobs are gone, with all entries that name them."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Used:
    """Blobs were used: (place in the order of use, sha256)."""

    uses: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """A blob's file has its digest, and is fsynced; `stamp` is its stamp now."""

    sha256: str
    stamp: str


@dataclass(frozen=True, slots=True, eq=False)
class Proved:
    """Files have their digests, but may not be fsynced: (stamp, sha256)."""

    proofs: tuple[tuple[str, str], ...]


# Applying a change twice is as good as once.
Change: TypeAlias = Adopted | Saved | Forgotten | Dropped | Used | Verified | Proved

# Applies changes, all or none. Gives the sha256 of blobs that an entry named before, and none names now, with the
# `since` of what changed that.
Write: TypeAlias = Callable[[Sequence[Change]], Mapping[str, float]]


class Backlog:
    """The queue. Changed on the event loop only.

    `on_written` is called with the changes that were written, and with what `write` gave for them.
    """

    def __init__(self, write: Write, batch: int, threads: Threads, most: int = _MOST) -> None:
        """`write` runs in the thread of the index, with at most `batch` changes."""
        self.stuck = False  # whether the last try failed
        self.on_written: Callable[[Sequence[Change], Mapping[str, float]], None] | None = None
        self._index_write = write
        self._batch = batch
        self._threads = threads
        self._most = most
        self._waiting: deque[Change] = deque()
        self._added = self._done = 0
        self._task: asyncio.Task[None] | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._seen = 0  # changes that were added when it was last looked,
        self._latest = 0.0  # and when they are written though more of them come
        self._urgent = False  # somebody waits for them
        self._closed = False
        self._again = asyncio.Event()
        self._progress = asyncio.Event()

    def refuse_if_full(self) -> None:
        """Raise StoreBroken if too many changes wait. Called before anything that need not be stored."""
        if len(self._waiting) >= self._most:
            raise StoreBroken("The index in the data folder cannot be written; the log says why.")

    async def room(self) -> None:
        """Wait until less than half of what may wait does. Not while writing fails: `refuse_if_full` tells then."""
        while len(self._waiting) > self._most // 2 and not self.stuck:
            self._begin()
            self._progress.clear()
            await self._progress.wait()

    def add(self, change: Change) -> int:
        """Let `change` be written after all that were added before. Gives its number, for `written`."""
        pieces = _pieces(change)
        self._waiting.extend(pieces)
        self._added += len(pieces)
        if self._soon is None and not self._closed and (self._task is None or self._task.done()):
            self._latest = asyncio.get_running_loop().time() + _LONGEST
            self._watch()
        return self._added

    def _watch(self) -> None:
        self._seen = self._added
        self._soon = asyncio.get_running_loop().call_later(_GATHER, self._look)

    def _look(self) -> None:
        """Write what waits, unless more of it comes: a herd of changes is one transaction."""
        if self._seen != self._added and asyncio.get_running_loop().time() < self._latest:
            self._watch()
        else:
            self._begin()

    def _press(self) -> None:
        """Somebody waits until all is written."""
        self._urgent = bool(self._waiting)
        self._begin()

    def _begin(self) -> None:
        """Write now what waits."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
            self._task = asyncio.get_running_loop().create_task(self._write(), name="index backlog")

    async def written(self, number: int, patience: float) -> bool:
        """Whether a change is written. Waits at most `patience` seconds for that, and not while writing fails."""
        self._press()
        try:
            async with asyncio.timeout(patience):
                while self._done < number and not self.stuck:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            pass
        return self._done >= number

    async def flush(self, patience: float | None = None) -> None:
        """Wait until no change waits, at most `patience` seconds."""
        self._press()
        if self._task is not None and not self._task.done():
            self.try_again()
            await asyncio.wait((self._task,), timeout=patience)

    def try_again(self) -> None:
        """What failed may work now: try at once."""
        self._again.set()

    async def close(self, patience: float) -> None:
        """Write what waits, for at most `patience` seconds, and not while writing fails; the rest is lost."""
        await self.flush(0.0 if self.stuck else patience)
        self._closed = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self._waiting:
            _log.error(
                "the last changes could not be written to the index; what they name is fetched again",
                extra={"changes": len(self._waiting)},
            )

    async def _write(self) -> None:
        most = self._batch
        while self._waiting:
            batch = self._next(most)
            self._again.clear()
            _mark(batch, taken=True)
            try:
                unnamed = await self._threads.index(self._index_write, batch)
            except StoreError:
                _mark(batch, taken=False)
                self.stuck = True
                self._progress.set()
                await self._pause()
                continue
            except Exception as error:  # noqa: BLE001 a change that is wrong must not hold up all others
                if len(batch) > 1:  # find the one that is wrong
                    _mark(batch, taken=False)
                    most = 1
                    continue
                reason = type(error).__name__
                _log.error("a change of the index cannot be written and is skipped", extra={"reason": reason})
                unnamed, most = {}, self._batch
            for _ in batch:
                self._waiting.popleft()
            self._done += len(batch)
            self.stuck = False
            self._progress.set()
            if self.on_written is not None:
                self.on_written(batch, unnamed)
            if not self._urgent and most == self._batch and len(self._waiting) < self._batch:
                break
        self._urgent = False
        self._task = None
        if self._waiting and not self._closed:
            self._latest = asyncio.get_running_loop().time() + _LONGEST
            self._watch()

    def _next(self, most: int) -> list[Change]:
        """What is written in one transaction: the first `most` changes, fewer where they drop many blobs."""
        batch: list[Change] = []
        dropped = 0
        for change in islice(self._waiting, most):
            batch.append(change)
            if isinstance(change, Dropped):
                dropped += len(change.sha256s)
                if dropped >= _DROPPED:
                    break
        return batch

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_AGAIN):
                await self._again.wait()
        except TimeoutError:
            pass


def _pieces(change: Change) -> Sequence[Change]:
    """A change as several that come to the same, where it drops many blobs."""
    if isinstance(change, Dropped) and len(change.sha256s) > _DROPPED:
        sha256s = change.sha256s
        return [Dropped(sha256s[start : start + _DROPPED]) for start in range(0, len(sha256s), _DROPPED)]
    return (change,)


def _mark(batch: list[Change], *, taken: bool) -> None:
    for change in batch:
        if isinstance(change, Saved):
            change.taken = taken
