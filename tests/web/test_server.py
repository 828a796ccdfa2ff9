"""A connection: which bytes are a request that came alone and whole, and when replay is asked."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.helpers import ceil_timeout

from proxy.web.server import ClientConnection, Server, reset

HEAD = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class World:
    """A server whose handler notes the head of each request, and whose replay notes the bytes that it gets."""

    heads: list[bytes | None] = field(default_factory=list)
    offered: list[bytes] = field(default_factory=list)
    port: int = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer everything with 204."""
        connection = request.protocol
        assert isinstance(connection, ClientConnection)
        connection.begin_request()
        self.heads.append(connection.head)
        return web.Response(status=204)

    def replay(self, connection: ClientConnection, data: bytes) -> bool:
        """Never answer."""
        assert connection.peer == "127.0.0.1"
        self.offered.append(data)
        return False

    async def say(self, *pieces: bytes) -> bytes:
        """Send pieces one after another, each after an answer to the one before or a moment; read to the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        for piece in pieces:
            writer.write(piece)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):  # some pieces have no answer
                    received += await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        received += await reader.read()
        writer.close()
        return received


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """The server, listening."""
    made = World()
    server = Server(made.handle, made.replay, 5.0)
    runner = web.ServerRunner(server, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


async def test_head__alone_and_whole(world: World) -> None:
    """Each request that comes so is known by its bytes, and replay got it first."""
    other = HEAD.replace(b"/a", b"/b")
    await world.say(HEAD, other)
    assert (world.heads, world.offered) == ([HEAD, other], [HEAD, other])


@pytest.mark.parametrize(
    ("pieces", "requests"),
    [
        ((HEAD[:10], HEAD[10:]), 1),
        ((HEAD + HEAD,), 2),
        ((HEAD + HEAD[:10], HEAD[10:]), 2),
        ((HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 28\r\n\r\n"), HEAD), 1),
        ((HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), b"0\r\n\r\n"), 1),
    ],
    ids=["in two pieces", "two in one", "one and a half", "with a body", "with chunks"],
)
async def test_head__not_alone_or_not_whole(world: World, pieces: tuple[bytes, ...], requests: int) -> None:
    """Its bytes are not known, and replay gets nothing later on this connection."""
    await world.say(*pieces, HEAD)
    assert world.heads[:requests] == [None] * requests
    assert set(world.heads) == {None}
    assert world.offered == [pieces[0]]


async def test_refused_by_the_parser(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is ours, repeats nothing, ends the connection, and leaves no traceback."""
    answer = await world.say(b"GET /secret HTTP/1.1\r\nHost: a\r\nsecret\r\n\r\n")
    assert answer.split(b" ")[1] == b"400"
    assert b"secret" not in answer
    assert not [record for record in caplog.records if record.exc_info]
    assert world.heads == []


async def test_shutdown__waits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an answer under way gets at the end is the time of the settings, however often the library waits."""
    begun = asyncio.Event()
    limits: list[float] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        await asyncio.Event().wait()
        return web.Response(status=204)

    def limit(delay: float | None, *more: float) -> asyncio.Timeout:
        limits.append(delay or 0.0)
        return ceil_timeout(delay, *more)

    monkeypatch.setattr("aiohttp.web_protocol.ceil_timeout", limit)
    server = Server(handle, lambda _, __: False, 5.0)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    writer.write(HEAD)
    await begun.wait()
    await runner.cleanup()
    assert b"" == await reader.read()
    writer.close()
    assert pytest.approx(0.2) == sum(limits)


async def test_drain__client_breaks_off(complaints: list[logging.LogRecord]) -> None:
    """A client that goes while the library waits for it is no defect: nothing is logged."""

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=bytes(64 << 20))

    runner = web.ServerRunner(Server(handle, lambda _, __: False, 5.0), handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    writer.write(HEAD)
    await reader.readexactly(1000)
    reset(writer.transport)
    await runner.cleanup()
    gc.collect()  # a failure that nobody looked at is logged when it goes
    assert [] == complaints


@contextlib.asynccontextmanager
async def replaying(head: bytes, body: bytes, **how: Any) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """A server that sends this to whatever comes, as `how` says. Asks it, and gives as much as was sent."""

    def replay(connection: ClientConnection, _: bytes) -> bool:
        assert connection.writable
        connection.send(head, body, **how)
        return True

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError("all is replayed")

    runner = web.ServerRunner(Server(handle, replay, 5.0), handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])

    async def ask() -> bytes:
        writer.write(HEAD)
        return await reader.readexactly(len(head) + len(body))

    yield ask
    writer.close()
    await runner.cleanup()


@pytest.mark.parametrize("way", ["together", "apart", "by a file", "by a file that is gone"])
@pytest.mark.parametrize("size", [0, 5, 16 << 10, 100 << 10, 20 << 20])
async def test_send(size: int, way: str, tmp_path: Path) -> None:
    """Head and body arrive whole and in their order, also where the socket takes only a part at once."""
    body = (bytes(number % 251 for number in range(1000)) * (size // 1000 + 1))[:size]
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    (tmp_path / "answer").write_bytes(head + body)
    with (tmp_path / "answer").open("rb") as answer:
        file = {"by a file": answer.fileno(), "by a file that is gone": -1}.get(way)
        async with replaying(head, body, file=file, apart=way == "apart") as ask:
            for _ in range(3):
                assert head + body == await ask()
