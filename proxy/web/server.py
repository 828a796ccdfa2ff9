"""The HTTP server: aiohttp's, with a short way past it for requests that were answered before.

aiohttp parses, pipelines, limits and times every connection. `ClientConnection` looks at the bytes first: when it is
idle, at a message boundary, and the bytes are a head that `replay` remembers, the answer leaves at once. Listening is
the job of `listener`, answering that of `edge`.
"""

from __future__ import annotations

import asyncio
import contextlib
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

from proxy import operating_system
from proxy.address_text import unmapped
from proxy.web.error_responses import text_response
from proxy.web.request_head import Clients

_log = logging.getLogger(__name__)

_LINE = 8190  # bytes of a request line or header field, at most
_FIELDS = 64  # header fields of a request, at most

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Replay = Callable[["ClientConnection", bytes], bool]


class ClientConnection(web.RequestHandler):
    """One client's connection."""

    __slots__ = (
        "_answer_written",
        "_at_boundary",
        "_heads",
        "_replay",
        "_socket",
        "clients",
        "head",
        "peer",
        "reached",
    )

    def __init__(self, manager: web.Server, replay: Replay, **options: Any) -> None:  # noqa: ANN401 aiohttp's own
        super().__init__(manager, **options)
        self._replay = replay
        # Whether the parser holds no part of a message. Once this is in doubt, aiohttp gets all bytes.
        self._at_boundary = True
        # Whether all of the last answer is written; aiohttp's task may not have noticed yet.
        self._answer_written = False
        self._heads: deque[bytes | None] = deque()  # of the requests that wait for their handler
        self._socket = -1  # its descriptor
        self.clients = Clients()
        self.peer = "-"  # the client's address, for the log
        self.reached = b""  # the address that it connected to: pages may have links that begin with it
        self.head: bytes | None = None  # the request under way as it came, if it came alone and in one piece

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(self.peername, tuple):
            self.peer = unmapped(self.peername[0])
        if (local := self.local_address) is not None:
            self.reached = f"{local[0]}:{local[1]} ".encode()
        # A drained buffer must be an empty one: sender threads write to the same socket.
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)
        self._socket = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        waiting = self._waiter is not None or self._answer_written
        if self._at_boundary and waiting and not self._messages and self._replay(self, data):
            return
        known = len(self._messages)
        super().data_received(data)
        new = len(self._messages) - known
        whole = new == 1 and self._messages[-1][1] is EMPTY_PAYLOAD and data.find(b"\r\n\r\n") == len(data) - 4
        self._at_boundary = self._at_boundary and whole
        self._heads.extend([data if self._at_boundary else None] * new)
        if new:
            self._answer_written = False

    def begin_request(self) -> None:
        """The handler of a request begins; from now on `head` is of that request."""
        self.head = self._heads.popleft() if self._heads else None

    def answer_written(self) -> None:
        """All of the answer is in the socket or its buffer, and the connection stays open: a replay may follow."""
        self._answer_written = True

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 no answer repeats text of a request
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 it quotes the request
    ) -> web.StreamResponse:
        """The answer to what the parser refused. The client is at fault, so the log gets no traceback."""
        _log.info("malformed request", extra={"client": self.peer, "reason": type(exc).__name__})
        answer = text_response(status, "The request is malformed, or its head is too long.")
        answer.force_close()
        return answer

    def pipelined_targets(self) -> list[str]:
        """The targets of plain GETs that came behind the request under way (RFC 9112 §9.3.2), in their order."""
        waiting = (message for message, _ in self._messages if isinstance(message, RawRequestMessage))
        return [message.path for message in waiting if message.method == "GET" and "Range" not in message.headers]

    @property
    def local_address(self) -> tuple[str, int] | None:
        """The address that the client connected to; None for a socket without one."""
        name = self.transport.get_extra_info("sockname") if self.transport is not None else None
        return (unmapped(name[0]), name[1]) if isinstance(name, tuple) else None

    def leave_http(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection as bare streams, for the tunnel behind a CONNECT request. The caller closes them.

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
        # aiohttp pauses reading when much came early.
        transport.resume_reading()
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    @property
    def idle(self) -> bool:
        """Whether it waits for a request: none is being answered, none has come whole, nothing is left to write."""
        return self._waiter is not None and not self._messages and self.writable

    @property
    def idle_since(self) -> float:
        """When it became idle, in seconds of the loop's clock."""
        return self._next_keepalive_close_time - self._keepalive_timeout

    @property
    def writable(self) -> bool:
        """Whether `replay` may write an answer now: the connection stays open and its buffer is empty."""
        return not (self._close or self._force_close) and (
            self.transport is not None and not self.transport.get_write_buffer_size()
        )

    def send(self, head: bytes, body: bytes, file: int | None = None, *, apart: bool = False) -> None:
        """Send a whole answer; `writable` must hold. What the socket does not take waits in the transport's buffer.

        `file`: the descriptor of a file that has both, too. `apart`: without it, the head leaves first, so that the
        client wakes up while the body is copied. It costs a system call, which is worth it where nobody else waits.
        """
        transport = self.transport
        assert transport is not None, "a writable connection has one"
        if apart:
            transport.write(head)
            transport.write(body)
            return
        sent, size = 0, len(head) + len(body)
        if file is not None:
            try:
                sent = operating_system.send_file(self._socket, file, 0, size)
            except OSError:
                sent = 0  # it is full, or dead: the transport finds out
        if sent < size:
            # The copy is cheap: without it the kernel alone reads what the processor's cache has not, which is slower.
            transport.write((head + body)[sent:])

    def restart_keepalive(self) -> None:
        """An answer was replayed, which aiohttp does not see: the keep-alive limit begins anew."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def force_close(self) -> None:
        """End the connection; by a reset if the client did not take what was written within the idle limit."""
        transport = self.transport
        super().force_close()
        if transport is not None and transport.get_write_buffer_size():
            reset(transport)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 the library's signature
        """Give the answer under way `timeout` seconds in all. The library waits twice, each time for as long."""
        await super().shutdown(timeout and timeout / 2)

    def in_doubt(self, *, doubt: bool) -> None:
        """Whether its end would look like that of a whole body, and has to be a reset: also when the program ends."""
        if self.transport is not None:
            _end_by_reset(self.transport, on=doubt)

    def reset(self) -> None:
        """Break the connection: its client takes nothing, or is gone."""
        if self.transport is not None:
            reset(self.transport)

    async def flushed(self) -> asyncio.Transport:
        """The transport, once its buffer is empty.

        Raises ConnectionError when the client is gone, or took nothing for the idle limit.
        """
        if self.transport is not None and self.transport.get_write_buffer_size():
            await self._drain_helper()
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("The client closed the connection.")
        return self.transport

    async def _drain_helper(self) -> None:
        """Wait until the transport's buffer is empty. aiohttp calls it, too, behind each answer that it writes itself.

        Raises ConnectionError when the connection broke, or the client took nothing for the idle limit: it is reset.
        """
        # Never cancelled: whoever waits next waits for the same end.
        drained = self._loop.create_task(super()._drain_helper())
        drained.add_done_callback(_look_at)
        while (transport := self.transport) is not None:
            before = _held_back(transport)
            if (await asyncio.wait((drained,), timeout=self._keepalive_timeout))[0]:
                return drained.result()
            if not operating_system.fewer(before, _held_back(transport)):
                reset(transport)
                break
        raise ConnectionResetError("The client closed the connection.")


def _look_at(drained: asyncio.Task[None]) -> None:
    """Whoever waited may have been cancelled: that the connection broke is no defect, and not to be logged as one."""
    if not drained.cancelled():
        drained.exception()


def _held_back(transport: asyncio.Transport) -> int | None:
    """Bytes that were written for a client and that it has not taken; None where the system does not say."""
    by_system = operating_system.held_back(transport.get_extra_info("socket"))
    return None if by_system is None else by_system + transport.get_write_buffer_size()


def reset(transport: asyncio.WriteTransport) -> None:
    """Break a connection whose client takes nothing. The kernel drops what it still holds for it."""
    _end_by_reset(transport, on=True)
    transport.abort()


def _end_by_reset(transport: asyncio.WriteTransport, *, on: bool) -> None:
    """Whether the end of a connection, whatever causes it, is a reset (SO_LINGER of 0)."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):  # macOS takes no option of a connection that is over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, 0))


class _Bare(asyncio.StreamReaderProtocol):
    """The protocol of a connection that has left HTTP. aiohttp still learns of its end."""

    def __init__(self, reader: asyncio.StreamReader, connection: ClientConnection) -> None:
        super().__init__(reader)
        self._connection = connection

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connection.connection_lost(exc)


class Server(web.Server):
    """Makes a `ClientConnection` for each client."""

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
        """Close one in `share` of the connections that have been idle for `least` seconds: those idle longest.

        A connection with a part of a request counts as idle.
        """
        now = self._loop.time()
        idle = [
            (connection.idle_since, connection)
            for connection in self._connections
            if isinstance(connection, ClientConnection) and connection.idle and now - connection.idle_since >= least
        ]
        idle.sort(key=itemgetter(0))
        for _, connection in idle[: -(-len(idle) // share)]:
            connection.force_close()

    def watch(self, opened: Callable[[asyncio.Transport], None], closed: Callable[[], None]) -> None:
        """Call these when a connection begins, and when one has ended."""
        self._opened, self._closed = opened, closed

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self.open_connections += 1
        self._opened(transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.open_connections -= 1
        self._closed()

    def __call__(self) -> ClientConnection:
        return ClientConnection(self, self._replay, loop=self._loop, **self._options)
