"""Who reads a connection owns it alone: with the real client over real connections."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import ssl

import aiohttp
import pytest

from proxy.errors import UpstreamBroken, UpstreamTimeout
from proxy.model import Site, UpstreamRequest
from proxy.ports import Reply
from proxy.upstream.connections import DirectRead
from tests import faults
from tests.bodies import Noise, sha256
from tests.gates import Gate
from tests.origin import Origin
from tests.upstream.conftest import Make, Seen
from tests.upstream.scripted import Line, Scripted, Then, plain

BODY = Noise(5_000_000, seed=7)


def ask(server: Scripted, path: str) -> UpstreamRequest:
    """A request of a path."""
    return UpstreamRequest(server.base + path, Site("demo", server.base, "", 600.0))


@pytest.mark.parametrize(
    "behind",
    [
        b"garbage",
        plain(b"wrong").data,
        plain(b"", "Connection: close", status="408 Request Timeout").data,
    ],
)
async def test_idle_connection__something_comes_that_nobody_asked_for(
    behind: bytes, server: Scripted, make: Make
) -> None:
    """It is not taken for the answer to the next request, which goes over another connection."""
    read_out, sent = asyncio.Event(), asyncio.Event()

    async def talkative(writer: asyncio.StreamWriter) -> Then:
        writer.write(plain(b"hello").data)
        await read_out.wait()
        writer.write(behind)
        await writer.drain()
        sent.set()
        return Then.KEEP

    server.on("/talkative", talkative)
    server.on("/next", plain(b"right"))
    client = make()
    async with client.get(ask(server, "talkative")) as reply:
        assert [b"hello"] == [chunk async for chunk in reply.chunks()]
    read_out.set()
    await sent.wait()
    for _ in range(5):  # the loop looks at what came
        await asyncio.sleep(0)
    async with client.get(ask(server, "next")) as reply:
        assert [b"right"] == [chunk async for chunk in reply.chunks()]
    assert [1, 2] == [seen.connection for seen in server.seen]


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_that_came_whole__does_not_resume_the_next_one(chunked: bool, server: Scripted, make: Make) -> None:
    """However slowly it is read: a body that another reader leaves waiting takes up no more memory for it."""
    body = b"3e8\r\n%b\r\n" % bytes(1000) * 30 + b"0\r\n\r\n"
    chunks_head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    slow = chunks_head + body if chunked else plain(bytes(30_000)).data

    async def pieces(writer: asyncio.StreamWriter) -> Then:
        writer.write(slow)
        return Then.KEEP

    async def endless(writer: asyncio.StreamWriter) -> Then:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(bytes(1 << 20))
            await writer.drain()

    server.on("/slow", pieces)
    server.on("/endless", endless)
    client = make()
    async with client.get(ask(server, "slow")) as reply, client.get(ask(server, "endless")) as other:
        assert await anext(aiter(other.chunks()))
        connection, queue = other._response.connection, other._response.content  # type: ignore[attr-defined]
        while connection.transport.is_reading():  # until its queue is full
            await asyncio.sleep(0)
        before = queue.total_bytes
        assert 30_000 == sum([len(chunk) async for chunk in reply.chunks()])
        for _ in range(5):
            await asyncio.sleep(0)
        assert before == queue.total_bytes
    assert [1, 1] == [seen.connection for seen in server.seen]


# Long bodies, read straight off their connection


def file_of(origin: Origin) -> UpstreamRequest:
    """A request of the one file."""
    return UpstreamRequest(f"{origin.url}/file", Site("demo", f"{origin.url}/", "", 600.0))


async def read(reply: Reply, size: int = 300_000) -> bytes:
    """The whole body, through a buffer of `size` bytes."""
    got, buffer = b"", memoryview(bytearray(size))
    while filled := await reply.readinto(buffer):
        got += bytes(buffer[:filled])
    return got


@pytest.mark.parametrize("secure", [False, True])
async def test_direct_read__and_the_connection_serves_again(
    secure: bool, origin: Origin, secure_origin: Origin, make: Make, seen: Seen
) -> None:
    """The body arrives whole and is counted; the next request needs no new connection, with and without TLS."""
    chosen = secure_origin if secure else origin
    chosen.file("/file", BODY)
    client = make(ssl_context=ssl.create_default_context())
    for size in (300_000, 7_000_000):
        async with client.get(file_of(chosen)) as reply:
            body = await read(reply, size)
        assert sha256(BODY) == hashlib.sha256(body).hexdigest()
    assert (1, 2 * BODY.size) == (chosen.accepted, seen.fetched)


@pytest.mark.parametrize("reset", [False, True])
async def test_direct_read__connection_ends_in_the_middle(reset: bool, origin: Origin, make: Make, seen: Seen) -> None:
    """What came is given, the rest is a failure; the next request is right."""
    origin.file("/file", BODY)
    origin.misbehave("/file", faults.cut(2_000_000, reset=reset), times=1)
    client = make()
    async with client.get(file_of(origin)) as reply:
        with pytest.raises(UpstreamBroken):
            await read(reply)
    assert ["broken"] == seen.failures
    async with client.get(file_of(origin)) as reply:
        assert sha256(BODY) == hashlib.sha256(await read(reply)).hexdigest()


async def test_direct_read__left_in_the_middle(origin: Origin, make: Make) -> None:
    """A body that nobody reads on costs its connection, not the next request."""
    origin.file("/file", BODY)
    client = make()
    async with client.get(file_of(origin)) as reply:
        assert await reply.readinto(memoryview(bytearray(1_000_000))) > 0
        assert await reply.readinto(memoryview(bytearray(1_000_000))) > 0
    async with client.get(file_of(origin)) as reply:
        assert sha256(BODY) == hashlib.sha256(await read(reply)).hexdigest()


async def test_direct_read__silence(origin: Origin, make: Make, seen: Seen) -> None:
    """A body that stalls is a timeout, after what came before."""
    origin.file("/file", BODY)
    gate = Gate()
    origin.misbehave("/file", faults.hold_body(2_000_000, gate))
    client = make(read_timeout=0.2)
    got = 0
    async with client.get(file_of(origin)) as reply:
        buffer = memoryview(bytearray(300_000))
        with pytest.raises(UpstreamTimeout):
            while True:
                got += await reply.readinto(buffer)
    gate.open()
    assert (2_000_000, ["timeout"]) == (got, seen.failures)


async def test_direct_read__reader_that_takes_its_time(server: Scripted, make: Make) -> None:
    """Silence is upstream's, and not the reader's; the next request over the connection is given its limit again."""
    body = bytes(2_000_000)
    server.on("/file", plain(body))
    server.on("/silent", Line(b"", Then.HOLD))
    client = make(read_timeout=0.2)
    site = Site("demo", server.base, "", 600.0)
    async with client.get(UpstreamRequest(server.base + "file", site)) as reply:
        buffer, got, slept = memoryview(bytearray(400_000)), 0, False
        while size := await reply.readinto(buffer):
            got += size
            if got > 1_000_000 and not slept:
                slept = True
                await asyncio.sleep(0.5)
    assert len(body) == got
    with pytest.raises(UpstreamTimeout):
        async with client.get(UpstreamRequest(server.base + "silent", site)):
            pass
    assert [1, 1] == [seen.connection for seen in server.seen]


async def test_direct_read__pieces_that_trickle(origin: Origin, make: Make) -> None:
    """What arrives is handed over while the rest is not there yet."""
    origin.file("/file", BODY)
    gate = Gate()
    origin.misbehave("/file", faults.hold_body(1_000_003, gate))
    got = 0
    async with make().get(file_of(origin)) as reply:
        buffer = memoryview(bytearray(5_000_000))
        while got < 1_000_003:
            got += await reply.readinto(buffer[got:])
        gate.open()
        while size := await reply.readinto(buffer[got:]):
            got += size
    assert (BODY.size, sha256(BODY)) == (got, hashlib.sha256(buffer).hexdigest())


@pytest.mark.parametrize("secure", [False, True])
async def test_direct_read__cancelled_in_the_middle(
    secure: bool, origin: Origin, secure_origin: Origin, make: Make
) -> None:
    """Nothing more comes into the buffer of a read that was cancelled; the body that lacks its bytes is broken."""
    chosen = secure_origin if secure else origin
    chosen.file("/file", BODY)
    gate = Gate()
    chosen.misbehave("/file", faults.hold_body(1_000_000, gate), times=1)
    client = make(ssl_context=ssl.create_default_context())
    async with client.get(file_of(chosen)) as reply:
        got, buffer = 0, memoryview(bytearray(BODY.size))
        while got < 1_000_000:
            got += await reply.readinto(buffer[got:])
        reading = asyncio.create_task(reply.readinto(buffer[got:]))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gate.open()
        for _ in range(2):
            with pytest.raises(UpstreamBroken):
                await reply.readinto(buffer[got:])
        async with client.get(file_of(chosen)) as again:  # the loop has gone round many times by its end
            assert sha256(BODY) == hashlib.sha256(await read(again)).hexdigest()
    assert bytes(BODY.size - got) == bytes(buffer[got:])


async def test_direct_read__connection_that_cannot_be_read(origin: Origin) -> None:
    """Its failure is the reader's, once; nothing is left over that nobody asks for, and all further reads fail."""
    origin.file("/file", BODY)
    origin.misbehave("/file", faults.hold_body(0, Gate()))
    left: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    async with aiohttp.ClientSession() as session, session.get(f"{origin.url}/file") as response:
        assert response.connection is not None
        transport = response.connection.transport
        assert transport is not None
        direct, buffer = DirectRead(response, BODY.size, 60.0), memoryview(bytearray(1000))
        transport.resume_reading = _failing  # type: ignore[method-assign]
        with pytest.raises(OSError, match="epoll"):
            await direct.readinto(buffer)
        assert transport.is_closing()
        with pytest.raises(ConnectionError):
            await direct.readinto(buffer)
    del direct
    gc.collect()
    await asyncio.sleep(0)
    assert [] == left


