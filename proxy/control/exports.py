"""What a store holds → a bundle (ADR 21). On the event loop of the store; reading and writing are done in threads.

Called by `server` for a running cache, and by `opened_folder` for one that does not run. `export_choice` says what is
meant, `bundles` what it looks like. What is exported is not evicted meanwhile.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass

from proxy.apt import release
from proxy.apt.release import Release
from proxy.bundles.contents import Contents, Distribution, arrange
from proxy.bundles.manifest import BundleMember
from proxy.bundles.tar_writer import BundleTar, TarOutlet
from proxy.cache.workers import Workers
from proxy.control import export_choice
from proxy.control.export_wish import ExportWish
from proxy.control.protocol import ControlError
from proxy.errors import StoreError, UpstreamError
from proxy.model import Entry
from proxy.ports import Clock
from proxy.python import page_remarks
from proxy.python.store_keys import made_of, name_in_key
from proxy.storage.inventory import Inventory

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
        writing = asyncio.ensure_future(self._workers.run(self.tar.write, outlet, self._open))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            outlet.stop()
            await asyncio.gather(writing, return_exceptions=True)  # it reads what is held here
            raise

    def _open(self, member: BundleMember) -> AbstractContextManager[int]:
        return self._inventory.open(member.sha256)


class Exports:
    """Makes bundles of one store."""

    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        self._inventory = inventory
        self._clock = clock
        self._choosing = Workers("export", 1)  # lists take memory: one at a time
        self._writing = Workers("bundle", _AT_ONCE)

    async def close(self) -> None:
        """End the threads."""
        await self._choosing.close()
        await self._writing.close()

    @asynccontextmanager
    async def export(self, wish: ExportWish) -> AsyncGenerator[Export]:
        """The bundle that the wish means. Raises StoreError, and ControlError if a file is missing or being checked."""
        now = self._clock.now()
        entries = await self._inventory.known(lambda key: made_of(key) is None)
        chosen = await self._choosing.run(export_choice.choose, entries, wish, now)
        del entries
        if missing := export_choice.absent(chosen, wish):
            raise ControlError(f"{_some(missing)} not stored. Fetch what is missing first: pullthrough warm")
        with self._inventory.holding({entry.digest.value for entry in chosen}) as gone:
            if unreadable := {*gone, *await self._choosing.run(self._unreadable, chosen)}:
                names = sorted({_name(entry) for entry in chosen if entry.digest.value in unreadable})
                raise ControlError(
                    f"{_some(names)} not what was stored, or being checked since the disk was touched. Try again soon: "
                    "what is damaged is dropped."
                )
            contents = await self._choosing.run(self._contents, chosen, frozenset(wish.before))
            yield Export(BundleTar(contents, now), self._inventory, self._writing)

    def _unreadable(self, chosen: Iterable[Entry]) -> list[str]:
        """In a thread: the sha256 of those that are not what was stored, or are not proved now."""
        return [one for one in {entry.digest.value for entry in chosen} if not self._inventory.proved(one)]

    def _contents(self, chosen: Sequence[Entry], before: frozenset[tuple[str, str]]) -> Contents:
        """In a thread."""
        releases = {entry.key: found for entry in chosen if (found := self._release(entry)) is not None}
        present = export_choice.without_former(chosen, releases)
        return arrange(present, dict(self._distributions(present)), before)

    def _release(self, entry: Entry) -> Release | None:
        """The list of a suite; None for anything else, and for one that cannot be read."""
        if not entry.key.startswith("apt:release:") or entry.size > release.MOST:
            return None
        try:
            return release.parse(self._body(entry), clearsigned=entry.key.endswith(":InRelease"))
        except UpstreamError:
            return None

    def _distributions(self, entries: Iterable[Entry]) -> Iterable[tuple[str, Distribution]]:
        """By key, with what stored pages say of them."""
        shown: dict[tuple[str, str], list[tuple[Entry, Distribution]]] = {}  # by mount and name
        pages = []
        for entry in entries:
            if entry.key.startswith("page:"):
                pages.append(entry)
            elif (found := export_choice.distribution(entry.key)) is not None:
                shown.setdefault((_mount(entry), found.filename), []).append((entry, found))
        said = self._said(shown, pages)
        for place, files in shown.items():
            for entry, found in files:
                yield entry.key, said.get((*place, entry.digest.value), said.get((*place, ""), found))

    def _said(
        self, shown: Mapping[tuple[str, str], Sequence[tuple[Entry, Distribution]]], pages: Iterable[Entry]
    ) -> dict[tuple[str, str, str], Distribution]:
        """What pages say of these files, by mount, name and sha256: an empty one where a page gives none."""
        said: dict[tuple[str, str, str], Distribution] = {}
        for page in pages:
            mount = _mount(page)
            try:
                remarks = page_remarks.read(self._body(page), page.content_type, page.url)
            except (UpstreamError, StoreError):
                continue  # it lists nothing
            for name, sha256, requires_python, yanked in remarks:
                there = shown.get((mount, name))
                if there is not None:
                    said[mount, name, sha256] = Distribution(there[0][1].project, name, requires_python, yanked)
        return said

    def _body(self, entry: Entry) -> bytes:
        with self._inventory.open(entry.digest.value) as descriptor:
            return os.pread(descriptor, entry.size, 0)


def _mount(entry: Entry) -> str:
    return entry.key.split(":", 2)[1]


def _name(entry: Entry) -> str:
    return name_in_key(entry.key) or entry.key


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more are" if more > 0 else f"{shown} {'is' if len(names) == 1 else 'are'}"
