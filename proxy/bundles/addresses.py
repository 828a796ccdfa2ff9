"""The entries of a bundle on their way into a store: which are wanted, and which are saved last.

Nothing that is here and newer is replaced. Release files come into force at the end, after all that they list; and so
do index pages in place of others: what they drop is known by then. Called by `importing` and `short_members`, on the
event loop. It never looks at a body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from proxy.bundles.manifest import BundleMember
from proxy.errors import StoreBroken
from proxy.model import Digest, Entry
from proxy.ports import Store


class Learn(Protocol):
    """Learns from an index page, or from what one dropped, before its entry replaces one with another body.

    Gives whether the entry is to be saved. `older`: the page that is here stays, which confirmed later what it lists.
    """

    async def __call__(self, entry: Entry, /, *, older: bool = False) -> bool: ...


_REMOVED = "removed:"  # what a page dropped: that which a bundle says comes beside what is here
_PAGE = "page:"
_LEARNT = (_REMOVED, _PAGE)
_LAST = ("apt:signature:", "apt:release:")  # in this order: a list is never found without its signature


class Addresses:
    """Those of one import. Mutable state: what is saved last, and counts."""

    def __init__(self, store: Store, *, replace_newer: bool, learn: Learn | None = None) -> None:
        """`replace_newer`: what is here gives way though it is newer. `learn`: None: nothing knows index pages."""
        self._store = store
        self._replace_newer = replace_newer
        self._last: list[Entry] = []
        self._learn = learn
        self._learnt: list[Entry] = []
        self._older: list[Entry] = []  # pages of which newer ones are here
        self.unknown = 0  # index pages that are none
        self.newer = 0  # entries of which something newer was here, and stayed

    def is_body_wanted(self, member: BundleMember, entries: Iterable[Entry]) -> bool:
        """Whether the body of a member is not here, and an address of it will name it, or it is learnt from."""
        here = self._store.blob(Digest("sha256", member.sha256)) is not None
        return not here and any(self._is_of_use(entry) for entry in entries)

    def _is_of_use(self, entry: Entry) -> bool:
        """Whether the entry is saved, or learnt from."""
        before = self._store.find(entry.key)
        return self._replaces(entry, before) or self._is_older_page(entry)

    def _is_older_page(self, entry: Entry) -> bool:
        """Whether a page that stays out may list what the one that is here has dropped."""
        return self._learn is not None and entry.key.startswith(_PAGE)

    def _replaces(self, entry: Entry, before: Entry | None) -> bool:
        if before is None or before.digest == entry.digest:
            return True
        if self._learn is not None and entry.key.startswith(_REMOVED):
            return True
        return self._replace_newer or entry.checked > before.checked

    async def save(self, member: BundleMember, entries: Iterable[Entry]) -> list[Entry]:
        """Save the entries of a body that was compared with them. Raises StoreBroken.

        Gives those that are wanted and cannot be saved, since the body is not here.
        """
        here = self._store.blob(Digest("sha256", member.sha256)) is not None
        left = []
        for entry in entries:
            before = self._store.find(entry.key)
            if not self._replaces(entry, before):
                self.newer += 1
                self._older += [entry] if here and self._is_older_page(entry) else []
            elif not here:
                left.append(entry)
            elif entry.key.startswith(_LAST):
                self._last.append(entry)
            elif self._learn is not None and _is_learnt(entry, before):
                self._learnt.append(entry)
            else:
                await self._write(entry, before)
        return left

    async def finish(self) -> None:
        """Save those that come last. Raises StoreBroken."""
        for entry in sorted(self._learnt, key=lambda one: not one.key.startswith(_REMOVED)):
            await self._learn_and_write(entry)
            await asyncio.sleep(0)  # they may be many, each with two pages to compare
        for entry in self._older:
            if self._learn is not None:
                await self._learn(entry, older=True)
            await asyncio.sleep(0)
        for entry in sorted(self._last, key=lambda one: _LAST.index(one.key[: one.key.index(":", 4) + 1])):
            if not self._replaces(entry, before := self._store.find(entry.key)):
                self.newer += 1  # a newer one came from upstream meanwhile
            else:
                await self._write(entry, before)

    async def _learn_and_write(self, entry: Entry) -> None:
        assert self._learn is not None, "else nothing is to be learnt"
        if not self._replaces(entry, self._store.find(entry.key)):
            self.newer += 1  # a newer one came from upstream meanwhile
        elif await self._learn(entry):
            await self._write(entry, self._store.find(entry.key))
        elif not entry.key.startswith(_REMOVED):
            self.unknown += 1

    async def _write(self, entry: Entry, before: Entry | None) -> None:
        if before is not None and before.digest == entry.digest and before.checked >= entry.checked:
            return  # as new, and what was found out of it here since stays
        if not await self._store.save(entry):
            raise StoreBroken("What was imported is evicted already, or the disk fails. Give the cache more room.")


def _is_learnt(entry: Entry, before: Entry | None) -> bool:
    return before is not None and before.digest != entry.digest and entry.key.startswith(_LEARNT)
