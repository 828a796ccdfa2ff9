"""Fetches what upstream has of a suite: a Release file, or a list and its signature as one pair.

`snapshots` calls it for each look, and decides what becomes of it. Stores the bodies, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus

from proxy.apt import paths, release, suites
from proxy.apt.suite_history import SuiteHistory
from proxy.apt.suites import Received, ReleaseForm, Snapshot
from proxy.cache.bodies import Bodies
from proxy.cache.freshness import Patience
from proxy.cache.revalidation import conditional
from proxy.cache.workers import Workers
from proxy.errors import NotFound, UpstreamBroken
from proxy.model import Entry, Kind, Site, UpstreamRequest, Validator
from proxy.ports import Clock, Store, Upstream

_ROUNDS = 3  # tries to read a list and its signature without a change in between


class Torn(Exception):
    """The list changed each time while its signature was read."""


class ReleaseFetcher:
    """Fetches Release files. It has no state of its own."""

    def __init__(  # noqa: PLR0913, PLR0917 the ports, and what it is built on
        self,
        store: Store,
        upstream: Upstream,
        clock: Clock,
        bodies: Bodies,
        patience: Patience,
        workers: Workers,
    ) -> None:
        """`workers`: the threads that parse Release files."""
        self._store = store
        self._upstream = upstream
        self._clock = clock
        self._bodies = bodies
        self._patience = patience
        self._workers = workers

    async def fetch(self, history: SuiteHistory, site: Site, *, unconditional: bool) -> Snapshot | None:
        """What upstream has; None if it confirmed the present snapshot. `unconditional`: no conditions are sent.

        Raises Torn, NotFound, UpstreamBroken for what is no Release file, or another UpstreamError.
        """
        present = history.present
        known = None if unconditional else present
        listing = await self._get(history, history.form.value, site, known.listing if known else None)
        found = present if listing is None else await self._snapshot(history, listing)
        if found is None or history.form is ReleaseForm.INLINE:
            return None if listing is None else found
        for _ in range(_ROUNDS):
            signature = await self._signature(history, site, known.signature if known else None)
            found = replace(found, signature=signature)
            if present is not None and found.pair == present.pair:
                return found
            again = await self._get(history, history.form.value, site, None)
            assert again is not None, "nothing was asked on a condition"
            if release.digest(again.body) == found.listing.entry.digest:
                return found
            found = await self._snapshot(history, again)
        raise Torn

    async def _signature(self, history: SuiteHistory, site: Site, known: Received | None) -> Received | None:
        """The signature that upstream has beside the list, `known` if it still is that; None where there is none.

        Raises UpstreamBroken for one that breaks off, and for what is none.
        """
        try:
            fetched = await self._get(history, paths.SIGNATURE, site, known)
        except NotFound:
            return None
        if fetched is None:
            return known
        release.check_signature(fetched.body)
        return await self._put(history.signature_key("new"), fetched)

    async def _snapshot(self, history: SuiteHistory, listing: _ReleasePart) -> Snapshot:
        parsed = await self._workers.run(release.parse, listing.body, clearsigned=history.form is ReleaseForm.INLINE)
        return Snapshot(history.form, await self._put(history.key, listing), parsed)

    async def _get(self, history: SuiteHistory, name: str, site: Site, known: Received | None) -> _ReleasePart | None:
        """Get a file of the suite, and note how long upstream took. The rest as of `_ask`."""
        url, since = address_of(history, name), self._clock.monotonic()
        try:
            fetched = await self._ask(url, site, suites.conditions(known))
        except NotFound:
            self._patience.answered(url, since)
            raise
        self._patience.answered(url, since)
        return fetched

    async def _ask(self, url: str, site: Site, conditions: dict[str, str]) -> _ReleasePart | None:
        """The file at `url`; None if upstream says that what the conditions name is still right.

        Raises TooLarge, UpstreamBroken, UpstreamTimeout, and what `Upstream.get` raises.
        """
        # As apt asks: caches on the way to the archive are to ask it (RFC 9111 §5.2.1.1).
        request = UpstreamRequest(url, site, {"Cache-Control": "max-age=0"}, Kind.RELEASE)
        async with conditional(self._upstream, request, conditions) as reply:
            if reply.status == HTTPStatus.NOT_MODIFIED and conditions:
                return None
            if reply.status != HTTPStatus.OK:
                raise UpstreamBroken("Upstream sent part of a Release file, or none, instead of the whole.")
            async with self._bodies.whole(reply, url, text=True, most=release.MOST) as body:
                return _ReleasePart(reply.url, body, reply.validator, reply.headers.get("date"))

    async def _put(self, key: str, fetched: _ReleasePart) -> Received:
        """Put a file into the store; into memory, where the disk does not take it."""
        now = self._clock.now()
        blob = await self._store.put(fetched.body)
        digest = blob.digest if blob is not None else release.digest(fetched.body)
        entry = Entry(key, fetched.url, digest, len(fetched.body), "text/plain", fetched.validator, now, now)
        settled = suites.settled(fetched.validator, fetched.date, now)
        return Received(entry, None if blob is not None else fetched.body, settled)


@dataclass(frozen=True, slots=True)
class _ReleasePart:
    """A file that upstream sent. `url`: after redirects. `date`: upstream's clock, as its answer has it."""

    url: str
    body: bytes
    validator: Validator
    date: str | None


def address_of(history: SuiteHistory, name: str) -> str:
    """Upstream's address of a file in the suite's folder."""
    return history.suite.at(history.suite.path + name).url
