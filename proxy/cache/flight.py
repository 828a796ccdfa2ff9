"""A file on its way from upstream to the disk, followed by all clients that asked for it.

The flight writes to a spool file. Followers read that file behind the writer, with sendfile, from any thread. Nobody
gets the end of the file before its length and digest are checked (invariant: wrong bytes never arrive whole), and the
flight needs no follower to go on. Large files come in parallel ranges where upstream honours them (RFC 9110 §14),
written in place. This is the state: `parallel_fetch` decides which connection fetches what, `filling` talks to
upstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from proxy.cache.extents import Extents
from proxy.cache.running_hash import RunningHash
from proxy.errors import PullthroughError
from proxy.model import Digest, Kind, Site, Validator
from proxy.ports import Spool

# The last bytes of a file, which followers get only when all of it was checked.
HELD_BACK = 64 * 1024
_PIECE = 1 << 20  # bytes that a follower reads at once


class Changed(Exception):
    """Upstream's file is not the one of which a part is here."""

    def again(self) -> Self:
        """The same as a new exception, as of `PullthroughError.again`."""
        return type(self)()


@dataclass(frozen=True, slots=True)
class Location:
    """An address upstream, and the upstream that it belongs to."""

    url: str
    site: Site


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that somebody asks for: where it is, and what an index page says of it.

    `size` in bytes and `digest` are None where the page does not say. `binary`: an HTML answer cannot be right.
    `others`: where else the bytes of this digest are. `renew`: what is kept under the key is not it any more.
    `proved`: False where no page could be read that might have given a digest. `kind`: what it is for upstream.
    `again`: looks where the file is now, when its address does not work any more; None where it is no other one.
    `signed`: size and digest stand in one signed list, so that another length is another file; the size on an index
    page is a hint where it gives a digest too. `called`: the file's name, where the address does not end in it.
    `text`: it is text, whose content coding the caller takes off. `looked_at`: without a digest, a page of HTML in its
    place is told by its first bytes, whatever it is called.
    """

    key: str
    url: str
    site: Site
    digest: Digest | None = None
    size: int | None = None
    binary: bool = True
    others: tuple[Location, ...] = ()
    renew: bool = False
    proved: bool = True
    kind: Kind = Kind.FILE
    again: Callable[[], Awaitable[Location | None]] | None = field(default=None, compare=False)
    signed: bool = False
    called: str | None = None
    text: bool = False
    looked_at: bool = False

    @property
    def length(self) -> int | None:
        """The size, where a body of another one cannot be the file; else the digest decides alone."""
        return self.size if self.digest is None or self.signed else None

    @property
    def name(self) -> str:
        """What the file is called; its ending says what kind of file it is."""
        return self.called or urlsplit(self.url).path.rpartition("/")[2]

    @property
    def locations(self) -> tuple[Location, ...]:
        """All places where the file is, the first of them first."""
        return (Location(self.url, self.site), *self.others)

    @property
    def flight_key(self) -> str:
        """Two addresses of one digest share a flight, unless somebody may have made two files of that digest."""
        if self.digest is None:
            return self.key
        return str(self.digest) if self.digest.strong else f"{self.key} {self.digest}"


class Flight:
    """The state of one download. Changed on the event loop only; `readable` may be called from any thread."""

    def __init__(self, wanted: Wanted, *, plain: bool = False) -> None:
        self.wanted = wanted
        self.plain = plain  # a ranged request got an error just now: begin with a plain one
        self.url = wanted.url  # the address that answered, after redirects
        self.size: int | None = None  # bytes, once upstream told it
        self.validator = Validator()
        self.extents = Extents()
        self.resumed = 0  # bytes that an earlier run had left on disk
        self.came = 0  # bytes that upstream sent for it in this one, those included that were here already
        self.ahead = False  # no client waits for it yet
        self.keep = True  # whether upstream lets it be kept
        self.unmeasured = False  # nothing but the end of the answer told how long the file is
        self.verified = False
        self.error: PullthroughError | None = None
        self.spool: Spool | None = None
        self.running_hash: RunningHash | None = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listeners: dict[int, Callable[[], None]] = {}
        self._listener = 0

    def readable(self, position: int) -> int:
        """Where the bytes that a follower at `position` may have now end."""
        verified, extents = self.verified, self.extents
        end = extents.end_from(position)
        if verified:
            return end
        limit = (end if self.size is None else self.size) - HELD_BACK
        return max(position, min(end, limit))

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.verified or self.error is not None

    def share(self) -> AbstractContextManager[int]:
        """The spool file's descriptor, held open for a follower whatever becomes of the flight."""
        assert self.spool is not None, "a flight that started has a spool"
        return self.spool.share()

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` on the event loop whenever there may be more to read. Gives the function that stops it."""
        number = self._listener = self._listener + 1
        self._listeners[number] = callback
        return lambda: self._listeners.pop(number, None) and None

    def tell(self) -> None:
        """Tell the listeners that something changed."""
        for callback in tuple(self._listeners.values()):
            callback()

    def landed(self, start: int, end: int) -> None:
        """Bytes `[start, end)` are in the spool file."""
        self.extents = self.extents.add(start, end)
        self.tell()

    def start(self) -> None:
        """Size and validator are known, or never will be: answers can be begun."""
        if not self.started.done():
            self.started.set_result(None)

    async def begun(self) -> None:
        """Wait until answers can be begun. Raises the flight's error, if it failed instead.

        Of what nobody may read before all of it was checked, that is its end: whoever asked may look elsewhere still.
        """
        await asyncio.shield(self.started)
        more = asyncio.Event()
        stop = self.listen(more.set)
        try:
            while not self.over and (self.size is None or self.size <= HELD_BACK) and not self.readable(0):
                more.clear()
                await more.wait()
        finally:
            stop()
        if self.error is not None:
            raise self.error.again()

    async def ended(self) -> None:
        """Wait until nothing more will come. Raises the flight's error."""
        over = asyncio.Event()
        stop = self.listen(lambda: over.set() if self.over else None)
        try:
            if not self.over:
                await over.wait()
        finally:
            stop()
        if self.error is not None:
            raise self.error.again()

    def finish(self) -> None:
        """All of it is there, and right."""
        self.verified = True
        self.start()
        self.tell()

    def fail(self, error: PullthroughError) -> None:
        """Nothing more will come. Whoever waits for the start gets the error, followers are cut off."""
        self.error = error.again()
        if not self.started.done():
            self.started.set_result(None)
        self.tell()

    def __repr__(self) -> str:
        state = "verified" if self.verified else "failed" if self.error else "flying"
        return f"<Flight {state} {self.extents.total}/{self.size}>"


async def follow(flight: Flight, position: int) -> AsyncGenerator[bytes]:
    """The bytes of a started flight from `position` to its end, as they become readable. Raises its error.

    For who cannot use sendfile.
    """
    assert flight.spool is not None, "a flight that started has a spool"
    more = asyncio.Event()
    stop = flight.listen(more.set)
    try:
        with flight.share():
            while True:
                more.clear()
                over = flight.over
                end = flight.readable(position)
                if end > position:
                    piece = await flight.spool.read(position, min(end - position, _PIECE))
                    yield piece
                    position += len(piece)
                elif flight.error is not None:
                    raise flight.error.again()
                elif over:
                    return
                else:
                    await more.wait()
    finally:
        stop()
