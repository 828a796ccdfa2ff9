"""Sending a representation: the body leaves by the way that fits where it is.

A short body in memory leaves with its head, a long one through a sender thread. Stored files and running downloads
leave by sendfile, passthroughs chunk by chunk. An answer that has begun and cannot be completed is broken off: no
error makes a body look whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from aiohttp import web

from proxy import operating_system
from proxy.cache.downloads import Downloads
from proxy.cache.flight import HELD_BACK, Flight
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import PullthroughError, StoreError
from proxy.model import Blob, Query, Source
from proxy.ports import BlobReader, Clock
from proxy.python.project_list import ProjectStream
from proxy.web.answer_plan import Framing, Plan, plan, plan_stream
from proxy.web.sender import BodyBroken, Transfer
from proxy.web.sender_threads import SenderThreads
from proxy.web.server import ClientConnection

_log = logging.getLogger(__name__)

INLINE = 64 << 10  # bytes; bodies up to this length leave with their head, by one system call
SHORT = 256 << 10  # bytes; longer bodies of files leave through the sender threads
_READY = 1 << 20  # bytes of a download, if it is whole, that are offered to the socket on the event loop
_AT_ONCE = 4 << 20  # bytes of a body in memory that are offered to the socket on the event loop


class AlreadySent(web.StreamResponse):
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
    """One request under way: its connection, and the bytes sent so far, by where they came from."""

    connection: ClientConnection
    query: Query[object]
    framing: Framing
    started: float  # monotonic seconds
    cors: bool = False  # pages of any site may read the answer
    status: int = 0
    sent: dict[Source, int] = field(default_factory=dict)
    first_byte: float | None = None  # monotonic seconds: when the answer began to leave

    def begin(self, now: float) -> None:
        """Note that the answer begins to leave, at `now` in monotonic seconds."""
        if self.first_byte is None:
            self.first_byte = now

    def count(self, source: Source, size: int) -> None:
        """Count bytes that were sent."""
        if size:
            self.sent[source] = self.sent.get(source, 0) + size


class Responder:
    """Sends representations."""

    def __init__(self, blobs: BlobReader, downloads: Downloads, senders: SenderThreads, clock: Clock) -> None:
        self._blobs = blobs
        self._downloads = downloads
        self._senders = senders
        self._clock = clock

    async def send(self, exchange: Exchange, representation: Representation) -> AlreadySent:
        """Answer with `representation`, or the part of it that the client asks for.

        Raises RangeNotSatisfiable and BlobDamaged before anything was sent; ConnectionError when the client went
        away or the body broke: the connection cannot be used any more then.
        """
        body, source = representation.body, representation.source
        try:
            answer = plan(representation, exchange.query, exchange.framing, cors=exchange.cors)
            if answer.bodiless:
                await self._send_memory(exchange, answer, b"", source)
            elif isinstance(body, bytes):
                await self._send_memory(exchange, answer, body[answer.start : answer.end], source)
            elif isinstance(body, Blob):
                await self._send_blob(exchange, answer, body, source)
            elif isinstance(body, Flight) and answer.end is not None:
                await self._send_flight(exchange, answer, body, answer.end, source)
            else:
                pieces = self._downloads.followed(body) if isinstance(body, Flight) else body.chunks()
                await self._send_pieces(exchange, answer, pieces, source)
        except BodyBroken as broken:
            _log_broken(broken, representation.mount)
            raise
        finally:
            if isinstance(body, Passthrough):
                await body.close()
        return await _sent(exchange, answer)

    async def send_projects(self, exchange: Exchange, projects: ProjectStream) -> AlreadySent:
        """Pass a list of all projects through, its links made relative."""
        fields = [("Content-Type", projects.content_type), ("Cache-Control", "no-store"), ("X-Cache", "miss")]
        try:
            answer = plan_stream(exchange.query, exchange.framing, fields, cors=exchange.cors)
            if answer.bodiless:
                await self._send_memory(exchange, answer, b"", Source.UPSTREAM)
            else:
                await self._send_pieces(exchange, answer, projects.pieces(), Source.UPSTREAM)
        except BodyBroken as broken:
            _log_broken(broken, projects.mount)
            raise
        finally:
            await projects.close()
        return await _sent(exchange, answer)

    def send_short(self, transport: asyncio.Transport, head: bytes, blob: Blob, start: int, end: int) -> int:
        """Send a short part of a stored file without leaving the event loop; the transport's buffer must be empty.

        What the socket does not take at once waits in that buffer. Gives how many bytes were handed over: when they
        are fewer than asked for, the disk could not give them, and the connection has to be broken.

        Raises BlobDamaged before anything left.
        """
        with self._blobs.lease(blob) as descriptor:
            sent = 0
            if end - start > INLINE:
                transport.write(head)
                head = b""
            if not head and not transport.get_write_buffer_size():
                # An error means that the socket is full or dead, or that the disk fails: what follows finds out.
                with contextlib.suppress(OSError):
                    sock = transport.get_extra_info("socket").fileno()
                    sent = operating_system.send_file(sock, descriptor, start, end - start)
            if head or start + sent < end:
                try:
                    rest = os.pread(descriptor, end - start - sent, start + sent)
                except OSError as error:
                    _log.error("a stored file cannot be read", extra={"reason": str(error)})
                    rest = b""
                transport.write(head + rest)
                sent += len(rest)
        if start + sent < end:
            self._blobs.recheck(blob)
        return sent

    async def _send_memory(self, exchange: Exchange, answer: Plan, body: bytes, source: Source) -> None:
        exchange.status = answer.status
        transport = await exchange.connection.flushed()
        head = self._begin(exchange, answer)
        if len(body) <= INLINE:
            transport.write(head + body)
            exchange.count(source, len(body))
            return
        # The socket's buffer takes most of it, or all, at once; a thread sends the rest.
        transport.write(head)
        sent = 0
        if not transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # the socket is full, or dead: the thread finds out
                sent = os.write(transport.get_extra_info("socket").fileno(), memoryview(body)[:_AT_ONCE])
        exchange.count(source, sent)
        if sent < len(body):
            await self._send_by_thread(exchange, Transfer(b"", sent, len(body), memory=body), source)

    async def _send_blob(self, exchange: Exchange, answer: Plan, blob: Blob, source: Source) -> None:
        end = blob.size if answer.end is None else answer.end
        if end - answer.start <= SHORT:
            transport = await exchange.connection.flushed()
            sent = self.send_short(transport, self._begin(exchange, answer), blob, answer.start, end)
            exchange.status = answer.status
            exchange.count(source, sent)
            if sent < end - answer.start:
                raise BodyBroken("The stored file could not be read to its end.")
            return
        with self._blobs.lease(blob) as descriptor:
            exchange.status = answer.status
            try:
                await self._send_by_thread(
                    exchange, Transfer(self._begin(exchange, answer), answer.start, end, descriptor), source
                )
            except BodyBroken:
                self._blobs.recheck(blob)
                raise

    async def _send_flight(self, exchange: Exchange, answer: Plan, flight: Flight, end: int, source: Source) -> None:
        """Send what the flight has written, as it grows; the rest past the store, where the disk gave up."""
        with flight.share() as descriptor:
            if end - answer.start <= HELD_BACK and end == flight.size:
                # None of it leaves before it is checked, so a failure can still get an answer of its own.
                with contextlib.suppress(StoreError):
                    await flight.ended()
            if end - answer.start <= INLINE and flight.verified and not flight.resumed:
                # Without waking a thread for it.
                body = _read_back(descriptor, answer.start, end)
                if body is not None:
                    flight.took(answer.start, end)
                    await self._send_memory(exchange, answer, body, source)
                    return
            exchange.status = answer.status
            transfer = Transfer(self._begin(exchange, answer), answer.start, end, descriptor, growing=flight)
            if flight.verified and end - answer.start <= _READY:
                _offer(await exchange.connection.flushed(), transfer)
            try:
                with flight.followed(transfer.grew):
                    try:
                        if transfer.position < end:
                            await self._senders.send(await exchange.connection.flushed(), transfer)
                    finally:
                        flight.took(answer.start, transfer.position)
            except BodyBroken:
                if not isinstance(flight.error, StoreError) or flight.extents.end_from(0) < transfer.position:
                    raise
                rest = self._downloads.rest(flight, descriptor, transfer.position, end)
                await self._send_pieces(exchange, answer, rest, Source.UPSTREAM, head=transfer.head)
            finally:
                size = transfer.position - answer.start
                # What an earlier run of the program fetched was not fetched for this client.
                resumed = min(size, max(flight.resumed - answer.start, 0)) if source is Source.UPSTREAM else 0
                exchange.count(Source.CACHE, resumed)
                exchange.count(source, size - resumed)

    async def _send_by_thread(self, exchange: Exchange, transfer: Transfer, source: Source) -> None:
        start = transfer.position
        try:
            await self._senders.send(await exchange.connection.flushed(), transfer)
        finally:
            exchange.count(source, transfer.position - start)

    async def _send_pieces(
        self,
        exchange: Exchange,
        answer: Plan,
        pieces: AsyncGenerator[bytes],
        source: Source,
        *,
        head: bytes | None = None,
    ) -> None:
        """Send a body piece by piece, chunked (RFC 9112 §7.1) where its length is unknown.

        `head`: what is left of a head that has begun to leave. Without it, what `pieces` raises before its first
        piece is raised as it is; any later failure as BodyBroken.
        """
        begun = head is not None
        head = self._head(answer) if head is None else head
        try:
            async with aclosing(pieces), _end_in_doubt(exchange, answer):
                async for piece in pieces:
                    if not piece:  # an empty chunk would be the last one
                        continue
                    if not begun:
                        exchange.begin(self._clock.monotonic())
                    begun, exchange.status = True, answer.status
                    if answer.chunked:
                        head += b"%x\r\n" % len(piece)
                    await self._send_by_thread(exchange, Transfer(head, 0, len(piece), memory=piece), source)
                    # The end of a chunk leaves with the begin of the next one: bodies are counted without framing.
                    head = b"\r\n" if answer.chunked else b""
        except PullthroughError as error:
            if not begun:
                raise
            raise BodyBroken(str(error)) from error
        exchange.status = answer.status
        last = head + (b"0\r\n\r\n" if answer.chunked else b"")
        if last:
            (await exchange.connection.flushed()).write(last)

    def _begin(self, exchange: Exchange, answer: Plan) -> bytes:
        """The head of an answer that leaves now."""
        exchange.begin(self._clock.monotonic())
        return self._head(answer)

    def _head(self, answer: Plan) -> bytes:
        return answer.head(self._clock.now())


async def _sent(exchange: Exchange, answer: Plan) -> AlreadySent:
    """The end of an answer. Raises ConnectionError when the client does not take the last one of its connection."""
    if answer.keep_alive:
        exchange.connection.answer_written()
    else:
        # asyncio closes a connection only once its buffer is empty, however long that takes.
        await exchange.connection.flushed()
    return AlreadySent(answer.status, keep_alive=answer.keep_alive)


@contextlib.asynccontextmanager
async def _end_in_doubt(exchange: Exchange, answer: Plan) -> AsyncIterator[None]:
    """Where the end of the connection is that of the body, it is a reset until all has left: no part looks whole."""
    if not answer.ends_with_connection:
        yield
        return
    exchange.connection.in_doubt(doubt=True)
    try:
        yield
    except BaseException:
        exchange.connection.in_doubt(doubt=exchange.first_byte is not None)  # else an error is answered
        raise
    exchange.connection.in_doubt(doubt=False)


def _offer(transport: asyncio.Transport, transfer: Transfer) -> None:
    """Send what the socket takes at once, of a body that is there: without waking a thread for it."""
    head, transfer.head = transfer.head, b""
    transport.write(head)
    with contextlib.suppress(OSError):  # the socket is full, or dead, or the disk fails: the thread finds out
        while transfer.position < transfer.end and not transport.get_write_buffer_size():
            sock = transport.get_extra_info("socket").fileno()
            size = transfer.end - transfer.position
            sent = operating_system.send_file(sock, transfer.descriptor, transfer.position, size)
            if not sent:
                return
            transfer.position += sent


def _read_back(descriptor: int, start: int, end: int) -> bytes | None:
    """Bytes that were written a moment ago; None where they cannot be read: who sends them finds out why."""
    with contextlib.suppress(OSError):
        body = os.pread(descriptor, end - start, start)
        if len(body) == end - start:
            return body
    return None


def _log_broken(broken: BodyBroken, mount: str) -> None:
    """Log why an answer broke off, if its cause is not logged yet. The client has the head and cannot be told."""
    if isinstance(broken.__cause__, PullthroughError):
        _log.warning("an answer was broken off", extra={"upstream": mount, "reason": str(broken)})
