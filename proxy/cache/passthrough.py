"""Passthroughs: bodies that go straight from upstream to one client, past the store.

These are parts of files that are not stored, and files that the disk cannot take. `file_opener` and `downloads` open
them, from whichever location has the file. The whole of a file with a known digest is checked on its way, its end held
back until then. Nothing is stored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from http import HTTPStatus

from proxy.cache import file_kinds
from proxy.cache.accounts import report_wrong
from proxy.cache.body_checks import BodyCheck, is_coded, refuse_by_head
from proxy.cache.flight import HELD_BACK, Flight, Location, WantedFile
from proxy.cache.host_limits import HostLimits
from proxy.cache.running_hash import RunningHash
from proxy.cache.workers import Workers
from proxy.errors import Coded, NotAllowed, NotFound, PullthroughError, UpstreamBroken, UpstreamError, WrongBytes
from proxy.model import Kind, UpstreamRequest
from proxy.ports import Observer, Reply, Upstream

TRY_ELSEWHERE = (NotFound, NotAllowed, UpstreamError)  # failures after which another location is asked
# Bytes of a part that is read for what is in it, and not for the file; it arrives whole, however slowly it is read.
_SMALL = 512 << 10
_OVERLAP = 64 << 10  # bytes that are fetched again and compared, where no digest tells


class RangeIgnored(UpstreamBroken):
    """Upstream sent the whole file where a part was requested: it honours no ranges, or has another version."""


class Passthrough:
    """One request upstream, open until `close`. `start`, `end` and `size` are in bytes; `size` is None if unknown."""

    def __init__(self, upstream: Upstream, wanted: WantedFile, observer: Observer) -> None:
        self.start = 0
        self.end: int | None = None
        self.size: int | None = None
        self.framed = False  # whether its head says where it ends, and not only the connection (RFC 9112 §6.3)
        self.content_type = ""
        self.url = wanted.url  # the address that answered, after redirects
        self.last_modified: str | None = None
        self.coding: str | None = None  # the content coding that upstream says
        self._upstream = upstream
        self._wanted = wanted
        self._observer = observer
        self._stack = AsyncExitStack()
        self._reply: Reply | None = None

    async def open(self, start: int, end: int | None, headers: dict[str, str]) -> None:
        """Request all of it (`start` 0, `end` None), `[start, end)`, or with `start` below 0 the last bytes.

        Raises UpstreamBroken if that fails.
        """
        wanted = self._wanted
        ranged = start != 0 or end is not None
        if ranged:
            # RFC 9110 §14.1.2: `bytes=-n` are the last n.
            span = str(start) if start < 0 else f"{start}-{'' if end is None else end - 1}"
            headers = {**headers, "Range": f"bytes={span}"}
        small = -_SMALL <= start < 0 or (end is not None and end - start <= _SMALL)
        request = UpstreamRequest(wanted.url, wanted.site, headers, Kind.METADATA if small else wanted.kind)
        reply = self._reply = await self._stack.enter_async_context(self._upstream.get(request))
        self.framed = bool(reply.headers.get("content-length")) or "transfer-encoding" in reply.headers
        self.content_type = reply.headers.get("content-type", "")
        self.url = reply.url
        self.last_modified = reply.validator.last_modified
        self.coding = reply.headers.get("content-encoding")
        if reply.status == HTTPStatus.OK and not ranged:
            self.size = self.end = reply.size
            refuse_by_head(reply, wanted, self.size)
            packed = is_coded(reply) and not wanted.text
            if packed and wanted.digest is None and file_kinds.shape(wanted.name) is None:
                raise Coded("Upstream sent a file in a content coding that was not asked for.")
            return
        if reply.status == HTTPStatus.OK:
            raise RangeIgnored("Upstream does not give parts of this file.")
        part, self.size = reply.part, reply.size
        if part is None or self.size is None or not ranged:
            raise UpstreamBroken("Upstream does not give parts of this file.")
        # The part says where it lies, whatever pages say.
        refuse_by_head(reply, wanted, self.size if wanted.signed else None)
        if is_coded(reply) and wanted.digest is None:
            raise Coded("Upstream sent a part of a file in a content coding that was not asked for.")
        if part.start != (start if start >= 0 else max(self.size + start, 0)) or (end is not None and part.end > end):
            raise UpstreamBroken("Upstream answered another range than the one asked for.")
        self.start, self.end = part.start, part.end

    @property
    def whole(self) -> bool:
        """Whether this is the file from its first byte to its last."""
        return self.start == 0 and self.end == self.size

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body. Raises WrongBytes before the end of a whole file that is not the promised one."""
        if self.whole:
            async for piece in self.checked(RunningHash(self._wanted.digest)):
                yield piece
            return
        assert self._reply is not None, "opened before"
        async for chunk in self._reply.chunks():
            yield chunk

    async def checked(self, running_hash: RunningHash, before: bytes | None = None) -> AsyncGenerator[bytes]:
        """The body behind the bytes that `running_hash` has, hashed on its way. Raises WrongBytes, UpstreamBroken.

        Its end is held back until length and digest agree. `before`: the sha256 that the repeated bytes must have,
        where no digest tells in the end that they belong to the same file.
        """
        assert self._reply is not None, "opened before"
        held = b""
        known = running_hash.position - self.start
        repeated, check = hashlib.sha256(), BodyCheck(self._reply, self._wanted, start=self.start)
        async for received in self._reply.chunks():
            check.feed(received)
            repeated.update(received[:known])
            chunk, known = received[known:], max(known - len(received), 0)
            if chunk and before is not None:
                _require_same(before, repeated.digest())
                before = None
            running_hash.update(chunk)
            held += chunk
            if len(held) > 2 * HELD_BACK:
                check.refuse_beginning()
                yield held[:-HELD_BACK]
                held = held[-HELD_BACK:]
        if known or before is not None:
            _require_same(before or b"", repeated.digest())
        if self._wanted.length not in (None, running_hash.position):
            raise WrongBytes("Upstream sent a file of another length than the index promises.")
        check.refuse_beginning()
        check.refuse_end(running_hash.position)
        try:
            running_hash.check()
        except WrongBytes as error:
            report_wrong(error, self._wanted.site.mount, self._observer)
            raise
        if held:
            yield held

    async def close(self) -> None:
        """Close the connection, unless the body was read out."""
        await self._stack.aclose()


