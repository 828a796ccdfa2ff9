"""Sending a representation: the body leaves by the way that fits where it is.

Bodies in memory leave with their head, or through a sender thread when long; blobs and flights by sendfile;
passthroughs chunk by chunk. What has begun and cannot be ended rightly is broken off: an error never ends a body early
and whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from aiohttp import web

from proxy.cache.downloads import Downloads
from proxy.cache.flight import HELD_BACK, Flight
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import PullthroughError, StoreError
from proxy.model import Blob, Query, Source
from proxy.ports import BlobReader
from proxy.python.lists import ProjectStream
from proxy.web.answer_plan import Framing, Plan, plan, stream
from proxy.web.sender import BodyBroken, Transfer
from proxy.web.sender_threads import SenderThreads
from proxy.web.server import Connection

_log = logging.getLogger(__name__)

INLINE = 64 << 10  # bytes; bodies up to this length leave with their head
SHORT = 256 << 10  # bytes; longer bodies of files leave through the sender threads
_AT_ONCE = 4 << 20  # bytes of a body in memory that are offered to the socket on the event loop


class Sent(web.StreamResponse):
    """An answer that has left already: tells aiohttp so."""

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to prepare."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to end."""


@dataclass(slots=True)
class Exchange:
    """One request under way: its connection, and what was sent so far, in bytes by where it came from."""

    connection: Connection
    query: Query[object]
    framing: Framing
    readable: bool = False  # pages of any site may read the answer
    started: float = field(default_factory=time.monotonic)
    status: int = 0
    sent: dict[Source, int] = field(default_factory=dict)

    def count(self, source: Source, size: int) -> None:
        """Count bytes that were sent."""
        if size:
            self.sent[source] = self.sent.get(source, 0) + size


