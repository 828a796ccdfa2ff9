"""Many clients at once: one piece of work for all of them, and nobody waits for what is not their own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.conftest import MakeProxy
from tests.faults import hold_body, hold_head, status
from tests.flows.asking import SEGMENT, SMALL, address, check_bytes, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.storage.disk import digests
from tests.wheels import wheel

PATH = "/packages/"


async def test_herd__waits_for_one_page_and_one_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Forty clients that come while upstream says nothing cause one request for the page and one for the file (15)."""
    package = wheel(padding=20_000)
    origin.publish(package, fmt="json")
    gate = Gate()
    origin.misbehave(None, hold_head(gate), times=1)
    running = await make_proxy(origin.url, fetch=SMALL)

    asking = [asyncio.create_task(get(http, address(running, package))) for _ in range(40)]
    await gate.reached.wait()
    gate.open()
    answers = await asyncio.gather(*asking)

    assert [(200, package.sha256)] * 40 == [(got.status, got.sha256) for got in answers]
    assert (1, 1) == (origin.count("/simple/demo/"), origin.count(PATH + package.filename))
    await check_bytes(running, origin, 40 * package.body.size, 40)


async def test_herd__of_different_files(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Twelve files asked for by five clients each, all at once: each is fetched once, none gets another's bytes."""
    packages = [wheel(f"demo{number}", padding=2 * SEGMENT + number, seed=number) for number in range(12)]
    origin.publish(*packages)
    running = await make_proxy(origin.url, fetch=SMALL)

    answers = await asyncio.gather(*(get(http, address(running, each)) for each in packages for _ in range(5)))

    assert [each.sha256 for each in packages for _ in range(5)] == [got.sha256 for got in answers]
    assert [each.body.size for each in packages] == [origin.sent_body_bytes(PATH + each.filename) for each in packages]


async def test_herd__joins_at_every_moment(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Clients that join as each segment arrives all get the whole, from one download."""
    package = wheel(padding=8 * SEGMENT)
    origin.publish(package)
    gates = [Gate() for _ in range(8)]
    for number, gate in enumerate(gates):
        origin.misbehave(
            PATH + package.filename,
            hold_body(100, gate),
            times=1,
            when=lambda asked, at=number * SEGMENT: f"={at}-" in asked.headers.get("range", ""),  # type: ignore[misc]
        )
    running = await make_proxy(origin.url, fetch=SMALL | {"connections": 1})
    asking = []
    for gate in gates:
        asking.append(asyncio.create_task(get(http, address(running, package))))
        await gate.reached.wait()
        gate.open()

    assert [package.sha256] * 8 == [got.sha256 for got in await asyncio.gather(*asking)]
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)


async def test_hanging_upstream__kept_files_are_served(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """With upstream hanging for ever, fifty clients get seven kept files each, all exact."""
    packages = [wheel(f"demo{number}", padding=50_000, seed=number) for number in range(7)]
    origin.publish(*packages, wheel("cold"))
    running = await make_proxy(origin.url)
    for each in packages:
        await get(http, address(running, each))
        await until_kept(http, address(running, each))
    gate = Gate()
    origin.misbehave(None, hold_head(gate))
    hanging = asyncio.create_task(get(http, address(running, wheel("cold"))))
    await gate.reached.wait()

    answers = await asyncio.gather(*(get(http, address(running, each)) for each in packages for _ in range(50)))

    assert [each.sha256 for each in packages for _ in range(50)] == [got.sha256 for got in answers]
    assert not hanging.done()
    gate.open()
    assert 200 == (await hanging).status


async def test_slow_readers__hold_nobody_up(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A hundred clients that take nothing cost others no sender thread."""
    package, small = wheel(padding=6_000_000), wheel("small", padding=200_000)
    origin.publish(package, small)
    running = await make_proxy(origin.url, serve={"threads": 1})
    for each in (package, small):
        await get(http, address(running, each))
        await until_kept(http, address(running, each))
    parts = urlsplit(address(running, package))
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 0)))
            client.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        answers = await asyncio.gather(*(get(http, address(running, small)) for _ in range(20)))

    assert [small.sha256] * 20 == [got.sha256 for got in answers]


