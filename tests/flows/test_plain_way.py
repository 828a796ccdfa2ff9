"""Whatever special way the cache asks: an odd answer ends in a plain request before it ends in an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest

from tests import faults
from tests.answers import Request
from tests.archive import Archive, deb
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.faults import Fault
from tests.flows.asking import SEGMENT, SMALL, SteppedClock, address, content, get, until_idle
from tests.flows.conftest import MakeClocked
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import Link
from tests.wheels import Package, wheel

PATH = "/packages/"
STATUSES = (400, 401, 403, 404, 405, 406, 410, 412, 416, 429, 451, 500, 501, 502, 503, 504)
ODD: dict[str, Fault] = {
    **{str(code): faults.status(code) for code in STATUSES},
    "closed": faults.hang_up(),
    "reset": faults.hang_up(reset=True),
    "no size": faults.headers(("Content-Range", "bytes 0-9/*")),
    "no part": faults.without_headers("Content-Range"),
    "other part": faults.shifted_range(10),
    "page": faults.captive_portal(),
    "no answer to it": faults.bare_304(),
}


@pytest.fixture
def package() -> Package:
    """A wheel of some segments."""
    return wheel(padding=5 * SEGMENT)


def ranged(request: Request) -> bool:
    """Requests with a range."""
    return "range" in request.headers


def publish(origin: Origin, package: Package, *, listed: bool) -> None:
    """Serve a package, with or without its digest."""
    origin.publish(package)
    if not listed:
        origin.page("/simple/demo/", [Link(package.filename, PATH + package.filename)])


ASKED: dict[str, tuple[dict[str, str], Callable[[bytes], bytes]]] = {
    "whole": ({}, lambda body: body),
    "part": ({"range": "bytes=1000-1999"}, lambda body: body[1000:2000]),
    "end": ({"range": "bytes=-1000"}, lambda body: body[-1000:]),
    "rest": ({"range": "bytes=300000-"}, lambda body: body[300_000:]),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("listed", [True, False])
async def test_odd__range_of_a_cold_file(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    odd: str,
    asked: str,
    listed: bool,
) -> None:
    """An upstream that answers ranges so, and plain requests rightly, is an upstream without ranges."""
    publish(origin, package, listed=listed)
    origin.misbehave(PATH + package.filename, ODD[odd], when=ranged)
    running = await make_proxy(origin.url, fetch=SMALL)
    headers, part = ASKED[asked]

    got = await get(http, address(running, package), **headers)

    assert (206 if headers else 200, part(content(package.body))) == (got.status, got.body)
    await until_idle(running)


@pytest.mark.parametrize("odd", ODD)
async def test_odd__head_of_a_cold_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, odd: str
) -> None:
    """The length of a file is told also where it cannot be asked for by a byte."""
    publish(origin, package, listed=False)
    origin.misbehave(PATH + package.filename, ODD[odd], when=ranged)
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package), "HEAD")

    assert (200, str(package.body.size)) == (got.status, got.headers["content-length"])


@pytest.mark.parametrize("asked", ASKED)
async def test_silent__range_of_a_cold_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, asked: str
) -> None:
    """An upstream that says nothing when it is asked for a range is one without ranges, long before it is a 504."""
    publish(origin, package, listed=asked != "end")
    origin.misbehave(PATH + package.filename, faults.silent(), when=ranged)
    running = await make_proxy(origin.url, fetch=SMALL | {"read_timeout": 600, "connect_timeout": 600})
    headers, part = ASKED[asked]

    got = await get(http, address(running, package), **headers)

    assert (206 if headers else 200, part(content(package.body))) == (got.status, got.body)
    await until_idle(running)


async def test_silent__missing_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """There, too, what a plain request gets is the answer."""
    publish(origin, package, listed=True)
    origin.remove(PATH + package.filename)
    origin.misbehave(PATH + package.filename, faults.silent(), when=ranged)
    running = await make_proxy(origin.url, fetch=SMALL | {"read_timeout": 600, "connect_timeout": 600})

    answers = [await get(http, address(running, package), **ASKED[asked][0]) for asked in ("whole", "part")]

    assert [404, 404] == [got.status for got in answers]


@pytest.mark.parametrize("asked", ["whole", "part"])
async def test_slow__with_whatever_it_is_asked(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, asked: str
) -> None:
    """An upstream that takes its time is asked beside, and sends nothing twice."""
    publish(origin, package, listed=True)
    range_gate, plain_gate = Gate(), Gate()
    path = PATH + package.filename
    origin.misbehave(path, faults.hold_head(range_gate), when=ranged)
    origin.misbehave(path, faults.hold_head(plain_gate), when=lambda request: not ranged(request))
    running = await make_proxy(origin.url, fetch=SMALL)
    headers, part = ASKED[asked]

    asking = asyncio.create_task(get(http, address(running, package), **headers))
    await plain_gate.reached.wait()
    range_gate.open()
    got = await asking

    assert part(content(package.body)) == got.body
    assert len(got.body) == origin.sent_body_bytes(path)
    await until_idle(running)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_silent__question_for_the_length(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, method: str
) -> None:
    """A byte that is asked for to learn a length, and does not come, is not waited for."""
    publish(origin, package, listed=False)
    origin.misbehave(PATH + package.filename, faults.silent(), when=lambda asked: "bytes=0-0" in str(asked.headers))
    running = await make_proxy(origin.url, fetch=SMALL | {"read_timeout": 600, "connect_timeout": 600})

    got = await get(http, address(running, package), method, range="bytes=-1000")

    expected = (206, content(package.body)[-1000:]) if method == "GET" else (200, b"")
    assert expected == (got.status, got.body)
    await until_idle(running)


@pytest.mark.parametrize("code", [403, 404, 410, 503])
@pytest.mark.parametrize("asked", ASKED)
async def test_clear_answer(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, code: int, asked: str
) -> None:
    """Where ranges were honoured before, what a file's request gets is the answer, and is asked for once."""
    publish(origin, package, listed=True)
    other = wheel("other", padding=2 * SEGMENT)
    origin.publish(other)
    origin.misbehave(PATH + package.filename, faults.status(code))
    running = await make_proxy(origin.url, fetch=SMALL)
    await get(http, address(running, other))
    await until_idle(running)

    got = await get(http, address(running, package), **ASKED[asked][0])

    assert (503 if code == 503 else 404) == got.status
    probed = asked == "end" and code == 503  # that the question for the length fails is told to nobody
    assert 1 + probed == origin.count(PATH + package.filename)


