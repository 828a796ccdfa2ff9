"""Documents: bodies that change under their address, such as index pages.

A fresh copy is sent as it is. A stale one is revalidated with upstream's validators, once for all clients that wait
(single flight). When upstream fails, is known to be down, or is slow, the stale copy is sent, marked as stale. Never
parses a body; `bodies` bounds the memory that bodies take.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from msgspec import structs

from proxy.bounded import Bounded
from proxy.cache import freshness
from proxy.cache.bodies import Bodies
from proxy.cache.freshness import NEGATIVE, Patience
from proxy.cache.revalidation import conditional
from proxy.cache.single_flight import FlightTask, SingleFlight
from proxy.cache.workers import Workers
from proxy.errors import (
    TROUBLE,
    BlobDamaged,
    NotAllowed,
    NotFound,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from proxy.model import Digest, Entry, Kind, Outcome, Site, Source, UpstreamRequest
from proxy.ports import Clock, Reply, Store, Upstream

_log = logging.getLogger(__name__)

_LONG = 1 << 20  # bytes of a document that is read and hashed in a thread
_NEGATIVES, _SHORT = 10_000, 512  # documents remembered as not found, at most, and characters of the key of one


class WantedDocument(msgspec.Struct, frozen=True):
    """A document that a client wants. `accept`: the `Accept` of the request upstream.

    `revalidate`: a stored copy is revalidated even if it is fresh. `anew`: even if it was revalidated a moment ago.
    `check` raises an UpstreamError for a body that is not the document: it never replaces a stored copy.
    `arrived` is called when a new body has arrived. `received` makes of one, by its media type, what is stored.
    `raw`: it may be any file, also a packed one; else it is text, which upstream may send in a content coding.
    `ahead`: no client waits for it. `contended`: while others are fetched ahead there. What upstream does then decides
    nothing for those who ask later, and its failure is raised even if there is a copy: the caller asks once more.
    """

    key: str
    url: str
    site: Site
    accept: str
    revalidate: bool = False
    check: Callable[[Entry, bytes], Awaitable[None]] | None = None
    arrived: Callable[[], None] | None = None
    received: Callable[[str, bytes], Awaitable[bytes]] | None = None
    raw: bool = False
    anew: bool = False
    ahead: bool = False
    contended: bool = False


class Document(msgspec.Struct, frozen=True):
    """A body and where it came from. `fresh_until` is in seconds of the monotonic clock.

    A stored body stays on disk: by the entry's digest most callers know what they made of it the last time.
    """

    entry: Entry
    body: bytes | None  # None: on disk
    outcome: Outcome
    fresh_until: float
    fetched: bool  # the caller's own request brought the body from upstream
    load: Callable[[Entry], Awaitable[bytes]] | None = None
    age: float | None = None  # seconds since upstream confirmed a stored copy; None: it did so now

    @property
    def source(self) -> Source:
        """Where the bytes came from."""
        return Source.UPSTREAM if self.fetched else self.outcome.source

    async def read(self) -> bytes:
        """The body. Raises BlobDamaged: the copy was dropped then, and the next `get` of the document fetches it."""
        if self.body is not None:
            return self.body
        if self.load is None:
            raise BlobDamaged("The stored copy is gone.")
        return await self.load(self.entry)


@dataclass(frozen=True, slots=True)
class _Refreshed:
    """The result of a request upstream. `body`: only where the disk did not take it."""

    entry: Entry
    confirmed: bool  # upstream confirmed the stored copy
    body: bytes | None = None


class Documents:
    """Stores documents.

    Mutable state: the requests under way, which of them nobody waited for when they began, and what is not found.
    """

    def __init__(self, store: Store, upstream: Upstream, clock: Clock, bodies: Bodies, patience: Patience) -> None:
        self._store = store
        self._upstream = upstream
        self._clock = clock
        self._bodies = bodies
        self._patience = patience
        self._flights: SingleFlight[_Refreshed] = SingleFlight()
        self._ahead: set[FlightTask[_Refreshed]] = set()
        self._reading = Workers("reading", 2)  # and hashing
        self._negative: Bounded[str, tuple[float, NotFound]] = Bounded(_NEGATIVES)

    async def get(self, wanted: WantedDocument, hurry: float | None = None) -> Document:
        """The document, from the store or from upstream.

        `hurry`: seconds to wait for upstream. By default `Patience` says it for a stored copy; else there is no limit.
        Nor is there ahead of clients; but where they would not wait for a stored copy, or upstream is down, it is not
        asked.

        Raises NotFound, which says that upstream has no such document any more; Withheld, TooLarge, or another
        UpstreamError when there is no copy to fall back on.
        """
        entry = self._own(wanted.key, wanted.site)
        if entry is not None:
            life = 0.0 if wanted.anew else wanted.site.ttl
            fresh = freshness.is_fresh(entry, self._clock.now(), life, revalidate=wanted.revalidate)
            if fresh or self._upstream.offline:
                return self._document(wanted, entry, None, Outcome.HIT, fetched=False)
            if hurry is None and self._is_left_alone(wanted):
                return self._stale(wanted, entry, UpstreamUnreachable.__name__)
        elif wanted.ahead and self._upstream.down(wanted.url):
            raise UpstreamUnreachable("Upstream failed a moment ago; nothing is asked of it ahead of clients.")
        try:
            self._refuse_known_missing(wanted)
            usual = None if entry is None or wanted.ahead else self._patience.seconds(wanted.url)
            return await self._refreshed(wanted, entry, usual if hurry is None else hurry)
        except (TimeoutError, NotAllowed, UpstreamError, Withheld) as error:
            if isinstance(error, TimeoutError):
                self._patience.ran_out(wanted.url)
                if entry is None:
                    raise UpstreamTimeout("Upstream's page did not come in time.") from error
            if entry is None or ((wanted.ahead or wanted.contended) and isinstance(error, TROUBLE)):
                raise
            return self._stale(wanted, entry, type(error).__name__)

    def reaches(self, document: Document) -> bool:
        """Whether the host of a document can be reached, as far as is known."""
        return self._upstream.reaches(document.entry.url)

    def heard(self, url: str) -> bool:
        """Whether the host of an address responded within the last minute."""
        return self._upstream.heard(url)

    def lost(self, wanted: WantedDocument) -> bool:
        """Whether a client waited for its host in vain not long ago."""
        return self._patience.lost(wanted.url)

    def peek(self, key: str, site: Site) -> Document | None:
        """The stored copy, however old, without a request upstream."""
        entry = self._own(key, site)
        if entry is None:
            return None
        return self.of(entry, site)

    def of(self, entry: Entry, site: Site) -> Document:
        """The stored copy that an entry means which is not saved yet."""
        return self._document(WantedDocument(entry.key, entry.url, site, ""), entry, None, Outcome.HIT, fetched=False)

    async def close(self) -> None:
        """Cancel the requests under way."""
        await self._flights.close()
        await self._reading.close()

    def _own(self, key: str, site: Site) -> Entry | None:
        """The entry of a stored copy, unless a redirect brought it from a host whose pages do not count."""
        entry = self._store.find(key)
        return entry if entry is not None and site.owns(entry.url) else None

    def _is_left_alone(self, wanted: WantedDocument) -> bool:
        """Whether the host is within its back-off, and the caller does not insist on its word.

        Ahead of clients, whether none of them would wait for it.
        """
        if wanted.ahead:
            return not self._patience.seconds(wanted.url)
        return not (wanted.revalidate or wanted.anew) and self._upstream.down(wanted.url)

    def _refuse_known_missing(self, wanted: WantedDocument) -> None:
        known = self._negative.get(wanted.key)
        if known is None:
            return
        until, error = known
        if self._clock.monotonic() < until and not (wanted.revalidate or wanted.anew):
            raise error.again()
        del self._negative[wanted.key]

    async def _refreshed(self, wanted: WantedDocument, before: Entry | None, patience: float | None) -> Document:
        """What upstream says, for one of the callers that wait. Raises TimeoutError after `patience` seconds."""
        task, began = self._joined(wanted, before)
        ahead = task in self._ahead
        try:
            fresh = await self._flights.result(task, patience)
        except TROUBLE:
            if wanted.ahead or not ahead:
                raise
            # It was tried once, behind all others, and may have failed for that.
            task, began = self._joined(wanted, before)
            fresh = await self._flights.result(task, patience)
        if fresh.confirmed:
            return self._document(wanted, fresh.entry, None, Outcome.REVALIDATED, fetched=False)
        if before is not None and before.digest == fresh.entry.digest:
            outcome = Outcome.REVALIDATED
        else:
            outcome = Outcome.MISS if began else Outcome.SHARED
        return self._document(wanted, fresh.entry, fresh.body, outcome, fetched=began)

    def _joined(self, wanted: WantedDocument, before: Entry | None) -> tuple[FlightTask[_Refreshed], bool]:
        task, began = self._flights.join(wanted.key, lambda: self._refresh(wanted, before))
        if began and wanted.ahead:
            self._ahead.add(task)
            task.add_done_callback(self._ahead.discard)
        return task, began

    def _stale(self, wanted: WantedDocument, entry: Entry, reason: str) -> Document:
        if not wanted.ahead:
            _log.warning("stale copy served", extra={"upstream": wanted.site.mount, "reason": reason})
        return self._document(wanted, entry, None, Outcome.STALE, fetched=False)

    def _document(
        self, wanted: WantedDocument, entry: Entry, body: bytes | None, outcome: Outcome, *, fetched: bool
    ) -> Document:
        age = max(self._clock.now() - entry.checked, 0.0)
        left = 0.0 if outcome is Outcome.STALE else wanted.site.ttl - age
        if self._upstream.offline:
            left = wanted.site.ttl  # there is nobody to ask
        until = self._clock.monotonic() + max(left, 0.0)
        from_store = outcome in {Outcome.HIT, Outcome.STALE}
        return Document(entry, body, outcome, until, fetched, self._read, age if from_store else None)

    async def _read(self, entry: Entry) -> bytes:
        blob = self._store.blob(entry.digest)
        if blob is None:
            raise BlobDamaged("The stored copy is gone.")
        with self._store.lease(blob) as descriptor:
            if entry.size <= _LONG:
                return os.pread(descriptor, entry.size, 0)
            return await self._reading.run(os.pread, descriptor, entry.size, 0)

    async def _refresh(self, wanted: WantedDocument, entry: Entry | None) -> _Refreshed:
        """Request the document from upstream, with the validators of the stored copy."""
        headers = {"Accept": wanted.accept, "Accept-Encoding": "identity" if wanted.raw else "gzip"}
        conditions = {} if entry is None else entry.validator.conditions
        if entry is not None and not freshness.is_settled(entry.validator.last_modified, entry.stored):
            # RFC 9110 §8.8.2.2: it may have changed twice in that second.
            conditions.pop("If-Modified-Since", None)
        since = self._clock.monotonic()
        request = UpstreamRequest(
            wanted.url,
            wanted.site,
            headers,
            Kind.PAGE,
            bulk=wanted.ahead,
            own=wanted.site.own is not None,
            contended=wanted.contended,
        )
        try:
            async with conditional(self._upstream, request, conditions) as reply:
                now = self._clock.now()
                if reply.status == HTTPStatus.NOT_MODIFIED and entry is not None:
                    self._answered(wanted, since)
                    renewed = structs.replace(entry, checked=now)
                    await self._store.save(renewed)
                    return _Refreshed(renewed, confirmed=True)
                if reply.status != HTTPStatus.OK:
                    raise UpstreamBroken("Upstream gave part of a document, or nothing, where the whole was asked.")
                async with self._bodies.whole(reply, wanted.url, text=not wanted.raw) as body:
                    self._answered(wanted, since)
                    fresh = await self._replace(wanted, reply, body, now)
                if wanted.arrived is not None:
                    wanted.arrived()
                return fresh
        except NotFound as error:
            self._answered(wanted, since)
            if len(wanted.key) <= _SHORT:
                until = self._clock.monotonic() + min(NEGATIVE, wanted.site.ttl)
                self._negative[wanted.key] = (until, error.again())
            raise

    def _answered(self, wanted: WantedDocument, since: float) -> None:
        """Upstream answered a request of `since`. How soon, beside others ahead of clients, says nothing of later."""
        if not (wanted.ahead or wanted.contended):
            self._patience.answered(wanted.url, since)

    async def _replace(self, wanted: WantedDocument, reply: Reply, body: bytes, now: float) -> _Refreshed:
        content_type = reply.headers.get("content-type", "")
        if wanted.received is not None:
            body = await wanted.received(content_type, body)
        made = await self._reading.run(hashlib.sha256, body) if len(body) > _LONG else hashlib.sha256(body)
        digest = Digest("sha256", made.hexdigest())
        entry = Entry(wanted.key, reply.url, digest, len(body), content_type, reply.validator, now, now)
        if wanted.check is not None:
            await wanted.check(entry, body)
        if not freshness.may_store(reply, wanted.site) or await self._store.put(body) is None:
            return _Refreshed(entry, confirmed=False, body=body)  # for this answer only
        await self._store.save(entry)
        return _Refreshed(entry, confirmed=False)
