"""The entries of a bundle on their way into a store: which are wanted, and which are saved last.

Nothing that is here and newer is replaced. Release files come into force at the end, after all that they list. Called
by `importing` and `short_members`, on the event loop. It never looks at a body.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.bundles.manifest import BundleMember
from proxy.errors import StoreBroken
from proxy.model import Digest, Entry
from proxy.ports import Store

_LAST = ("apt:signature:", "apt:release:")  # in this order: a list is never found without its signature


class Addresses:
    """Those of one import. Mutable state: what is saved last, and a count."""

    def __init__(self, store: Store, *, replace_newer: bool) -> None:
        """`replace_newer`: what is here gives way though it is newer."""
        self._store = store
        self._replace_newer = replace_newer
        self._last: list[Entry] = []
        self.newer = 0  # entries of which something newer was here, and stayed

    def wanted(self, entries: Iterable[Entry]) -> list[Entry]:
        """The entries that are to be here: nothing newer is."""
        return [entry for entry in entries if self._replaces(entry, self._store.find(entry.key))]

    def is_body_wanted(self, member: BundleMember, entries: Iterable[Entry]) -> bool:
        """Whether the body of a member is not here, and an address of it will name it."""
        here = self._store.blob(Digest("sha256", member.sha256)) is not None
        return not here and bool(self.wanted(entries))

    def _replaces(self, entry: Entry, before: Entry | None) -> bool:
        if before is None or before.digest == entry.digest:
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
            elif not here:
                left.append(entry)
            elif entry.key.startswith(_LAST):
                self._last.append(entry)
            else:
                await self._write(entry, before)
        return left

    async def finish(self) -> None:
        """Save those that come last. Raises StoreBroken."""
        for entry in sorted(self._last, key=lambda one: _LAST.index(one.key[: one.key.index(":", 4) + 1])):
            await self._write(entry, self._store.find(entry.key))

    async def _write(self, entry: Entry, before: Entry | None) -> None:
        if before is not None and before.digest == entry.digest and before.checked >= entry.checked:
            return  # as new, and what was found out of it here since stays
        if not await self._store.save(entry):
            raise StoreBroken("What was imported is evicted already, or the disk fails. Give the cache more room.")