async def test_slow_heads__are_closed_and_hold_nobody_up(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Sixty clients that never finish their head are closed at the limit; others are served meanwhile (row 22)."""
    package = wheel(padding=1000)
    origin.publish(package)
    running = await make_proxy(origin.url, serve={"idle_timeout": 1})
    parts = urlsplit(running.url)
    connections = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(60)]
    for _, writer in connections:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")

    assert package.sha256 == (await get(http, address(running, package))).sha256
    answers = await asyncio.gather(*(reader.read() for reader, _ in connections))
    assert all(answer == b"" or b" 408 " in answer or b" 400 " in answer for answer in answers)
    for _, writer in connections:
        writer.close()
    assert package.sha256 == (await get(http, address(running, package))).sha256


async def test_a_hundred_clients__leave_nothing(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """After a hundred connections the server is as it was before; the guards of the tests look."""
    package = wheel(padding=100_000)
    origin.publish(package)
    running = await make_proxy(origin.url)

    answers = await asyncio.gather(*(get(http, address(running, package)) for _ in range(100)))

    assert {package.sha256} == {got.sha256 for got in answers}


@pytest.mark.parametrize("code", [500, 404])
async def test_failure__then_right(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, code: int
) -> None:
    """A failure that twenty clients shared is not shared with the twenty-first (row 16)."""
    package = wheel(padding=30_000)
    origin.publish(package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_head(gate), status(code))
    running = await make_proxy(origin.url)

    asking = [asyncio.create_task(get(http, address(running, package))) for _ in range(20)]
    await gate.reached.wait()
    gate.open()
    answers = await asyncio.gather(*asking)
    assert [502 if code == 500 else 404] * 20 == [got.status for got in answers]
    await until_idle(running)
    origin.behave()

    assert package.sha256 == (await get(http, address(running, package))).sha256


async def test_eviction__under_a_herd(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """Many files through a small disk, by clients of each at once: every byte is right, and the bound holds."""
    packages = [wheel(f"demo{number}", padding=400_000, seed=number) for number in range(12)]
    origin.publish(*packages)
    running = await make_proxy(origin.url, disk=2_500_000, fetch=SMALL)
    bound = 2_500_000 + (128 << 10)  # the lock and the journals are small, and not counted
    excess: list[int] = []

    async def measure() -> None:
        while True:
            # What is there twice was there all the time between.
            before, after = _files(data_folder), _files(data_folder)
            size = sum(min(size, after.get(inode, 0)) for inode, size in before.items())
            excess.append(size - bound)
            await asyncio.sleep(0)

    measuring = asyncio.create_task(measure())
    for _ in range(2):
        answers = await asyncio.gather(*(get(http, address(running, each)) for each in packages for _ in range(3)))
        assert [each.sha256 for each in packages for _ in range(3)] == [got.sha256 for got in answers]
    await until_idle(running)
    measuring.cancel()
    assert max(excess) <= 0
    for each in packages:  # one by one, so that there is room for some of them in any case
        assert each.sha256 == (await get(http, address(running, each))).sha256
        await until_idle(running)

    stored = {digest.value for digest in digests(running.store)} & {each.sha256 for each in packages}
    assert 0 < len(stored) < len(packages)
    assert sum(_files(data_folder).values()) <= bound


def _files(folder: Path) -> dict[int, int]:
    """The files of a folder by their inodes, and how many bytes of each are on disk."""
    found: dict[int, int] = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # it is removed meanwhile
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found[status.st_ino] = status.st_blocks * 512
    return found


async def test_follower__begins_while_it_runs(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A client that comes in mid-download gets at once what is there."""
    package = wheel(padding=5 * SEGMENT)
    origin.publish(package)
    gate = Gate()
    origin.misbehave(
        PATH + package.filename,
        hold_body(10, gate),
        when=lambda asked: f"={3 * SEGMENT}-" in asked.headers.get("range", ""),
    )
    running = await make_proxy(origin.url, fetch=SMALL | {"connections": 1})
    first = asyncio.create_task(get(http, address(running, package)))
    await gate.reached.wait()

    async with http.get(address(running, package)) as response:
        early = await response.content.readexactly(3 * SEGMENT)
        assert not first.done()
        gate.open()
        late = await response.content.read()

    assert (await first).body == early + late