class Responder:
    """Sends representations."""

    def __init__(self, blobs: BlobReader, downloads: Downloads, senders: SenderThreads) -> None:
        self._blobs = blobs
        self._downloads = downloads
        self._senders = senders

    async def send(self, exchange: Exchange, shown: Representation) -> Sent:
        """Answer with `shown`, or the part of it that was asked for.

        Raises RangeNotSatisfiable and BlobDamaged before anything was sent; ConnectionError when the client went
        away or the body broke: the connection is not to be used any more then.
        """
        body = shown.body
        try:
            answer = plan(shown, exchange.query, exchange.framing, readable=exchange.readable)
            if answer.bodiless:
                await self._memory(exchange, answer, b"", shown.source)
            elif isinstance(body, bytes):
                await self._memory(exchange, answer, body[answer.start : answer.end], shown.source)
            elif isinstance(body, Blob):
                await self._blob(exchange, answer, body, shown.source)
            elif isinstance(body, Flight) and answer.end is not None:
                await self._flight(exchange, answer, body, shown.source)
            elif isinstance(body, Flight):
                await self._pieces(exchange, answer, self._downloads.followed(body), shown.source)
            else:
                await self._pieces(exchange, answer, body.chunks(), shown.source)
        except BodyBroken as broken:
            _tell(broken, shown.mount)
            raise
        finally:
            if isinstance(body, Passthrough):
                await body.close()
        if answer.keep_alive:
            exchange.connection.finished()
        return Sent(answer.status, keep_alive=answer.keep_alive)

    async def send_projects(self, exchange: Exchange, projects: ProjectStream) -> Sent:
        """Pass a list of all projects through, its links made relative where they are not."""
        fields = [("Content-Type", projects.content_type), ("Cache-Control", "no-store"), ("X-Cache", "miss")]
        try:
            answer = stream(exchange.query, exchange.framing, fields, readable=exchange.readable)
            if answer.bodiless:
                await self._memory(exchange, answer, b"", Source.UPSTREAM)
            else:
                await self._pieces(exchange, answer, projects.pieces(), Source.UPSTREAM)
        except BodyBroken as broken:
            _tell(broken, projects.mount)
            raise
        finally:
            await projects.close()
        return Sent(answer.status, keep_alive=answer.keep_alive)

    def read(self, blob: Blob) -> bytes:
        """A short stored file, whole. Raises BlobDamaged."""
        with self._blobs.lease(blob) as descriptor:
            return os.pread(descriptor, blob.size, 0)

    def send_short(self, transport: asyncio.Transport, head: bytes, blob: Blob, start: int, end: int) -> int:
        """Send a short part of a stored file without leaving the event loop; its transport has nothing left to write.

        What the socket does not take at once waits in the transport's buffer. Gives how many bytes were handed over:
        when fewer than asked for, the disk could not give them, and the connection has to be broken.

        Raises BlobDamaged before anything left.
        """
        with self._blobs.lease(blob) as descriptor:
            transport.write(head)
            sent = 0
            if not transport.get_write_buffer_size():
                with contextlib.suppress(OSError):  # the socket is full or dead, or the disk fails: what follows tells
                    sent = os.sendfile(transport.get_extra_info("socket").fileno(), descriptor, start, end - start)
            if start + sent < end:
                try:
                    rest = os.pread(descriptor, end - start - sent, start + sent)
                except OSError as error:
                    _log.error("a stored file cannot be read", extra={"reason": str(error)})
                    rest = b""
                transport.write(rest)
                sent += len(rest)
        if start + sent < end:
            self._blobs.recheck(blob)
        return sent

    async def _memory(self, exchange: Exchange, answer: Plan, body: bytes, source: Source) -> None:
        exchange.status = answer.status
        if len(body) <= INLINE:
            transport = await exchange.connection.flushed()
            transport.write(answer.head() + body)
            exchange.count(source, len(body))
        else:
            # Most of it, or all, goes into the socket's buffer at once; a thread sends the rest.
            transport = await exchange.connection.flushed()
            transport.write(answer.head())
            sent = 0
            if not transport.get_write_buffer_size():
                with contextlib.suppress(OSError):  # the socket is full, or dead: the thread finds out
                    sent = os.write(transport.get_extra_info("socket").fileno(), memoryview(body)[:_AT_ONCE])
            exchange.count(source, sent)
            if sent < len(body):
                await self._carry(exchange, Transfer(b"", sent, len(body), memory=body), source)

    async def _blob(self, exchange: Exchange, answer: Plan, blob: Blob, source: Source) -> None:
        end = blob.size if answer.end is None else answer.end
        if end - answer.start <= SHORT:
            transport = await exchange.connection.flushed()
            sent = self.send_short(transport, answer.head(), blob, answer.start, end)
            exchange.status = answer.status
            exchange.count(source, sent)
            if sent < end - answer.start:
                raise BodyBroken("The stored file could not be read to its end.")
            return
        with self._blobs.lease(blob) as descriptor:
            exchange.status = answer.status
            try:
                await self._carry(exchange, Transfer(answer.head(), answer.start, end, descriptor), source)
            except BodyBroken:
                self._blobs.recheck(blob)
                raise

    async def _flight(self, exchange: Exchange, answer: Plan, flight: Flight, source: Source) -> None:
        """Send behind a flight's writer; past the store from where the disk gave up."""
        assert answer.end is not None, "the size is known"
        with flight.share() as descriptor:
            if answer.end - answer.start <= HELD_BACK and answer.end == flight.size:
                # None of it leaves before it was checked: an error can still be told as one.
                with contextlib.suppress(StoreError):
                    await flight.ended()
            exchange.status = answer.status
            transfer = Transfer(answer.head(), answer.start, answer.end, descriptor, growing=flight)
            stop = flight.listen(transfer.poke)
            try:
                await self._senders.send(await exchange.connection.flushed(), transfer)
            except BodyBroken:
                if not isinstance(flight.error, StoreError) or flight.extents.end_from(0) < transfer.position:
                    raise
                rest = self._downloads.rest(flight, descriptor, transfer.position, answer.end)
                await self._pieces(exchange, answer, rest, Source.UPSTREAM, head=transfer.head)
            finally:
                stop()
                size = transfer.position - answer.start
                # What an earlier run had fetched was not fetched for this client.
                kept = min(size, max(flight.resumed - answer.start, 0)) if source is Source.UPSTREAM else 0
                exchange.count(Source.CACHE, kept)
                exchange.count(source, size - kept)

    async def _carry(self, exchange: Exchange, transfer: Transfer, source: Source) -> None:
        start = transfer.position
        try:
            await self._senders.send(await exchange.connection.flushed(), transfer)
        finally:
            exchange.count(source, transfer.position - start)

    async def _pieces(
        self,
        exchange: Exchange,
        answer: Plan,
        pieces: AsyncGenerator[bytes],
        source: Source,
        *,
        head: bytes | None = None,
    ) -> None:
        """Send a body piece by piece, chunked (RFC 9112 §7.1) where its length is unknown.

        Raises what `pieces` raises before its first one, if `head` is not begun already.
        """
        begun = head is not None
        head = answer.head() if head is None else head
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if not piece:  # an empty chunk would be the last one
                        continue
                    begun, exchange.status = True, answer.status
                    if answer.chunked:
                        head += b"%x\r\n" % len(piece)
                    await self._carry(exchange, Transfer(head, 0, len(piece), memory=piece), source)
                    # What ends a chunk goes with what begins the next one: bodies are counted without their framing.
                    head = b"\r\n" if answer.chunked else b""
        except PullthroughError as error:
            if not begun:
                raise
            raise BodyBroken(str(error)) from error
        exchange.status = answer.status
        last = head + (b"0\r\n\r\n" if answer.chunked else b"")
        if last:
            (await exchange.connection.flushed()).write(last)


def _tell(broken: BodyBroken, mount: str) -> None:
    """Say why an answer broke off, where nobody did yet: its client, who has the head, can not be told."""
    if isinstance(broken.__cause__, PullthroughError):
        _log.warning("an answer was broken off", extra={"upstream": mount, "reason": str(broken)})
