"""Slow readers of every kind beside large downloads, on few connections to upstream: nobody gets another's bytes.

A body that came whole stays in the cache's memory while its client takes it; its connection serves the next request
meanwhile. `SOCKET_ROUNDS=1000`, with `--timeout=0`, takes a longer look than that of every run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests import faults
from tests.bodies import Noise, sha256
from tests.conftest import MakeProxy
from tests.flows.asking import content, get
from tests.origin import Origin
from tests.pages import Link

if TYPE_CHECKING:
    from proxy.app import Running

ROUNDS = int(os.environ.get("SOCKET_ROUNDS", "20"))
DISK = 2_900_000  # bytes: room for a large file, and not for the largest
LARGE = 1_500_000
LARGEST = 3_000_000
QUEUED = 400_000  # bytes that fit into the queue of aiohttp's reader, and not into the buffers of a client's socket
PACE = 3  # turns of everybody else between two reads of a slow client
LATE = 300_000  # bytes that a slow client leaves for later


@dataclass(frozen=True, slots=True)
class Slow:
    """What a slow client asks for. `span`: the range."""

    path: str
    body: bytes
    span: str | None = None


def slow_range(origin: Origin, number: int) -> Slow:
    """A part of a file that is not kept."""
    path, body = f"/packages/slow{number}-1.0-py3-none-any.whl", Noise(1_000_000, seed=number % 50)
    origin.file(path, body)
    return Slow(path, body.read(0, QUEUED), f"bytes=0-{QUEUED - 1}")


def slow_list(origin: Origin, number: int) -> Slow:
    """The list of all projects."""
    body = b"<!DOCTYPE html>\n" + b'<a href="here/">here</a>\n' * (QUEUED // 25)
    origin.resource("/simple/", body, content_type="text/html", etag=f'"{number}"')
    return Slow("/simple/", body)


def slow_past_the_store(origin: Origin, number: int) -> Slow:
    """A file for which there is no room on the disk."""
    path, body = f"/packages/largest{number}-1.0-py3-none-any.whl", Noise(LARGEST, seed=number % 50)
    origin.file(path, body)
    return Slow(path, content(body))


@contextlib.asynccontextmanager
async def taking_its_time(running: Running, asked: Slow) -> AsyncIterator[asyncio.Task[bytes]]:
    """Ask as a slow client; gives the task that reads the end of the body, bit by bit, and gives all of it."""
    parts = urlsplit(running.url)
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (parts.hostname, parts.port))
        span = f"Range: {asked.span}\r\n" if asked.span else ""
        head = f"GET /pypi{asked.path} HTTP/1.0\r\nHost: cache.example\r\n{span}\r\n"
        await loop.sock_sendall(sock, head.encode())
        got = bytearray()
        while len(got) < len(asked.body) - LATE:
            got += (piece := await loop.sock_recv(sock, 1 << 16))
            assert piece, bytes(got)

        async def rest() -> bytes:
            while piece := await loop.sock_recv(sock, 1500):
                got.extend(piece)
                for _ in range(PACE):
                    await asyncio.sleep(0)
            return bytes(got)

        reading = asyncio.create_task(rest())
        try:
            yield reading
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading


@pytest.mark.parametrize("known", [True, False], ids=["digest", "no digest"])
@pytest.mark.parametrize("slow", [slow_range, slow_list, slow_past_the_store])
async def test_slow_reader__beside_large_downloads(
    slow: Callable[[Origin, int], Slow], known: bool, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Every large file is whole and right, with a digest and without one, and so is what the slow client reads."""
    origin.misbehave(None, faults.in_pieces(4_000))
    running = await make_proxy(origin.url, disk=DISK, fetch={"segment": 1 << 19, "connections": 2})
    wrong: list[str] = []
    for number in range(ROUNDS):
        name, large = f"large{number}-1.0-py3-none-any.whl", Noise(LARGE, seed=1000 + number % 50)
        origin.file(f"/packages/{name}", large)
        if known:
            origin.page(f"/simple/large{number}/", [Link(name, f"/packages/{name}", sha256(large))])
        asked = slow(origin, number)
        async with taking_its_time(running, asked) as reading:
            got = await get(http, f"{running.url}/pypi/packages/{name}")
            if (200, sha256(large)) != (got.status, got.sha256):
                wrong.append(f"{number}: {got.status}, {len(got.body)} bytes, broken: {got.broken}")
            if not (await reading).endswith(b"\r\n\r\n" + asked.body):
                wrong.append(f"{number}: what the slow client read")
    assert [] == wrong
    # Else hardly a reader had the connection of another.
    assert origin.accepted < origin.count() / 2
