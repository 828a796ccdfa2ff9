"""Which of the indexes that name a file are believed: those of the client first, then the present ones of their suites.

`files` asks before it serves or fetches a file that an index may list. Two suites of an archive may list one path with
different digests, and so may two states of a suite. Only upstream can tell which is right, so the answer has all that
may be. ADR 11 says what vouches for a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.apt.addresses import ArchiveAddress, ArchiveQuery
from proxy.apt.catalog import Catalog, Match, NotRead
from proxy.apt.handed_out import HandedOut
from proxy.apt.indexes import StoredIndex
from proxy.apt.release import Listed
from proxy.apt.snapshots import Snapshots
from proxy.apt.suites import Snapshot
from proxy.model import Digest, Entry

_OWN, _OWN_FORMER, _PRESENT, _FORMER = range(4)


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a file may be, the likeliest first; empty if no index says. `own`: how many are of the client's indexes.

    `present`: an index of the present state of a suite is among them. `since`: when the latest index that names the
    file arrived, in seconds since the epoch. `beside`: what indexes say of it whose files seldom lie there.
    """

    listed: tuple[Listed, ...] = ()
    own: int = 0
    present: bool = False
    since: float = 0.0
    beside: tuple[Listed, ...] = ()


class Vouching:
    """Asks the catalog, and judges by the states of suites and by what clients were given. It has no state."""

    def __init__(self, catalog: Catalog, snapshots: Snapshots, handed_out: HandedOut) -> None:
        self._catalog = catalog
        self._snapshots = snapshots
        self._handed_out = handed_out

    async def of(self, query: ArchiveQuery, stored: Entry | None = None) -> Vouched:
        """What indexes say of the file at the query's target. `stored`: what the store has there.

        While indexes are read again after a start, what was right by all of them stays right.
        """
        address = query.target
        try:
            matches = await self._catalog.find(address, stored.checked if stored and stored.promised else None)
        except NotRead:
            assert stored is not None, "it was checked"
            return Vouched((Listed(stored.size, stored.promised or stored.digest),), since=stored.checked)
        if not any(match.near for match in matches):
            return Vouched(beside=_distinct(matches))
        ranks = await self._ranks(query, matches)
        if min(ranks.values()) == _FORMER and await self._learn_present(matches):
            matches = await self._catalog.find(address)
            ranks = await self._ranks(query, matches)
        near = [match for match in matches if match.near]
        best = [match for match in near if ranks[match.index.key] != _FORMER] or near
        best.sort(key=lambda match: ranks[match.index.key])
        own = _distinct(match for match in best if ranks[match.index.key] in {_OWN, _OWN_FORMER})
        present = any(ranks[match.index.key] in {_OWN, _PRESENT} for match in best)
        return Vouched(_distinct(best), len(own), present, near[0].index.arrived)

    async def _ranks(self, query: ArchiveQuery, matches: list[Match]) -> dict[str, int]:
        """How far each index is believed, by its key."""
        known = await self._known(matches)
        ranks = {}
        for index in (match.index for match in matches if match.near):
            if index.suite is None:
                ranks[index.key] = _PRESENT
                continue
            snapshots = known[index.suite.key]
            name = self._handed_out.name(query.client, index.suite)
            present = not snapshots or _lists(snapshots[0], index)
            if any(one.name == name and _lists(one, index) for one in snapshots):
                ranks[index.key] = _OWN if present else _OWN_FORMER
            else:
                ranks[index.key] = _PRESENT if present else _FORMER
        return ranks

    async def _learn_present(self, matches: list[Match]) -> bool:
        """Learn the indexes that the present states of suites have in place of former ones. Whether any is news."""
        news = False
        for suite, path in {(match.index.suite, match.index.path) for match in matches}:
            snapshots = await self._snapshots.known(suite) if suite is not None else []
            listed = snapshots[0].release.files.get(path) if snapshots else None
            if suite is not None and listed is not None:
                news |= self._catalog.learn_stored(suite, path, listed.digest)
        return news

    async def _known(self, matches: list[Match]) -> dict[str, list[Snapshot]]:
        """The snapshots of the suites of the indexes, by the suite's key."""
        suites: dict[str, ArchiveAddress] = {}
        for match in matches:
            if match.index.suite is not None:
                suites[match.index.suite.key] = match.index.suite
        return {key: await self._snapshots.known(suite) for key, suite in suites.items()}


def _lists(snapshot: Snapshot, index: StoredIndex) -> bool:
    listed = snapshot.release.files.get(index.path)
    return listed is not None and listed.digest.value == index.digest


def _distinct(matches: Iterable[Match]) -> tuple[Listed, ...]:
    found: dict[Digest, Listed] = {}
    for match in matches:
        found.setdefault(match.listed.digest, match.listed)
    return tuple(found.values())
