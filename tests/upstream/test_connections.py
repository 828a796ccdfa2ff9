"""Who reads a connection owns it alone: with the real client over real connections."""

from __future__ import annotations

import asyncio

import pytest

from proxy.model import Ask, Site
from tests.upstream.conftest import Make
from tests.upstream.scripted import Scripted, Then, plain


def ask(server: Scripted, path: str) -> Ask:
    """A request of a path."""
    return Ask(server.base + path, Site("demo", server.base, "", 600.0))


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
