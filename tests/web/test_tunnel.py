"""Tunnels between a client and a host, with real sockets; the rest of the program is not there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from proxy.events import Event, Tunnelled
from proxy.model import Query
from proxy.upstream.tunnel_connections import HostPort, Streams
from proxy.web.answer_plan import Framing
from proxy.web.responses import AlreadySent, Exchange
from proxy.web.server import ClientConnection, Server, reset
from proxy.web.tunnel import Tunnels

CONNECT = b"CONNECT files.example:443 HTTP/1.1\r\nHost: files.example:443\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nServer: pullthrough\r\n\r\n"
PIECE = b"x" * (1 << 16)
PIECES = 1024  # of them are more than all buffers between two programs hold


@dataclass
class Bed:
    """A client and a host with the tunnel between them. `failures`: how tunnels ended that did not end well."""

    port: int = 0
    host_port: int = 0
    events: list[Event] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    hosts: asyncio.Queue[Streams] = field(default_factory=asyncio.Queue)
    idle_timeout: float = 30.0
    ways: list[Streams] = field(default_factory=list)  # the program's connections to the host
    answer: bytes = b""  # to anything but a CONNECT

    async def open(self, to: HostPort) -> Streams:
        """Connect to the host."""
        assert ("files.example", 443) == to
        self.ways.append(await asyncio.open_connection("127.0.0.1", self.host_port))
        return self.ways[-1]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """What the edge does with a CONNECT."""
        connection = request.protocol
        assert isinstance(connection, ClientConnection)
        if request.method != "CONNECT":
            (await connection.flushed()).write(self.answer)
            return AlreadySent(200, keep_alive=True)
        tunnels = Tunnels(self.open, self.idle_timeout, self.events.append)
        try:
            return await tunnels.carry(
                Exchange(connection, Query(None, request.method), Framing((1, 1), keep_alive=True), 0.0),
                ("files.example", 443),
            )
        except BaseException as error:
            self.failures.append(error)
            if request.transport is not None:
                request.transport.abort()
            raise
        finally:
            self.ended.set()

    async def connect(self, early: bytes = b"") -> tuple[Streams, Streams]:
        """A client's end and the host's end of a new tunnel. `early` is sent before the answer is there."""
        client = await asyncio.open_connection("127.0.0.1", self.port)
        client[1].write(CONNECT + early)
        assert ESTABLISHED == await client[0].readexactly(len(ESTABLISHED))
        return client, await self.hosts.get()

    def passed(self) -> tuple[int, int]:
        """Bytes that were counted: towards the client, towards the host."""
        events = [event for event in self.events if isinstance(event, Tunnelled)]
        return sum(event.to_client for event in events), sum(event.to_host for event in events)


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    """Listening on both sides."""
    made = Bed()
    opened: list[Streams] = []

    async def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append((reader, writer))
        made.hosts.put_nowait((reader, writer))

    host = await asyncio.start_server(arrive, "127.0.0.1", 0)
    made.host_port = host.sockets[0].getsockname()[1]
    runner = web.ServerRunner(Server(made.handle, lambda *_: False, 30.0), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()
    for streams in opened:
        await leave(streams)
    host.close()
    await host.wait_closed()


def transport_of(streams: Streams) -> asyncio.Transport:
    """The transport of an end."""
    transport = streams[1].transport
    assert isinstance(transport, asyncio.Transport)
    return transport


async def leave(streams: Streams) -> None:
    """Close an end."""
    streams[1].close()
    with contextlib.suppress(ConnectionError):
        await streams[1].wait_closed()


async def test_carry__both_ways(bed: Bed) -> None:
    """Each side gets the bytes of the other, early ones too, and all are counted."""
    client, host = await bed.connect(early=b"early")
    assert b"early" == await host[0].readexactly(5)
    host[1].write(b"answer")
    assert b"answer" == await client[0].readexactly(6)
    client[1].write(b"more")
    assert b"more" == await host[0].readexactly(4)
    await leave(client)
    assert b"" == await host[0].read()
    await leave(host)
    await bed.ended.wait()
    assert ((6, 9), []) == (bed.passed(), bed.failures)


@pytest.mark.parametrize("first", ["client", "host"])
async def test_carry__one_side_ends_first(bed: Bed, first: str) -> None:
    """The end of one direction is passed on, and the other direction goes on until its own end."""
    client, host = await bed.connect()
    early, late = (client, host) if first == "client" else (host, client)
    early[1].write(b"all of it")
    early[1].write_eof()
    assert b"all of it" == await late[0].read()
    late[1].write(b"still here")
    late[1].write_eof()
    assert b"still here" == await early[0].read()
    await bed.ended.wait()
    assert [] == bed.failures
    await leave(client)


@pytest.mark.parametrize("reader", ["client", "host"])
async def test_carry__slow_reader(bed: Bed, reader: str) -> None:
    """Who does not read makes the other wait, and nothing piles up in between."""
    client, host = await bed.connect()
    slow, fast = (client, host) if reader == "client" else (host, client)
    transport_of(slow).pause_reading()
    fast[1].transport.set_write_buffer_limits(high=0)

    async def send() -> None:
        for _ in range(PIECES):
            fast[1].write(PIECE)
            await fast[1].drain()
        fast[1].write_eof()

    sending = asyncio.create_task(send())
    # That something does not happen shows only in time.
    done, _ = await asyncio.wait({sending}, timeout=0.3)
    assert not done
    assert sum(bed.passed()) < PIECES * len(PIECE)

    transport_of(slow).resume_reading()
    total = 0
    while piece := await slow[0].read(1 << 20):
        total += len(piece)
    await sending
    await leave(client)
    assert PIECES * len(PIECE) == total


async def test_carry__behind_an_answer(bed: Bed) -> None:
    """What the client has not taken of an answer goes first; the tunnel's own bytes wait for it."""
    bed.answer = PIECE * 256
    client = await asyncio.open_connection("127.0.0.1", bed.port)
    client[1].write(b"GET / HTTP/1.1\r\nHost: files.example\r\n\r\n" + CONNECT)
    assert bed.answer == await client[0].readexactly(len(bed.answer))
    assert ESTABLISHED == await client[0].readexactly(len(ESTABLISHED))
    host = await bed.hosts.get()
    await leave(client)
    await leave(host)
    await bed.ended.wait()


