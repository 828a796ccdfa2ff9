"""The savings are true: what was sent came from three sources, and what was fetched is what the origin sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest

from tests import faults
from tests.conftest import MakeProxy
from tests.faults import hold_body
from tests.flows.asking import SEGMENT, SMALL, address, check_bytes, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.wheels import wheel

PATH = "/packages/"


async def test_savings__cold_then_kept(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The first answer is upstream's, the later ones are the cache's."""
    package = wheel(padding=4 * SEGMENT)
    origin.publish(package)
    running = await make_proxy(origin.url, fetch=SMALL)
    url, size = address(running, package), package.body.size

    await get(http, url)
    await until_idle(running)
    for _ in range(4):
        await get(http, url)

    sources = await check_bytes(running, origin, 5 * size, 5)
    assert {"cache": 4 * size, "shared": 0, "upstream": size} == sources


async def test_savings__herd(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Of many clients at once one is upstream's and the others share its flight."""
    package = wheel(padding=4 * SEGMENT)
    origin.publish(package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(0, gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)
    url, size = address(running, package), package.body.size

    asking = [asyncio.create_task(get(http, url)) for _ in range(8)]
    await gate.reached.wait()
    gate.open()
    await asyncio.gather(*asking)

    sources = await check_bytes(running, origin, 8 * size, 8)
    assert size == sources["upstream"]
    assert 7 * size == sources["shared"] + sources["cache"]


async def test_savings__ranges(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Parts are counted by their own length, cold and kept, and so are answers without a body."""
    package = wheel(padding=4 * SEGMENT)
    origin.publish(package)
    running = await make_proxy(origin.url, fetch=SMALL)
    url, size = address(running, package), package.body.size

    await get(http, url, "HEAD")
    await get(http, url, range="bytes=10-1009")
    await get(http, url)
    await until_idle(running)
    await get(http, url, range="bytes=-500")
    await get(http, url, "HEAD")
    etag = f'"sha256:{package.sha256}"'
    await get(http, url, if_none_match=etag)

    sources = await check_bytes(running, origin, 1000 + size + 500, 6)
    assert {"cache": 500, "shared": 0, "upstream": size + 1000} == sources


@pytest.mark.parametrize("page", ["json", "html"])
async def test_savings__pages_and_files(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, page: str
) -> None:
    """Pages count as files do: what clients get is not what upstream sent, and both are told rightly."""
    package = wheel(padding=2 * SEGMENT)
    origin.publish(package, fmt=page)  # type: ignore[arg-type]
    running = await make_proxy(origin.url, fetch=SMALL)
    received = 0

    for _ in range(3):
        received += len((await get(http, f"{running.url}/pypi/simple/demo/")).body)
        received += len((await get(http, address(running, package))).body)
        await until_idle(running)

    await check_bytes(running, origin, received, 6)


@pytest.mark.parametrize(
    "fault",
    [faults.chunked, faults.until_close, faults.ignores_range],
    ids=["chunked", "close", "whole"],
)
async def test_savings__odd_framing(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, fault: Callable[[], faults.Fault]
) -> None:
    """Framing is not counted: bodies are, however they come."""
    package = wheel(padding=4 * SEGMENT)
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.ignores_range(), fault())
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await asyncio.gather(*(get(http, address(running, package)) for _ in range(3)))

    await check_bytes(running, origin, sum(len(each.body) for each in got), 3)


@pytest.mark.parametrize("status", [404, 500, 403, 503])
async def test_savings__errors(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, status: int) -> None:
    """The text of an error is nobody's saving."""
    package = wheel(padding=SEGMENT)
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.status(status))
    running = await make_proxy(origin.url, fetch=SMALL)

    await get(http, address(running, package))

    await check_bytes(running, origin, 0, 1)


async def test_savings__wrong_bytes(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What a broken transfer brought is counted as far as it came."""
    package = wheel(padding=4 * SEGMENT)
    origin.publish(package)
    origin.misbehave(PATH + package.filename, faults.flipped(10))
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert got.broken
    sources = await check_bytes(running, origin, len(got.body), 1)
    assert len(got.body) == sources["upstream"]


async def test_savings__metadata(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Metadata that the cache makes out of ranges counts as fetched by what those ranges cost."""
    package = wheel(padding=1_000_000)
    origin.publish(package)
    running = await make_proxy(origin.url)

    first = await get(http, f"{address(running, package)}.metadata")
    second = await get(http, f"{address(running, package)}.metadata")

    assert package.metadata == first.body == second.body
    await check_bytes(running, origin, len(first.body) + len(second.body), 2)
    assert origin.sent_body_bytes(PATH + package.filename) < 100_000


async def test_savings__kept_after_a_restart(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A new process that serves what an old one fetched fetches nothing."""
    package = wheel(padding=SEGMENT)
    origin.publish(package)
    first = await make_proxy(origin.url)
    await get(http, address(first, package))
    await until_kept(http, address(first, package))
    await first.close()
    origin.forget()

    second = await make_proxy(origin.url)
    got = await get(http, address(second, package))

    sources = await check_bytes(second, origin, len(got.body), 1)
    assert {"cache": package.body.size, "shared": 0, "upstream": 0} == sources
