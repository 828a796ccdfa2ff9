"""One connection of the tests' upstream: reads requests, and writes answers exactly as wrong as they are.

`tests.origin` owns it. It decides nothing: what to send, and what is wrong with it, is in the `Answer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

from tests.answers import Answer, Framing, Request
from tests.gates import Gate

_CHUNK = 1 << 18
_SLICES = 20  # parts of a second in which a throttled answer is sent
_MOST_HEAD = 1 << 20


class _Reader(asyncio.StreamReader):
    """Tells at once when the client went away, though nobody reads."""

    def __init__(self) -> None:
        super().__init__(limit=_MOST_HEAD)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


class Wire:
    """A connection that a client opened."""

    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # Then drain() returns when everything was handed to the operating system: what a gate holds back has not left.
        # The TLS transport pauses at the limit, not above it: with zero it would never go on.
        secure = writer.get_extra_info("ssl_object") is not None
        writer.transport.set_write_buffer_limits(high=1 if secure else 0, low=0)

    async def receive(self) -> Request | None:
        """The next request; None when the client went away instead of sending one."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        return Request(method, target, headers, asyncio.get_running_loop().time(), version)

    async def send(self, request: Request, answer: Answer, count: Callable[[int], None]) -> bool:
        """Write the answer; `count` is told of body bytes as they leave. False if the connection must end then."""
        if answer.head_gate is not None:
            await self._pass(answer.head_gate)
        if answer.hang_up:
            self._end(reset=answer.reset)
            return False
        if answer.raw is not None:
            await self._write(answer.raw)
            return False
        framing = answer.framing
        if framing is Framing.CHUNKED and request.version == "HTTP/1.0":
            framing = Framing.CLOSE
        await self._write(answer.prelude + _head(answer, framing))
        if request.method == "HEAD" or not answer.has_body:
            return _stays(request)
        if not await self._send_body(answer, framing, count):
            self._end(reset=answer.reset)
            return False
        if framing is Framing.CHUNKED:
            if not answer.last_chunk:
                return False
            ending = "".join(f"{name}: {value}\r\n" for name, value in answer.trailers)
            await self._write(f"0\r\n{ending}\r\n".encode("latin-1"))
        return framing is not Framing.CLOSE and answer.declared is None and _stays(request)

    async def close(self) -> None:
        """End the connection, after what was written."""
        self._writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """End the connection now."""
        self._writer.transport.abort()

    async def _send_body(self, answer: Answer, framing: Framing, count: Callable[[int], None]) -> bool:
        """False if the body was cut where the answer says."""
        stops = {offset for offset, _ in answer.body_gates}
        if answer.cut is not None:
            stops.add(answer.cut)
        total, sent = answer.stop - answer.start, 0
        step = answer.piece or (_CHUNK if answer.rate is None else max(answer.rate // _SLICES, 1))
        while True:
            for offset, gate in answer.body_gates:
                if offset == sent:
                    await self._pass(gate)
            if answer.cut == sent:
                return False
            if sent >= total:
                return True
            size = min(step, total - sent, *(stop - sent for stop in stops if stop > sent))
            piece = answer.body.read(answer.start + sent, answer.start + sent + size)
            framed = b"%x\r\n%b\r\n" % (size, piece) if framing is Framing.CHUNKED else piece
            sent += size
            if answer.rate is not None:
                await asyncio.sleep(size / answer.rate)
            self._put(framed)
            count(size)  # before it is known to have left: a broken connection may have taken a part of it
            await self._writer.drain()
            if answer.piece is not None:
                await asyncio.sleep(0)

    async def _write(self, content: bytes) -> None:
        self._put(content)
        await self._writer.drain()

    def _put(self, content: bytes) -> None:
        if self._reader.gone.is_set():
            raise ConnectionResetError
        self._writer.write(content)

    async def _pass(self, gate: Gate) -> None:
        """Wait at the gate; raises ConnectionResetError if the client goes away meanwhile."""
        waits = [asyncio.ensure_future(gate.passing()), asyncio.ensure_future(self._reader.gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self._reader.gone.is_set():
            raise ConnectionResetError

    def _end(self, *, reset: bool) -> None:
        if reset:
            bare: socket.socket = self._writer.get_extra_info("socket")
            # With a linger time of zero the system sends RST where it would send FIN.
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.abort()
        else:
            self._writer.close()


def protocol(accept: Callable[[Wire], None]) -> asyncio.StreamReaderProtocol:
    """What an asyncio server needs for one connection; `accept` is called when it is there."""
    reader = _Reader()
    return asyncio.StreamReaderProtocol(reader, lambda _, writer: accept(Wire(reader, writer)))


def _head(answer: Answer, framing: Framing) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_reason(answer.status)}"]
    named = {name.lower() for name, _ in answer.headers}
    if "date" not in named:
        lines.append(f"Date: {formatdate(usegmt=True)}")
    if answer.has_body:
        if answer.declared is not None:
            lines.append(f"Content-Length: {answer.declared}")
        elif framing is Framing.LENGTH:
            lines.append(f"Content-Length: {answer.stop - answer.start}")
        if framing is Framing.CHUNKED:
            lines.append("Transfer-Encoding: chunked")
        if framing is Framing.CLOSE:
            lines.append("Connection: close")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"


def _stays(request: Request) -> bool:
    return request.version == "HTTP/1.1" and request.headers.get("connection", "").lower() != "close"
