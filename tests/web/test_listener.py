"""Where clients connect, and how many connections there may be."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from proxy.web.listener import CannotListen, Listener
from proxy.web.server import ClientConnection, Server
from tests.gates import Watch
from tests.system import several_addresses

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")


@dataclass
class World:
    """A server that answers with 204, `/wait` when the test lets it; `seen`: from where requests came, and to where."""

    server: Server
    listener: Listener
    seen: list[tuple[str, tuple[str, int] | None]] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    clients: list[Client] = field(default_factory=list)
    watch: Watch = field(default_factory=Watch)

    @property
    def port(self) -> int:
        return self.listener.addresses[0][1]

    async def connect(self, host: str = "127.0.0.1") -> Client:
        """A connection."""
        self.clients.append(Client(*await asyncio.open_connection(host, self.port)))
        return self.clients[-1]


@dataclass
class Client:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self) -> bytes:
        """The status line of an answer."""
        self.writer.write(GET)
        return (await self.reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]

    async def ended(self) -> None:
        """Wait for the end of the connection."""
        with contextlib.suppress(ConnectionError):
            assert b"" == await self.reader.read()


MakeWorld = Callable[[int], World]


@pytest.fixture
async def make_world() -> AsyncIterator[MakeWorld]:
    """Makes servers that take so many connections; they listen nowhere yet."""
    made: list[World] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, ClientConnection)
        connection.begin_request()
        world = next(one for one in made if one.server is connection._manager)
        world.seen.append((connection.peer, connection.local_address))
        if request.path == "/wait":
            world.waiting += 1
            world.watch.changed()
            await world.go_on.wait()
        return web.Response(status=204)

    def make(most: int) -> World:
        server = Server(handle, lambda *_: False, 30.0)
        made.append(World(server, Listener(server, most)))
        return made[-1]

    yield make
    for world in made:
        for client in world.clients:
            client.writer.transport.abort()
        world.listener.close()
        world.go_on.set()
        world.server.pre_shutdown()
        await world.server.shutdown(5.0)


@several_addresses
async def test_open__several_addresses(make_world: MakeWorld) -> None:
    """The server listens at each, all at one port, in the order of the settings."""
    world = make_world(100)
    world.listener.open(["127.0.0.2", "127.0.0.1", "127.0.0.3"], 0)
    assert ["127.0.0.2", "127.0.0.1", "127.0.0.3"] == [host for host, _ in world.listener.addresses]
    assert {world.port} == {port for _, port in world.listener.addresses}
    for host, port in world.listener.addresses:
        client = await world.connect(host)
        assert b"HTTP/1.1 204 No Content" == await client.ask()
        assert ("127.0.0.1", (host, port)) in world.seen or (host, (host, port)) in world.seen


@needs_ipv6
@pytest.mark.parametrize("hosts", [["::"], ["::", "0.0.0.0"], ["127.0.0.1", "::", "::1"], ["0::0"]])
async def test_open__everywhere(make_world: MakeWorld, hosts: list[str]) -> None:
    """Every address is those of IPv4 too, and what it covers gets no second socket; clients' names are plain."""
    world = make_world(100)
    world.listener.open(hosts, 0)
    assert [("::", world.port)] == world.listener.addresses
    for host in ("127.0.0.1", "::1"):
        client = await world.connect(host)
        assert b"HTTP/1.1 204 No Content" == await client.ask()
    assert [("127.0.0.1", ("127.0.0.1", world.port)), ("::1", ("::1", world.port))] == world.seen


async def test_open__every_address_of_ipv4(make_world: MakeWorld) -> None:
    """It covers the others of its kind."""
    world = make_world(100)
    world.listener.open(["127.0.0.1", "0.0.0.0", "localhost"], 0)
    assert [("0.0.0.0", world.port)] == [place for place in world.listener.addresses if "." in place[0]]


@several_addresses
@pytest.mark.parametrize(
    "hosts",
    [
        ["localhost", "127.0.0.1"],
        ["127.0.0.1", "localhost"],
        ["127.0.0.2", "localhost", "127.0.0.1"],
        ["::1", "0:0:0:0:0:0:0:1", "127.0.0.1"],
    ],
)
async def test_open__an_address_by_several_names(make_world: MakeWorld, hosts: list[str]) -> None:
    """There is one socket for it."""
    world = make_world(100)
    world.listener.open(hosts, 0)
    addresses = [host for host, _ in world.listener.addresses]
    assert "127.0.0.1" in addresses
    assert len(set(addresses)) == len(addresses)


async def test_open__name(make_world: MakeWorld) -> None:
    """All addresses of a name that this machine has."""
    world = make_world(100)
    world.listener.open(["localhost"], 0)
    for host, _ in world.listener.addresses:
        client = await world.connect(host)
        assert b"HTTP/1.1 204 No Content" == await client.ask()
    assert "127.0.0.1" in {host for host, _ in world.listener.addresses}


