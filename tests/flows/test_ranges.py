"""Ranges, conditions and HEAD on files: cold, under way and kept (RFC 9110 §13, §14)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from tests import faults
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.faults import hold_body
from tests.flows.asking import SEGMENT, SMALL, Got, address, content, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import Link
from tests.wheels import Package, wheel

PATH = "/packages/"
STATES = ["cold", "under way", "kept"]


@dataclass(frozen=True)
class Bed:
    """A file behind the cache in one of its states."""

    url: str
    package: Package
    origin: Origin
    asking: asyncio.Task[Got] | None


@pytest.fixture(params=STATES)
async def bed(
    request: pytest.FixtureRequest, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> AsyncIterator[Bed]:
    """A wheel of six segments; under way means that its first 1000 bytes came and that the rest stands still."""
    package = wheel(padding=5 * SEGMENT)
    origin.publish(package)
    running = await make_proxy(origin.url, fetch=SMALL | {"connections": 1})
    url = address(running, package)
    asking: asyncio.Task[Got] | None = None
    gate = Gate()
    if request.param == "under way":
        origin.misbehave(PATH + package.filename, hold_body(1000, gate), times=1)
        asking = asyncio.create_task(get(http, url))
        await gate.reached.wait()
    if request.param == "kept":
        await get(http, url)
        await until_kept(http, url)
    yield Bed(url, package, origin, asking)
    gate.open()
    if asking is not None:
        assert package.sha256 == (await asking).sha256
    await until_idle(running)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=5000-5999", 5000, 6000),
        (f"bytes={3 * SEGMENT}-{3 * SEGMENT + 9}", 3 * SEGMENT, 3 * SEGMENT + 10),
        ("bytes=-1", -1, None),
        ("bytes=-22000", -22000, None),
        ("bytes=300000-99999999", 300000, None),
        (f"bytes=000300000-{'9' * 30}", 300000, None),
        (f"bytes=-{'0' * 30}22000", -22000, None),
    ],
)
async def test_range__of_a_file(bed: Bed, http: aiohttp.ClientSession, asked: str, start: int, end: int | None) -> None:
    """A part is a 206 with exactly its bytes, before the gate opens if the file is under way."""
    body = content(bed.package.body)
    expected = body[start:end]
    first = start if start >= 0 else len(body) + start

    got = await get(http, bed.url, range=asked)

    assert (206, expected) == (got.status, got.body)
    assert f"bytes {first}-{first + len(expected) - 1}/{len(body)}" == got.headers["content-range"]
    assert str(len(expected)) == got.headers["content-length"]
    assert f'"sha256:{bed.package.sha256}"' == got.headers["etag"]


_FAR = [f"bytes={'9' * digits}-" for digits in (18, 19, 23, 5000, 8000)]


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0", "bytes=99999999-999999999", *_FAR])
async def test_range__behind_the_end(bed: Bed, http: aiohttp.ClientSession, asked: str) -> None:
    """A range that begins behind the end is 416 and says how long the file is, whether it is here or not."""
    got = await get(http, bed.url, range=asked)

    assert (416, f"bytes */{bed.package.body.size}") == (got.status, got.headers["content-range"])


@pytest.mark.parametrize("bed", ["cold", "kept"], indirect=True)
@pytest.mark.parametrize("digits", [18, 19, 23, 8000])
@pytest.mark.parametrize("form", ["bytes=0-{}", "bytes=-{}"])
async def test_range__further_than_any_file(bed: Bed, http: aiohttp.ClientSession, form: str, digits: int) -> None:
    """A range that ends, or begins from the end, anywhere behind the file is all of it."""
    got = await get(http, bed.url, range=form.format("9" * digits))

    assert (206, bed.package.sha256) == (got.status, got.sha256)


async def test_head__of_a_file(bed: Bed, http: aiohttp.ClientSession) -> None:
    """HEAD says what GET would, without a body; a range does not count (RFC 9110 §14.2)."""
    for headers in ({}, {"range": "bytes=0-9"}):
        got = await get(http, bed.url, "HEAD", **headers)

        assert (200, b"", str(bed.package.body.size), f'"sha256:{bed.package.sha256}"') == (
            got.status,
            got.body,
            got.headers["content-length"],
            got.headers["etag"],
        )
        assert "bytes" == got.headers["accept-ranges"]


async def test_if_none_match__of_a_file(bed: Bed, http: aiohttp.ClientSession) -> None:
    """A client that has the file already is told so, without a body."""
    etag = f'"sha256:{bed.package.sha256}"'

    for value in (etag, f'"other", W/{etag}', "*"):
        got = await get(http, bed.url, if_none_match=value)
        assert (304, b"", etag) == (got.status, got.body, got.headers["etag"])


async def test_if_range__of_the_same_file(bed: Bed, http: aiohttp.ClientSession) -> None:
    """A client that goes on with what it has gets the rest."""
    got = await get(http, bed.url, range="bytes=100-199", if_range=f'"sha256:{bed.package.sha256}"')

    assert (206, content(bed.package.body)[100:200]) == (got.status, got.body)


@pytest.mark.parametrize("value", ['"sha256:0000"', "Wed, 01 Jan 2025 00:00:00 GMT", 'W/"sha256:{}"'])
@pytest.mark.parametrize("bed", ["cold", "kept"], indirect=True)
async def test_if_range__of_another_file(bed: Bed, http: aiohttp.ClientSession, value: str) -> None:
    """A client that has the beginning of another file gets all of this one (RFC 9110 §13.1.5: strong comparison)."""
    got = await get(http, bed.url, range="bytes=100-199", if_range=value.format(bed.package.sha256))

    assert (200, bed.package.sha256) == (got.status, got.sha256)


@pytest.mark.parametrize("bed", ["cold", "kept"], indirect=True)
@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "items=0-5"])
async def test_range__that_is_ignored(bed: Bed, http: aiohttp.ClientSession, asked: str) -> None:
    """Several ranges, and units that nobody knows, get the whole (RFC 9110 §14.2)."""
    got = await get(http, bed.url, range=asked)

    assert (200, bed.package.sha256) == (got.status, got.sha256)


@pytest.mark.parametrize("bed", ["cold", "kept"], indirect=True)
async def test_range__malformed(bed: Bed, http: aiohttp.ClientSession) -> None:
    """One range of bytes that cannot be read is an error."""
    assert 400 == (await get(http, bed.url, range="bytes = 0-1")).status


async def test_range__cold_does_not_fetch_the_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A look at the end of a large cold file costs those bytes upstream, not the file."""
    package = wheel(padding=3_000_000)
    origin.publish(package)
    running = await make_proxy(origin.url)

    got = await get(http, address(running, package), range="bytes=-10000")

    assert content(package.body)[-10000:] == got.body
    assert origin.sent_body_bytes(PATH + package.filename) <= 10001


