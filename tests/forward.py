"""A forward proxy, as companies have them: requests in absolute form, and CONNECT; it counts, and can misbehave.

It speaks over raw streams and shares no code with the program. It alone knows where the hosts of `names` are, so what
reaches them came this way. An answer's bytes are passed on as they come; nothing is kept.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.system import require_address

_CHUNK = 1 << 16
_FOR_PROXIES = frozenset(("proxy-authorization", "proxy-connection"))

_Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that arrived; header names in lower case. `connection` counts connections, from 1."""

    method: str
    target: str
    headers: dict[str, str]
    connection: int


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """An answer of the proxy itself."""
    lines = (f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join((*lines, "", "")).encode() + body


@dataclass(slots=True, eq=False, repr=False)
class Forward:
    """`async with Forward() as forward:`. Whom it does not know by `pair` (`user:password`) it answers 407.

    `names`: by `host:port`, the port on loopback where that is; other hosts are dialled as they are called. `instead`:
    what is written in place of the right answer, after which the connection ends; empty bytes: it just ends.
    """

    host: str = "127.0.0.3"
    pair: str = ""
    tls: ssl.SSLContext | None = None
    names: dict[str, int] = field(default_factory=dict)
    established: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    instead: Callable[[Passed], bytes | None] = lambda _: None
    requests: list[Passed] = field(default_factory=list)
    accepted: int = 0
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Its address, with user and password."""
        who = f"{self.pair}@" if self.pair else ""
        return f"{'https' if self.tls else 'http'}://{who}{self.host}:{self.port}"

    def targets(self, method: str) -> list[str]:
        """The targets of requests with this method, in order."""
        return [passed.target for passed in self.requests if passed.method == method]

    async def __aenter__(self) -> Self:
        require_address(self.host)
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve((reader, writer), self.accepted), name="forward proxy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: _Line, number: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(client[1].transport.abort)
            stack.enter_context(contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError))
            hosts: dict[str, _Line] = {}
            pumps: list[asyncio.Task[None]] = []
            while True:
                passed, fields = await _receive(client[0], number)
                self.requests.append(passed)
                own = self._own_answer(passed)
                if own is not None:
                    client[1].write(own)
                    await client[1].drain()
                    client[1].close()
                    return
                place, path = _place(passed)
                if place not in hosts:
                    try:
                        hosts[place] = await self._dial(place)
                    except OSError:  # a name that nobody knows, a port where nobody listens
                        client[1].write(answer(502, b"no way"))
                        client[1].close()
                        return
                    stack.callback(hosts[place][1].transport.abort)
                    if passed.method == "CONNECT":
                        client[1].write(self.established)
                        for one, other in ((client, hosts[place]), (hosts[place], client)):
                            pump = asyncio.create_task(_pump(one[0], other[1]), name="forward proxy, tunnel")
                            stack.push_async_callback(_ended, pump)
                            pumps.append(pump)
                        await asyncio.gather(*pumps)
                        return
                    pump = asyncio.create_task(_pump(hosts[place][0], client[1]), name="forward proxy, answers")
                    stack.push_async_callback(_ended, pump)
                head = "\r\n".join((f"{passed.method} {path} HTTP/1.1", *fields, "Via: 1.1 forward", "", ""))
                hosts[place][1].write(head.encode("latin-1"))

    def _own_answer(self, passed: Passed) -> bytes | None:
        wanted = f"Basic {base64.b64encode(self.pair.encode()).decode()}"
        if self.pair and passed.headers.get("proxy-authorization") != wanted:
            return answer(407, b"who?", 'Proxy-Authenticate: Basic realm="way out"')
        return self.instead(passed)

    async def _dial(self, place: str) -> _Line:
        host, _, port = place.rpartition(":")
        if place in self.names:
            return await asyncio.open_connection("127.0.0.1", self.names[place])
        return await asyncio.open_connection(host.strip("[]"), int(port))


async def _receive(reader: asyncio.StreamReader, number: int) -> tuple[Passed, list[str]]:
    """A request, and its header lines as they are passed on."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    pairs = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
    fields = [line for line in lines if line.partition(":")[0].lower() not in _FOR_PROXIES]
    return Passed(method, target, pairs, number), fields


def _place(passed: Passed) -> tuple[str, str]:
    """Host and port that are meant, and what is asked there."""
    if passed.method == "CONNECT":
        return passed.target, ""
    parts = urlsplit(passed.target)
    assert parts.scheme == "http", "a proxy is asked for http addresses in absolute form"
    port = "" if parts.netloc.rpartition(":")[2].isdigit() else ":80"
    return f"{parts.netloc}{port}", passed.target.partition(parts.netloc)[2]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes; its end too, where the other side may still say something."""
    while piece := await reader.read(_CHUNK):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