class Passthroughs:
    """Opens passthroughs. It has no state of its own."""

    def __init__(self, upstream: Upstream, host_limits: HostLimits, hashing: Workers, observer: Observer) -> None:
        self._upstream = upstream
        self._host_limits = host_limits
        self._hashing = hashing
        self._observer = observer

    def in_order(self, wanted: WantedFile) -> list[Location]:
        """The locations of a file, those that are known to be down last."""
        return sorted(wanted.locations, key=lambda location: self._upstream.down(location.url, file=True))

    async def open(
        self, wanted: WantedFile, start: int, end: int | None, headers: dict[str, str] | None = None
    ) -> Passthrough:
        """A file, `[start, end)` of it, or with `start` below 0 its last bytes, straight from upstream.

        Raises the errors of `Upstream.get`, and UpstreamBroken when upstream does not honour the range.
        """
        failure: PullthroughError | None = None
        for location in self.in_order(wanted):
            try:
                async with AsyncExitStack() as stack:
                    passthrough = Passthrough(
                        self._upstream,
                        replace(wanted, url=location.url, site=location.site, called=wanted.name),
                        self._observer,
                    )
                    stack.push_async_callback(passthrough.close)
                    await passthrough.open(start, end, headers or {})
                    stack.pop_all()
                    if start or end is not None:
                        self._host_limits.note(location, ranges=True)
                    return passthrough
            except TRY_ELSEWHERE as error:
                failure = reported(failure, error, location, wanted)
        assert failure is not None, "there is a location, and it failed"
        raise failure.again()

    async def probe(self, wanted: WantedFile) -> Passthrough:
        """Request the first byte of a file, to learn its size; the passthrough is closed. Raises as `open` does."""
        passthrough = await self.open(wanted, 0, 1)
        try:
            async for _ in passthrough.chunks():
                pass  # read out, the connection can be used again
        finally:
            await passthrough.close()
        return passthrough

    async def rest(self, flight: Flight, descriptor: int, position: int, end: int | None) -> AsyncGenerator[bytes]:
        """The bytes `[position, end)` of a flight that failed on the disk, from upstream; all before are on disk.

        The end is held back until the whole file is checked. Raises UpstreamError.
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
                # The client may want less than the whole.
                part = piece if end is None else piece[: max(end - position, 0)]
                position += len(part)
                if part:
                    yield part
        finally:
            await passthrough.close()

    async def _rest(self, flight: Flight, descriptor: int, position: int) -> tuple[Passthrough, bytes | None]:
        """The file from a little before `position` on, or else the whole; and the sha256 of the repeated bytes."""
        wanted = flight.wanted
        # With a digest the bytes may come from another location, which knows nothing of this one's validators.
        strong = None if wanted.digest else flight.validator.strong
        before = None
        if position and (wanted.digest or strong):
            start = position if wanted.digest else max(position - _OVERLAP, 0)
            if not wanted.digest:
                repeated = await self._hashing.run(os.pread, descriptor, position - start, start)
                before = hashlib.sha256(repeated).digest()
            try:
                return await self.open(wanted, start, flight.size, {"If-Range": strong} if strong else None), before
            except TRY_ELSEWHERE as error:
                if self._host_limits.final(Location(wanted.url, wanted.site), error):
                    raise
        return await self.open(wanted, 0, None), None


def reported(
    before: PullthroughError | None, error: PullthroughError, location: Location, wanted: WantedFile
) -> PullthroughError:
    """Which failure to report: that of the file's own host, whenever it was asked. Another host's 404 never hides it.

    A copy: the traceback of the one that was raised holds the frame of whoever holds it.
    """
    return error.again() if before is None or location.url == wanted.url else before


def _require_same(one: bytes, other: bytes) -> None:
    if one != other:
        raise UpstreamBroken("Upstream's file changed while it was being fetched; ask again.")
