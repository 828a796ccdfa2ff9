"""Clients that ask and do not read (FAULTS: slow readers): they are let go, and cost nothing then."""

from __future__ import annotations

import asyncio
import hashlib
import select
import socket
import time
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.conftest import MakeProxy
from tests.origin import Origin
from tests.wheels import Package, wheel


def _hung_up(sock: socket.socket) -> bool:
    """Wait until the other side broke the connection; looking does not take anything out of it."""
    poll = select.poll()
    poll.register(sock, select.POLLERR | select.POLLHUP)
    return bool(poll.poll(20_000))


class Stored(NamedTuple):
    """A program with a stored file: its address, the path of the file on it, and the file."""

    address: tuple[str, int]
    target: str
    package: Package

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}{self.target}"


class Start(Protocol):
    """Starts a program that has a file of about `size` bytes, and an idle limit in seconds."""

    async def __call__(self, size: int, limit: float = 0.3) -> Stored: ...


@pytest.fixture
def start(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> Start:
    """See `Start`."""

    async def started(size: int, limit: float = 0.3) -> Stored:
        package = wheel("demo", "1.0", padding=size)
        origin.publish(package)
        running = await make_proxy(origin.url, serve={"idle_timeout": limit})
        target = f"/pypi/packages/{package.filename}"
        async with http.get(running.url + target) as response:
            await response.read()
        parts = urlsplit(running.url)
        return Stored((parts.hostname or "", parts.port or 0), target, package)

    return started


async def test_reads_nothing__of_a_long_file(start: Start) -> None:
    """A client that takes no more of a file is reset: what the system holds for it is let go too."""
    running = await start(16 << 20)
    with socket.create_connection(running.address) as sock:
        sock.sendall(f"GET {running.target} HTTP/1.1\r\nHost: cache.example\r\n\r\n".encode())

        assert await asyncio.to_thread(_hung_up, sock)


async def test_reads_nothing__of_many_answers(start: Start, http: aiohttp.ClientSession) -> None:
    """A client that pipelines requests and takes no answer is dropped after the idle limit; others are served."""
    running = await start(200 << 10)
    with socket.create_connection(running.address) as sock:
        sock.sendall(f"GET {running.target} HTTP/1.1\r\nHost: cache.example\r\n\r\n".encode() * 60)

        assert await asyncio.to_thread(_hung_up, sock)

    async with http.get(running.url) as response:
        assert running.package.sha256 == hashlib.sha256(await response.read()).hexdigest()


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
async def test_reads_nothing__of_what_aiohttp_ends(start: Start, target: str, rest: str, times: int) -> None:
    """A client is reset as well where the library waits for it: behind its own answers, and before it closes."""
    running = await start(200 << 10)
    with socket.socket() as sock:
        # The system holds little for it then, so that what it does not take waits in the program.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 300)
        sock.connect(running.address)
        sock.sendall(f"GET {target.format(file=running.target)} {rest}".encode() * times)

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
async def test_reads_slowly(start: Start, size: int, times: int) -> None:
    """A client that takes some all the time gets all, however long the system's buffers are."""
    running = await start(size, limit=1.2)
    most = running.package.body.size * times
    asked = f"GET {running.target} HTTP/1.1\r\nHost: cache.example\r\n\r\n".encode() * times
    assert most == await asyncio.to_thread(_read_slowly, running.address, asked, most)
