"""A program that ends in mid-download, in whatever way, goes on with it: what is on disk is not fetched twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from proxy.cache.extents import Extents
from tests import scrape
from tests.conftest import MakeProxy
from tests.faults import Fault, hold_body
from tests.flows.asking import SEGMENT, SMALL, address, content, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import Link
from tests.wheels import Package, wheel

PATH = "/packages/"
SEGMENTS = 20

_ENDING = 60  # seconds


@asynccontextmanager
async def serving(origin: Origin, data: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """The real command in a process of its own; gives its address. It is told to end, if it still runs."""
    upstreams = f'[{{"mount": "pypi", "url": "{origin.url}/", "index": "simple/"}}]'
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULLTHROUGH_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", "serve", "--port", "0", "--data", str(data), "--fetch-segment", "64KiB",
        env=environment | {"PULLTHROUGH_UPSTREAMS": upstreams, "HOME": str(data.parent), "NO_PROXY": "*"},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        line = ""
        while " serves at " not in line:
            line = (await process.stderr.readline()).decode()
            assert line, "the program ended at its start"
        reading = asyncio.create_task(process.stderr.read())
        yield line.split(" serves at ")[1].split()[0], process
    finally:
        await _end(process)
        if reading is not None:
            await reading
        process._transport.close()  # type: ignore[attr-defined]


async def _end(process: asyncio.subprocess.Process) -> None:
    """Not by a kill at once: a file may be served while the journal of its download is still being deleted."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _ENDING)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise


def on_disk(data: Path) -> int:
    """How many bytes the one partial download in this folder has, by what is written down beside it."""
    (journal,) = (data / "spool").glob("*.journal")
    extents = Extents()
    for line in journal.read_bytes().split(b"\n")[1:-1]:
        if line.startswith(b"["):
            extents = extents.add(*json.loads(line))
    return extents.total


@pytest.fixture
def package(origin: Origin) -> Package:
    """A wheel of twenty segments."""
    made = wheel(padding=SEGMENTS * SEGMENT)
    origin.publish(made)
    return made


async def test_killed__in_mid_download(
    origin: Origin, http: aiohttp.ClientSession, package: Package, data_folder: Path
) -> None:
    """After a kill -9 the next process fetches only what is missing, and the client gets every byte (row 18)."""
    gate = Gate()
    hold = hold_body(1000, gate)
    for number in (12, 13, 14, 15, 16, 17, 18, 19):
        origin.misbehave(PATH + package.filename, hold, when=_segment(number))
    async with serving(origin, data_folder) as (base, process):
        async with http.get(f"{base}/pypi/packages/{package.filename}") as response:
            got = await response.content.readexactly(10 * SEGMENT)
            await gate.until_arrived(6)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            with contextlib.suppress(aiohttp.ClientError):
                await response.content.read()
    assert content(package.body)[: len(got)] == got
    origin.behave()
    gate.open()
    await origin.until(lambda: origin.open_connections == 0)
    origin.forget()
    there = on_disk(data_folder)
    assert there >= 10 * SEGMENT

    async with serving(origin, data_folder) as (base, _):
        url = f"{base}/pypi/packages/{package.filename}"
        whole = await get(http, url)
        await until_kept(http, url)

    assert (200, package.sha256) == (whole.status, whole.sha256)
    assert package.body.size - there == origin.sent_body_bytes(PATH + package.filename)
    assert not any("if-range" in asked.headers for asked in origin.requests)  # its digest tells


@pytest.mark.parametrize("number", range(4))
async def test_killed__at_any_moment(
    origin: Origin, http: aiohttp.ClientSession, package: Package, data_folder: Path, number: int
) -> None:
    """Whenever the kill comes, every address is right afterwards and no partial file stays behind (row 18)."""
    async with serving(origin, data_folder) as (base, process):
        async with http.get(f"{base}/pypi/packages/{package.filename}") as response:
            await response.content.readexactly(1 + number * 5 * SEGMENT)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            with contextlib.suppress(aiohttp.ClientError):
                await response.content.read()

    async with serving(origin, data_folder) as (base, _):
        url = f"{base}/pypi/packages/{package.filename}"
        whole = await get(http, url)
        await until_kept(http, url)
        again = await get(http, url)

    assert [(200, package.sha256)] * 2 == [(got.status, got.sha256) for got in (whole, again)]


async def test_terminated__in_mid_download(
    origin: Origin, http: aiohttp.ClientSession, package: Package, data_folder: Path
) -> None:
    """SIGTERM lets the answer under way end, then the program ends by itself (row 24)."""
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(1000, gate), when=_segment(9))
    async with serving(origin, data_folder) as (base, process):
        async with http.get(f"{base}/pypi/packages/{package.filename}") as response:
            body = bytearray(await response.content.readexactly(5 * SEGMENT))
            await gate.reached.wait()
            os.kill(process.pid, signal.SIGTERM)
            gate.open()
            body += await response.content.read()
        assert 0 == await process.wait()

    assert package.sha256 == hashlib.sha256(body).hexdigest()


