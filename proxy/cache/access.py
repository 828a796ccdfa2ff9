"""The way to one file for one asker: the stored file, its flight, or, for a part that would have to wait, a passage.

Services of archives call it. Decides only what costs the asker least; `downloads` does the work and owns the flights.
"""

from __future__ import annotations

from proxy.cache.downloads import Downloads
from proxy.cache.flight import Flight, Wanted
from proxy.cache.passage import Passage
from proxy.errors import UpstreamBroken
from proxy.model import Blob, Source, Span

_SMALL_SPAN = 1 << 20  # a range of a cold file up to this many bytes does not start a download
_AHEAD = 32 << 20  # a range that begins further than this behind what is here goes upstream by itself

Body = Blob | Flight | Passage


class Access:
    """Opens files."""

    def __init__(self, downloads: Downloads) -> None:
        self._downloads = downloads

    async def body(self, wanted: Wanted, span: Span | None, if_range: str | None, *, head: bool) -> tuple[Body, Source]:
        """The file, or the part of it that `span` asks for, and where it comes from.

        `if_range` is a condition that cannot be judged before upstream answered: it is passed on with the range.
        `head`: only size and validators are wanted. Raises what `Downloads.open` raises.
        """
        blob = await self._downloads.kept(wanted)
        if blob is not None:
            return blob, Source.CACHE
        flight = self._downloads.running(wanted)
        if head and flight is None:
            return await self._look(wanted), Source.UPSTREAM
        if span is not None and _by_itself(flight, span, wanted.size):
            part = await self._part(wanted, span, if_range)
            if part is not None:
                return part, Source.UPSTREAM
        body, began = await self._downloads.open(wanted)
        return body, Source.UPSTREAM if began else Source.CACHE if isinstance(body, Blob) else Source.SHARED

    async def _look(self, wanted: Wanted) -> Passage:
        """The head of a cold file: its size, without fetching it."""
        try:
            passage = await self._downloads.probe(wanted)
        except UpstreamBroken:
            passage = await self._downloads.past(wanted, 0, None)
            await passage.close()
        passage.start, passage.end = 0, passage.size
        return passage

    async def _part(self, wanted: Wanted, span: Span, if_range: str | None) -> Passage | None:
        """A range from upstream; None where upstream gives no parts, or has another version."""
        condition = {"If-Range": if_range} if if_range else None
        try:
            size = wanted.size
            if span.suffix is not None and size is None:
                size = (await self._downloads.probe(wanted)).size
            if size is None:
                return await self._downloads.past(wanted, span.start, span.end, condition)
            meant = span.within(size)
            return await self._downloads.past(wanted, *meant, condition) if meant is not None else None
        except UpstreamBroken:
            return None


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
