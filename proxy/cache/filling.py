"""Filling a flight's spool file from upstream: one stream, or several ranges at once.

The first request asks for the first segment only. A 206 tells the size, and that ranges are honoured: then, if one
connection turns out to be slow, further ones take the other segments, in order. A 200 is the whole, from one
connection. Either way a transfer that breaks goes on where it stopped, with `If-Range` (RFC 9110 §13.1.5), so that two
versions of a file are never glued.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus

from proxy.cache.extents import Extents
from proxy.cache.flight import Flight, Place
from proxy.cache.passage import refuse
from proxy.cache.pen import Pen
from proxy.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongBytes,
)
from proxy.model import Ask, Validator
from proxy.ports import Reply, Spool, SpoolState, Upstream

_ATTEMPTS = 5  # tries in a row without a single new byte before a transfer is given up
_BACKOFF = 0.2  # seconds before the first of them, doubling
_LOOK = 0.1  # seconds between looks at how fast a single connection is
_FAST = 100_000_000  # bytes a second from which on one connection is enough
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Lanes:
    """How large files are fetched: at most `connections` at once, each taking `segment` bytes at a time."""

    connections: int = 6
    segment: int = 16 << 20


class _Changed(Exception):
    """Upstream's file is not the one that was begun."""


class _NoParts(Exception):
    """Upstream gave a part before, and now the whole."""