def _segment(number: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return lambda asked: asked.headers.get("range", "").startswith(f"bytes={number * SEGMENT}-")


# ---------------------------------------------------------------------- in one process, by closing it


async def broken_off(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, at: int
) -> None:
    """Begin a download and close the program when the segment `at`, or the rest up to there, stands still."""
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(0, gate), when=_segment(at))
    rest = "bytes=0-"  # what comes behind the first segment, and it again
    origin.misbehave(PATH + package.filename, hold_body(at * SEGMENT, gate), when=lambda a: a.headers["range"] == rest)
    running = await make_proxy(origin.url, fetch=SMALL | {"connections": 1})
    asking = asyncio.create_task(get(http, address(running, package)))
    await gate.reached.wait()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    await running.close()
    origin.behave()
    gate.open()
    origin.forget()


async def test_closed__goes_on_where_it_was(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A download that was broken off at the end of the program costs its missing bytes in the next one."""
    await broken_off(make_proxy, origin, http, package, 8)

    running = await make_proxy(origin.url, fetch=SMALL)
    got = await get(http, address(running, package))
    await until_idle(running)

    assert package.sha256 == got.sha256
    assert package.body.size - 8 * SEGMENT == origin.sent_body_bytes(PATH + package.filename)
    while scrape.metric(running, "pullthrough_requests_total") < 1:
        await asyncio.sleep(0)
    assert 8 * SEGMENT == scrape.metric(running, "pullthrough_sent_bytes_total", source="cache")
    assert package.body.size - 8 * SEGMENT == scrape.metric(running, "pullthrough_sent_bytes_total", source="upstream")


async def test_closed__file_changed_meanwhile(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """What is left of another version is thrown away: If-Range says so (row 12)."""
    origin.page("/simple/demo/", [Link(package.filename, PATH + package.filename)])
    await broken_off(make_proxy, origin, http, package, 8)
    other = wheel(padding=SEGMENTS * SEGMENT, seed=4)
    origin.file(PATH + package.filename, other.body)

    running = await make_proxy(origin.url, fetch=SMALL)
    got = await get(http, address(running, package))
    await until_idle(running)

    assert (200, other.sha256) == (got.status, got.sha256)
    while scrape.metric(running, "pullthrough_requests_total") < 1:
        await asyncio.sleep(0)
    assert 0 == scrape.metric(running, "pullthrough_sent_bytes_total", source="cache")


async def test_closed__nothing_to_resume_by(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """Without digest or validator what is left cannot be trusted: the file is fetched anew (row 12)."""
    origin.page("/simple/demo/", [Link(package.filename, PATH + package.filename)])
    origin.file(PATH + package.filename, package.body, etag=None, last_modified=None)
    await broken_off(make_proxy, origin, http, package, 8)
    other = wheel(padding=SEGMENTS * SEGMENT, seed=4)
    origin.file(PATH + package.filename, other.body)

    running = await make_proxy(origin.url, fetch=SMALL)
    got = await get(http, address(running, package))
    await until_idle(running)

    assert (200, other.sha256) == (got.status, got.sha256)


@pytest.mark.parametrize("ranges", [True, False])
async def test_closed__upstream_gives_no_ranges_any_more(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, ranges: bool
) -> None:
    """Where the rest cannot be asked for, the whole is, and the client still gets every byte."""
    await broken_off(make_proxy, origin, http, package, 8)
    origin.file(PATH + package.filename, package.body, ranges=ranges)

    running = await make_proxy(origin.url, fetch=SMALL)
    got = await get(http, address(running, package))
    await until_idle(running)

    assert (200, package.sha256) == (got.status, got.sha256)


async def test_failed__goes_on_in_the_same_process(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """A download that failed is gone on with when the file is asked for again."""
    from tests import faults  # noqa: PLC0415

    spoil: Fault = faults.status(404)
    begun = tuple(f"bytes={number * SEGMENT}-" for number in range(5))
    origin.misbehave(
        PATH + package.filename, spoil, when=lambda asked: not asked.headers.get("range", "").startswith(begun)
    )
    running = await make_proxy(origin.url, fetch=SMALL | {"connections": 1})
    first = await get(http, address(running, package))
    await until_idle(running)
    assert first.broken
    origin.behave()
    origin.forget()

    second = await get(http, address(running, package))

    assert package.sha256 == second.sha256
    assert package.body.size - 5 * SEGMENT == origin.sent_body_bytes(PATH + package.filename)
