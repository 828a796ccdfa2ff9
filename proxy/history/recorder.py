"""Gathers events in memory, and has them written to the history's file every few seconds and at the end.

The event loop adds to sums (`gathering`); a thread of its own writes them. What the disk does not take is lost to the
history, and said once: no answer depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from proxy import operating_system
from proxy.cache.workers import Workers
from proxy.events import OWN, Event, Fetched, Served
from proxy.history.believed_time import BelievedTime
from proxy.history.database import DAY, NAME, HistoryFile, is_damage, set_aside
from proxy.history.gathering import AnswerSums, Batch, Gathering
from proxy.history.sums import ClientName, ClientSum, DaySum, FileName, ProjectSum
from proxy.ports import Clock
from proxy.user_agent import UserAgent

_log = logging.getLogger(__name__)

_INTERVAL = 5.0  # seconds between two batches
_TRIM_EVERY = 3600.0  # seconds
_PROJECTS = 10  # that saved most


class Recorder:
    """A `ports.AnswerObserver`. Mutable state: the sums, on the event loop only, and the file, in its thread only."""

    def __init__(
        self,
        clock: Clock,
        days: int,
        size: int,
        names: Callable[[str, str], tuple[str | None, str | None]],
        steady: Callable[[], float] = operating_system.monotonic_with_sleep,
    ) -> None:
        """`days` and `size` (bytes) bound the file. `names`: project and version of a file, by upstream and name.

        `steady`: as of `BelievedTime`.
        """
        self._clock = clock
        self._days = days
        self._most = size
        self._names = names
        self._gathering = Gathering()
        self._taken: dict[int, Batch] = {}  # those that are being written, by number
        self._folder: Path | None = None
        self._file: HistoryFile | None = None
        self._believed: BelievedTime | None = None  # from the first batch on
        self._steady = steady
        self._trim_at = -math.inf  # by the steady clock
        self._failing = False
        self._written = 0  # the number of the last batch that the file has
        self._read_days: tuple[int, list[DaySum]] = (-1, [])  # after this batch
        self._projects: tuple[int, list[ProjectSum]] = (-1, [])  # after this batch
        self._workers = Workers("history", 1)
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __call__(self, event: Event, /) -> None:
        """Add an event to the sums."""
        if isinstance(event, Served):
            self.again(self.prepare(event), self._clock.now(), event.client, event.seconds, event.agent)
        elif isinstance(event, Fetched):
            day = int(self._clock.now()) // DAY
            self._gathering.batch.total(day, event.upstream, "").fetched += event.size

    def prepare(self, event: Served) -> AnswerSums | None:
        return None if event.upstream == OWN else AnswerSums(self._gathering, event)

    def again(self, prepared: AnswerSums | None, when: float, client: str, _: float, agent: UserAgent, /) -> None:
        if prepared is not None:
            prepared.add(when, client, agent)

    async def start(self, folder: Path) -> None:
        """Write to this data folder from now on. Does nothing after `close`."""
        if not self._closed:
            self._folder = folder
            self._task = asyncio.create_task(self._writing(), name="history")

    async def flush(self) -> None:
        """Write what was gathered so far, and forget what is old, also where nothing was gathered."""
        folder = self._folder
        if folder is None or self._closed:
            return
        if not self._gathering.batch.totals and self._steady() < self._trim_at:
            return
        number, batch = self._gathering.number, self._gathering.take()
        self._taken[number] = batch
        written = await self._workers.run(self._write, folder, number, batch)
        del self._taken[number]
        if not written:
            # Totals are few, and wait for the next batch. Who asked is lost: a disk may fail for long.
            for key, total in batch.totals.items():
                self._gathering.batch.total(*key).add(total)

    async def days(self) -> list[DaySum]:
        """What was sent and fetched on each day so far, the first one first.

        Nothing is written for it: who looks at the page every second makes no batches.
        """
        folder = self._folder
        if folder is None or self._closed:
            return []
        written, days = await self._workers.run(self._days_of, folder)
        found = {one.day: (one.sent, one.fetched) for one in days}
        taken = [batch for number, batch in self._taken.items() if number > written]
        for batch in (self._gathering.batch, *taken):
            for (day, _, _), total in batch.totals.items():
                sent, fetched = found.get(day, (0, 0))
                found[day] = sent + total.sent, fetched + total.fetched
        return [DaySum(day, *sums) for day, sums in sorted(found.items())]

    async def projects(self) -> list[ProjectSum]:
        """The projects that saved most, the first one first; empty where the file cannot be read."""
        folder = self._folder
        return [] if folder is None or self._closed else await self._workers.run(self._projects_of, folder)

    async def close(self) -> None:
        """Write what was gathered, and close the file."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.flush()
        self._closed = True
        await self._workers.run(self._close)
        await self._workers.close()

    async def _writing(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL)
            await self.flush()

    def _write(self, folder: Path, number: int, batch: Batch) -> bool:
        """In the thread: add the sums to the file, and say whether that could be done.

        A damaged file is set aside, and the sums begin a new one.
        """
        try:
            try:
                self._add(folder, number, batch)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                self._close()
                set_aside(folder)
                _log.warning(
                    "the history was damaged: it is set aside as history.sqlite3.damaged, and begins anew",
                    extra={"reason": str(error)},
                )
                self._add(folder, number, batch)
        except (sqlite3.Error, OSError) as error:
            self._close()  # opened anew by the next batch: the folder may be well again by then
            if not self._failing:
                self._failing = True
                _log.warning(
                    "the history cannot be written: who asks for what meanwhile will not be in it",
                    extra={"reason": str(error)},
                )
            return self._written == number  # what is in the file is not to be written again
        self._failing = False
        return True

    def _days_of(self, folder: Path) -> tuple[int, list[DaySum]]:
        """In the thread: the days in the file, and the last batch in them. They are read anew after a batch only.

        A file that cannot be read is said, and mended, when it is written.
        """
        read, found = self._read_days
        if read != self._written:
            try:
                file = self._file = self._file or HistoryFile.open(folder)
                found = file.days()
            except (sqlite3.Error, OSError):
                self._close()
                return self._written, []
            self._read_days = self._written, found
        return self._written, found

    def _projects_of(self, folder: Path) -> list[ProjectSum]:
        """In the thread, as `_days_of`. They are added up anew only after a batch was written."""
        written, found = self._projects
        if written != self._written:
            try:
                file = self._file = self._file or HistoryFile.open(folder)
                found = file.projects(_PROJECTS)
            except (sqlite3.Error, OSError):
                self._close()
                return []
            self._projects = self._written, found
        return found

    def _add(self, folder: Path, number: int, batch: Batch) -> None:
        if not batch.totals and not (folder / NAME).exists():
            self._trim_at = self._steady() + _TRIM_EVERY  # there is nothing to forget
            return
        file = self._file = self._file or HistoryFile.open(folder)
        believed = self._believed = self._believed or BelievedTime(file.latest(), self._steady)
        requests: dict[tuple[int, FileName, ClientName], ClientSum] = {}
        for (day, upstream, path, sha256, client, agent), asked in batch.sums.items():
            key = (day, self._named(upstream, path, sha256), ClientName(client, agent))
            before = requests.get(key)
            requests[key] = asked if before is None else _joined(before, asked)
        file.add(batch.totals, requests)
        self._written = number
        if self._steady() >= self._trim_at or file.size() > self._most:
            now = self._clock.now()
            file.trim(int(believed.at(now)) // DAY - self._days + 1, self._most, now)
            self._trim_at = self._steady() + _TRIM_EVERY

    def _named(self, upstream: str, path: str, sha256: str | None) -> FileName:
        name = unquote(path.partition("?")[0].rpartition("/")[2])
        return FileName(upstream, name, *self._names(upstream, name), sha256 or "")

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(sqlite3.Error):
                file.close()


def _joined(first: ClientSum, second: ClientSum) -> ClientSum:
    return ClientSum(
        first.requests + second.requests,
        first.size + second.size,
        min(first.first, second.first),
        max(first.last, second.last),
        first.saved + second.saved,
    )
