"""The listening server: aiohttp's, with a short way past it for requests that were answered before.

aiohttp parses, pipelines, limits and times every connection. `Connection` looks at the bytes first: when the
connection is idle, at a message boundary, and the bytes are a head that `replay` remembers, the answer leaves at once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from operator import itemgetter
from typing import Any

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from proxy.address_text import unmapped
from proxy.web.error_responses import text_response
from proxy.web.request_head import Clients

_log = logging.getLogger(__name__)

_LINE = 8190  # bytes of a request line or header field, at most
_FIELDS = 64  # header fields of a request, at most

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Replay = Callable[["Connection", bytes], bool]


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_at_boundary", "_finished", "_heads", "_replay", "client", "clients", "head")

    def __init__(self, manager: web.Server, replay: Replay, **options: Any) -> None:  # noqa: ANN401 aiohttp's own
        super().__init__(manager, **options)
        self._replay = replay
        # Whether the parser holds no part of a message. Once in doubt, the connection stays on aiohttp's way.
        self._at_boundary = True
        # Whether all of the last answer was written, though aiohttp's task may not have come round to see it.
        self._finished = False
        self._heads: deque[bytes | None] = deque()  # of the requests that wait for their handler
        self.clients = Clients()
        self.client = "-"  # its address, for the log
        self.head: bytes | None = None  # the request under way as it came, if it came alone and as one piece

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(self.peername, tuple):
            self.client = unmapped(self.peername[0])
        # Draining must mean "nothing left": sender threads write to the same socket.
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        waiting = self._waiter is not None or self._finished
        if self._at_boundary and waiting and not self._messages and self._replay(self, data):
            return
        known = len(self._messages)
        super().data_received(data)
        new = len(self._messages) - known
        whole = new == 1 and self._messages[-1][1] is EMPTY_PAYLOAD and data.find(b"\r\n\r\n") == len(data) - 4
        self._at_boundary = self._at_boundary and whole
        self._heads.extend([data if self._at_boundary else None] * new)
        if new:
            self._finished = False

    def begin(self) -> None:
        """A request's handler begins."""
        self.head = self._heads.popleft() if self._heads else None

    def finished(self) -> None:
        """All of the answer was handed over, and the connection stays open: the next one may be written."""
        self._finished = True

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 nothing of it is repeated
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 it quotes the request
    ) -> web.StreamResponse:
        """The answer to what the parser refused, which is the client's doing: no traceback in the log for it."""
        _log.info("malformed request", extra={"client": self.client, "reason": type(exc).__name__})
        answer = text_response(status, "The request is malformed, or its head is too long.")
        answer.force_close()
        return answer

    def waiting(self) -> list[str]:
        """The targets of plain GETs that came behind the request under way (RFC 9112 §9.3.2), in their order."""
        waiting = (message for message, _ in self._messages if isinstance(message, RawRequestMessage))
        return [message.path for message in waiting if message.method == "GET" and "Range" not in message.headers]

    @property
    def own(self) -> tuple[str, int] | None:
        """The address at which the client found this server; None where it has none."""
        name = self.transport.get_extra_info("sockname") if self.transport is not None else None
        return (unmapped(name[0]), name[1]) if isinstance(name, tuple) else None

    def leave_http(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection as bare streams, for what comes behind a CONNECT request; it has to be closed after that.

        Raises ConnectionError when the client is gone.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client closed the connection.")
        reader = asyncio.StreamReader()
        early, self._message_tail = self._message_tail, b""
        if early:
            reader.feed_data(early)
        protocol = _Bare(reader, self)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        # aiohttp pauses it when much came early.
        transport.resume_reading()
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    @property
    def waits(self) -> bool:
        """Whether it waits for a request: none is being answered, none has come whole, nothing is left to write."""
        return self._waiter is not None and not self._messages and self.idle

    @property
    def idle_since(self) -> float:
        """When it began to wait, in seconds of the loop's clock."""
        return self._next_keepalive_close_time - self._keepalive_timeout

    @property
    def idle(self) -> bool:
        """Whether an answer may be written now, outside of aiohttp's turn."""
        return not (self._close or self._force_close) and (
            self.transport is not None and not self.transport.get_write_buffer_size()
        )

    def answered(self, now: float) -> None:
        """An answer was written outside of aiohttp's turn: the keep-alive limit begins anew."""
        self._next_keepalive_close_time = now + self._keepalive_timeout

    def force_close(self) -> None:
        """End the connection; at once if the client did not take what was written: it had the idle limit for that."""
        transport = self.transport
        super().force_close()
        if transport is not None and transport.get_write_buffer_size():
            reset(transport)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 the library's signature
        """Give the answer under way `timeout` seconds in all: the library waits for it twice, as long each time."""
        await super().shutdown(timeout and timeout / 2)

    def reset(self) -> None:
        """Break the connection off: its client takes nothing, or is gone."""
        if self.transport is not None:
            reset(self.transport)

    async def flushed(self) -> asyncio.Transport:
        """The transport, once it has nothing left to write.

        Raises ConnectionError when the client is gone, or took nothing for the idle limit.
        """
        transport = self.transport
        if transport is not None and transport.get_write_buffer_size():
            try:
                async with asyncio.timeout(self._keepalive_timeout):
                    await self._drain_helper()
            except TimeoutError:
                reset(transport)
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("The client closed the connection.")
        return self.transport


def reset(transport: asyncio.WriteTransport) -> None:
    """Break a connection off whose client takes nothing: what the system still holds for it is let go too."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _Bare(asyncio.StreamReaderProtocol):
    """What a connection's bytes go to when it has left HTTP; its end is still told to aiohttp."""

    def __init__(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        super().__init__(reader)
        self._connection = connection

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connection.connection_lost(exc)


class Server(web.Server):
    """Makes a `Connection` for each client."""

    def __init__(self, handler: Handler, replay: Replay, idle_timeout: float) -> None:
        """`idle_timeout`: seconds that a connection may stay without a whole request."""
        super().__init__(handler, handler_cancellation=True)
        self.open_connections = 0
        self._opened: Callable[[asyncio.Transport], None] = lambda _: None
        self._closed: Callable[[], None] = lambda: None
        self._replay = replay
        self._options = {
            "keepalive_timeout": idle_timeout,
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": _LINE,
            "max_field_size": _LINE,
            "max_headers": _FIELDS,
            "lingering_time": 2.0,
            "logger": _log,
        }

    def close_idle(self, least: float, share: int) -> None:
        """Close the connections that wait for a request longest: one of `share`, of those that do for `least` seconds.

        A request that has begun and is not whole counts as none.
        """
        now = self._loop.time()
        idle = [
            (connection.idle_since, connection)
            for connection in self._connections
            if isinstance(connection, Connection) and connection.waits and now - connection.idle_since >= least
        ]
        idle.sort(key=itemgetter(0))
        for _, connection in idle[: -(-len(idle) // share)]:
            connection.force_close()

    def watch(self, opened: Callable[[asyncio.Transport], None], closed: Callable[[], None]) -> None:
        """Have these called when a connection begins, and when one has ended."""
        self._opened, self._closed = opened, closed

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.open_connections += 1
        self._opened(transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.open_connections -= 1
        self._closed()

    def __call__(self) -> Connection:
        return Connection(self, self._replay, loop=self._loop, **self._options)
