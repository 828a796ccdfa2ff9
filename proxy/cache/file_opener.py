"""Opens a file for one request: the stored file, its flight, or a passthrough for a part that would have to wait.

The services call it. It decides what costs the client least; `downloads` does the work and owns the flights.
"""

from __future__ import annotations

import asyncio

from proxy.cache.downloads import Body, Downloads
from proxy.cache.flight import Flight, Wanted
from proxy.cache.passthrough import TRY_ELSEWHERE, Passthrough, RangeIgnored
from proxy.errors import NotAllowed, NotFound, UpstreamDenied
from proxy.model import Source, Span

_SMALL_SPAN = 1 << 20  # a range of a cold file up to this many bytes does not start a download
_PATIENCE = 1.0  # seconds for a request that only asks how long a file is
_CLEAR = (NotFound, NotAllowed, UpstreamDenied)  # what a plain request gets of a file is the last word
_AHEAD = 32 << 20  # a range that begins further than this behind what is here goes upstream by itself


class FileOpener:
    """Opens files."""

    def __init__(self, downloads: Downloads) -> None:
        self._downloads = downloads

    async def body(self, wanted: Wanted, span: Span | None, if_range: str | None, *, head: bool) -> tuple[Body, Source]:
        """The file, or the part of it that `span` asks for, and where it comes from.

        `if_range` is a condition that cannot be judged before upstream answered: it is passed on with the range.
        `head`: only size and validators are wanted. Raises what `Downloads.open` raises.
        """
        blob = await self._downloads.stored(wanted)
        if blob is not None:
            return blob, Source.CACHE
        flight = self._downloads.running(wanted)
        if head and flight is None:
            return await self._look(wanted), Source.UPSTREAM
        if span is not None and _by_itself(flight, span, wanted.size):
            part, plain = await self._part(wanted, span, if_range)
            if part is not None:
                return part, Source.UPSTREAM
            # It may have come meanwhile.
            return await self._downloads.open(wanted, plain=plain)
        return await self._downloads.fetch(wanted)

    async def _look(self, wanted: Wanted) -> Passthrough:
        """The head of a cold file: its size, without fetching it."""
        passthrough = await self._probe(wanted)
        if passthrough is None:
            passthrough = await self._whole(wanted)
        passthrough.start, passthrough.end = 0, passthrough.size
        return passthrough

    async def _probe(self, wanted: Wanted) -> Passthrough | None:
        """What the first byte of a file tells; None if that takes long or fails, for whatever reason."""
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

    async def _part(self, wanted: Wanted, span: Span, if_range: str | None) -> tuple[Passthrough | None, bool]:
        """A range from upstream; None where upstream gives no parts, or has another version.

        And whether the request for it got an error, which may be about the range alone.
        """
        if self._downloads.honours_ranges(wanted) is False:
            return None, True
        asking = asyncio.create_task(self._asked(wanted, span, if_range))
        kept: Passthrough | None = None
        try:
            done, _ = await asyncio.wait([asking], timeout=self._downloads.host_limits.patience(wanted.locations[0]))
            if not done and await self._plainly(wanted, asking):
                self._downloads.host_limits.suspect(wanted.locations[0])
                return None, False
            kept, failed = await asking
            return kept, failed
        finally:
            await _let_go(asking, kept)

    async def _plainly(self, wanted: Wanted, asking: asyncio.Task[tuple[Passthrough | None, bool]]) -> bool:
        """Whether the file is given without a range before there is any answer to the range that is asked for."""
        looking = asyncio.create_task(self._whole(wanted))
        try:
            await asyncio.wait([asking, looking], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() and isinstance(looking.exception(), (type(None), *_CLEAR)):
                await looking
                return True
            # Upstream may be slow, or in trouble, with whatever it is asked for.
            _, failed = await asking
            if failed:
                await looking
            return failed
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _whole(self, wanted: Wanted) -> Passthrough:
        """The head of the whole file; the passthrough is closed."""
        passthrough = await self._downloads.pass_through(wanted, 0, None)
        await passthrough.close()
        return passthrough

    async def _asked(self, wanted: Wanted, span: Span, if_range: str | None) -> tuple[Passthrough | None, bool]:
        """See `_part`: the same, however long it takes."""
        condition = {"If-Range": if_range} if if_range else None
        try:
            size = wanted.size
            if span.suffix is not None and size is None:
                probed = await self._probe(wanted)
                size = probed.size if probed is not None else None
            if span.suffix is None and size is None:
                return await self._downloads.pass_through(wanted, span.start, span.end, condition), False
            while size is not None and (meant := span.within(size)) is not None:
                part = await self._downloads.pass_through(wanted, *meant, condition)
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


async def _let_go(asking: asyncio.Task[tuple[Passthrough | None, bool]], kept: Passthrough | None) -> None:
    """End a request for a part, unless its answer is the one that is `kept`."""
    asking.cancel()
    for result in await asyncio.gather(asking, return_exceptions=True):
        if isinstance(result, tuple) and result[0] is not None and result[0] is not kept:
            await result[0].close()


def _by_itself(flight: Flight | None, span: Span, size: int | None) -> bool:
    """Whether a range should not wait for the file: it is a look at a part, or far behind what is here."""
    size = size if flight is None or flight.size is None else flight.size
    if size is not None and span.within(size) == (0, size):
        return False  # all of it
    if flight is None or flight.size is None:
        return (span.length is not None and span.length <= _SMALL_SPAN) or span.start > _AHEAD
    meant = span.within(flight.size)
    if meant is None:
        return False
    start, end = meant
    return flight.readable(start) < end and (end - start <= _SMALL_SPAN or start > flight.readable(0) + _AHEAD)
