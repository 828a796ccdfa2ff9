"""Passthroughs opened: parts of files, and files that the disk cannot take, from wherever they can be had.

Called by `downloads`, and through it by whoever needs a part of a file that is not here. Keeps nothing but what it
learns of hosts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace

from proxy.cache.flight import Flight, Location, Wanted
from proxy.cache.host_limits import HostLimits
from proxy.cache.passthrough import Passthrough
from proxy.cache.running_hash import RunningHash
from proxy.cache.workers import Workers
from proxy.errors import NotAllowed, NotFound, PullthroughError, UpstreamBroken, UpstreamError
from proxy.ports import Upstream

NEXT = (NotFound, NotAllowed, UpstreamError)  # after these another place is asked
_OVERLAP = 64 << 10  # bytes that are fetched again and compared, where no digest tells


class Passthroughs:
    """Opens passthroughs. It has no state of its own."""

    def __init__(self, upstream: Upstream, host_limits: HostLimits, hashing: Workers) -> None:
        self._upstream = upstream
        self._host_limits = host_limits
        self._hashing = hashing

    def in_order(self, wanted: Wanted) -> list[Location]:
        """The places of a file, those that are known to be down last."""
        return sorted(wanted.locations, key=lambda location: self._upstream.down(location.url, file=True))

    async def past(
        self, wanted: Wanted, start: int, end: int | None, headers: dict[str, str] | None = None
    ) -> Passthrough:
        """A file, `[start, end)` of it, or with `start` below 0 its last bytes, straight from upstream.

        Raises the errors of `Upstream.get`, and UpstreamBroken when upstream does not honour the range.
        """
        failure: PullthroughError | None = None
        for location in self.in_order(wanted):
            try:
                async with AsyncExitStack() as stack:
                    passthrough = Passthrough(
                        self._upstream, replace(wanted, url=location.url, site=location.site, called=wanted.name)
                    )
                    stack.push_async_callback(passthrough.close)
                    await passthrough.open(start, end, headers or {})
                    stack.pop_all()
                    if start or end is not None:
                        self._host_limits.note(location, ranges=True)
                    return passthrough
            except NEXT as error:
                failure = told(failure, error, location, wanted)
        assert failure is not None, "there is a place, and it failed"
        raise failure.again()

    async def probe(self, wanted: Wanted) -> Passthrough:
        """Ask for the first byte of a file, to learn its size; the passthrough is closed. Raises as `past` does."""
        passthrough = await self.past(wanted, 0, 1)
        try:
            async for _ in passthrough.chunks():
                pass  # read out, the connection can be used again
        finally:
            await passthrough.close()
        return passthrough

    async def rest(self, flight: Flight, descriptor: int, position: int, end: int | None) -> AsyncGenerator[bytes]:
        """The bytes `[position, end)` of a flight that the disk gave up, from upstream; all before are on disk.

        The end is held back until the whole file was checked. Raises UpstreamError.
        """
        running_hash = RunningHash(flight.wanted.digest, self._hashing)
        await running_hash.advance(descriptor, position)
        passthrough, before = await self._rest(flight, descriptor, position)
        if passthrough.start == 0 and not flight.wanted.digest:
            before = running_hash.so_far()
        try:
            if None not in (passthrough.size, flight.size) and passthrough.size != flight.size:
                raise UpstreamBroken("Upstream's file changed while it was being fetched; ask again.")
            async for piece in passthrough.checked(running_hash, before):
                part = piece if end is None else piece[: max(end - position, 0)]  # the client may want less than all
                position += len(part)
                if part:
                    yield part
        finally:
            await passthrough.close()

    async def _rest(self, flight: Flight, descriptor: int, position: int) -> tuple[Passthrough, bytes | None]:
        """From a little before `position` on, or else the whole again; and the sha256 of what is repeated."""
        wanted = flight.wanted
        # With a digest the bytes may come from another place, which knows nothing of this one's validators.
        strong = None if wanted.digest else flight.validator.strong
        before = None
        if position and (wanted.digest or strong):
            start = position if wanted.digest else max(position - _OVERLAP, 0)
            if not wanted.digest:
                repeated = await self._hashing.run(os.pread, descriptor, position - start, start)
                before = hashlib.sha256(repeated).digest()
            try:
                return await self.past(wanted, start, flight.size, {"If-Range": strong} if strong else None), before
            except NEXT as error:
                if self._host_limits.final(Location(wanted.url, wanted.site), error):
                    raise
        return await self.past(wanted, 0, None), None


def told(
    before: PullthroughError | None, error: PullthroughError, location: Location, wanted: Wanted
) -> PullthroughError:
    """Which failure to tell: what the file's own host did, whenever it was asked. That it fails is no "not found".

    A copy: whoever holds it while the others are asked is in the traceback of the one that was raised.
    """
    return error.again() if before is None or location.url == wanted.url else before
