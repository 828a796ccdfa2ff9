"""Gathers events in memory, and has them written to the history's file every few seconds and at the end.

The event loop adds to sums; a thread of its own writes them. What the disk does not take is lost to the history, and
said once: no answer depends on it. Memory is bounded: past a number of sums, further clients and files are not noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from proxy.cache.workers import Workers
from proxy.events import HITS, OWN, Event, Fetched, Served
from proxy.history.database import DAY, HistoryFile, is_damage, set_aside
from proxy.history.sums import ClientName, ClientSum, DaySum, FileName, ProjectSum, Total
from proxy.model import Kind, Source
from proxy.ports import Clock
from proxy.user_agent import UserAgent

_log = logging.getLogger(__name__)

_INTERVAL = 5.0  # seconds between two batches
_MOST = 20_000  # sums that wait for the next batch
_LONGEST = 2048  # bytes of an address
_TRIM_EVERY = 720  # batches, an hour
_GOT = (200, 206)
_PROJECTS = 10  # that saved most

_Sums = dict[tuple[int, str, str, str | None, str, UserAgent], ClientSum]  # by day, file (three), client (two)
_Totals = dict[tuple[int, str, str], Total]


class Recorder:
    """An `Observer`. Mutable state: the sums, changed on the event loop only, and the file, used by its thread only."""

    def __init__(
        self, clock: Clock, days: int, size: int, names: Callable[[str, str], tuple[str | None, str | None]]
    ) -> None:
        """`days` and `size` (bytes) bound the file. `names`: project and version of a file, by upstream and name."""
        self._clock = clock
        self._days = days
        self._most = size
        self._names = names
        self._totals: _Totals = {}
        self._sums: _Sums = {}
        self._taken: dict[int, _Totals] = {}  # batches that are being written, by number
        self._begun = 0  # batches
        self._folder: Path | None = None
        self._file: HistoryFile | None = None
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
            if event.upstream != OWN:
                self._served(event)
        elif isinstance(event, Fetched):
            self._total(int(self._clock.now()) // DAY, event.upstream, "").fetched += event.size

    async def start(self, folder: Path) -> None:
        """Write to this data folder from now on. Does nothing after `close`."""
        if not self._closed:
            self._folder = folder
            self._task = asyncio.create_task(self._writing(), name="history")

    async def flush(self) -> None:
        """Write what was gathered so far."""
        folder = self._folder
        if folder is None or self._closed:
            return
        if not (self._totals or self._sums):
            return
        totals, self._totals = self._totals, {}
        sums, self._sums = self._sums, {}
        self._begun = number = self._begun + 1
        self._taken[number] = totals
        written = await self._workers.run(self._write, folder, number, totals, sums)
        del self._taken[number]
        if not written:
            # Totals are few, and wait for the next batch. Who asked is lost: a disk may fail for long.
            for key, total in totals.items():
                self._total(*key).add(total)

    async def days(self) -> list[DaySum]:
        """What was sent and fetched on each day so far, the first one first.

        Nothing is written for it: who looks at the page every second makes no batches.
        """
        folder = self._folder
        if folder is None or self._closed:
            return []
        written, days = await self._workers.run(self._days_of, folder)
        found = {one.day: (one.sent, one.fetched) for one in days}
        for totals in (self._totals, *(taken for number, taken in self._taken.items() if number > written)):
            for (day, _, _), total in totals.items():
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

    def _served(self, event: Served) -> None:
        now = self._clock.now()
        day = int(now) // DAY
        total = self._total(day, event.upstream, event.kind.value)
        total.requests += 1
        total.hits += event.outcome in HITS
        size = saved = 0
        for source, length in event.sent.items():
            size += length
            saved += length if source is not Source.UPSTREAM else 0
            if source is Source.CACHE:
                total.from_cache += length
            elif source is Source.SHARED:
                total.from_flight += length
            else:
                total.from_upstream += length
        if event.kind is not Kind.FILE or event.method != "GET" or event.status not in _GOT:
            return
        key = (day, event.upstream, event.path, event.sha256, event.client, event.agent)
        asked = self._sums.get(key)
        if asked is not None:
            asked.requests += 1
            asked.size += size
            asked.saved += saved
            asked.last = now
        elif len(self._sums) < _MOST and len(event.path) <= _LONGEST:
            self._sums[key] = ClientSum(1, size, now, now, saved)

    def _total(self, day: int, upstream: str, kind: str) -> Total:
        key = (day, upstream, kind)
        total = self._totals.get(key)
        if total is None:
            total = self._totals[key] = Total()
        return total

    async def _writing(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL)
            await self.flush()

    def _write(self, folder: Path, number: int, totals: _Totals, sums: _Sums) -> bool:
        """In the thread: add the sums to the file, and say whether that could be done.

        A damaged file is set aside, and the sums begin a new one.
        """
        try:
            try:
                self._add(folder, number, totals, sums)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                self._close()
                set_aside(folder)
                _log.warning(
                    "the history was damaged: it is set aside as history.sqlite3.damaged, and begins anew",
                    extra={"reason": str(error)},
                )
                self._add(folder, number, totals, sums)
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

    def _add(self, folder: Path, number: int, totals: _Totals, sums: _Sums) -> None:
        file = self._file = self._file or HistoryFile.open(folder)
        requests: dict[tuple[int, FileName, ClientName], ClientSum] = {}
        for (day, upstream, path, sha256, client, agent), asked in sums.items():
            key = (day, self._named(upstream, path, sha256), ClientName(client, agent))
            before = requests.get(key)
            requests[key] = asked if before is None else _joined(before, asked)
        file.add(totals, requests)
        self._written = number
        if number % _TRIM_EVERY == 1 or file.size() > self._most:
            file.trim(int(self._clock.now()) // DAY - self._days + 1, self._most)

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