def _failing() -> None:
    raise OSError("epoll")


async def test_direct_read__answer_is_closed_in_the_middle(origin: Origin, make: Make) -> None:
    """A read that waits fails at once when its answer is closed."""
    origin.file("/file", BODY)
    gate = Gate()
    origin.misbehave("/file", faults.hold_body(1_000_000, gate), times=1)
    client = make()
    async with client.get(file_of(origin)) as reply:
        got, buffer = 0, memoryview(bytearray(BODY.size))
        while got < 1_000_000:
            got += await reply.readinto(buffer[got:])
        reading = asyncio.create_task(reply.readinto(buffer[got:]))
        await asyncio.sleep(0)
    with pytest.raises(UpstreamBroken):
        await reading
    gate.open()


@pytest.mark.parametrize("behind", [b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"])
async def test_direct_read__more_behind_the_body(behind: bytes, server: Scripted, make: Make) -> None:
    """What comes behind the length of a body is not taken for the beginning of the next answer."""
    body = bytes(range(256)) * 20_000
    length, sent = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode(), asyncio.Event()

    async def long(writer: asyncio.StreamWriter) -> Then:
        writer.write(length + body + behind)
        await writer.drain()
        sent.set()
        return Then.KEEP

    server.on("/file", long)
    server.on("/next", plain(b"right"))
    client = make()
    site = Site("demo", server.base, "", 600.0)
    async with client.get(UpstreamRequest(server.base + "file", site)) as reply:
        buffer, got = memoryview(bytearray(len(body))), 0
        while got < len(body) - 1:  # the last byte is there when its turn comes, and what is behind it too
            got += await reply.readinto(buffer[got : len(body) - 1])
        await sent.wait()
        assert await reply.readinto(buffer[got:]) == 1
        assert await reply.readinto(buffer) == 0
    assert body == bytes(buffer)
    async with client.get(UpstreamRequest(server.base + "next", site)) as reply:
        assert [b"right"] == [chunk async for chunk in reply.chunks()]
    assert 2 == server.connections


async def test_direct_read__beside_a_slow_reader_of_the_same_connection(server: Scripted, make: Make) -> None:
    """Another body that came over the same connection before, and is still being read, takes no byte from this one."""
    go_on, barrier = asyncio.Event(), b"." * 100
    body = b"".join(number.to_bytes(4, "big") for number in range(500_000))
    length = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def long(writer: asyncio.StreamWriter) -> Then:
        writer.write(length + body[:1_000_000])
        await go_on.wait()
        writer.write(body[1_000_000:])
        await writer.drain()
        return Then.KEEP

    server.on("/slow", plain(bytes(20_000)))
    server.on("/long", long)
    server.on("/barrier", plain(barrier))
    client = make()
    site = Site("demo", server.base, "", 600.0)
    async with (
        client.get(UpstreamRequest(server.base + "slow", site)) as slow,
        client.get(UpstreamRequest(server.base + "long", site)) as reply,
    ):
        chunks = aiter(slow.chunks())
        buffer, got = memoryview(bytearray(len(body))), 0
        while got < 1_000_000:
            got += await reply.readinto(buffer[got:])
        go_on.set()
        before = 0
        while before < 20_000:
            before += len(await anext(chunks))
        for _ in range(5):
            async with client.get(UpstreamRequest(server.base + "barrier", site)) as other:
                assert [barrier] == [chunk async for chunk in other.chunks()]
        while size := await reply.readinto(buffer[got:]):
            got += size
    assert (len(body), True) == (got, body == bytes(buffer))
    assert [1, 1] == [seen.connection for seen in server.seen if seen.target != "/barrier"]
