"""Connections to upstream: who reads one owns it alone (ADR 6).

`pools` makes a `Connector` for each pool. `reply` lets `detach_at_end` see to every body, and reads a long one by
`DirectRead`. A connection that goes back to its pool must hold nothing that was not read, and no former reader may
reach it any more.
"""

from __future__ import annotations

import asyncio
import functools
import select
from typing import Any

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler

_GATHER = 0.002  # seconds for which arriving bytes are gathered in one buffer
_USUAL = 256 << 10  # bytes of a buffer for which that is so; for longer ones, it is longer
_NOWHERE = memoryview(b"")  # the event loop refuses it as a buffer, and breaks the connection


class Connection(ResponseHandler):
    """aiohttp's own, but for three rules about what comes at the wrong time.

    Bytes that nobody asked for are no response to the next request: a server may say "408 Request Timeout" to an idle
    connection, or send more than its length said. And where a body cannot be read on, since its chunks are none, its
    reader is told: aiohttp leaves it waiting for ever. Nor is a reset the end of a body that has no length.
    """

    def data_received(self, data: bytes) -> None:
        """Bytes arrived. If they cannot be read, the reader of the body is told, too."""
        super().data_received(data)
        if self._exception is not None:
            self._break_off()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection ended. A reset is no end of a body, also where only the end of the connection is one."""
        if exc is not None:
            self._break_off()
        super().connection_lost(exc)

    def is_connected(self) -> bool:
        """Whether the pool may give this connection to a request."""
        return super().is_connected() and not self.should_close

    def _break_off(self) -> None:
        """End the body, if it has not ended, for its reader."""
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError("The body broke off."))


class Connector(aiohttp.TCPConnector):
    """A pool of such connections."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 aiohttp's own
        super().__init__(**options)
        kind: type[ResponseHandler] = Connection
        self._factory = functools.partial(kind, loop=self._loop)


def detach_at_end(content: aiohttp.StreamReader) -> None:
    """Detach a body from its connection when all of it has come.

    aiohttp gives the connection to the next request then, but the body would go on to resume it whenever its own queue
    is read: below another body, which is read at another pace.
    """
    if content is aiohttp.EMPTY_PAYLOAD:
        return
    nothing = BaseProtocol(asyncio.get_running_loop())  # a protocol without a transport

    def detach() -> None:
        content._protocol = nothing  # noqa: SLF001 aiohttp has no other way

    content.on_eof(detach)


def drop(response: aiohttp.ClientResponse) -> None:
    """Release the connection of a response: nothing to do if its body was read out, else it is broken at once.

    Shut down politely, a TLS connection would stay open for up to 30 seconds if the peer is silent.
    """
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


class DirectRead(asyncio.BufferedProtocol):
    """Reads the `length` bytes that are left of a body straight into its reader's buffers.

    Once aiohttp has read the head and what came with it, the framing is only a number of bytes. Nothing is parsed,
    copied or queued any more: the connection reads when its reader reads, into memory that is used again and again. At
    the end the connection goes back to aiohttp's pool. Until then it belongs to this object alone: a byte that comes
    while nobody reads breaks it, and a read that did not end breaks it too, since what it took is lost.
    """

    def __init__(self, response: aiohttp.ClientResponse, length: int, silence: float) -> None:
        """Takes over `response`'s connection; aiohttp's buffer must be empty. `silence`: seconds until a read fails."""
        connection = response.connection
        assert connection is not None, "the body was not read out"
        assert connection.transport is not None, "and its connection is open"
        assert connection.protocol is not None, "and known"
        self._response = response
        self._owner = connection.protocol
        self._transport = connection.transport
        self._left = length
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._target = _NOWHERE
        self._filled = 0
        self._waiting: asyncio.Future[int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost: Exception | None = None
        # aiohttp would take the silence that it hears from now on for upstream's.
        self._owner.read_timeout = None
        self._owner.start_timeout()
        self._transport.pause_reading()
        self._transport.set_protocol(self)

    async def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from its beginning with what arrives soon. Gives the number of bytes, 0 at the end.

        Raises TimeoutError after a silence, ConnectionError when the connection ends before the body. After a failure,
        and after a read that was cancelled, all further reads fail.
        """
        if self._lost is not None:
            raise self._lost
        if not self._left:
            return 0
        self._target, self._filled = buffer[: self._left], 0
        waiting: asyncio.Future[int] = self._loop.create_future()
        self._waiting = waiting
        try:
            self._transport.resume_reading()
            async with asyncio.timeout(self._silence):
                return await waiting
        except BaseException:
            waiting.cancel()  # nobody waits for the error of the connection's end
            self._give_up()
            raise

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 the reader's buffer has the size it has
        """Where the next bytes go; nowhere if nobody reads."""
        return self._target[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes arrived in the buffer."""
        self._filled += nbytes
        self._left -= nbytes
        if self._filled == len(self._target):
            self._hand_over()
        elif self._timer is None:
            # Who offers a long buffer has a fast upstream: it is filled soon, and each of its pieces has its price.
            seconds = _GATHER * max(1.0, len(self._target) / _USUAL)
            self._timer = self._loop.call_later(seconds, self._hand_over)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended before the body."""
        self._fail(exc)
        self._owner.connection_lost(exc)

    def eof_received(self) -> bool:
        """Upstream ended before the body did; the transport closes itself."""
        self._fail(None)
        return False

    def pause_writing(self) -> None:
        """Nothing is written while a body comes."""

    def resume_writing(self) -> None:
        """Nothing is written while a body comes."""

    def _hand_over(self) -> None:
        self._rest()
        if not self._left:
            self._give_back()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._filled)

    def _rest(self) -> None:
        """Take nothing more off the connection: the buffer is its reader's again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._target = _NOWHERE
        self._transport.pause_reading()

    def _give_back(self) -> None:
        """All of the body is read: for aiohttp it has ended, and its connection may serve the next request."""
        more = _has_more(self._transport)
        if more:
            self._owner.force_close()  # whatever it is, it would be taken for the next response
        self._transport.set_protocol(self._owner)
        self._transport.resume_reading()
        self._response.content.feed_eof()
        if more:
            self._transport.abort()

    def _give_up(self) -> None:
        """A read ended before its bytes were handed over: where in the body the next ones are is not known any more."""
        if self._lost is None:
            self._lost = ConnectionAbortedError("An earlier read of the body was given up.")
        if self._transport.get_protocol() is self:
            self._rest()
            self._transport.abort()

    def _fail(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lost is None:
            self._lost = exc or ConnectionResetError("The connection ended before the body.")
        if self._waiting is not None and not self._waiting.done():
            if self._filled:  # the bytes before it count; the next read fails
                self._waiting.set_result(self._filled)
            else:
                self._waiting.set_exception(self._lost)


def _has_more(transport: asyncio.Transport) -> bool:
    """Whether unread bytes have come, or the end of the connection."""
    secure = transport.get_extra_info("ssl_object")
    if secure is not None and secure.pending():
        return True
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:  # closed
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