@pytest.mark.parametrize("leaver", ["client", "host"])
async def test_carry__one_side_breaks_off(bed: Bed, leaver: str) -> None:
    """A broken connection breaks the other: half of a message must not look like all of it."""
    client, host = await bed.connect()
    gone, left = (client, host) if leaver == "client" else (host, client)
    gone[1].write(b"begun")
    assert b"begun" == await left[0].readexactly(5)
    reset(gone[1].transport)
    with pytest.raises(ConnectionError):
        await left[0].read()
    await bed.ended.wait()
    await leave(left)


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETDOWN, errno.ETIMEDOUT, errno.EIO])
async def test_carry__the_network_fails(bed: Bed, number: int) -> None:
    """Whatever the system says of a host that is gone: the tunnel broke, which is nobody's defect."""
    client, host = await bed.connect()
    bed.ways[0][0].set_exception(OSError(number, "gone"))
    with pytest.raises(ConnectionError):
        await client[0].readexactly(1)
    await bed.ended.wait()
    assert [ConnectionAbortedError] == [type(error) for error in bed.failures]
    await leave(host)


async def test_carry__client_gone(bed: Bed) -> None:
    """The host sees that the client went away; nothing of the tunnel is left."""
    client, host = await bed.connect()
    await leave(client)
    assert b"" == await host[0].read()
    await leave(host)
    await bed.ended.wait()


async def test_carry__nobody_says_anything(bed: Bed) -> None:
    """A tunnel that is silent for the idle limit is broken on both sides."""
    bed.idle_timeout = 0.1
    client, host = await bed.connect()
    for end in (client, host):
        with pytest.raises(ConnectionError):
            await end[0].read()
    assert ["ConnectionAbortedError"] == [type(error).__name__ for error in bed.failures]
    await leave(client)


async def test_carry__no_line(bed: Bed) -> None:
    """Without a connection to the host the client gets nothing from here: the error is raised."""
    bed.host_port = 1
    client = await asyncio.open_connection("127.0.0.1", bed.port)
    client[1].write(CONNECT)
    with contextlib.suppress(ConnectionError):
        assert b"" == await client[0].read()
    await bed.ended.wait()
    await leave(client)
    assert ["ConnectionRefusedError"] == [type(error).__name__ for error in bed.failures]
