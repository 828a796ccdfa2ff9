"""What verbs have done to a store: counted, cleaned, verified. On the event loop of the store.

Called by `server` for a running cache, and by `opened_folder` for one that does not run. It never decides what to
remove: `selection` does, by a person's wish.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec

from proxy import version
from proxy.cache.workers import Workers
from proxy.control import admin_token, selection
from proxy.control.protocol import (
    Amount,
    CleanEnd,
    CleanPlan,
    ControlError,
    DamagedFile,
    FoundFiles,
    Message,
    Order,
    Progress,
    PulledFiles,
    PullWish,
    Stats,
    VerifyEnd,
    Wish,
)
from proxy.control.pulled_files import pulled
from proxy.control.selection import Choice, StoredBody
from proxy.history import DaySum, days, demand, periods
from proxy.history.database import DAY
from proxy.metrics import Traffic, TrafficRow
from proxy.ports import Clock
from proxy.storage.disk_health import Undeleted
from proxy.storage.inventory import Inventory, Removal
from proxy.storage.space import file_system

_BATCH = 200  # bodies that are removed at once
_AT_ONCE = 2  # bodies that are hashed at once: the store has so many threads for it
_LOOK = 0.2  # seconds between two lines of progress


class Caretaker:
    """Works on a store that is open. Errors of the disk are StoreError."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it works on, and what it asks
        self,
        inventory: Inventory,
        folder: Path,
        clock: Clock,
        traffic: Callable[[], Traffic] = Traffic,
        since: float | None = None,
        flush: Callable[[], Awaitable[None]] | None = None,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        """`traffic`: what clients got so far; `since`: when the cache was started, in seconds since the epoch.

        `flush`: has the history written what it gathered; `forget`: drops answers that are ready to send.
        """
        self._flush = flush or _nothing
        self._forget = forget
        self._inventory = inventory
        self._folder = folder
        self._clock = clock
        self._traffic = traffic
        self._since = since
        self._workers = Workers("inventory", 1)
        self._looking = asyncio.Lock()  # a list of all files takes memory: one at a time, however many ask

    async def close(self) -> None:
        """End the thread."""
        await self._workers.close()

    async def stats(self, count: int) -> Stats:
        """What is stored, with the `count` largest files."""
        await self._flush()
        async with self._looking:
            return await self._counted(count)

    async def _counted(self, count: int) -> Stats:
        running, traffic, sums = self._since is not None, self._traffic(), selection.Sums()
        async for piece in self._inventory.named():
            await self._workers.run(sums.add, piece)
        files, size = self._inventory.total
        amounts = sums.amounts(files, size)
        largest = [selection.bodies([blob], entries)[0].named for blob, entries in await self._inventory.largest(count)]
        today = int(self._clock.now()) // DAY
        return Stats(
            version=version(),
            folder=os.fsencode(self._folder).decode(errors="replace"),
            since=self._since,
            files=files,
            size=size,
            limit=int(self._inventory.limit),  # of a kind of its own, which JSON lacks
            free=await self._workers.run(_free, self._folder),
            broken_off=self._inventory.broken_off,
            amounts=_with_traffic(amounts, traffic.rows) if running else amounts,
            largest=tuple(largest),
            saved=traffic.saved if running else None,
            periods=periods(await self._workers.run(_days, self._folder), today),
        )

    async def listing(self, text: str, order: Order, start: int, count: int) -> FoundFiles:
        """The stored files that have `text` in a name, a project, an index or a digest: `count` from `start` on."""
        await self._flush()
        requests = partial(_requests, self._folder)
        async with self._looking:
            stored = await self.bodies()
            return await self._workers.run(selection.listing, stored, text, order, start, count, requests)

    async def check_token(self, given: str) -> None:
        """Raise TokenRefused unless this is the admin token."""
        await self._workers.run(admin_token.check, self._folder, given)

    async def who(self, wish: PullWish) -> PulledFiles:
        """Whose requests the history has of what is looked for. Raises ControlError: it cannot be read."""
        await self._flush()
        async with self._looking:
            stored = await self.bodies()
            return await self._workers.run(pulled, self._folder, stored, wish)

    async def plan(self, wish: Wish) -> CleanPlan:
        """What the wish would remove."""
        return await self._workers.run(lambda choice: choice.plan, await self._choice(wish))

    async def clean(self, wish: Wish) -> AsyncGenerator[Message]:
        """Remove what the wish means now: Progress, and CleanEnd at the end. It may be broken off between two lines."""
        choice = await self._choice(wish)
        of = sum(body.size for body in choice.bodies)
        done, removed = 0, _Removed()
        bodies = iter(choice.bodies)
        try:
            while batch := list(islice(bodies, _BATCH)):
                removed.add(len(batch), await self._inventory.remove([body.sha256 for body in batch]))
                done += sum(body.size for body in batch)
                yield Progress(done, of)
            await self._inventory.remove((), choice.keys)
        finally:
            self._forget()
        if wish.everything:
            removed.add(0, await self._inventory.remove_broken_off())
        yield CleanEnd(removed.files, removed.freed, len(choice.keys), removed.undeleted, removed.reason)

    async def verify(self) -> AsyncGenerator[Message]:
        """Hash every file: Progress, DamagedFile, and VerifyEnd at the end. Damaged files are dropped.

        It may be broken off between two lines.
        """
        found, lost = await self._inventory.sweep()
        waiting = await self.bodies()
        work = _Verifying(self._inventory, waiting)
        tasks = [asyncio.create_task(work.run(), name="verifying") for _ in range(_AT_ONCE)]
        try:
            running = set(tasks)
            while running:
                _, running = await asyncio.wait(running, timeout=_LOOK)
                while work.damaged:
                    yield DamagedFile(work.damaged.pop(0).named)
                yield Progress(work.read, work.size)
            for task in tasks:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._forget()
        undeleted, reason = work.stay.undeleted, work.stay.reason
        yield VerifyEnd(work.files, work.size, work.dropped, lost, found, work.unknown, undeleted, reason)

    async def bodies(self) -> list[StoredBody]:
        """All that is stored, the longest unused first."""
        entries = await self._inventory.entries()
        return await self._workers.run(selection.bodies, self._inventory.blobs(), entries)

    async def _choice(self, wish: Wish) -> Choice:
        stored = await self.bodies()
        return await self._workers.run(selection.choose, stored, wish, self._clock.now(), self._inventory.broken_off)


