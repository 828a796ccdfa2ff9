"""Which of the indexes that name a file are believed: those of the client first, then what their suites are now.

`files` asks before it serves or fetches a file that an index may list. Two suites of an archive may list one path with
different sums, and so may two states of a suite; only upstream can tell which is right, so all that may be are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.catalog import Catalog, ReadAgain
from proxy.apt.handed_out import HandedOut
from proxy.apt.release import Listed
from proxy.apt.snapshots import Snapshots
from proxy.apt.sources import Match, Source
from proxy.apt.suites import Snapshot
from proxy.model import Digest, Entry, Query
from proxy.ports import Clock

_OWN, _OWN_FORMER, _PRESENT, _FORMER = range(4)


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a file may be, the likeliest first; empty: no index says. The first `own` ones say the client's indexes.

    `present`: an index of the present state of a suite is among them. `since`: when the latest index that names the
    file came, in seconds since the epoch. `beside`: what indexes say of it that seldom have files where it lies.
    """

    listed: tuple[Listed, ...] = ()
    own: int = 0
    present: bool = False
    since: float = 0.0
    beside: tuple[Listed, ...] = ()


class Vouching:
    """Asks the catalog, and judges by what suites are and what clients were given. It has no state of its own."""

    def __init__(self, catalog: Catalog, snapshots: Snapshots, given: HandedOut, clock: Clock) -> None:
        self._catalog = catalog
        self._snapshots = snapshots
        self._given = given
        self._clock = clock

    async def of(self, query: Query[ArchiveAddress], kept: Entry | None = None) -> Vouched:
        """What indexes say of the file at the query's target. `kept`: what the store has there.

        What was right by all indexes that there are is right, while they are read again after a start.
        """
        address = query.target
        try:
            matches = await self._catalog.find(address, checked=kept.checked if kept and kept.promised else None)
        except ReadAgain:
            assert kept is not None, "it was checked"
            return Vouched((Listed(kept.size, kept.promised or kept.digest),), since=kept.checked)
        if not any(match.near for match in matches):
            return Vouched(beside=_distinct(matches))
        ranks = await self._ranks(query, matches)
        if min(ranks.values()) == _FORMER and await self._learn_present(matches):
            matches = await self._catalog.find(address)
            ranks = await self._ranks(query, matches)
        near = [match for match in matches if match.near]
        best = [match for match in near if ranks[match.source.key] != _FORMER] or near
        best.sort(key=lambda match: ranks[match.source.key])
        own = _distinct(match for match in best if ranks[match.source.key] in {_OWN, _OWN_FORMER})
        present = any(ranks[match.source.key] in {_OWN, _PRESENT} for match in best)
        return Vouched(_distinct(best), len(own), present, near[0].source.since)

    async def _ranks(self, query: Query[ArchiveAddress], matches: list[Match]) -> dict[str, int]:
        known = await self._known(matches)
        ranks = {}
        for source in (match.source for match in matches if match.near):
            if source.suite is None:
                ranks[source.key] = _PRESENT
                continue
            snapshots = known[source.suite.key]
            name = self._given.recall(query.client, source.suite.key, self._clock.monotonic())
            present = not snapshots or _lists(snapshots[0], source)
            if any(one.name == name and _lists(one, source) for one in snapshots):
                ranks[source.key] = _OWN if present else _OWN_FORMER
            else:
                ranks[source.key] = _PRESENT if present else _FORMER
        return ranks

    async def _learn_present(self, matches: list[Match]) -> bool:
        """Learn what the present states of suites have in the place of former indexes. Whether there is any."""
        news = False
        for suite, path in {(match.source.suite, match.source.path) for match in matches}:
            snapshots = await self._snapshots.known(suite) if suite is not None else []
            listed = snapshots[0].release.files.get(path) if snapshots else None
            if suite is not None and listed is not None:
                news |= self._catalog.learn_kept(suite, path, listed.digest)
        return news

    async def _known(self, matches: list[Match]) -> dict[str, list[Snapshot]]:
        suites: dict[str, ArchiveAddress] = {}
        for match in matches:
            if match.source.suite is not None:
                suites[match.source.suite.key] = match.source.suite
        return {key: await self._snapshots.known(suite) for key, suite in suites.items()}


def _lists(snapshot: Snapshot, source: Source) -> bool:
    listed = snapshot.release.files.get(source.path)
    return listed is not None and listed.digest.value == source.table


def _distinct(matches: Iterable[Match]) -> tuple[Listed, ...]:
    found: dict[Digest, Listed] = {}
    for match in matches:
        found.setdefault(match.listed.digest, match.listed)
    return tuple(found.values())
