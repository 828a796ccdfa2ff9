"""Revalidation (RFC 9110 §13): whether what is stored is still what upstream has.

`conditional` is the request, for callers that store what changes under its address. `Revalidator` sends it for stored
files that an index may replace under their names and has no digest for, when they are older than the upstream's time to
live: once for all clients that wait. Never reads a body.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

from msgspec import structs

from proxy.bounded import Bounded
from proxy.cache import freshness
from proxy.cache.body_checks import is_coded
from proxy.cache.flight import WantedFile
from proxy.cache.freshness import Patience
from proxy.cache.single_flight import SingleFlight
from proxy.errors import (
    Forwarded,
    NotFound,
    UpstreamError,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from proxy.model import Entry, Outcome, UpstreamRequest, Validator
from proxy.ports import Clock, Reply, Store, Upstream

_log = logging.getLogger(__name__)

# These are about the host, or about the credentials, and not about the condition.
_CLEAR = (Forwarded, UpstreamThrottled, UpstreamUnreachable)
_LEAST = 3.0  # seconds to wait for a host that is far away or busy, where a file may well have changed
_CHANGED = 1000  # files remembered as other ones upstream


@asynccontextmanager
async def conditional(
    upstream: Upstream, request: UpstreamRequest, conditions: Mapping[str, str]
) -> AsyncIterator[Reply]:
    """The response to `request` with these conditions, or without where that fails. Raises as `Upstream.get`.

    Some servers, and gateways before them, answer a condition by an error, or not at all, and the same request without
    one by the body. So an error may be about the condition alone, and so may silence. A host that is known to be down
    is asked once.
    """
    down = upstream.down(request.url)
    async with AsyncExitStack() as stack:
        try:
            reply = await stack.enter_async_context(
                upstream.get(structs.replace(request, headers={**request.headers, **conditions}))
            )
        except (NotFound, UpstreamError) as error:
            if down or not conditions or isinstance(error, _CLEAR):
                raise
            reply = None
        if reply is None:
            reply = await stack.enter_async_context(upstream.get(request))
        yield reply


class Revalidator:
    """Revalidates stored files. Mutable state: the requests under way, and the files that upstream had others for."""

    def __init__(self, store: Store, upstream: Upstream, clock: Clock, patience: Patience) -> None:
        self._store = store
        self._upstream = upstream
        self._clock = clock
        self._patience = patience
        self._flights: SingleFlight[Outcome] = SingleFlight()
        self._changed: Bounded[str, Entry] = Bounded(_CHANGED)

    async def outcome(
        self, wanted: WantedFile, entry: Entry, *, exact: bool = False, gone: bool = False, anew: bool = False
    ) -> Outcome:
        """HIT: confirmed lately. REVALIDATED: confirmed now. STALE: upstream did not say. MISS: it has another file.

        `exact`: dates may be set back, or be the same for all versions. They are compared, with the length, and are
        not sent as a condition: upstream would say of any older file that it has not changed. And the older the copy
        is, the longer a client waits for upstream.
        `gone`: raise NotFound where upstream has no such file any more; else it is STALE.
        `anew`: a file that was not confirmed a moment ago is fetched, since validators may hide that it changed.
        """
        if freshness.is_fresh(entry, self._clock.now(), wanted.site.ttl, revalidate=anew):
            return Outcome.HIT
        if self.is_left_alone(wanted):
            return Outcome.STALE
        if anew or self._changed.get(wanted.key) == entry:
            return Outcome.MISS
        seconds = self.patience(wanted.url, entry, exact=exact)
        task, _ = self._flights.join(wanted.key, lambda: self._revalidate(wanted, entry, exact=exact))
        try:
            return await self._flights.result(task, seconds)
        except TimeoutError:
            self._patience.ran_out(wanted.url)
            return Outcome.STALE
        except (NotFound, UpstreamError) as error:
            if gone and isinstance(error, NotFound) and not isinstance(error, Withheld):
                raise
            # A file that is gone upstream stays in the cache.
            _log.warning("cached file not revalidated", extra={"upstream": wanted.site.mount, "reason": str(error)})
            return Outcome.STALE

    def is_left_alone(self, wanted: WantedFile) -> bool:
        """Whether the host of a file is within its back-off: it is not asked."""
        return self._upstream.down(wanted.url, file=True)

    def patience(self, url: str, entry: Entry, *, exact: bool) -> float:
        """Seconds for which a client waits for upstream."""
        if not exact:
            return self._patience.seconds(url)
        worth = self._patience.worth(url, self._clock.now() - entry.checked)
        return max(worth, _LEAST) if worth else 0.0

    async def close(self) -> None:
        """Cancel the requests under way."""
        await self._flights.close()

    async def _revalidate(self, wanted: WantedFile, entry: Entry, *, exact: bool) -> Outcome:
        self._changed.pop(wanted.key, None)
        if not await self._same(wanted, entry, exact=exact):
            self._changed[wanted.key] = entry  # a client that did not wait for this fetches it the next time
            return Outcome.MISS
        if self._store.find(entry.key) == entry:  # else another file, or nothing, is there by now: nothing to renew
            await self._store.save(structs.replace(entry, checked=self._clock.now()))
        return Outcome.REVALIDATED

    async def _same(self, wanted: WantedFile, entry: Entry, *, exact: bool) -> bool:
        """Whether upstream has the stored file. Raises NotFound or an UpstreamError."""
        known, length = entry.validator, None
        conditions = known.conditions
        if exact:
            length = entry.size
            conditions.pop("If-Modified-Since", None)
            if not freshness.is_settled(known.last_modified, entry.stored):
                known = structs.replace(known, last_modified=None)  # RFC 9110 §8.8.2.2: it may have changed twice since
        try:
            # A range, so that an upstream with another file, or without conditions, does not begin to send the whole.
            return await self._answered(wanted, known, length, {"Range": "bytes=0-0", **conditions}, {})
        except (UpstreamTimeout, UpstreamUnreachable):
            raise
        except (NotFound, UpstreamError):  # perhaps because of the range
            return await self._answered(wanted, known, length, {}, conditions)

    async def _answered(
        self,
        wanted: WantedFile,
        known: Validator,
        length: int | None,
        headers: dict[str, str],
        conditions: dict[str, str],
    ) -> bool:
        since = self._clock.monotonic()
        async with conditional(self._upstream, UpstreamRequest(wanted.url, wanted.site, headers), conditions) as reply:
            self._patience.answered(wanted.url, since)
            if reply.status == HTTPStatus.NOT_MODIFIED:
                return True
            # In a coding of its own, the length says nothing of the file.
            size = None if is_coded(reply) else reply.size
            return known.same(reply.validator) is True and (length is None or size in {None, length})
