"""What a store holds → a bundle (ADR 21). On the event loop of the store; reading and writing are done in threads.

Called by `server` for a running cache, and by `opened_folder` for one that does not run. `export_choice` says what is
meant, `bundles` what it looks like. What is exported is not evicted meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from proxy.apt import release
from proxy.apt.release import Release
from proxy.bundles.contents import Contents
from proxy.bundles.layout import PAGES
from proxy.bundles.tar_writer import BundleTar, TarOutlet
from proxy.cache.workers import Workers
from proxy.control import export_choice
from proxy.control.export_choice import ExportChoice, PresentSuites
from proxy.control.export_wish import ExportWish
from proxy.control.protocol import ControlError
from proxy.errors import StoreError, UpstreamError
from proxy.model import Entry
from proxy.ports import Clock
from proxy.python import page_remarks
from proxy.python.store_keys import made_of, name_in_key
from proxy.storage.digest_set import DigestSet
from proxy.storage.inventory import Inventory, StoredRow

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE = 2  # tars that are written at once
_SHOWN = 10  # names in a message


@dataclass(frozen=True, slots=True)
class Export:
    """A bundle that is ready to be written, once."""

    tar: BundleTar
    _inventory: Inventory
    _workers: Workers

    async def write(self, outlet: TarOutlet) -> None:
        """Write it. If the caller is cancelled, it is broken off. Raises OSError, StoreError, BrokenOff."""
        writing = asyncio.ensure_future(self._workers.run(self.tar.write, outlet, self._inventory.open))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            outlet.stop()
            await asyncio.gather(writing, return_exceptions=True)  # it reads what is held here
            raise


class Exports:
    """Makes bundles of one store."""

    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        self._inventory = inventory
        self._clock = clock
        self._choosing = Workers("export", 1)  # lists take time: one at a time
        self._writing = Workers("bundle", _AT_ONCE)

    async def close(self) -> None:
        """End the threads."""
        await self._choosing.close()
        await self._writing.close()

    @asynccontextmanager
    async def export(self, wish: ExportWish) -> AsyncGenerator[Export]:
        """The bundle that the wish means.

        Raises StoreError, and ControlError if a file is missing or being checked, or nothing is of an index or project.
        """
        now = self._clock.now()
        choice = ExportChoice(wish, now)
        contents = Contents()
        try:
            await self._gather(contents, choice)
            if missing := choice.absent():
                raise ControlError(f"{_some(missing)} not stored. Fetch what is missing first: pullthrough warm")
            if unknown := choice.unknown():
                raise ControlError(f"Nothing that is stored is of {' or '.join(unknown)}.")
            bodies = await self._in_thread(DigestSet, contents.list.bodies())
            with self._inventory.holding(bodies):
                if names := await self._in_thread(self._unreadable, contents):
                    raise ControlError(
                        f"{_some(names)} not what was stored, or being checked since the disk was touched. Try again "
                        "soon: what is damaged is dropped."
                    )
                await self._in_thread(self._finish, contents, wish.before)
                tar = await self._in_thread(BundleTar, contents, now)
                yield Export(tar, self._inventory, self._writing)
        finally:
            contents.close()

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work on the contents, and wait for it even if the caller is cancelled: they are closed then."""
        working = asyncio.ensure_future(self._choosing.run(work, *args, **kwargs))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.gather(working, return_exceptions=True)
            raise

    async def _gather(self, contents: Contents, choice: ExportChoice) -> None:
        """Have the entries in the list that are meant, and what pages say of them."""
        if choice.in_two_goes:
            async for rows in self._inventory.rows():
                await self._in_thread(_note, rows, choice)
        releases = [
            entry
            async for rows in self._inventory.rows("apt:release:")
            for row in rows
            if (entry := row.entry()) is not None and choice.means(entry)
        ]
        present = await self._in_thread(self._present, releases)
        async for rows in self._inventory.rows():
            await self._in_thread(_add, rows, choice, present, contents)

    def _present(self, entries: Iterable[Entry]) -> PresentSuites:
        releases = {entry.key: found for entry in entries if (found := self._release(entry)) is not None}
        return PresentSuites(releases, {entry.key: entry.digest.value for entry in entries if entry.key in releases})

    def _release(self, entry: Entry) -> Release | None:
        """The list of a suite; None for one that cannot be read."""
        if entry.size > release.MOST:
            return None
        try:
            return release.parse(self._body(entry), clearsigned=entry.key.endswith(":InRelease"))
        except (UpstreamError, StoreError):
            return None

    def _unreadable(self, contents: Contents) -> list[str]:
        """In a thread: the names of those that are not what was stored, or are not proved now."""
        return sorted(
            {
                name_in_key(entry.key) or entry.key
                for member in contents.members()
                if member.start is None and not member.elsewhere and not self._inventory.proved(member.sha256)
                for entry in member.decoded()
            }
        )

    def _finish(self, contents: Contents, before: Iterable[tuple[str, str]]) -> None:
        """In a thread: let the pages that are stored say what they know, and make those that are for people."""
        for member in contents.members_in(PAGES):
            for page in member.decoded():
                if page.key.startswith("page:"):
                    with contextlib.suppress(UpstreamError, StoreError):  # one that cannot be read lists nothing
                        remarks = page_remarks.read(self._body(page), page.content_type, page.url)
                        contents.remark(page.key.split(":", 2)[1], remarks)
        contents.finish(before)

    def _body(self, entry: Entry) -> bytes:
        with self._inventory.open(entry.digest.value) as descriptor:
            return os.pread(descriptor, entry.size, 0)


def _note(rows: Sequence[StoredRow], choice: ExportChoice) -> None:
    """In a thread."""
    for row in rows:
        if made_of(row.key) is None and (entry := row.entry()) is not None:
            choice.note(entry)


def _add(rows: Sequence[StoredRow], choice: ExportChoice, present: PresentSuites, contents: Contents) -> None:
    """In a thread. What was made of pages the other cache makes itself."""
    for row in rows:
        if made_of(row.key) is not None or not present.has(row.key) or (entry := row.entry()) is None:
            continue
        meant = choice.means(entry)
        if meant is None:
            contents.add_name(entry)
        elif meant and not present.comes_first(entry.key):
            contents.add_aside(entry)
        elif meant:
            contents.add(entry, export_choice.distribution(entry.key))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more are" if more > 0 else f"{shown} {'is' if len(names) == 1 else 'are'}"