async def test_range__tail_while_the_beginning_stands_still(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The end of a file under way comes before the gate opens that holds its beginning (invariant 3)."""
    package = wheel(padding=2_500_000)
    origin.publish(package)
    gate = Gate()
    origin.misbehave(PATH + package.filename, hold_body(500, gate), times=1)
    running = await make_proxy(origin.url)
    url = address(running, package)

    asking = asyncio.create_task(get(http, url))
    await gate.reached.wait()
    tail = await get(http, url, range="bytes=-1000")
    assert (206, content(package.body)[-1000:]) == (tail.status, tail.body)
    assert not asking.done()
    gate.open()
    assert package.sha256 == (await asking).sha256


@pytest.mark.parametrize("under_way", [True, False])
async def test_range__open_and_far_behind(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, under_way: bool
) -> None:
    """A client that resumes far into a cold file is not kept waiting for what comes before (invariant 3)."""
    body = Noise(40 << 20, 5)
    origin.file("/packages/demo-1.0.tar.gz", body)
    origin.page("/simple/demo/", [Link("demo-1.0.tar.gz", "/packages/demo-1.0.tar.gz")])
    gate = Gate()
    origin.misbehave(
        "/packages/demo-1.0.tar.gz", hold_body(500, gate), when=lambda asked: "=0-" in asked.headers.get("range", "=0-")
    )
    running = await make_proxy(origin.url, fetch={"connections": 1})
    url = f"{running.url}/pypi/packages/demo-1.0.tar.gz"
    asking = asyncio.create_task(get(http, url)) if under_way else None
    if asking:
        await gate.reached.wait()

    start = (40 << 20) - 3_000_000
    got = await get(http, url, range=f"bytes={start}-")

    assert (206, body.read(start, body.size)) == (got.status, got.body)
    gate.open()
    if asking:
        assert body.size == len((await asking).body)


async def test_range__of_what_is_there_already(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A part of a file under way that has arrived comes from the disk, not from upstream again."""
    package = wheel(padding=5 * SEGMENT)
    origin.publish(package)
    gate = Gate()
    origin.misbehave(
        PATH + package.filename, hold_body(10, gate), when=lambda asked: f"={3 * SEGMENT}-" in asked.headers["range"]
    )
    running = await make_proxy(origin.url, fetch=SMALL | {"connections": 1})
    url = address(running, package)
    async with http.get(url) as response:
        await response.content.readexactly(2 * SEGMENT)
        await gate.reached.wait()
        asked = origin.count(PATH + package.filename)
        got = await get(http, url, range="bytes=1000-1999")
        assert (206, content(package.body)[1000:2000], "shared") == (got.status, got.body, got.source)
        assert asked == origin.count(PATH + package.filename)
        gate.open()
        await response.content.read()


@pytest.mark.parametrize("connections", [1, 2, 6])
async def test_parallel__every_byte_once(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, connections: int
) -> None:
    """Connections in parallel take each segment once, and never more of them than are allowed."""
    package = wheel(padding=20 * SEGMENT)
    origin.publish(package)
    running = await make_proxy(origin.url, fetch=SMALL | {"connections": connections})

    got = await get(http, address(running, package))

    ranges = sorted(
        int(asked.headers["range"][6:].partition("-")[0]) for asked in origin.requests if "range" in asked.headers
    )
    assert package.sha256 == got.sha256
    assert list(range(0, package.body.size, SEGMENT)) == ranges
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)
    assert origin.accepted <= connections


