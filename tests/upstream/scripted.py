"""An upstream that writes what a test says, byte by byte: tests of the client need responses that are not HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET


class Then(enum.Enum):
    """What becomes of the connection after an answer was written."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HOLD = "hold"  # silent until the client goes


@dataclass(frozen=True, slots=True)
class Line:
    """An answer: these bytes, then this."""

    data: bytes
    then: Then = Then.KEEP


@dataclass(frozen=True, slots=True)
class Seen:
    """A request; header names in lower case. `connection` counts the connections, from 1."""

    target: str
    headers: dict[str, str]
    connection: int


Play = Callable[[asyncio.StreamWriter], Awaitable[Then]]


def plain(body: bytes, *headers: str, status: str = "200 OK") -> Line:
    """A well-formed answer with a length."""
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return Line(f"{head}\r\n\r\n".encode("latin-1") + body)


class Scripted:
    """The server. Of several answers to one path each is given once, the last one for ever."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[Seen] = []
        self.connections = 0
        self.left = asyncio.Condition()
        self.open = 0
        self._answers: dict[str, list[Line | Play]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base(self) -> str:
        """The address of its root."""
        return f"http://127.0.0.1:{self.port}/"

    def on(self, path: str, *answers: Line | Play) -> None:
        """Answer requests of `path` (with its query) so."""
        self._answers[path] = list(answers)

    async def until_idle(self) -> None:
        """Wait until no client is connected."""
        async with self.left:
            await self.left.wait_for(lambda: self.open == 0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer, self.connections)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)
            self.open -= 1
            async with self.left:
                self.left.notify_all()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        then = Then.KEEP
        while then is Then.KEEP:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in head[1:-2])
            target = head[0].split(" ")[1]
            self.seen.append(Seen(target, {name.lower(): value.strip() for name, _, value in pairs}, number))
            answers = self._answers.get(target, [plain(b"", status="404 Not Found")])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Line):
                writer.write(answer.data)
                await writer.drain()
                then = answer.then
            else:
                then = await answer(writer)
        if then is Then.HOLD:
            await reader.read()
        elif then is Then.RESET:
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@contextlib.asynccontextmanager
async def scripted(context: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """A running server, gone with all its connections at the end."""
    server = Scripted()
    listening = await asyncio.start_server(server._accept, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        tasks = list(server._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()


@contextlib.asynccontextmanager
async def plain_http() -> AsyncIterator[int]:
    """The port of a server that takes whatever comes for a bad request, as one of plain HTTP takes TLS."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
