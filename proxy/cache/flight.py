"""A file on its way from upstream to the disk, followed by all clients that asked for it.

The flight writes to a spool file. Followers read that file behind the writer, with sendfile, from any thread. Nobody
gets the end of the file before its length and digest are checked (invariant: wrong bytes never arrive whole), and the
flight needs no follower to go on. Large files come in parallel ranges where upstream honours them (RFC 9110 §14),
written in place. This is the state: `parallel_fetch` decides which connection fetches what, `filling` talks to
upstream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from proxy.cache.buffers import Buffers
from proxy.cache.extents import Extents
from proxy.cache.running_hash import RunningHash
from proxy.errors import PullthroughError
from proxy.model import Digest, Kind, Site, Validator
from proxy.ports import Spool

# The last bytes of a file, which followers get only when all of it has been checked.
HELD_BACK = 64 * 1024
_PIECE = 1 << 20  # bytes that a follower reads at once


class Changed(Exception):
    """Upstream's file is not the one of which a part is on disk."""

    def again(self) -> Self:
        """The same as a new exception, as of `PullthroughError.again`."""
        return type(self)()


@dataclass(frozen=True, slots=True)
class Location:
    """Where a file is: its address upstream, and the upstream that the address belongs to."""

    url: str
    site: Site


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file that a client wants: where it is, and what an index page says of it.

    `size` in bytes and `digest` are None where the page does not say them. `binary`: an HTML response cannot be right.
    `others`: where else the bytes of this digest are. `renew`: what is stored under the key is another file.
    `proved`: False where no page that might have had a digest could be read. `kind`: what it is for upstream.
    `again`: finds where the file is now, when an address of it has expired, which it is given; gives None where there
    is no other one.
    `signed`: size and digest are in one signed list, so that another length is another file; the size on an index page
    is a hint where the page has a digest too. `called`: the file's name, where the address does not end in it.
    `text`: it is text, and the caller removes its content coding. `looked_at`: without a digest, an HTML page in its
    place is told by its first bytes, whatever its media type. `deferred`: it is stored a moment later.
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
    again: Callable[[str], Awaitable[Location | None]] | None = field(default=None, compare=False)
    signed: bool = False
    called: str | None = None
    text: bool = False
    looked_at: bool = False
    deferred: bool = False

    @property
    def length(self) -> int | None:
        """The size, where a body of another size cannot be the file; None where the digest decides alone."""
        return self.size if self.digest is None or self.signed else None

    @property
    def name(self) -> str:
        """What the file is called; its ending says what kind of file it is."""
        return self.called or urlsplit(self.url).path.rpartition("/")[2]

    @property
    def locations(self) -> tuple[Location, ...]:
        """Where the file is, its own address first."""
        return (Location(self.url, self.site), *self.others)

    @property
    def flight_key(self) -> str:
        """Two addresses of one digest share a flight, unless two files may have been made with that digest."""
        if self.digest is None:
            return self.key
        return str(self.digest) if self.digest.strong else f"{self.key} {self.digest}"


class Flight:
    """The state of one download. Changed on the event loop only; `readable` may be called from any thread."""

    def __init__(self, wanted: WantedFile, *, plain: bool = False, buffers: Buffers | None = None) -> None:
        self.wanted = wanted
        self.buffers = buffers or Buffers()  # into which it is read
        self.plain = plain  # a ranged request failed just now: begin without a range
        self.url = wanted.url  # the address that answered, after redirects
        self.size: int | None = None  # bytes, once upstream said it
        self.validator = Validator()
        self.extents = Extents()
        self.resumed = 0  # bytes that an earlier run left on disk
        self.received = 0  # bytes that upstream sent in this run, also those that were on disk already
        self.begun_at = time.monotonic()
        self.ahead = False  # no client waits for it yet
        self.foreseen = False  # none did when it began
        self.storable = True  # whether upstream allows storing it
        self.unmeasured = False  # only the end of the response told how long the file is
        self.verified = False
        self.settling = False  # whole, and not stored yet
        self.error: PullthroughError | None = None
        self.spool: Spool | None = None
        self.running_hash: RunningHash | None = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.followers = 0
        self.taken = Extents()  # what clients were sent while it came
        self._left: Callable[[], None] | None = None
        self._listeners: dict[int, Callable[[], None]] = {}
        self._listener = 0

    def readable(self, position: int) -> int:
        """The end of the bytes that a follower at `position` may have now."""
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

    @contextmanager
    def followed(self, callback: Callable[[], None]) -> Iterator[None]:
        """`listen`, for a client that is sent the file while it comes; it is counted in `followers`."""
        stop = self.listen(callback)
        self.followers += 1
        try:
            yield
        finally:
            self.followers -= 1
            stop()
            if not self.followers and self._left is not None:
                left, self._left = self._left, None
                left()

    def took(self, start: int, end: int) -> None:
        """A client was sent the bytes `[start, end)`."""
        if end > start:
            self.taken = self.taken.add(start, end)

    def when_left(self, callback: Callable[[], None]) -> None:
        """Call `callback` once no client is being sent what came: now, or when the last one ends."""
        if self.followers:
            self._left = callback
        else:
            callback()

    def notify(self) -> None:
        """Call the listeners: something changed."""
        for callback in tuple(self._listeners.values()):
            callback()

    def written(self, start: int, end: int) -> None:
        """The bytes `[start, end)` are in the spool file."""
        self.extents = self.extents.add(start, end)
        self.notify()

    def start(self) -> None:
        """Size and validator are known, or never will be: responses can begin."""
        if not self.started.done():
            self.started.set_result(None)

    async def begun(self) -> None:
        """Wait until responses can begin. Raises the flight's error if it failed instead.

        A file that nobody may read before all of it is checked begins at its end: until then the caller may still look
        elsewhere.
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
        self.notify()

    def fail(self, error: PullthroughError) -> None:
        """Nothing more will come. Those who wait for the start get the error, followers are cut off."""
        self.error = error.again()
        if not self.started.done():
            self.started.set_result(None)
        self.notify()

    def __repr__(self) -> str:
        state = "verified" if self.verified else "failed" if self.error else "flying"
        return f"<Flight {state} {self.extents.total}/{self.size}>"


async def follow(flight: Flight, position: int) -> AsyncGenerator[bytes]:
    """The bytes of a started flight from `position` to its end, as they become readable. Raises its error.

    For who cannot use sendfile.
    """
    assert flight.spool is not None, "a flight that started has a spool"
    more = asyncio.Event()
    with flight.followed(more.set), flight.share():
        while True:
            more.clear()
            over = flight.over
            end = flight.readable(position)
            if end > position:
                piece = await flight.spool.read(position, min(end - position, _PIECE))
                yield piece
                flight.took(position, position + len(piece))
                position += len(piece)
            elif flight.error is not None:
                raise flight.error.again()
            elif over:
                return
            else:
                await more.wait()
