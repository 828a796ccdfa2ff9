"""Confirming that a kept file is still what upstream has under its name.

Asked by services for files that an index may replace under their names and gives no hash for, when they are older than
the upstream's time to live. One conditional request for all who ask (RFC 9110 §13.1); never fetches the file.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from http import HTTPStatus

from proxy.cache.conditional import conditional
from proxy.cache.flight import Wanted
from proxy.cache.flights import Flights
from proxy.cache.freshness import Verdict, judge
from proxy.cache.patience import Patience
from proxy.errors import NotFound, StoreError, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.model import Ask, Entry, Outcome, Validator
from proxy.ports import Clock, Reply, Store, Upstream

_log = logging.getLogger(__name__)


class Confirming:
    """Confirms kept files. Mutable state: the requests under way."""

    def __init__(self, store: Store, upstream: Upstream, clock: Clock, patience: Patience) -> None:
        self._store = store
        self._upstream = upstream
        self._clock = clock
        self._patience = patience
        self._flights: Flights[Outcome] = Flights()

    async def outcome(self, wanted: Wanted, entry: Entry) -> Outcome:
        """HIT: confirmed lately. REVALIDATED: confirmed now. STALE: upstream did not say. MISS: it has another file."""
        match judge(entry, self._clock.now(), wanted.site.ttl):
            case Verdict.FRESH:
                return Outcome.HIT
            case Verdict.STALE:
                pass
        if self._upstream.down(wanted.url, file=True):
            return Outcome.STALE
        task, _ = self._flights.join(wanted.key, lambda: self._ask(wanted, entry))
        try:
            return await self._flights.result(task, self._patience.seconds(wanted.url))
        except TimeoutError:
            self._patience.ran_out(wanted.url)
            return Outcome.STALE

    async def close(self) -> None:
        """Break off the requests under way."""
        await self._flights.close()

    async def _ask(self, wanted: Wanted, entry: Entry) -> Outcome:
        try:
            same = await self._same(wanted, entry)
        except (NotFound, UpstreamError) as error:
            # Gone upstream is no reason to lose it here.
            _log.warning("kept file not confirmed", extra={"upstream": wanted.site.mount, "reason": str(error)})
            return Outcome.STALE
        if not same:
            return Outcome.MISS
        if self._store.find(entry.key) != entry:
            return Outcome.REVALIDATED  # another file, or nothing, is there by now: nothing to renew
        try:
            await self._store.save(replace(entry, checked=self._clock.now()))
        except StoreError as error:
            _log.debug("entry not kept", extra={"reason": str(error)})
        return Outcome.REVALIDATED

    async def _same(self, wanted: Wanted, entry: Entry) -> bool:
        """Whether upstream has the kept file. Raises NotFound or an UpstreamError."""
        conditions = entry.validator.conditions
        try:
            # A range, so that an upstream that has another file, or knows no conditions, does not begin to send it.
            return await self._answered(wanted, entry, {"Range": "bytes=0-0", **conditions}, {})
        except (UpstreamTimeout, UpstreamUnreachable):
            raise
        except (NotFound, UpstreamError):  # that may be about the range
            return await self._answered(wanted, entry, {}, conditions)

    async def _answered(
        self, wanted: Wanted, entry: Entry, headers: dict[str, str], conditions: dict[str, str]
    ) -> bool:
        since = self._clock.monotonic()
        async with conditional(self._upstream, Ask(wanted.url, wanted.site, headers), conditions) as reply:
            self._patience.answered(wanted.url, since)
            return reply.status == HTTPStatus.NOT_MODIFIED or _same(entry.validator, reply)


def _same(known: Validator, reply: Reply) -> bool:
    """Whether an answer that is no 304 bears the validators of what is kept."""
    fresh = Validator(reply.headers.get("etag"), reply.headers.get("last-modified"))
    if known.etag and fresh.etag:
        return known.etag == fresh.etag
    return known.last_modified is not None and known.last_modified == fresh.last_modified
