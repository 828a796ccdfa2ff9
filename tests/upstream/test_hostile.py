"""Answers that are no HTTP, or too much of it: each is a broken answer, and the next request is right."""

from __future__ import annotations

import asyncio
import resource

import pytest

from proxy.errors import UpstreamBroken, UpstreamUnreachable
from proxy.model import Site, UpstreamRequest
from proxy.upstream.client import AiohttpUpstream
from tests.upstream.conftest import Make, Seen
from tests.upstream.scripted import Line, Scripted, Then, plain

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 5\r\n"

HEADS = {
    "header_of_1_MB": OK + b"X: " + b"a" * (1 << 20) + b"\r\n" + LENGTH + b"\r\nhello",
    "name_of_1_MB": OK + b"a" * (1 << 20) + b": x\r\n" + LENGTH + b"\r\nhello",
    "headers_20000": OK + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)) + LENGTH + b"\r\nhello",
    "reason_of_1_MB": b"HTTP/1.1 200 " + b"a" * (1 << 20) + b"\r\n" + LENGTH + b"\r\nhello",
    "http_0_9": b"<html>hello</html>",
    "status_line": b"HTTP/1.1 2000 OK\r\n" + LENGTH + b"\r\nhello",
    "status_no_number": b"HTTP/1.1 abc OK\r\n" + LENGTH + b"\r\nhello",
    "http_9_9": b"HTTP/9.9 200 OK\r\n" + LENGTH + b"\r\nhello",
    "other_protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nul_in_value": OK + b"X: a\x00b\r\n" + LENGTH + b"\r\nhello",
    "cr_in_value": OK + b"X: a\rb\r\n" + LENGTH + b"\r\nhello",
    "bell_in_value": OK + b"X: a\x07b\r\n" + LENGTH + b"\r\nhello",
    "blank_in_name": OK + b"X Y: ab\r\n" + LENGTH + b"\r\nhello",
    "two_lengths": OK + LENGTH + b"Content-Length: 4\r\n\r\nhello",
    "same_length_twice_in_one": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "length_with_sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "length_and_chunked": OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked_and_length": OK + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "transfer_coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "transfer_coding_until_close": OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
}

BODIES = {
    "shorter_than_its_length": OK + b"Content-Length: 9\r\n\r\nhello",
    "chunked_without_end": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "chunk_size_no_number": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "chunk_longer_than_its_size": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
}


def ask(server: Scripted, headers: dict[str, str] | None = None) -> UpstreamRequest:
    """A request of the one address."""
    return UpstreamRequest(server.base + "x", Site("demo", server.base, "", 600.0), headers or {})


async def read(client: AiohttpUpstream, request: UpstreamRequest) -> bytes:
    """Ask, and read the body out."""
    async with client.get(request) as reply:
        return b"".join([chunk async for chunk in reply.chunks()])


@pytest.mark.parametrize("name", HEADS)
async def test_head__not_to_be_relied_on(server: Scripted, make: Make, seen: Seen, name: str) -> None:
    """It is refused before any of its body is used."""
    server.on("/x", Line(HEADS[name], Then.CLOSE), plain(b"right"))
    client = make()
    with pytest.raises(UpstreamBroken):
        await read(client, ask(server))
    assert (seen.failures, seen.fetched) == (["broken"], 0)
    assert await read(client, ask(server)) == b"right"


@pytest.mark.parametrize(
    ("name", "then"),
    [
        ("shorter_than_its_length", Then.CLOSE),
        ("shorter_than_its_length", Then.RESET),
        ("chunked_without_end", Then.CLOSE),
        ("chunked_without_end", Then.RESET),
        ("chunk_size_no_number", Then.HOLD),
        ("chunk_longer_than_its_size", Then.HOLD),
    ],
)
async def test_body__framing_not_kept(server: Scripted, make: Make, seen: Seen, name: str, then: Then) -> None:
    """A body that ends otherwise than its framing says never counts as whole."""
    server.on("/x", Line(BODIES[name], then), plain(b"right"))
    client = make()
    # A reset may overtake the head.
    with pytest.raises((UpstreamBroken, UpstreamUnreachable)):
        await read(client, ask(server))
    assert len(seen.failures) == 1
    assert await read(client, ask(server)) == b"right"


async def _breaks_later(server: Scripted, client: AiohttpUpstream, begun: asyncio.Event, *, waiting: bool) -> None:
    """Read a body that breaks once it has `begun`, while the reader waits for more or before; the next one is right."""
    async with asyncio.timeout(10), client.get(ask(server)) as reply:
        chunks = aiter(reply.chunks())
        assert await anext(chunks) == b"hello"
        begun.set()
        if not waiting:
            await server.until_idle()
        with pytest.raises(UpstreamBroken):
            assert len([chunk async for chunk in chunks]) < 2
    assert await read(client, ask(server)) == b"right"