class Filling:
    """One attempt to complete a flight's spool file. Mutable state: the segments that no connection took yet."""

    def __init__(self, flight: Flight, place: Place, spool: Spool, upstream: Upstream, lanes: Lanes) -> None:
        self._flight = flight
        self._place = place
        self._spool = spool
        self._upstream = upstream
        self._lanes = lanes
        self._todo: deque[tuple[int, int]] = deque()
        self._group: asyncio.TaskGroup | None = None
        self._watch: asyncio.Task[None] | None = None
        self._planned = False
        self._alone = False  # one connection only: upstream honours ranges at times

    async def run(self) -> None:
        """Fetch what is missing. Raises an UpstreamError, StoreFull or StoreBroken; what landed stays."""
        flight = self._flight
        begun = bool(flight.extents.ranges)  # from another place
        if self._spool.state is not None and not begun and not self._resume(self._spool.state):
            await self._spool.restart()
        try:
            await self._fetch()
        except _Changed as changed:
            if flight.started.done():
                raise UpstreamBroken("Upstream's file changed while it was being fetched; ask again.") from changed
            await self._spool.restart()
            flight.extents, flight.size, flight.validator, flight.resumed = Extents(), None, Validator(), 0
            try:
                await self._fetch()
            except _Changed as again:
                raise UpstreamBroken("Upstream's file changes with every request; it cannot be kept.") from again

    def _resume(self, state: SpoolState) -> bool:
        """Take up what an earlier run left, if the rest of it can be told to belong to it."""
        flight = self._flight
        if not (state.validator.strong or flight.wanted.digest):
            return False
        if state.size is None or flight.wanted.size not in (None, state.size):
            return False
        flight.size, flight.validator, flight.extents = state.size, state.validator, Extents(state.extents)
        flight.resumed = flight.extents.total
        return True

    async def _fetch(self) -> None:
        """Fetch until nothing is missing: a stream that broke behind its segment leaves more to fetch."""
        flight, segment = self._flight, self._lanes.segment
        while missing := [(0, segment)] if flight.size is None else flight.extents.gaps(flight.size):
            start, end = missing[0]
            self._planned = False
            self._todo.clear()
            try:
                async with asyncio.TaskGroup() as self._group:
                    await self._segment(start, min(end, start + segment))
                    await self._lane()
                    if self._watch is not None:
                        self._watch.cancel()
            except BaseExceptionGroup as group:
                error = _first(group)
                if not isinstance(error, _NoParts):
                    raise error from group
                self._alone = True
        flight.start()

    async def _lane(self) -> None:
        while self._todo:
            await self._segment(*self._todo.popleft())

    async def _segment(self, start: int, end: int) -> None:
        """Fetch `[start, end)`, again and again from where it broke as long as bytes arrive."""
        flight = self._flight
        failures = 0
        while not self._complete(start, end):
            before = flight.extents.end_from(start)
            error: UpstreamError | None = None
            try:
                await self._request(before, end)
            except (UpstreamBroken, UpstreamTimeout, UpstreamUnreachable, UpstreamThrottled) as failure:
                error = failure
            progress = flight.extents.end_from(start) > before or self._complete(start, end)
            if progress:
                failures = 0
            if error is None and progress:
                continue
            failures += 1
            error = error or UpstreamBroken("Upstream ended a transfer without sending anything.")
            # Before the head came, the client library's own retries were enough: the answer is an error.
            if not flight.started.done() or failures >= _ATTEMPTS or not self._resumable:
                raise error
            await asyncio.sleep(_BACKOFF * 2 ** (failures - 1) * random.uniform(0.5, 1.0))  # noqa: S311 jitter

    def _complete(self, start: int, end: int) -> bool:
        size = self._flight.size
        return size is not None and self._flight.extents.end_from(start) >= min(end, size)

    @property
    def _resumable(self) -> bool:
        return bool(self._flight.validator.strong or self._flight.wanted.digest)

    async def _request(self, start: int, end: int) -> None:
        flight, wanted = self._flight, self._flight.wanted
        headers = {}
        small = wanted.size is not None and wanted.size <= self._lanes.segment
        bound: int | None = end if flight.size is None else min(end, flight.size)
        if flight.size is None and start > 0:  # a stream of unknown length broke
            bound = None
        if start > 0 or flight.size is not None or not small:
            headers["Range"] = f"bytes={start}-{'' if bound is None else bound - 1}"
        if flight.validator.strong:
            headers["If-Range"] = flight.validator.strong
        async with self._upstream.get(Ask(self._place.url, self._place.site, headers, wanted.kind)) as reply:
            if reply.status == HTTPStatus.PARTIAL_CONTENT:
                await self._part(reply, start, bound)
            elif reply.status == HTTPStatus.OK:
                await self._whole(reply)
            elif reply.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and flight.size is None:
                await self._empty()
            else:
                raise _Changed

    async def _part(self, reply: Reply, start: int, end: int | None) -> None:
        match = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
        if match is None:
            raise UpstreamBroken("Upstream answered a range without saying which.")
        first, last, total = (int(group) for group in match.groups())
        if first != start or (end is not None and last >= end) or last >= total:
            raise UpstreamBroken("Upstream answered another range than the one asked for.")
        fresh, begun = _validator(reply), self._flight.validator
        if self._flight.size not in (None, total) or (begun.strong and fresh.strong not in (None, begun.strong)):
            raise _Changed
        await self._head(reply, total)
        if end is not None and not (self._planned or self._alone):
            self._plan(total)
        await Pen(self._spool, self._flight, start).pour(reply, last + 1)

    async def _whole(self, reply: Reply) -> None:
        flight = self._flight
        length = reply.headers.get("content-length")
        size = int(length) if length is not None and length.isdigit() else None
        if flight.extents.ranges or flight.size is not None:
            fresh, digest = _validator(reply).strong, flight.wanted.digest
            # Nothing is known of the validators at another place: the digest decides in the end.
            same = (fresh == flight.validator.strong and (fresh or digest)) or (not flight.validator.strong and digest)
            if not same or (size is not None and flight.size is not None and size != flight.size):
                raise _Changed
        if self._planned:  # two writers in one place would change bytes that were hashed already
            raise _NoParts
        await self._head(reply, size)
        bound = flight.wanted.size if flight.size is None else flight.size
        end = await Pen(self._spool, flight, 0).pour(reply, bound)
        if flight.size is None:
            if flight.wanted.size not in (None, end):
                raise WrongBytes("Upstream sent a file of another length than the index promises. Nothing was kept.")
            flight.size = end

    async def _empty(self) -> None:
        """A 416 for the first byte: the file has none. Ask for it without a range, to have its head."""
        async with self._upstream.get(Ask(self._place.url, self._place.site, kind=self._flight.wanted.kind)) as reply:
            if reply.status != HTTPStatus.OK:
                raise UpstreamBroken("Upstream refuses every range of a file, and the whole too.")
            await self._whole(reply)
            if self._flight.size == 0:
                self._flight.landed(0, 0)

    async def _head(self, reply: Reply, size: int | None) -> None:
        """Take what the head of an answer says; the first one lets the waiting clients begin."""
        flight, wanted = self._flight, self._flight.wanted
        refuse(reply, wanted)
        if size is not None and wanted.size not in (None, size):
            raise WrongBytes("Upstream offers a file of another length than the index promises. Nothing was kept.")
        begun = flight.started.done()
        if self._place.site.honour_no_store and "no-store" in reply.headers.get("cache-control", "").lower():
            flight.keep = False
        if flight.size is None:
            flight.size = size
            flight.validator = flight.validator if begun else _validator(reply)
        if begun:
            return
        flight.url = reply.url
        await self._spool.checkpoint(SpoolState(flight.size, flight.validator, flight.extents.ranges))
        flight.start()

    def _plan(self, total: int) -> None:
        """Ranges are honoured: cut what is missing behind the first segment, and open the other lanes."""
        assert self._group is not None
        self._planned = True
        step = self._lanes.segment
        gaps = self._flight.extents.gaps(total)
        first_start, first_end = gaps[0]
        gaps[0] = (min(first_start + step, first_end), first_end)
        self._todo.extend((at, min(at + step, end)) for start, end in gaps for at in range(start, end, step))
        if self._todo and self._lanes.connections > 1:
            self._watch = self._group.create_task(self._open_lanes(self._group))

    async def _open_lanes(self, group: asyncio.TaskGroup) -> None:
        """Open the other lanes once one connection turns out to be slow; a fast one does better alone, in order."""
        landed, before = self._flight.extents.total, -_FAST
        while self._todo and landed - before >= _FAST * _LOOK:
            await asyncio.sleep(_LOOK)
            landed, before = self._flight.extents.total, landed
        for _ in range(min(self._lanes.connections - 1, len(self._todo))):
            group.create_task(self._lane())


def _validator(reply: Reply) -> Validator:
    return Validator(reply.headers.get("etag"), reply.headers.get("last-modified"))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that began it: the others are its echoes."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
