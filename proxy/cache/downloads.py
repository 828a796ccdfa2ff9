"""Downloads: bodies that never change under their digest, such as wheels.

A file is looked up by its digest, whatever index named it; else one flight fetches it for all clients that want it. The
flight belongs to this table: clients come and go. Where the disk has no room, the file passes through, past the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from proxy.backoff import Backoff
from proxy.cache import body_checks
from proxy.cache.accounts import report_discarded, report_wrong
from proxy.cache.ahead_turns import AheadTurns
from proxy.cache.buffers import Buffers
from proxy.cache.filling import Filling
from proxy.cache.flight import Flight, Location, WantedFile, follow
from proxy.cache.host_limits import HostLimits
from proxy.cache.lanes import Lanes
from proxy.cache.passthrough import TRY_ELSEWHERE, Passthrough, Passthroughs, reported
from proxy.cache.retry_policy import LEAST, fresh_copy
from proxy.cache.running_hash import RunningHash
from proxy.cache.settling import Settling
from proxy.cache.single_flight import SingleFlight
from proxy.cache.stored_files import StoredFiles
from proxy.cache.workers import Workers
from proxy.errors import (
    NotFound,
    PullthroughError,
    StoreError,
    TooLargeAhead,
    TooManyDownloads,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamError,
    UpstreamUnreachable,
    WrongBytes,
)
from proxy.events import Flying
from proxy.model import Blob, Digest, Source, Validator
from proxy.ports import Clock, Observer, Spool, Store, Upstream

_log = logging.getLogger(__name__)
_EXPIRED = (NotFound, UpstreamDenied, UpstreamBroken)  # how hosts refuse an address that was valid for a while
_PIECE = 1 << 20  # bytes read at once
_HURRIED = 0.1  # seconds that a client waits until a file that is whole is stored,
_LAST = 5.0  # and those that the end of the program waits, and who asks what is stored
_BRIEF = 1 << 20  # bytes of a file that is sooner fetched again than continued after a kill
_WRONG = 1.0  # seconds for which a location that sent wrong bytes is left alone; doubles each time
_WRONG_LONGEST = 60.0  # seconds
_WRONG_MOST = 10_000  # locations remembered

Body = Blob | Flight | Passthrough


class Downloads:
    """Downloads files. Mutable state: the flights under way, and the back-offs of locations that sent wrong bytes."""

    def __init__(self, store: Store, upstream: Upstream, clock: Clock, observer: Observer, lanes: Lanes) -> None:
        self._store = store
        self._upstream = upstream
        self._clock = clock
        self._observer = observer
        self._lanes = lanes
        self._flights: dict[str, Flight] = {}
        self._tasks: SingleFlight[None] = SingleFlight()
        # By address and digest, since another version at the same address may be right.
        self._wrong: Backoff[tuple[str, str]] = Backoff(_WRONG, _WRONG_LONGEST, _WRONG_MOST)
        self.stored_files = StoredFiles(store, clock)
        self._hashing = Workers("hashing")
        self.host_limits = HostLimits()
        self._buffers = Buffers()
        self._settling = Settling()
        self._passthroughs = Passthroughs(upstream, self.host_limits, self._hashing, observer)
        self.ahead_turns = AheadTurns(self.host_limits, self._flights.values)
        self._slots = asyncio.Semaphore(lanes.downloads)

    async def stored(self, wanted: WantedFile) -> Blob | None:
        """The stored file, if there is one, under this address or, by its digest, under any other."""
        flight = self._flights.get(wanted.flight_key)
        if flight is not None and flight.settling and not flight.ahead:
            # A client has it from there: who comes later gets what is stored, if that does not take long.
            await self._hurried(_HURRIED)
        return await self.stored_files.find(wanted, flight.validator if flight else None)

    async def open(self, wanted: WantedFile, *, plain: bool = False, ahead: bool = False) -> tuple[Body, Source]:
        """The stored file, or a started flight that brings it; and where its bytes come from.

        `plain`: a ranged request for it failed just now. `ahead`: no client waits for it yet. The file passes through,
        past the store, when the disk cannot take it, or when too many downloads are under way. Raises NotFound,
        WrongBytes or another UpstreamError when upstream fails before the first byte.
        """
        blob = await self.stored(wanted)
        if blob is not None:
            return blob, Source.CACHE
        return await self.fetch(wanted, plain=plain, ahead=ahead)

    async def fetch(self, wanted: WantedFile, *, plain: bool = False, ahead: bool = False) -> tuple[Body, Source]:
        """As `open`, for a file that `stored` just did not find."""
        flight = self._flights.get(wanted.flight_key)
        began = flight is None
        if flight is None:
            if self._wrong.active((wanted.url, wanted.flight_key), self._clock.monotonic()):
                raise WrongBytes("Upstream sent wrong bytes for this file a moment ago; it is asked again soon.")
            flight = self._flights[wanted.flight_key] = Flight(wanted, plain=plain, buffers=self._buffers)
            flight.foreseen = ahead
            self._launch(flight)
        flight.ahead = (began or flight.ahead) and ahead
        try:
            await flight.begun()
        except StoreError:
            return await self.pass_through(wanted, 0, None), Source.UPSTREAM
        except UpstreamError:
            if began or ahead or not flight.foreseen:
                raise
            # Ahead of clients upstream is asked once, and gives way to others: for a client it is asked in earnest.
            return await self.fetch(wanted, plain=plain)
        return flight, Source.UPSTREAM if began else Source.SHARED

    async def pass_through(
        self, wanted: WantedFile, start: int, end: int | None, headers: dict[str, str] | None = None
    ) -> Passthrough:
        """A file, or a part of it, straight from upstream, as `Passthroughs.open`. The caller closes it."""
        return await self._passthroughs.open(wanted, start, end, headers)

    async def probe(self, wanted: WantedFile) -> Passthrough:
        """Ask for the first byte of a file, to learn its size. Raises as `pass_through` does."""
        return await self._passthroughs.probe(wanted)

    def final(self, wanted: WantedFile, error: Exception) -> bool:
        """Whether the failure of a ranged request is final; else a request without a range may get the file."""
        return self.host_limits.final(wanted.locations[0], error)

    def honours_ranges(self, wanted: WantedFile) -> bool | None:
        """Whether the file's host is known to honour ranges. False: a ranged request failed there lately."""
        return self.host_limits.honours(wanted.locations[0])

    def room(self, url: str) -> int:
        """How many more downloads the host of `url` is likely to allow now; for work ahead of clients."""
        begun = sum(self.host_limits.same(url, one.wanted.url) for one in self._flights.values() if not one.over)
        return self.host_limits.room(url, self._lanes.connections, begun)

    async def followed(self, flight: Flight) -> AsyncGenerator[bytes]:
        """All bytes of a flight whose length is unknown; past the store from where the disk failed."""
        position = 0
        with flight.share() as descriptor:
            try:
                async with aclosing(follow(flight, 0)) as pieces:
                    async for piece in pieces:
                        yield piece
                        position += len(piece)
            except StoreError:
                async with aclosing(self.rest(flight, descriptor, position, None)) as pieces:
                    async for piece in pieces:
                        yield piece

    def rest(self, flight: Flight, descriptor: int, position: int, end: int | None) -> AsyncGenerator[bytes]:
        """The bytes `[position, end)` of a flight that failed on the disk, from upstream. Raises UpstreamError."""
        return self._passthroughs.rest(flight, descriptor, position, end)

    def running(self, wanted: WantedFile) -> Flight | None:
        """The flight under way for this file, if any."""
        return self._flights.get(wanted.flight_key)

    def under_way(self) -> tuple[Flight, ...]:
        """All flights, the oldest first."""
        return tuple(self._flights.values())

    @property
    def followers(self) -> int:
        """Clients that are sent a file while it comes."""
        return sum(flight.followers for flight in self.under_way())

    async def close(self) -> None:
        """Cancel all flights, but for those that have all of their file. The next run resumes them."""
        await self.settled()
        await self._tasks.close()
        await self.stored_files.close()
        await self._hashing.close()

    async def settled(self) -> None:
        """Have the files stored that clients have, for those who ask what is stored; not for ever."""
        await self._hurried(_LAST)

    async def _hurried(self, patience: float) -> None:
        """Have the files stored that wait for that; the disk may take `patience` seconds."""
        self._settling.hurry()
        keys = [key for key, flight in self._flights.items() if flight.settling]
        tasks = [task for task in map(self._tasks.get, keys) if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=patience)

    def _launch(self, flight: Flight) -> None:
        self._tasks.join(flight.wanted.flight_key, lambda: self._fly(flight))
        self._observer(Flying(len(self._flights)))

    async def _fly(self, flight: Flight) -> None:
        wanted = flight.wanted
        try:
            async with self._slot():
                brief = wanted.size is not None and wanted.size <= _BRIEF
                spool = flight.spool = await self._store.spool(wanted.flight_key, wanted.size, brief=brief)
                with spool.share():
                    await self._bring(flight, spool)
        except PullthroughError as error:
            # What the disk cannot take passes through, and the store logs it itself.
            level = logging.DEBUG if isinstance(error, StoreError) else logging.WARNING
            _log.log(level, "download failed", extra={"upstream": wanted.site.mount, "reason": str(error)})
            flight.fail(error)
        except asyncio.CancelledError:
            flight.fail(UpstreamUnreachable("The cache is shutting down; ask again in a moment."))
            raise
        except Exception:  # noqa: BLE001 a defect must not leave the clients waiting
            _log.exception("download failed unexpectedly")
            flight.fail(UpstreamBroken("The download failed in the cache; its log says why."))
        finally:
            self._flights.pop(wanted.flight_key, None)
            self._observer(Flying(len(self._flights)))

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of the slots for downloads. Raises TooManyDownloads."""
        try:
            if self._slots.locked():
                self._settling.hurry()  # some of those that have a slot may only wait for others
            async with asyncio.timeout(self._lanes.turn):
                await self._slots.acquire()
        except TimeoutError:
            raise TooManyDownloads("Too many downloads are under way; this file is served past the store.") from None
        try:
            yield
        finally:
            self._slots.release()

    async def _bring(self, flight: Flight, spool: Spool) -> None:
        """Fill, check, give the followers the end, adopt: in this order."""
        wanted = flight.wanted
        adopted = useless = kept = False
        try:
            digest = await self._filled(flight, spool)
            flight.finish()
            self._wrong.succeeded((wanted.url, wanted.flight_key))
            assert flight.size is not None, "a filled flight knows its size"
            if flight.storable:
                if wanted.deferred and not self._slots.locked():  # else others wait for this slot, or soon do
                    flight.settling = True
                    await self._settling.turn(flight.size if spool.in_memory else 0)
                adopted = True  # from here on the spool is the store's
                await self._adopt(flight, spool, digest, flight.size)
        except WrongBytes as wrong:
            useless = True
            report_wrong(wrong, wanted.site.mount, self._observer)
            # No longer than upstream's word counts, be it a wrong one.
            key = wanted.url, wanted.flight_key
            self._wrong.failed(key, self._clock.monotonic(), at_most=wanted.site.ttl)
            raise
        except StoreError:
            useless = True  # a full disk has no room for a part that cannot be completed on it
            raise
        finally:
            if not adopted:
                # A part is worth keeping if its rest can be told to belong to it.
                resumable = bool(flight.validator.strong or wanted.digest) and flight.size is not None
                kept = resumable and flight.storable and bool(flight.extents.ranges) and not useless
                await spool.close(keep=kept)
            report_discarded(flight, self._observer, kept=adopted or kept)

    async def _adopt(self, flight: Flight, spool: Spool, digest: Digest, size: int) -> None:
        """Give the finished file to the store. A failure concerns the store alone: the followers have all of it."""
        blob = await self._store.adopt(spool, digest, size)
        if blob is not None:
            await self.stored_files.record(flight.wanted, blob, flight.validator)

    async def _filled(self, flight: Flight, spool: Spool) -> Digest:
        """Fill and hash side by side; gives the sha256. Raises WrongBytes."""
        running_hash = flight.running_hash = RunningHash(flight.wanted.digest, self._hashing)
        more = asyncio.Event()
        stop, running_hash.progressed = flight.listen(more.set), more.set
        filling = asyncio.create_task(self._fill(flight, spool))
        filling.add_done_callback(lambda _: more.set())
        try:
            while True:
                more.clear()
                # Until upstream said that it is the same file, the bytes of an earlier run may yet be discarded.
                end = flight.extents.end_from(0) if flight.started.done() else 0
                if filling.done() and running_hash.position >= end:
                    break
                # A short file is hashed at once: each piece of work in a thread has its price.
                if running_hash.behind(end) and (filling.done() or not spool.in_memory):
                    await running_hash.advance(spool.fd, end)
                else:
                    await more.wait()
            if (failed := filling.exception()) is not None:
                raise fresh_copy(failed)
        finally:
            stop()
            filling.cancel()
            await asyncio.wait([filling])
        assert flight.size == running_hash.position, "all that is on disk is the file"
        await self._judge(flight, spool)
        return running_hash.check()

    async def _judge(self, flight: Flight, spool: Spool) -> None:
        """Raise WrongBytes for bytes that cannot be what they are called, where neither digest nor length tells."""
        wanted, size = flight.wanted, flight.size or 0
        shape = body_checks.shape_of(wanted)
        if shape is not None and (flight.unmeasured or not size):
            for at in range(0, size, _PIECE):
                await self._hashing.run(shape.feed, await spool.read(at, min(_PIECE, size - at)))
            if not shape.whole():
                raise body_checks.not_whole(wanted)

    async def _fill(self, flight: Flight, spool: Spool) -> None:
        """Fetch a file from its location; when that fails, from the other ones, or from where it is by now."""
        failure: PullthroughError | None = None
        own = Validator()
        for location in self._passthroughs.in_order(flight.wanted):
            if failure is not None:
                flight.validator = Validator()  # that of another host; here the digest alone tells
            try:
                return await self._fill_from(flight, location, spool)
            except (WrongBytes, TooLargeAhead):
                raise
            except TRY_ELSEWHERE as error:
                failure = reported(failure, error, location, flight.wanted)
                own = flight.validator if location.url == flight.wanted.url else own
        assert failure is not None, "there is a location, and it failed"
        flight.validator = own
        return await self._fill_anew(flight, spool, failure)

    async def _fill_anew(self, flight: Flight, spool: Spool, failure: PullthroughError) -> None:
        """Fetch the rest from where the file is by now, if its address has expired; again as long as that brings bytes.

        Before anything came, the caller looks for a new address. Raises `failure`, or the one at the last address.
        """
        address, again = flight.wanted.url, flight.wanted.again
        fruitful = flight.started.done()
        while fruitful and again is not None and isinstance(failure, _EXPIRED):
            location = await again(address)
            if location is None:
                break
            before = flight.extents.total
            try:
                return await self._fill_from(flight, location, spool)
            except _EXPIRED as error:
                failure, address = error.again(), location.url
                fruitful = flight.extents.total - before >= LEAST
        raise failure.again()

    async def _fill_from(self, flight: Flight, location: Location, spool: Spool) -> None:
        await Filling(flight, location, spool, self._upstream, self._lanes, self.host_limits).run()
