"""Bodies on their way."""

from __future__ import annotations

import asyncio

import pytest

from proxy.errors import NotFound, UpstreamBroken
from proxy.events import Fetched
from proxy.model import Site, UpstreamRequest
from proxy.upstream.reply import AiohttpReply
from tests.upstream.conftest import Make, Seen
from tests.upstream.scripted import Line, Scripted, Then, plain


def ask(server: Scripted) -> UpstreamRequest:
    """A request of the one address."""
    return UpstreamRequest(server.base + "x", Site("demo", server.base, "", 600.0))


async def test_chunks__as_they_arrive(server: Scripted, make: Make, seen: Seen) -> None:
    """A chunk is given, and reported, before the next one was sent."""
    go_on = asyncio.Event()

    async def halves(writer: asyncio.StreamWriter) -> Then:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\none-")
        await go_on.wait()
        writer.write(b"half")
        return Then.KEEP

    server.on("/x", halves)
    async with make().get(ask(server)) as reply:
        chunks = aiter(reply.chunks())
        assert await anext(chunks) == b"one-"
        assert [Fetched("demo", 4)] == seen.events
        go_on.set()
        assert await anext(chunks) == b"half"
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_chunks__single_bytes(server: Scripted, make: Make, seen: Seen) -> None:
    """A body that upstream cut into single bytes is not handled byte by byte."""
    body = b"1\r\n.\r\n" * 100_000 + b"0\r\n\r\n"
    server.on("/x", Line(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    async with make().get(ask(server)) as reply:
        sizes = [len(chunk) async for chunk in reply.chunks()]
    assert 100_000 == sum(sizes) == seen.fetched
    assert len(sizes) < 1000


async def test_chunks__after_a_failure(server: Scripted, make: Make) -> None:
    """A body that failed does not end well when it is asked for more."""
    server.on("/x", Line(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then.CLOSE))
    async with make().get(ask(server)) as reply:
        chunks = aiter(reply.chunks())
        assert await anext(chunks) == b"half"
        for _ in range(2):
            with pytest.raises(UpstreamBroken):
                await anext(chunks)


@pytest.mark.parametrize("size", [1 << 20, 0])
async def test_drain__unwanted_body(server: Scripted, make: Make, seen: Seen, size: int) -> None:
    """Of an error page a little is read, and counted: it came over the line."""
    server.on("/x", plain(bytes(size), status="404 No"))
    with pytest.raises(NotFound):
        async with make().get(ask(server)):
            pass
    assert (size > 0) == (seen.fetched > 0)
    assert seen.fetched < 512 << 10


async def test_drain__unwanted_body_that_stalls(server: Scripted, make: Make) -> None:
    """Nobody waits for the end of an error page."""
    server.on("/x", Line(b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nhalf", Then.HOLD))
    with pytest.raises(NotFound):
        async with make(read_timeout=50.0).get(ask(server)):
            pass
    await server.until_idle()


async def test_close__what_had_arrived(server: Scripted, make: Make, seen: Seen) -> None:
    """Bytes that came over the line and that nobody read were fetched all the same, and are counted once."""
    server.on("/x", plain(bytes(900)))
    async with make().get(ask(server)) as reply:
        assert isinstance(reply, AiohttpReply)
        while reply._response.content.total_bytes < 900:
            await asyncio.sleep(0)
        assert 0 == seen.fetched
    assert 900 == seen.fetched
    reply.close()
    assert 900 == seen.fetched
