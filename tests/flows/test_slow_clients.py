"""Clients that ask and do not read (FAULTS: slow readers): they are let go, and cost nothing then."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.conftest import MakeProxy
from tests.origin import Origin
from tests.wheels import wheel


def _hung_up(sock: socket.socket) -> bool:
    """Wait until the other side broke the connection; looking does not take anything out of it."""
    poll = select.poll()
    poll.register(sock, select.POLLERR | select.POLLHUP)
    return bool(poll.poll(20_000))


async def test_reads_nothing__of_a_long_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client that takes no more of a file is reset: what the system holds for it is let go too."""
    package = wheel("demo", "1.0", padding=16 << 20)
    origin.publish(package)
    running = await make_proxy(origin.url, serve={"idle_timeout": 0.3})
    target = f"/pypi/packages/{package.filename}"
    async with http.get(running.url + target) as response:
        await response.read()
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: cache.example\r\n\r\n".encode())

        assert await asyncio.to_thread(_hung_up, sock)


async def test_reads_nothing__of_many_answers(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client that pipelines requests and takes no answer is dropped after the idle limit; others are served."""
    package = wheel("demo", "1.0", padding=200 << 10)
    origin.publish(package)
    running = await make_proxy(origin.url, serve={"idle_timeout": 0.3})
    target = f"/pypi/packages/{package.filename}"
    async with http.get(running.url + target) as response:
        body = await response.read()
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: cache.example\r\n\r\n".encode() * 60)

        assert await asyncio.to_thread(_hung_up, sock)

    async with http.get(running.url + target) as response:
        assert body == await response.read()


_CLOSE, _OLD = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.0\r\n\r\n"
_STAYS = "HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "rest", "times"),
    [
        ("/metrics", _STAYS, 20),
        ("/api/v1/openapi.json", _STAYS, 20),
        ("{file}", _CLOSE, 1),
        ("{file}", _OLD, 1),
    ],
    ids=["pages of the program", "its API", "a file, then the end", "by HTTP/1.0"],
)
async def test_reads_nothing__of_what_aiohttp_ends(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, target: str, rest: str, times: int
) -> None:
    """A client is reset as well where the library waits for it: behind its own answers, and before it closes."""
    package = wheel("demo", "1.0", padding=200 << 10)
    origin.publish(package)
    running = await make_proxy(origin.url, serve={"idle_timeout": 0.3})
    file = f"/pypi/packages/{package.filename}"
    async with http.get(running.url + file) as response:
        await response.read()
    parts = urlsplit(running.url)
    with socket.socket() as sock:
        # The system holds little for it then, so that what it does not take waits in the program.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 300)
        sock.connect((parts.hostname or "", parts.port or 0))
        sock.sendall(f"GET {target.format(file=file)} {rest}".encode() * times)

        assert await asyncio.to_thread(_hung_up, sock)


def _read_slowly(address: tuple[str, int], asked: bytes, most: int) -> int:
    """Ask, and take a little at a time, then all that comes, up to `most` bytes. Gives how many came."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        sock.settimeout(20.0)
        sock.connect(address)
        sock.sendall(asked)
        got = 0
        while got < most:
            if got < 1 << 20:  # the system holds megabytes for it: it says only later that the socket takes more
                time.sleep(0.25)
            piece = sock.recv(min(100 << 10, most - got), socket.MSG_WAITALL)
            if not piece:
                break
            got += len(piece)
        return got


@pytest.mark.parametrize(("size", "times"), [(16 << 20, 1), (200 << 10, 60)], ids=["a long file", "many answers"])
async def test_reads_slowly(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, size: int, times: int
) -> None:
    """A client that takes some all the time gets all, however long the system's buffers are."""
    package = wheel("demo", "1.0", padding=size)
    origin.publish(package)
    running = await make_proxy(origin.url, serve={"idle_timeout": 1.2})
    target = f"/pypi/packages/{package.filename}"
    async with http.get(running.url + target) as response:
        await response.read()
    parts = urlsplit(running.url)
    address, most = (parts.hostname or "", parts.port or 0), package.body.size * times
    asked = f"GET {target} HTTP/1.1\r\nHost: cache.example\r\n\r\n".encode() * times
    assert most == await asyncio.to_thread(_read_slowly, address, asked, most)