async def test_parallel__segments_land_out_of_order(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A segment that comes last of all holds up only what lies behind it."""
    package = wheel(padding=9 * SEGMENT)
    origin.publish(package)
    gate = Gate()
    origin.misbehave(
        PATH + package.filename, hold_body(7, gate), when=lambda asked: f"={SEGMENT}-" in asked.headers["range"]
    )
    running = await make_proxy(origin.url, fetch=SMALL)

    async with http.get(address(running, package)) as response:
        early = await response.content.readexactly(SEGMENT)
        size = package.body.size
        await origin.until(lambda: origin.sent_body_bytes(PATH + package.filename) >= size - SEGMENT + 7)
        gate.open()
        rest = await response.content.read()

    assert content(package.body) == early + rest
    assert package.body.size == origin.sent_body_bytes(PATH + package.filename)


async def test_parallel__one_lane_breaks_each_time(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A connection that breaks inside its segment costs the client nothing."""
    package = wheel(padding=9 * SEGMENT)
    origin.publish(package)
    for number in (1, 4, 7):
        origin.misbehave(
            PATH + package.filename,
            faults.cut(20_000),
            times=1,
            when=lambda asked, at=number * SEGMENT: f"={at}-" in asked.headers["range"],  # type: ignore[misc]
        )
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert (package.sha256, False) == (got.sha256, got.broken)


async def test_parallel__sixty_clients_with_ranges_of_their_own(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Clients that ask for parts and for the whole at once all get what they asked for."""
    package = wheel(padding=9 * SEGMENT)
    origin.publish(package)
    running = await make_proxy(origin.url, fetch=SMALL)
    url, body = address(running, package), content(package.body)

    parts = [(start, start + 5000) for start in range(0, 600_000, 20_000)]
    wholes = [get(http, url) for _ in range(30)]
    answers = await asyncio.gather(*(get(http, url, range=f"bytes={start}-{end - 1}") for start, end in parts), *wholes)

    assert [body[start:end] for start, end in parts] == [got.body for got in answers[: len(parts)]]
    assert [package.sha256] * 30 == [got.sha256 for got in answers[len(parts) :]]


@pytest.mark.parametrize("bed", ["cold", "kept"], indirect=True)
async def test_range__that_is_all_of_it(bed: Bed, http: aiohttp.ClientSession) -> None:
    """A suffix longer than the file is the file, and brings it in as a request for the whole does."""
    got = await get(http, bed.url, range="bytes=-99999999")

    assert (206, bed.package.sha256) == (got.status, got.sha256)
    assert bed.package.body.size == bed.origin.sent_body_bytes(PATH + bed.package.filename)


@pytest.mark.parametrize("digits", [18, 23, 5000])
@pytest.mark.parametrize("where", ["an index", "an archive"])
async def test_range__of_an_unlisted_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, where: str, digits: int
) -> None:
    """A file of unknown size, of an index and of an archive: numbers mean the same, cold and kept."""
    host = f"{origin.host}:{origin.port}"
    running = await make_proxy(origin.url, fetch=SMALL, apt={"hosts": {host}})
    body = Noise(5 * SEGMENT)
    for number, (asked, status, expected) in enumerate(
        [
            (f"bytes={'9' * digits}-", 416, b""),
            (f"bytes=0-{'9' * digits}", 206, body.read(0, body.size)),
            (f"bytes=-{'9' * digits}", 206, body.read(0, body.size)),
            (f"bytes={'0' * 30}7-{'0' * digits}9", 206, body.read(7, 10)),
            (f"bytes=9-{'9' * digits}", 206, body.read(9, body.size)),
        ]
    ):
        name = f"{number}_1.0_amd64.deb" if where == "an archive" else f"a{number}-1.0.tar.gz"
        origin.file(f"/pool/{name}", body)
        url = f"{running.url}/{host}/pool/{name}" if where == "an archive" else f"{running.url}/pypi/pool/{name}"
        for _ in range(2):
            got = await get(http, url, range=asked)
            assert status == got.status, (asked[:20], got)
            if expected:
                assert expected == got.body
            await get(http, url)
            await until_kept(http, url)
