"""Metadata files of wheels (PEP 658, PEP 714), whether or not upstream has them.

They come from the first of these that works: the store, the stored wheel, upstream's `.metadata` file, the end of the
wheel's zip by range requests, the whole wheel. A source that fails, or is silent, gives its turn to the next one; a
whole wheel comes only where all others failed, unless it is short. So resolving against an index without metadata costs
kilobytes, also over a line that stalls, and a promise of a page is kept in any case. A client that would wait too long
is redirected to the same address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from proxy.bounded import Bounded
from proxy.cache.downloads import Downloads
from proxy.cache.flight import WantedFile
from proxy.cache.hedging import Way, first
from proxy.cache.representation import Representation
from proxy.cache.single_flight import SingleFlight
from proxy.errors import NotFound, PullthroughError, StoreError, WrongBytes
from proxy.model import Blob, Digest, Entry, Source, Validator
from proxy.ports import Clock, Store
from proxy.python.attachments import metadata_url
from proxy.python.metadata_offers import MetadataOffers
from proxy.python.metadata_sources import MetadataSources, WheelRead, agrees
from proxy.python.page import SMALL, origin_of
from proxy.python.wheel import Unreadable, WithoutMetadata

_log = logging.getLogger(__name__)

Advertised = Digest | bool | None  # what upstream's page says of a wheel's metadata: a digest, that it exists, nothing

# Seconds until each redirect. After the last one a client waits as long as it takes. Most libraries follow ten
# redirects, that of pip and poetry thirty.
_STEPS = (1.0,) * 6 + (8.0,) * 2
_MANY_STEPS = (1.0,) * 14 + (10.0,) * 12
_FOLLOW_MANY = ("pip/", "poetry/", "python-requests/")
MOST_WAITS = len(_MANY_STEPS)
_MISSES = 3  # wheels in a row without a metadata file, after which a host is rarely asked for one
_AGAIN = 50  # wheels of such a host after which it is asked for one again
_HOSTS = 1000  # remembered
_PATIENCE = 1.0  # seconds of silence after which the next source is tried, too
_BRIEF = 4 << 20  # bytes of a wheel that may be fetched as a whole because other sources are silent
_GRACE = (
    0.3  # seconds that upstream's own file may come after the wheel's end, and still shows that the host has such files
)
_NEVER = (Unreadable, WithoutMetadata)  # no source has METADATA of such a wheel


class Metadata:
    """Gets metadata files. Mutable state: the work under way, and the hosts that have no such files."""

    def __init__(self, store: Store, downloads: Downloads, offers: MetadataOffers, clock: Clock) -> None:
        self._store = store
        self._downloads = downloads
        self._sources = MetadataSources(store, downloads)
        self._offers = offers
        self._clock = clock
        self._flights: SingleFlight[tuple[bytes | Blob, bool]] = SingleFlight()
        self._misses: Bounded[str, int] = Bounded(
            _HOSTS
        )  # by host: wheels since one had a metadata file that no page offers

    async def get(
        self, key: str, wanted: WantedFile, name: str, advertised: Advertised, *, ahead: bool = False
    ) -> tuple[bytes | Blob, Source]:
        """The metadata of the wheel `name`, and where it came from. `ahead`: no client waits for it yet.

        Raises NotFound if there is no such wheel, or none but the whole could be fetched ahead of clients; WrongBytes
        if it is no wheel; or another UpstreamError.
        """
        early = f"ahead of clients: {key}"
        under_way = None if ahead else self._flights.get(early)
        if under_way is not None:
            with contextlib.suppress(PullthroughError):  # for a client more is tried
                body, fetched = await self._flights.result(under_way)
                return body, Source.SHARED if fetched else Source.CACHE
        flight = early if ahead and self._flights.get(key) is None else key
        task, began = self._flights.join(flight, lambda: self._provide(key, wanted, name, advertised, ahead=ahead))
        body, fetched = await self._flights.result(task)
        return body, (Source.UPSTREAM if began else Source.SHARED) if fetched else Source.CACHE

    def is_cheap(self, url: str) -> bool:
        """Whether the metadata of the wheel at `url`, which no page offers, is likely to take a small request only."""
        origin = origin_of(url)
        return self._misses.get(origin) == 0 or self._offers.honours(origin) is True

    async def close(self) -> None:
        """Break off the work under way."""
        await self._flights.close()
        await self._sources.close()

    async def _provide(
        self, key: str, wanted: WantedFile, name: str, advertised: Advertised, *, ahead: bool
    ) -> tuple[bytes | Blob, bool]:
        """The metadata, and whether it came from upstream now."""
        promised = advertised if isinstance(advertised, Digest) else None
        with self._sources.subject(wanted, name, promised) as subject:
            stored = await self._downloads.stored(wanted)
            if stored is not None:
                with contextlib.suppress(StoreError, NotFound, WrongBytes):
                    body = await self._sources.stored(stored, subject)
                    if agrees(body, promised):
                        return await self._keep(key, subject, body), False
            ways = self._ways(key, subject, advertised=bool(advertised), ahead=ahead)
            if not ways:
                raise NotFound("A whole wheel is not fetched ahead of clients.")
            try:
                body = await first(ways, final=_NEVER, grace=_GRACE)
            except _NEVER:
                self._offers.unreadable(wanted.url, name)
                raise
            return await self._keep(key, subject, body), True

    def _ways(self, key: str, subject: WheelRead, *, advertised: bool, ahead: bool) -> list[Way[bytes]]:
        """The sources upstream, the best first, and after how many seconds of silence each is tried.

        Ahead of clients no wheel is fetched for it that takes longer than a part (ADR 18).
        """
        origin = origin_of(subject.wanted.url)
        misses = self._misses.get(origin)
        honours = self._offers.honours(origin)
        honours = self._downloads.honours_ranges(subject.wanted) or None if honours is None else honours
        ways: list[Way[bytes]] = []
        if advertised:
            ways.append(Way(partial(self._sources.own_file, subject, key), 0))
        elif misses is None or misses < _MISSES or not misses % _AGAIN:
            ways.append(Way(partial(self._unoffered, origin, subject, key), 0))
        else:
            self._missed(origin)
        failures: list[PullthroughError] = []  # of reading by parts
        parts = honours is not False
        if parts:
            # A host that may have no metadata files is asked for the wheel's end at once: one round trip.
            after = _PATIENCE if advertised or misses == 0 else 0
            ways.append(Way(partial(self._by_parts, origin, subject, failures), after))
        size = subject.wanted.size
        if not ahead or _is_within(size, SMALL):
            # A line that stalls, or a slow host, is no reason to fetch a wheel of gigabytes: that goes on by itself.
            races = _is_within(size, _BRIEF) and not advertised and not honours
            whole = partial(self._by_whole, origin, subject, failures, plain=parts)
            ways.append(Way(whole, _PATIENCE if races else None))
        return ways

    async def _unoffered(self, origin: str, subject: WheelRead, key: str) -> bytes:
        """A metadata file that no page offers. It may exist, but an index without any is not asked for every wheel."""
        self._missed(origin)  # unless it comes
        body = await self._sources.own_file(subject, key)
        self._misses[origin] = 0
        return body

    def _missed(self, origin: str) -> None:
        self._misses[origin] = self._misses.get(origin, 0) + 1

    async def _by_parts(self, origin: str, subject: WheelRead, failures: list[PullthroughError]) -> bytes:
        try:
            body = await self._sources.by_parts(subject)
        except PullthroughError as error:
            _log.info("no ranged reads of a wheel", extra={"upstream": subject.wanted.site.mount, "reason": str(error)})
            failures.append(error.again())  # without the frames, which refer to this list
            raise
        self._offers.learn(origin, honoured=True)
        return body

    async def _by_whole(
        self, origin: str, subject: WheelRead, failures: list[PullthroughError], *, plain: bool
    ) -> bytes:
        body = await self._sources.by_whole(subject, plain=plain)
        if failures:  # the wheel is there, but its host honours no ranges
            self._offers.learn(origin, honoured=False)
        return body

    async def _keep(self, key: str, subject: WheelRead, body: bytes) -> bytes | Blob:
        wanted, now = subject.wanted, self._clock.now()
        blob = await self._store.put(body)
        if blob is None:
            return body
        of = Validator(str(wanted.digest) if wanted.digest is not None else None)
        url, kind = metadata_url(wanted.url), "text/plain"
        entry = Entry(key, url, blob.digest, blob.size, kind, of, now, now, subject.digest, wanted.proved)
        await self._store.save(entry)
        return blob


def _is_within(size: int | None, limit: int) -> bool:
    """Whether a file has at most so many bytes, as far as is known."""
    return size is not None and size <= limit


# ---------------------------------------------------------------------- answers that take long


@dataclass(frozen=True, slots=True)
class Later:
    """The answer is not there yet. `location`, relative to the address asked for, is where to ask again.

    pip ends its whole installation if a promised metadata file does not come in time, and its users may set that time
    to a second or two. A redirect (RFC 9110 §15.4.3) comes in time: the client asks again, and waits again. So where a
    host turns out to honour no ranges, and is slow, the first client has to wait, but does not fail.
    """

    location: str


def patience(waited: int, agent: str | None) -> float | None:
    """Seconds until a client that was redirected `waited` times is redirected again; None: it waits for the answer."""
    steps = _MANY_STEPS if agent is not None and agent.startswith(_FOLLOW_MANY) else _STEPS
    return steps[waited] if waited < len(steps) else None


async def in_time(
    answer: Awaitable[Representation], name: str, waited: int, agent: str | None
) -> Representation | Later:
    """The answer, or where to ask again. The work for it goes on by itself. Raises what `answer` raises."""
    try:
        async with asyncio.timeout(patience(waited, agent)):
            return await answer
    except TimeoutError:
        return Later(f"{quote(name)}?waited={waited + 1}")
