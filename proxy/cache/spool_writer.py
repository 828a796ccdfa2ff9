"""Writes a response's body into a spool file: buffers are filled in turn, while others are written and hashed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from proxy.cache.buffers import MOST
from proxy.cache.flight import Changed, Flight
from proxy.errors import UpstreamError, WrongBytes
from proxy.ports import Reply, Spool

_BUFFERS = 3  # per writer
_FIRST = 256 << 10  # bytes that are read at once, at most, until an upstream turns out to be fast
_NONE = memoryview(b"")


class SpoolWriter:
    """Writes at a position that moves on. Bytes that are on disk are never written again.

    `comparing`: they are compared, where no digest tells in the end whether both belong to one version of the file.
    """

    def __init__(self, spool: Spool, flight: Flight, position: int, *, comparing: bool = False) -> None:
        self._spool = spool
        self._flight = flight
        self._position = position
        self._comparing = comparing
        self._work: deque[asyncio.Task[None]] = deque()  # one for each buffer in use, in order

    def busy(self) -> bool:
        """Whether bytes are being written: that alone may be why no more are read."""
        return any(not task.done() for task in self._work)

    async def write_body(
        self, reply: Reply, end: int | None, first: bytes = b"", stop: Callable[[], int | None] = lambda: None
    ) -> int:
        """Write the whole body; gives the position behind its last byte. `first`: bytes of it that were read already.

        `stop`: where to stop before that, if anywhere; asked again before each piece.

        Raises WrongBytes where the body goes on behind `end`, Changed where it differs from what is on disk, and what
        `readinto` and `write` raise. Bytes that arrived before a failure are written all the same.
        """
        if self._spool.in_memory and not self._position and not first and end is not None and end <= _FIRST:
            return await self._write_pieces(reply, end)
        # One byte more than is right, to notice a body that is too long.
        size = _FIRST if end is None else min(_FIRST, end - self._position + 1)
        # Each is lent when its turn comes: most bodies are short.
        buffers = deque(
            [self._flight.buffers.borrow(size), *([_NONE] * (0 if self._spool.in_memory else _BUFFERS - 1))]
        )
        try:
            if first:
                await self._begin(memoryview(first))
            while (most := self._room(size, end, stop())) and (filled := await reply.readinto(buffers[0][:most])):
                if end is not None and self._position + filled > end:
                    self._flight.received += filled
                    raise WrongBytes("Upstream sent more than it promised. Nothing was cached.")
                await self._begin(buffers[0][:filled])
                if _FIRST <= filled == size < MOST:  # a fast upstream fills them
                    size *= 2
                buffers.rotate(-1)
                await self._settle(_BUFFERS - 1)
                if len(buffers[0]) < size:
                    self._flight.buffers.give_back(buffers[0])
                    buffers[0] = self._flight.buffers.borrow(size)
            await self._settle(0)
        except UpstreamError:
            await self._settle(0)
            raise
        finally:
            await self._abandon()
        for buffer in buffers:  # after a failure somebody may still have one
            self._flight.buffers.give_back(buffer)
        return self._position

    def _room(self, size: int, end: int | None, stop: int | None) -> int:
        """How many bytes to read at once, at most."""
        return size if stop is None or (end is not None and stop >= end) else max(0, min(size, stop - self._position))

    async def _write_pieces(self, reply: Reply, end: int) -> int:
        """The same for a body that comes in a few pieces: as they are."""
        async for piece in reply.chunks():
            if self._position + len(piece) > end:
                self._flight.received += len(piece)
                raise WrongBytes("Upstream sent more than it promised. Nothing was cached.")
            await self._begin(memoryview(piece))
        return self._position

    async def _begin(self, piece: memoryview) -> None:
        """Write those parts of a piece that are not on disk: the others may have been hashed and sent."""
        start, end = self._position, self._position + len(piece)
        self._position = end
        self._flight.received += len(piece)
        new = self._flight.extents.missing(start, end)
        if self._comparing and new != [(start, end)]:
            await self._compare(start, piece, new)
        if new and self._spool.in_memory:
            await self._write(start, piece, new)
        elif new:
            self._work.append(asyncio.create_task(self._write(start, piece, new)))

    async def _compare(self, start: int, piece: memoryview, new: list[tuple[int, int]]) -> None:
        here = await self._spool.read(start, len(piece))
        at = start
        for begin, end in (*new, (start + len(piece), start + len(piece))):
            if here[at - start : begin - start] != piece[at - start : begin - start]:
                raise Changed
            at = end

    async def _write(self, start: int, piece: memoryview, parts: list[tuple[int, int]]) -> None:
        put = self._keep if self._spool.in_memory else self._put
        for begin, end in parts:
            await put(begin, piece[begin - start : end - start])

    async def _put(self, offset: int, piece: memoryview) -> None:
        """Write and hash. Both use the buffer, so both are waited for."""
        end, running_hash = offset + len(piece), self._flight.running_hash
        hashing = running_hash is not None and running_hash.claim(offset, end)
        hashed = asyncio.create_task(running_hash.take(offset, piece)) if running_hash is not None and hashing else None
        try:
            await self._spool.write(offset, [piece])
            self._flight.written(offset, end)
        finally:
            if running_hash is not None and hashed is not None:
                await hashed
                running_hash.progressed()

    async def _keep(self, offset: int, piece: memoryview) -> None:
        """The same in memory: nothing is waited for."""
        await self._spool.write(offset, [piece])
        if self._flight.running_hash is not None:
            self._flight.running_hash.take_few(offset, piece)
        self._flight.written(offset, offset + len(piece))

    async def _settle(self, left: int) -> None:
        """Wait until at most `left` buffers are in use. On cancellation `_abandon` waits for them."""
        while len(self._work) > left:
            await asyncio.wait((self._work[0],))
            self._work.popleft().result()

    async def _abandon(self) -> None:
        """Wait for the writes under way: the spool file must stay open until they finish.

        When one connection of a download fails, the others are cancelled, perhaps while they wait here: they wait on.
        """
        work, self._work = self._work, deque()
        cancelled: asyncio.CancelledError | None = None
        while pending := [task for task in work if not task.done()]:
            try:
                await asyncio.wait(pending)
            except asyncio.CancelledError as error:
                cancelled = error
        for task in work:
            if not task.cancelled():
                task.exception()  # marked as retrieved: the first failure is the one that is raised
        if cancelled is not None:
            raise cancelled
