"""Reading what upstream has of a suite: a Release file, or the list and its signature as one pair.

`snapshots` asks at each look, and decides what becomes of it. Keeps the bodies, and nothing else.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.apt import release, suites
from proxy.apt.fetching import Sent, fetch
from proxy.apt.suite_history import Line, Lines
from proxy.apt.suites import Form, Held, Snapshot
from proxy.cache.bodies import Bodies
from proxy.cache.patience import Patience
from proxy.cache.workers import Workers
from proxy.errors import NotFound
from proxy.model import Site
from proxy.ports import Clock, Upstream

_SIGNATURE = "Release.gpg"
_ROUNDS = 3  # tries to read a list and its signature without a change in between


class Torn(Exception):
    """The list changed each time while its signature was read."""


class Reading:
    """Reads Release files from upstream."""

    def __init__(  # noqa: PLR0913, PLR0917 the ports, and what it is built on
        self, upstream: Upstream, bodies: Bodies, clock: Clock, patience: Patience, lines: Lines, workers: Workers
    ) -> None:
        self._upstream = upstream
        self._bodies = bodies
        self._clock = clock
        self._patience = patience
        self._lines = lines
        self._workers = workers

    async def found(self, line: Line, site: Site, *, anew: bool) -> Snapshot | None:
        """What upstream has; None if it confirmed the present snapshot. `anew`: it is asked without conditions.

        Raises Torn, NotFound, UpstreamBroken for what is no Release file, or another UpstreamError.
        """
        present = line.present
        known = None if anew else present
        sent = await self._fetch(line, line.form.value, site, suites.conditions(known.listing if known else None))
        found = present if sent is None else await self._snapshot(line, sent)
        if found is None or line.form is Form.INLINE:
            return None if sent is None else found
        for _ in range(_ROUNDS):
            signature = await self._signed(line, site, known.signature if known else None)
            found = replace(found, signature=signature)
            if present is not None and found.pair == present.pair:
                return found
            again = await self._fetch(line, line.form.value, site, {})
            assert again is not None, "nothing was asked on a condition"
            if release.digest(again.body) == found.listing.entry.digest:
                return found
            found = await self._snapshot(line, again)
        raise Torn

    async def _signed(self, line: Line, site: Site, known: Held | None) -> Held | None:
        """The signature that upstream has beside the list, `known` if it still is that; None where there is none."""
        try:
            sent = await self._fetch(line, _SIGNATURE, site, suites.conditions(known))
        except NotFound:
            return None
        return known if sent is None else await self._lines.hold(line, _SIGNATURE, sent)

    async def _snapshot(self, line: Line, sent: Sent) -> Snapshot:
        found = await self._workers.run(release.parse, sent.body, clearsigned=line.form is Form.INLINE)
        return Snapshot(line.form, await self._lines.hold(line, line.form.value, sent), found)

    async def _fetch(self, line: Line, name: str, site: Site, conditions: dict[str, str]) -> Sent | None:
        url, since = address_of(line, name), self._clock.monotonic()
        try:
            sent = await fetch(self._upstream, self._bodies, url, site, conditions)
        except NotFound:
            self._patience.answered(url, since)
            raise
        self._patience.answered(url, since)
        return sent


def address_of(line: Line, name: str) -> str:
    """Upstream's address of a file in the suite's folder."""
    return line.suite.at(line.suite.path + name).url
