"""Fills a flight's spool file from upstream, in one stream or in several ranges at once.

The first request asks for the first segment only. A 206 tells the size, and that ranges are honoured. A 200 is the
whole file, on one connection. An error or an odd response is followed by a plain request. `parallel_fetch` decides
which connection fetches what. A transfer that breaks continues where it stopped. Two versions of a file are never
joined: the digest tells in the end, or else each further request is conditional (`If-Range`, RFC 9110 §13.1.5), and the
bytes that it repeats are compared.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from proxy.cache import file_kinds, freshness
from proxy.cache.body_checks import FirstBytes, refuse_by_head
from proxy.cache.extents import Extents
from proxy.cache.flight import Changed, Flight, Location
from proxy.cache.host_limits import HostLimits
from proxy.cache.lanes import Job, Lanes
from proxy.cache.parallel_fetch import ParallelFetch
from proxy.cache.spool_writer import SpoolWriter
from proxy.errors import TooLargeAhead, UpstreamBroken, UpstreamError, UpstreamTimeout, WrongBytes
from proxy.model import UpstreamRequest, Validator
from proxy.ports import Reply, Spool, SpoolState, Upstream

_OVERLAP = 64 << 10  # bytes before the point where a transfer broke that are fetched again, and compared
_BEYOND = 16 << 20  # bytes by which a body may be longer than a page says: without length, or ahead of clients


class Filling:
    """One attempt to complete a flight's spool file. Mutable state: where transfers broke, and what proves the rest."""

    def __init__(  # noqa: PLR0913, PLR0917 what is fetched from where to where, and how
        self,
        flight: Flight,
        location: Location,
        spool: Spool,
        upstream: Upstream,
        lanes: Lanes,
        host_limits: HostLimits,
    ) -> None:
        self._flight = flight
        self._location = location
        self._spool = spool
        self._upstream = upstream
        self._lanes = lanes
        self._host_limits = host_limits
        self._condition: str | None = None  # what may stand in `If-Range`
        self._parts = False  # a part came as it was requested
        self._seams: set[int] = set()  # where bytes on disk end, and the rest did not follow
        self._connections = self._new_fetch()

    async def run(self) -> None:
        """Fetch what is missing. Raises an UpstreamError, StoreFull or StoreBroken; bytes on disk stay there."""
        flight = self._flight
        begun = bool(flight.extents.ranges)  # from another location
        if self._spool.state is not None and not begun and not self._resume(self._spool.state):
            await self._spool.restart()
        self._condition = flight.validator.strong
        self._seams = {end for _, end in flight.extents.ranges}
        try:
            await self._fetch()
        except Changed as changed:
            if flight.started.done():
                flight.validator = Validator()  # nothing can continue what is on disk
                raise UpstreamBroken("Upstream's file changed while it was being fetched; ask again.") from changed
            await self._restart()
            try:
                await self._fetch()
            except Changed as again:
                raise UpstreamBroken("Upstream's file changes with every request; it cannot be kept.") from again

    def _resume(self, state: SpoolState) -> bool:
        """Resume what an earlier run left, if the rest can be told to belong to it."""
        flight = self._flight
        if not (state.validator.strong or flight.wanted.digest):
            return False
        if state.size is None or flight.wanted.length not in (None, state.size):
            return False
        flight.size, flight.validator, flight.extents = state.size, state.validator, Extents(state.extents)
        flight.resumed = flight.extents.total
        return True

    async def _restart(self) -> None:
        """Discard what is on disk. No follower has any of it yet."""
        flight = self._flight
        await self._spool.restart()
        flight.extents, flight.size, flight.validator, flight.resumed = Extents(), None, Validator(), 0
        self._condition, self._seams = None, set()

    def _new_fetch(self) -> ParallelFetch:
        return ParallelFetch(self._flight, self._location, self._lanes, self._host_limits, self._request)

    async def _fetch(self) -> None:
        flight, fetch = self._flight, self._new_fetch()
        self._connections = fetch
        size = flight.wanted.size
        fetch.small = size is not None and size <= fetch.part
        fetch.retries.plain = flight.plain or self._host_limits.honours(self._location) is False
        if flight.extents.ranges:
            self._prove()
            fetch.retries.plain |= not fetch.retries.provable  # from another location: all of it is compared
        await fetch.run()
        flight.start()

    def _prove(self) -> None:
        """Note whether parts that come one by one can be told to belong to one file."""
        self._connections.retries.provable = bool(self._flight.wanted.digest or self._condition)
        self._connections.parallel = self._parts and self._connections.retries.provable

    async def _request(self, job: Job) -> None:
        """Do one job. Where it breaks, the bytes on disk end at a seam."""
        try:
            await self._send(job)
        finally:
            end = self._flight.extents.end_from(job.start)
            if end not in {job.end, self._flight.size}:
                self._seams.add(end)

    async def _send(self, job: Job) -> None:
        flight = self._flight
        start, end = job.start, job.end
        if end is not None and flight.size is not None:
            end = min(end, flight.size)
        first = start if job.plain else start - self._overlap(start)
        headers = {}
        if not job.plain:
            headers["Range"] = f"bytes={first}-{'' if end is None else end - 1}"
            # A digest counts more than validators: replicas of one file may each have their own.
            if self._condition and not flight.wanted.digest:
                headers["If-Range"] = self._condition
        before = flight.extents.total
        request = UpstreamRequest(
            self._location.url, self._location.site, headers, flight.wanted.kind, bulk=job.helper or flight.ahead
        )
        async with self._upstream.get(request) as reply:
            if reply.status == HTTPStatus.PARTIAL_CONTENT and not job.plain:
                await self._part(job, reply, first, end)
            elif reply.status == HTTPStatus.OK:
                await self._whole(job, reply)
            else:
                raise UpstreamBroken("Upstream refuses to give this file, or a part of it.")
        if flight.extents.total == before and flight.size != 0:
            raise UpstreamBroken("Upstream ended a transfer without sending anything.")

    def _overlap(self, start: int) -> int:
        """How many bytes before `start` are fetched again: where it is a seam, and no digest tells."""
        flight = self._flight
        if flight.wanted.digest or (start not in self._seams and self._connections.retries.provable):
            return 0
        begun = next((begin for begin, end in flight.extents.ranges if end == start), start)
        return min(start - begun, _OVERLAP)

    async def _part(self, job: Job, reply: Reply, start: int, end: int | None) -> None:
        flight = self._flight
        part, size = reply.part, reply.size
        if part is None or size is None:
            raise UpstreamBroken("Upstream answered a range without saying of how much.")
        if part.start != start or (end is not None and part.end > end):
            raise UpstreamBroken("Upstream answered another range than the one asked for.")
        other = not flight.wanted.digest and flight.validator.same(reply.validator) is False
        if other or self._another(size):
            raise Changed
        self._admit(reply, size)
        self._connections.chosen(job)
        self._parts = True
        self._host_limits.note(self._location, ranges=True)
        if start < job.start:
            await self._compare(reply, start, job.start)
        peeked = await self._peek(reply, job) if not job.start else b""
        await self._begin(job, reply, size)
        writer = SpoolWriter(self._spool, flight, job.start)
        job.busy = writer.busy
        await writer.write_body(reply, part.end, peeked, lambda: job.end)

    async def _whole(self, job: Job, reply: Reply) -> None:
        flight, wanted = self._flight, self._flight.wanted
        if job.helper:
            raise Changed  # the other connections have their parts of it already
        size = reply.size
        if self._another(size):
            raise Changed
        self._admit(reply, size)
        self._connections.chosen(job)
        if not wanted.digest and not flight.started.done() and flight.extents.ranges:
            await self._restart()  # cheaper than comparing it all, and no follower has any of it
        job.start, job.end, job.whole = 0, None, True
        peeked = await self._peek(reply, job)
        await self._begin(job, reply, size)
        writer = SpoolWriter(self._spool, flight, 0, comparing=not wanted.digest)
        end = await writer.write_body(reply, self._bound(), peeked)
        if flight.size is None:
            if end < flight.extents.end_from(0):
                raise UpstreamBroken("Upstream's answer ended before the place that an earlier one had reached.")
            refuse_by_head(reply, wanted, end)
            flight.unmeasured = True
            flight.size = end

    def _another(self, size: int | None) -> bool:
        """Whether a file of this size cannot be the one that was begun."""
        flight = self._flight
        if size is None or flight.size is not None:
            return size not in (None, flight.size)
        return size < flight.extents.end_from(0)

    def _bound(self) -> int | None:
        """The position where a body has to end at the latest."""
        flight, wanted = self._flight, self._flight.wanted
        if flight.size is not None or wanted.length is not None:
            return wanted.length if flight.size is None else flight.size
        return None if wanted.size is None else wanted.size + _BEYOND

    async def _compare(self, reply: Reply, start: int, end: int) -> None:
        """Read `[start, end)` once more. Raises Changed where it is not what is on disk."""
        buffer = memoryview(bytearray(end - start))
        filled = await self._filled(reply, buffer)
        if filled < len(buffer):
            raise UpstreamBroken("Upstream sent less of a file than it promised.")
        self._flight.received += filled
        if buffer != await self._spool.read(start, end - start):
            raise Changed

    async def _peek(self, reply: Reply, job: Job) -> bytes:
        """The first bytes of a body, where they have to tell whether it is the file, a page, or in a content coding."""
        first = FirstBytes(reply, self._flight.wanted)
        if not first.needed:
            return b""
        buffer = memoryview(bytearray(file_kinds.HEAD))
        filled = await self._filled(reply, buffer)
        head = bytes(buffer[:filled])
        try:
            self._refuse_beginning(first, head, job)
        except UpstreamError:
            self._flight.received += filled  # else counted where it is written
            raise
        return head

    async def _filled(self, reply: Reply, buffer: memoryview) -> int:
        """Read until a buffer is full, or the body ends; gives the bytes read. Raises UpstreamTimeout.

        `ParallelFetch` watches the rate of what is written, and this is not: it has its own limit, at the same rate.
        """
        filled = 0
        try:
            async with asyncio.timeout(self._lanes.patience(len(buffer))):
                while filled < len(buffer) and (got := await reply.readinto(buffer[filled:])):
                    filled += got
        except TimeoutError:
            self._flight.received += filled
            raise UpstreamTimeout("Upstream sends so slowly that the download was given up. Try again later.") from None
        return filled

    def _refuse_beginning(self, first: FirstBytes, head: bytes, job: Job) -> None:
        if first.paged and not job.plain and file_kinds.is_markup(head):
            raise UpstreamBroken("Upstream answered a range of a file with a page.")
        try:
            first.refuse(head)
        except WrongBytes as error:
            if first.paged and self._flight.started.done():  # what is on disk is right all the same
                raise UpstreamBroken(str(error)) from error
            raise

    def _admit(self, reply: Reply, size: int | None) -> None:
        """Refuse a response that by its head cannot be the file."""
        flight, wanted = self._flight, self._flight.wanted
        try:
            refuse_by_head(reply, wanted, size)
        except WrongBytes as error:
            if flight.started.done():  # what is on disk is right all the same
                raise UpstreamBroken(str(error)) from error
            raise
        if flight.ahead and None not in (size, wanted.size) and (size or 0) > (wanted.size or 0) + _BEYOND:
            raise TooLargeAhead("Upstream's file is far larger than its page says: no client waits for it yet.")

    async def _begin(self, job: Job, reply: Reply, size: int | None) -> None:
        """Take what the head of a response says; the first one lets the waiting clients begin."""
        flight = self._flight
        begun, unsized = flight.started.done(), flight.size is None
        flight.storable = flight.storable and freshness.may_store(reply, self._location.site)
        if unsized:
            flight.size = size
            if not begun:
                flight.validator = reply.validator
            self._condition = self._condition or _condition(reply)
        self._prove()
        if not begun:
            flight.url = reply.url
        if not begun or (unsized and size is not None):  # a later run resumes only what has a size
            known = Validator(flight.validator.etag, self._condition and flight.validator.last_modified)
            await self._spool.checkpoint(SpoolState(flight.size, known, flight.extents.ranges))
        flight.start()
        self._connections.answered(job)


def _condition(reply: Reply) -> str | None:
    """What may stand in `If-Range`: a strong ETag, or a date that no other version can have (RFC 9110 §8.8.2.2)."""
    etag, date = reply.validator.etag, reply.validator.last_modified
    if etag and not etag.startswith("W/"):
        return etag
    sent = reply.headers.get("date")
    return date if sent is None or freshness.is_settled(date, freshness.parse_date(sent)) else None
