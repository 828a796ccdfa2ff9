"""Requests and the slots that they take: with the real client over real connections."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from proxy.errors import Crowded
from proxy.model import Kind, Site, UpstreamRequest
from proxy.ports import Reply
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.request_slots import MOST, Rank
from tests.upstream.conftest import Make, Seen
from tests.upstream.scripted import Line, Scripted, Then, plain

HELD = Line(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then.HOLD)


def ask(server: Scripted, path: str, kind: Kind = Kind.FILE, *, bulk: bool = False) -> UpstreamRequest:
    """A request of a path."""
    return UpstreamRequest(server.base + path, Site("demo", server.base, "", 600.0), kind=kind, bulk=bulk)


async def crowd(stack: AsyncExitStack, client: AiohttpUpstream, asked: UpstreamRequest, number: int) -> list[Reply]:
    """So many answers, none of which ends."""
    return [await stack.enter_async_context(client.get(asked)) for _ in range(number)]


async def body(client: AiohttpUpstream, asked: UpstreamRequest) -> bytes:
    """The whole body."""
    async with client.get(asked) as reply:
        return b"".join([chunk async for chunk in reply.chunks()])


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.METADATA])
async def test_slots__pages_beside_a_crowd_of_files(kind: Kind, server: Scripted, make: Make, seen: Seen) -> None:
    """When files have taken all that they may, a further one waits; a page is answered, and the host is well."""
    server.on("/held", HELD)
    server.on("/x", plain(b"there"))
    client = make()
    async with AsyncExitStack() as stack:
        first, *_ = await crowd(stack, client, ask(server, "held"), MOST[Rank.PLAIN])
        with pytest.raises(Crowded):
            await body(client, ask(server, "x", bulk=True))
        waiting = asyncio.create_task(body(client, ask(server, "x")))
        assert b"there" == await body(client, ask(server, "x", kind))
        assert not waiting.done()
        assert not client.down(server.base)
        assert not client.down(server.base, file=True)
        first.close()  # type: ignore[attr-defined]
        assert b"there" == await waiting
    assert [] == seen.failures


async def test_slots__come_back(server: Scripted, make: Make) -> None:
    """Whatever becomes of a request, its slot is free afterwards."""
    server.on("/x", plain(bytes(300)))
    server.on("/long", plain(bytes(1_000_000)))
    server.on("/gone", plain(b"", status="404 No"))
    server.on("/reset", Line(b"", Then.RESET))
    server.on("/moved", plain(b"moved", "Location: /x", status="302 Found"))
    server.on("/held", HELD)
    client = make(read_timeout=0.2)
    for path in ("x", "gone", "reset", "moved", "held"):
        await asyncio.gather(body(client, ask(server, path)), return_exceptions=True)
        assert {} == client._pools._slots._hosts
    async with client.get(ask(server, "long")) as reply:
        while await reply.readinto(memoryview(bytearray(1 << 18))):
            pass
        assert {} == client._pools._slots._hosts
    async with client.get(ask(server, "x")) as reply:  # all of it came, and nobody has read it yet
        while reply._response.connection is not None:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        assert {} == client._pools._slots._hosts
    cancelled = asyncio.create_task(body(client, ask(server, "held")))
    while server.seen[-1].target != "/held":
        await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert {} == client._pools._slots._hosts