@dataclass(slots=True)
class _Removed:
    """What was removed so far, and what could not be deleted."""

    files: int = 0
    freed: int = 0
    undeleted: int = 0
    reason: str | None = None

    def add(self, files: int, removal: Removal) -> None:
        """`files`: how many were to be removed."""
        self.files += files - len(removal.left.blobs)
        self.freed += removal.freed
        self.left(removal.left)

    def left(self, left: Undeleted) -> None:
        """Count what could not be deleted."""
        self.undeleted += len(left.blobs) + len(left.downloads)
        self.reason = self.reason or left.reason or None


class _Verifying:
    """The files that wait to be hashed, and what came out so far. Several tasks work on it."""

    def __init__(self, inventory: Inventory, bodies: Sequence[StoredBody]) -> None:
        self.size = sum(body.size for body in bodies)
        self.read = self.files = self.dropped = self.unknown = 0
        self.damaged: list[StoredBody] = []
        self.stay = _Removed()
        self._inventory = inventory
        self._waiting = iter(bodies)

    async def run(self) -> None:
        """Hash one file after another."""
        for body in self._waiting:
            read = 0

            def advanced(length: int) -> None:
                nonlocal read
                read += length
                self.read += length

            right = await self._inventory.verify(body.sha256, advanced, self.stay.left)
            self.read += body.size - read  # the bar comes to its end, whatever could not be read
            if right is None and not self._inventory.holds(body.sha256):
                continue  # evicted or removed meanwhile
            self.files += 1
            if right is None:
                self.unknown += 1
            elif not right:
                self.dropped += 1
                self.damaged.append(body)


def _with_traffic(amounts: Sequence[Amount], traffic: Iterable[TrafficRow]) -> tuple[Amount, ...]:
    """The amounts with what clients got; also of what is not stored any more."""
    got = {(one.index, one.kind): one for one in traffic if one.requests}
    rows = [
        msgspec.structs.replace(row, requests=one.requests, hits=one.hits, from_cache=one.from_cache)
        if (one := got.pop((row.index, row.kind), None)) is not None
        else msgspec.structs.replace(row, requests=0, hits=0, from_cache=0)
        for row in amounts
    ]
    gone = [Amount(one.index, one.kind, 0, 0, one.requests, one.hits, one.from_cache) for one in got.values()]
    return (*rows, *sorted(gone, key=lambda row: (row.index, row.kind)))


def _requests(folder: Path, names: Iterable[tuple[str, str]] | None) -> selection.Requests:
    """How often clients got these files, or all. What is only shown may be missing; an order needs it."""
    try:
        return demand(folder, names)
    except sqlite3.Error as error:
        if names is not None:
            return {}
        raise ControlError(f"The history cannot say how often files were asked for ({error}). Try again.") from error


async def _nothing() -> None:
    """There is no history under way."""


def _days(folder: Path) -> list[DaySum]:
    """The days of the history. One that cannot be read is said, and mended, by who writes it."""
    try:
        return days(folder)
    except (sqlite3.Error, OSError):
        return []


def _free(folder: Path) -> int | None:
    try:
        return file_system(folder)[1]
    except OSError:
        return None
