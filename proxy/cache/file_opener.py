"""Opens a file for one request: the stored file, its flight, or a passthrough for a part that would have to wait.

The services call it. It decides what costs the client least; `downloads` does the work and owns the flights.
"""

from __future__ import annotations

import asyncio

from proxy.cache.downloads import Body, Downloads
from proxy.cache.flight import Flight, WantedFile
from proxy.cache.passthrough import TRY_ELSEWHERE, Passthrough, RangeIgnored
from proxy.errors import NotAllowed, NotFound, UpstreamDenied
from proxy.model import Source, Span

_SMALL_SPAN = 1 << 20  # a range of a cold file up to this many bytes does not start a download
_PATIENCE = 1.0  # seconds for a request that only learns how long a file is
_FINAL = (NotFound, NotAllowed, UpstreamDenied)  # the last word on a file, where the request has no range
_AHEAD = 32 << 20  # a range that begins further than this behind what is on disk does not wait for the flight
_SIZES = 3  # that a file may be said to have, one after another, before all of it is fetched


class FileOpener:
    """Opens files."""

    def __init__(self, downloads: Downloads) -> None:
        self._downloads = downloads

    async def body(
        self, wanted: WantedFile, span: Span | None, if_range: str | None, *, head: bool, ahead: bool = False
    ) -> tuple[Body, Source]:
        """The file, or the part of it that `span` asks for, and where its bytes come from.

        `if_range`: a condition that upstream has to judge, passed on with the range. `head`: the client wants only size
        and validators. `ahead`: no client waits for it yet. Raises what `Downloads.open` raises.
        """
        blob = await self._downloads.stored(wanted)
        if blob is not None:
            return blob, Source.CACHE
        flight = self._downloads.running(wanted)
        if head and flight is None:
            return await self._head(wanted), Source.UPSTREAM
        if span is not None and _passes_through(flight, span, wanted.size):
            part, plain = await self._part(wanted, span, if_range)
            if part is not None:
                return part, Source.UPSTREAM
            # Another request may have brought it meanwhile.
            return await self._downloads.open(wanted, plain=plain)
        return await self._downloads.fetch(wanted, ahead=ahead)

    async def _head(self, wanted: WantedFile) -> Passthrough:
        """The head of a cold file: its size and validators, without its body."""
        passthrough = await self._probe(wanted)
        if passthrough is None:
            passthrough = await self._whole(wanted)
        passthrough.start, passthrough.end = 0, passthrough.size
        return passthrough

    async def _probe(self, wanted: WantedFile) -> Passthrough | None:
        """The response to a request of the first byte; None if it takes long or fails, for whatever reason."""
        if self._downloads.honours_ranges(wanted) is False:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._downloads.probe(wanted)
        except TimeoutError:
            return None
        except TRY_ELSEWHERE as error:
            if isinstance(error, (NotFound, NotAllowed)) and self._downloads.final(wanted, error):
                raise
            return None

    async def _part(self, wanted: WantedFile, span: Span, if_range: str | None) -> tuple[Passthrough | None, bool]:
        """A range from upstream; None where upstream sends no parts, or has another version.

        And whether the request failed, which may be about the range alone.
        """
        if self._downloads.honours_ranges(wanted) is False:
            return None, True
        ranged = asyncio.create_task(self._ranged(wanted, span, if_range))
        answer: Passthrough | None = None
        try:
            done, _ = await asyncio.wait([ranged], timeout=self._downloads.host_limits.patience(wanted.locations[0]))
            if not done and await self._sent_without_range(wanted, ranged):
                self._downloads.host_limits.suspect(wanted.locations[0])
                return None, False
            answer, failed = await ranged
            return answer, failed
        finally:
            await _let_go(ranged, answer)

    async def _sent_without_range(
        self, wanted: WantedFile, ranged: asyncio.Task[tuple[Passthrough | None, bool]]
    ) -> bool:
        """Whether upstream sends the file without a range before it responds to the ranged request."""
        whole = asyncio.create_task(self._whole(wanted))
        try:
            await asyncio.wait([ranged, whole], return_when=asyncio.FIRST_COMPLETED)
            if not ranged.done() and isinstance(whole.exception(), (type(None), *_FINAL)):
                await whole
                return True
            # Upstream may be slow, or in trouble, whatever the request.
            _, failed = await ranged
            if failed:
                await whole
            return failed
        finally:
            whole.cancel()
            await asyncio.gather(whole, return_exceptions=True)

    async def _whole(self, wanted: WantedFile) -> Passthrough:
        """The head of the whole file; the passthrough is closed."""
        passthrough = await self._downloads.pass_through(wanted, 0, None)
        await passthrough.close()
        return passthrough

    async def _ranged(self, wanted: WantedFile, span: Span, if_range: str | None) -> tuple[Passthrough | None, bool]:
        """What `_part` gives, however long it takes."""
        condition = {"If-Range": if_range} if if_range else None
        try:
            size = wanted.size
            if span.suffix is not None and size is None:
                probed = await self._probe(wanted)
                size = probed.size if probed is not None else None
            if span.suffix is None and size is None:
                return await self._downloads.pass_through(wanted, span.start, span.end, condition), False
            for _ in range(_SIZES):
                interval = span.within(size) if size is not None else None
                if interval is None:
                    break
                part = await self._downloads.pass_through(wanted, *interval, condition)
                if part.size == size or span.suffix is None:
                    return part, False
                await part.close()  # its page says another size
                size = part.size
        except RangeIgnored:
            return None, False
        except TRY_ELSEWHERE as error:
            if self._downloads.final(wanted, error):
                raise
            return None, True
        return None, False


async def _let_go(ranged: asyncio.Task[tuple[Passthrough | None, bool]], answer: Passthrough | None) -> None:
    """End a ranged request, unless its passthrough is `answer`, which goes to the client."""
    ranged.cancel()
    for result in await asyncio.gather(ranged, return_exceptions=True):
        if isinstance(result, tuple) and result[0] is not None and result[0] is not answer:
            await result[0].close()


def _passes_through(flight: Flight | None, span: Span, size: int | None) -> bool:
    """Whether a range should not wait for the flight: it is short, or far behind what is on disk."""
    size = size if flight is None or flight.size is None else flight.size
    if size is not None and span.within(size) == (0, size):
        return False  # all of it
    if flight is None or flight.size is None:
        return (span.length is not None and span.length <= _SMALL_SPAN) or span.start > _AHEAD
    interval = span.within(flight.size)
    if interval is None:
        return False
    start, end = interval
    return flight.readable(start) < end and (end - start <= _SMALL_SPAN or start > flight.readable(0) + _AHEAD)