@pytest.mark.parametrize("waiting", [True, False])
@pytest.mark.parametrize(
    "rest",
    [b"zz\r\nhello\r\n", b"3\r\nhello\r\n", b"0\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(200))],
)
async def test_body__framing_breaks_later(server: Scripted, make: Make, seen: Seen, rest: bytes, waiting: bool) -> None:
    """Who reads a body that breaks after its head has come is told so, and does not wait for ever."""
    begun = asyncio.Event()

    async def breaks(writer: asyncio.StreamWriter) -> Then:
        writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        await begun.wait()
        writer.write(rest)
        await writer.drain()
        return Then.HOLD

    server.on("/x", breaks, plain(b"right"))
    await _breaks_later(server, make(), begun, waiting=waiting)
    assert seen.failures == ["broken"]


async def test_body__after_the_answer(server: Scripted, make: Make) -> None:
    """Bytes behind an answer, a second answer perhaps, are never taken for the answer to the next request."""
    server.on("/x", Line(plain(b"hello").data + plain(b"smuggled").data), plain(b"right"))
    client = make()
    assert await read(client, ask(server)) == b"hello"
    assert await read(client, ask(server)) == b"right"


async def test_body__without_length_until_close(server: Scripted, make: Make) -> None:
    """A close-delimited body is taken as it comes; only who knows its digest can tell whether it is whole."""
    server.on("/x", Line(OK + b"\r\nhello", Then.CLOSE))
    assert await read(make(), ask(server)) == b"hello"


@pytest.mark.parametrize("waiting", [True, False])
async def test_body__without_length_until_reset(server: Scripted, make: Make, seen: Seen, waiting: bool) -> None:
    """Where only the end of the connection ends a body (RFC 9112 §6.3), a reset is none: what came is not whole."""
    begun = asyncio.Event()

    async def breaks(writer: asyncio.StreamWriter) -> Then:
        writer.write(OK + b"\r\nhello")
        await writer.drain()
        await begun.wait()
        return Then.RESET

    server.on("/x", breaks, plain(b"right"))
    await _breaks_later(server, make(), begun, waiting=waiting)
    assert seen.failures == ["broken"]


@pytest.mark.parametrize("body", [b"2\r\nhe\r\n0\r\n\r\n", b"6\r\nhello!\r\n0\r\n\r\n"])
async def test_part__chunked_of_another_length(server: Scripted, make: Make, seen: Seen, body: bytes) -> None:
    """A part has as many bytes as it says, however it is framed."""
    head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-4/9\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.on("/x", Line(head + body))
    with pytest.raises(UpstreamBroken):
        await read(make(), ask(server, {"Range": "bytes=0-4"}))
    assert seen.failures == ["broken"]


async def test_interim__two_thousand_hints(server: Scripted, make: Make) -> None:
    """Interim answers are passed over."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    server.on("/x", Line(hint * 2000 + plain(b"right").data))
    assert await read(make(), ask(server)) == b"right"


async def test_trailers__flood(server: Scripted, make: Make, seen: Seen) -> None:
    """Trailers are bounded as headers are."""
    trailers = b"".join(b"X-%d: y\r\n" % number for number in range(20_000))
    server.on(
        "/x", Line(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + trailers + b"\r\n", Then.CLOSE)
    )
    with pytest.raises(UpstreamBroken):
        await read(make(), ask(server))
    assert seen.failures == ["broken"]


async def test_header__without_end(server: Scripted, make: Make) -> None:
    """A header that never ends is cut off by its bound, not by memory."""
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> Then:
        nonlocal sent
        writer.write(OK + b"X: ")
        while True:
            writer.write(b"a" * (1 << 16))
            await writer.drain()
            sent += 1 << 16

    server.on("/x", endless)
    with pytest.raises(UpstreamBroken):
        await read(make(), ask(server))
    await server.until_idle()
    assert sent < 32 << 20


async def test_gzip_bomb__not_unpacked(server: Scripted, make: Make) -> None:
    """A coded body comes as it was sent; unpacking it is the business of who asked for the coding."""
    packed = b"\x1f\x8b" + bytes(1000)
    server.on("/x", plain(packed, "Content-Encoding: gzip"))
    assert packed == await read(make(), ask(server))


async def test_body__large_in_bounded_memory(server: Scripted, make: Make, seen: Seen) -> None:
    """Memory does not grow with the body."""
    size = 400 << 20

    async def large(writer: asyncio.StreamWriter) -> Then:
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % size)
        piece = bytes(1 << 20)
        for _ in range(size >> 20):
            writer.write(piece)
            await writer.drain()
        return Then.KEEP

    server.on("/x", large)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with make().get(ask(server)) as reply:
        async for _ in reply.chunks():
            pass
    assert size == seen.fetched
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