@pytest.mark.parametrize(
    ("hosts", "wrong", "number"),
    [
        (["127.0.0.1", "192.0.2.1"], "192.0.2.1", errno.EADDRNOTAVAIL),
        (["192.0.2.1", "127.0.0.1"], "192.0.2.1", errno.EADDRNOTAVAIL),
        (["127.0.0.1", "cache.invalid"], "cache.invalid", socket.EAI_NONAME),
    ],
)
async def test_open__one_is_not_here(make_world: MakeWorld, hosts: list[str], wrong: str, number: int) -> None:
    """The one is named, and nothing is left open."""
    world = make_world(100)
    with pytest.raises(CannotListen, match="cannot listen at") as caught:
        world.listener.open(hosts, 0)
    assert (wrong, number) == (caught.value.host, caught.value.error.errno)
    assert [] == world.listener.addresses


@several_addresses
async def test_open__port_is_taken(make_world: MakeWorld) -> None:
    """The address at which it is taken is named."""
    world = make_world(100)
    with socket.create_server(("127.0.0.2", 0)) as taken:
        with pytest.raises(CannotListen) as caught:
            world.listener.open(["127.0.0.1", "127.0.0.2"], taken.getsockname()[1])
    assert ("127.0.0.2", errno.EADDRINUSE) == (caught.value.host, caught.value.error.errno)


async def test_bound__idle_ones_make_room(make_world: MakeWorld) -> None:
    """The one that is idle longest is closed for a new one, even if it has sent half a request."""
    world = make_world(4)
    world.listener.open(["127.0.0.1"], 0)
    clients = [await world.connect() for _ in range(4)]
    for client in clients[1:]:
        assert b"HTTP/1.1 204 No Content" == await client.ask()
        client.writer.write(GET[:10])
    late = await world.connect()
    assert b"HTTP/1.1 204 No Content" == await late.ask()
    await clients[0].ended()
    assert 4 == world.server.open_connections


async def test_bound__busy_ones_stay(make_world: MakeWorld) -> None:
    """When none is idle, a new one waits, and is served when there is room."""
    world = make_world(3)
    world.listener.open(["127.0.0.1"], 0)
    busy = [await world.connect() for _ in range(3)]
    for client in busy:
        client.writer.write(GET.replace(b"/ ", b"/wait "))
    await world.watch.until(lambda: world.waiting == 3)
    late = await world.connect()  # in the system's queue
    asking = asyncio.create_task(late.ask())
    await asyncio.sleep(0.6)  # it is looked twice whether there is room
    assert (3, False) == (world.server.open_connections, asking.done())
    world.go_on.set()
    for client in busy:
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
    assert b"HTTP/1.1 204 No Content" == await asking


async def test_bound__many_slow_heads(make_world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that send heads a byte at a time cannot keep others out; the log has a line."""
    world = make_world(16)
    world.listener.open(["127.0.0.1"], 0)
    slow = [await world.connect() for _ in range(100)]
    for client in slow:
        client.writer.write(GET[:5])
    for _ in range(3):
        other = await world.connect()
        assert b"HTTP/1.1 204 No Content" == await other.ask()
    assert world.server.open_connections <= 16
    assert 1 == caplog.text.count("as many connections")


async def test_no_descriptors(make_world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Idle connections are closed when no descriptor is left. One line is logged, and the server goes on."""
    world = make_world(10_000)
    world.listener.open(["127.0.0.1"], 0)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = [await world.connect() for _ in range(16)]
    assert all([await client.ask() for client in first])
    with socket.socket() as probe:
        few = probe.fileno() + 8
    clients: list[socket.socket] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                clients.append(socket.socket())
                clients[-1].setblocking(False)
                clients[-1].connect_ex(("127.0.0.1", world.port))
        while "no descriptor is left" not in caplog.text:
            await asyncio.sleep(0)
        await first[0].ended()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for one in clients:
            one.close()
    late = await world.connect()
    assert b"HTTP/1.1 204 No Content" == await late.ask()
    assert 1 == caplog.text.count("no descriptor is left")


async def test_count__is_right_in_the_end(make_world: MakeWorld) -> None:
    """However connections end, none is counted for ever."""
    world = make_world(100)
    world.listener.open(["127.0.0.1"], 0)
    for way in range(40):
        client = await world.connect()
        if way % 2:
            await client.ask()
        if way % 3:
            client.writer.transport.abort()
        else:
            client.writer.close()
    while world.server.open_connections:
        await asyncio.sleep(0)
    assert set() == world.listener._accepted
