"""CONNECT: a client's TLS through the cache to a host of the settings, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from tests import exchange, scrape
from tests.conftest import MakeProxy
from tests.origin import Origin


@contextlib.asynccontextmanager
async def echo(tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A server that says what it hears, until the client ends; gives its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while piece := await reader.read(1 << 16):
                writer.write(piece)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(talk(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*tasks)
        await server.wait_closed()


async def connect(proxy_url: str, authority: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    """A connection to the cache, a CONNECT on it, and the head of the answer."""
    host, port = proxy_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: t\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    return reader, writer, head


async def test_tls__through_the_tunnel(
    make_proxy: MakeProxy, origin: Origin, authority: trustme.CA, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client speaks TLS with the host itself; bytes are counted on their own, and the log has one line."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    said = b"x" * (3 << 20)
    async with echo(server_side) as port:
        running = await make_proxy(origin.url, apt={"tunnels": [f"localhost:{port}"]})
        reader, writer, head = await connect(running.url, f"localhost:{port}")
        assert head.startswith("HTTP/1.1 200 ")
        assert "Content-Length" not in head
        assert "Transfer-Encoding" not in head

        await writer.start_tls(client_side, server_hostname="localhost")
        writer.write(said)
        assert said == await reader.readexactly(len(said))
        writer.close()
        await writer.wait_closed()

        for direction in ("to_client", "to_host"):
            assert scrape.metric(running, "pullthrough_tunnelled_bytes_total", direction=direction) > len(said)
        assert scrape.metric(running, "pullthrough_sent_bytes_total") == 0
        assert scrape.metric(running, "pullthrough_fetched_bytes_total") == 0
        await running.close()
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert ("CONNECT", f"localhost:{port}", 200) == (line["method"], line["path"], line["status"])


@pytest.mark.parametrize("many", [32])
async def test_tunnels__many_at_once(make_proxy: MakeProxy, origin: Origin, many: int) -> None:
    """They do not disturb each other."""
    async with echo(None) as port:
        running = await make_proxy(origin.url, apt={"tunnels": [f"127.0.0.1:{port}"]})

        async def talk(number: int) -> bytes:
            reader, writer, _ = await connect(running.url, f"127.0.0.1:{port}")
            writer.write(b"%d" % number * 10_000)
            writer.write_eof()
            heard = await reader.read()
            while piece := await reader.read():
                heard += piece
            writer.close()
            await writer.wait_closed()
            return heard

        answers = await asyncio.gather(*(talk(number) for number in range(many)))
    assert [b"%d" % number * 10_000 for number in range(many)] == answers


@pytest.mark.parametrize(
    ("authority", "status", "word"),
    [
        ("files.example:443", "403", "apt.tunnels"),
        ("127.0.0.1:22", "403", "apt.tunnels"),
        ("169.254.169.254:443", "403", "apt.tunnels"),
        ("files.example", "400", "host and a port"),
        ("http://files.example:443/", "400", "malformed"),
        ("127.0.0.1:1", "502", "cannot be reached"),
    ],
)
async def test_refused(make_proxy: MakeProxy, origin: Origin, authority: str, status: str, word: str) -> None:
    """A refusal is a plain answer that says what to do, and what was sent behind it is not taken for a request."""
    running = await make_proxy(origin.url, apt={"tunnels": ["127.0.0.1:1"]})
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: cache.example\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    got = await exchange.send(running.url, head.encode())
    assert status == got.status
    assert "text/plain" in got.head
    assert word in got.rest.decode()
    assert 1 == (got.head.encode() + got.rest).count(b"HTTP/1.")


@pytest.mark.parametrize("framing", ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
async def test_refused__with_a_body(make_proxy: MakeProxy, origin: Origin, framing: str) -> None:
    """A CONNECT has no body: one that announces it is 400, for an allowed host too."""
    running = await make_proxy(origin.url, apt={"tunnels": ["127.0.0.1:1"]})
    got = await exchange.send(running.url, f"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: a\r\n{framing}".encode())
    assert "400" == got.status


async def test_refused__by_default(make_proxy: MakeProxy, origin: Origin) -> None:
    """Nobody tunnels to the machine itself or to upstream unless the settings say so."""
    running = await make_proxy(origin.url)
    head = f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1\r\nHost: a\r\n\r\n"
    assert "403" == (await exchange.send(running.url, head.encode())).status
    assert 0 == origin.accepted