CONDITIONAL = (400, 403, 404, 405, 410, 412, 416, 500, 501, 502, 504)


def asks_whether(request: Request) -> bool:
    """Requests with a condition."""
    return "if-none-match" in request.headers or "if-modified-since" in request.headers


@pytest.mark.parametrize("code", CONDITIONAL)
async def test_odd__condition_of_a_page(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, clock: SteppedClock, code: int
) -> None:
    """An upstream that answers conditions by an error does not freeze its pages as they were first seen."""
    running = await make_clocked(origin.url)
    origin.publish(wheel())
    await get(http, f"{running.url}/pypi/simple/demo/")
    origin.publish(wheel(), wheel(version="2.0"))
    origin.misbehave("/simple/demo/", faults.status(code), when=asks_whether)
    clock.advance(601)

    got = await get(http, f"{running.url}/pypi/simple/demo/")

    assert (200, "miss") == (got.status, got.source)
    assert b"demo-2.0" in got.body


async def test_silent__condition_of_a_page(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, clock: SteppedClock
) -> None:
    """Nor does one that says nothing to them."""
    running = await make_clocked(origin.url, fetch={"read_timeout": 0.2})
    origin.publish(wheel())
    await get(http, f"{running.url}/pypi/simple/demo/")
    origin.publish(wheel(), wheel(version="2.0"))
    origin.misbehave("/simple/demo/", faults.silent(), when=asks_whether)
    clock.advance(601)

    got = await get(http, f"{running.url}/pypi/simple/demo/")

    assert (200, "miss") == (got.status, got.source)
    assert b"demo-2.0" in got.body


@pytest.mark.parametrize("code", CONDITIONAL)
async def test_odd__condition_of_a_file(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, clock: SteppedClock, code: int
) -> None:
    """Nor files that it replaces under their names."""
    running = await make_clocked(origin.url, mount={"volatile": ("nightly/",)})
    old, new, path = wheel(), wheel(padding=1000), "nightly/demo-1.0-py3-none-any.whl"
    origin.file(f"/{path}", old.body)
    await get(http, f"{running.url}/pypi/{path}")
    await until_idle(running)
    origin.file(f"/{path}", new.body)
    origin.misbehave(f"/{path}", faults.status(code), when=asks_whether)
    clock.advance(601)

    got = await get(http, f"{running.url}/pypi/{path}")

    assert (200, new.sha256) == (got.status, got.sha256)
    await until_idle(running)


@pytest.mark.parametrize("code", CONDITIONAL)
async def test_odd__condition_of_a_suite(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, clock: SteppedClock, code: int
) -> None:
    """Nor the suites of an archive."""
    running = await make_clocked(origin.url, apt={"hosts": [f"{origin.host}:{origin.port}"]})
    address = f"{running.url}/{origin.host}:{origin.port}/debian/dists/stable/InRelease"
    archive = Archive(origin)
    archive.publish(deb("demo", Noise(1000)))
    before = await get(http, address)
    archive.publish(deb("demo", Noise(1000)), deb("other", Noise(1000)))
    origin.misbehave("/debian/dists/stable/InRelease", faults.status(code), when=asks_whether)
    clock.advance(601)

    got = await get(http, address)

    assert 200 == got.status
    assert got.sha256 != before.sha256
