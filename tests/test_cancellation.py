"""Clients that go away: a download belongs to the cache, and nothing of a client stays (invariant 2)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests import guards, scrape
from tests.conftest import MakeProxy
from tests.faults import chunked, hold_body, hold_head
from tests.flows.asking import SEGMENT, SMALL, Got, address, content, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.wheels import Package, wheel

PATH = "/packages/"


@pytest.fixture
def package(origin: Origin) -> Package:
    """A wheel of six segments."""
    made = wheel(padding=5 * SEGMENT)
    origin.publish(made)
    return made


async def leave(asking: asyncio.Task[Got]) -> None:
    """Let a client go away."""
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("after", [0, 1000])
async def test_leaving__the_first_client(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, after: int
) -> None:
    """The client that began a download goes away, and the others get all of it with no new request (row 17)."""
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(after, gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    first = asyncio.create_task(get(http, url))
    await gate.reached.wait()
    others = [await http.get(url) for _ in range(10)]
    await leave(first)
    gate.open()
    bodies = [await response.read() for response in others]

    assert [content(package.body)] * 10 == bodies
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)


def running_requests(running: object) -> float:
    """How many requests are counted."""
    return scrape.metric(running, "pullthrough_requests_total")  # type: ignore[arg-type]


async def test_leaving__all_clients(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """All clients go away in mid-download: the cache finishes it, and the next client finds it there."""
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(1000, gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    asking = [asyncio.create_task(get(http, url)) for _ in range(5)]
    await gate.reached.wait()
    for each in asking:
        await leave(each)
    while running_requests(running) < 5:
        await asyncio.sleep(0)
    gate.open()
    await until_idle(running)
    got = await get(http, url)

    assert (package.sha256, "hit") == (got.sha256, got.source)
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)


async def test_leaving__before_upstream_answered(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A client that goes away before there is a head is counted as gone, and its download goes on."""
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_head(gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    first = asyncio.create_task(get(http, url))
    await gate.reached.wait()
    await leave(first)
    while running_requests(running) < 1:
        await asyncio.sleep(0)
    gate.open()
    await until_idle(running)

    assert "hit" == (await get(http, url)).source
    assert 1 == scrape.metric(running, "pullthrough_requests_total", status="4xx")


async def test_leaving__while_the_page_is_fetched(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A client that goes away while the page is asked for leaves the page for those who come later."""
    gate = Gate()
    origin.misbehave("/simple/demo/", hold_head(gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    first, second = asyncio.create_task(get(http, url)), asyncio.create_task(get(http, url))
    await gate.reached.wait()
    await leave(first)
    gate.open()

    assert package.sha256 == (await second).sha256
    assert 1 == origin.count("/simple/demo/")


async def test_leaving__a_reader_of_a_kept_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client that resets its connection in the middle of a kept file costs nobody anything."""
    package = wheel(padding=8_000_000)
    origin.publish(package)
    running = await make_proxy(origin.url)
    url = address(running, package)
    await get(http, url)
    await until_kept(http, url)
    before = descriptors()

    for _ in range(5):
        await reset_after(url, 100_000)
    while descriptors() > before:
        await asyncio.sleep(0)

    assert package.sha256 == (await get(http, url)).sha256


async def test_leaving__a_follower_by_reset(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """Followers that reset their connections while nothing comes are let go at once."""
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(1000, gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)
    first = asyncio.create_task(get(http, url))
    await gate.reached.wait()

    for _ in range(5):
        await reset_after(url, 100)
    while running_requests(running) < 5:
        await asyncio.sleep(0)
    gate.open()

    assert package.sha256 == (await first).sha256


async def test_leaving__a_follower_of_chunks(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A body of unknown length is a download of the cache too."""
    origin.file(PATH + package.filename, package.body, ranges=False)
    gate = Gate()
    origin.misbehave(PATH + package.filename, chunked(), hold_body(3 * SEGMENT, gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    await reset_after(url, 100)
    while running_requests(running) < 1:
        await asyncio.sleep(0)
    gate.open()
    await until_idle(running)

    assert (package.sha256, "hit") == ((got := await get(http, url)).sha256, got.source)
    assert 1 == origin.count(PATH + package.filename)


async def test_leaving__a_range_of_a_cold_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A part that was fetched for one client ends with it: its connection upstream is let go."""
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(1000, gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url = address(running, package)

    asking = asyncio.create_task(get(http, url, range="bytes=0-99999"))
    await gate.reached.wait()
    await leave(asking)
    while running_requests(running) < 1:
        await asyncio.sleep(0)
    gate.open()
    await origin.until(lambda: origin.open_connections <= 1)

    assert content(package.body) == (await get(http, url)).body


async def test_stalled__a_client_that_takes_nothing(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client that takes no bytes for longer than the limit is dropped (row 22)."""
    package = wheel(padding=30_000_000)
    origin.publish(package)
    running = await make_proxy(origin.url, serve={"idle_timeout": 1})
    url = address(running, package)
    await get(http, url)
    await until_kept(http, url)
    before = running_requests(running)

    with connected(url) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request(url))
        while running_requests(running) == before:
            await asyncio.sleep(0)

    assert package.sha256 == (await get(http, url)).sha256


def descriptors() -> int:
    """How many this process has open."""
    return guards.open_descriptors().total()


def request(url: str) -> bytes:
    """A plain GET."""
    parts = urlsplit(url)
    return f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()


@contextlib.contextmanager
def connected(url: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """A bare connection to the host of `url`."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as client:
        yield client


async def reset_after(url: str, size: int) -> None:
    """Take `size` bytes of an answer and reset the connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request(url))
    await reader.readexactly(size)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def test_descriptors__are_counted() -> None:
    """One more open file is one more."""
    before = descriptors()
    number = os.open("/dev/null", os.O_RDONLY)
    try:
        assert before + 1 == descriptors()
    finally:
        os.close(number)
