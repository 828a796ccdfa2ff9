"""Several connections for one file: whatever happens to one of them, the file comes as it would by one alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.downloads import Downloads
from proxy.cache.flight import Flight, WantedFile, follow
from proxy.cache.lanes import Lanes
from proxy.errors import PullthroughError
from proxy.model import Blob, Digest, Site
from proxy.upstream.client import AiohttpUpstream
from tests import faults
from tests.answers import Answer, Request
from tests.bodies import Body, Flipped, Noise, sha256
from tests.conftest import MakeProxy
from tests.faults import Fault
from tests.flows.asking import SMALL, SteppedClock, address, get, until_idle
from tests.gates import Gate
from tests.memory_store import MemoryStore
from tests.origin import Limit, Origin
from tests.wheels import Package, wheel

PATH = "/packages/"
RATE = 2_000_000  # bytes a second for each connection: too few for one to be enough
SIZE = 20 << 16


@pytest.fixture
def package() -> Package:
    """A wheel of twenty segments."""
    return wheel(padding=SIZE)


REFUSALS = {
    "403": faults.status(403),
    "404": faults.status(404),
    "429": faults.status(429, retry_after="1"),
    "500": faults.status(500),
    "503": faults.status(503),
    "503 for an hour": faults.status(503, retry_after="3600"),
    "closed": faults.hang_up(),
    "reset": faults.hang_up(reset=True),
    "silence": faults.silent(),
    "page": faults.captive_portal(),
    "whole": faults.ignores_range(),
    "other tag": faults.headers(("ETag", '"another"')),
    "other part": faults.shifted_range(5),
    "no length": faults.headers(("Content-Range", "bytes 0-65535/*")),
    "cut": faults.cut(0),
    "cut later": faults.cut(30_000, reset=True),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("listed", [True, False])
async def test_limit__one_connection(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    refusal: str,
    listed: bool,
) -> None:
    """A host that answers one request at a time, in whatever way it refuses a second, gives the whole file."""
    publish(origin, package, listed=listed)
    origin.misbehave(PATH + package.filename, faults.throttled(RATE))
    origin.limit = Limit(1, REFUSALS[refusal])
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)
    if not (refusal == "other tag" and listed):  # that is none
        assert 1 <= origin.refused <= 16  # the longer it takes, the more often another one is tried
    await until_idle(running)


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_limit__resets_the_oldest(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, most: int
) -> None:
    """A host that resets the oldest connection when there is one too many gives the whole file."""
    publish(origin, package, listed=False)
    origin.misbehave(PATH + package.filename, faults.throttled(RATE))
    origin.limit = Limit(most)
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)
    assert origin.refused <= 20


async def test_limit__is_known_the_next_time(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """How many connections a host allows is learnt by one download, and the next one keeps to it."""
    origin.limit = Limit(2, faults.status(503))
    running = await make_proxy(origin.url, fetch=SMALL)
    refused = []
    for name in ("one", "two", "three"):
        package = wheel(name, padding=SIZE)
        publish(origin, package, listed=True)
        origin.misbehave(PATH + package.filename, faults.throttled(RATE))
        got = await get(http, address(running, package))
        assert package.sha256 == got.sha256
        await until_idle(running)
        refused.append(origin.refused)

    assert 1 <= refused[0] <= 4
    assert [refused[0]] * 3 == refused


async def test_limit__first_request_of_another_file(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file whose first request is refused, while others have the connections, has its turn."""
    packages = [wheel(name, padding=SIZE // 2) for name in ("one", "two", "three")]
    for package in packages:
        publish(origin, package, listed=True)
        origin.misbehave(PATH + package.filename, faults.throttled(RATE))
    origin.limit = Limit(1, faults.status(503))
    running = await make_proxy(origin.url, fetch=SMALL)

    answers = await asyncio.gather(*(get(http, address(running, package)) for package in packages))

    assert [package.sha256 for package in packages] == [got.sha256 for got in answers]


async def test_first_connection__dies_while_others_go_on(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """No connection is special: what the first one leaves, others bring."""
    publish(origin, package, listed=False)
    origin.misbehave(PATH + package.filename, faults.throttled(RATE))
    spoilt = count()

    def dies(request: Request, answer: Answer) -> Answer:
        return faults.cut(1000)(request, answer) if next(spoilt) == 3 else answer

    origin.misbehave(None, dies, when=lambda asked: "range" in asked.headers)
    running = await make_proxy(origin.url, fetch=SMALL)

    got = await get(http, address(running, package))

    assert (False, package.sha256) == (got.broken, got.sha256)


async def test_silent__until_the_read_timeout(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A range that got no answer in time is followed by a plain request; the next file is asked for so at once."""
    one, two = wheel("one", padding=SIZE), wheel("two", padding=SIZE)
    for package in (one, two):
        publish(origin, package, listed=True)
        origin.misbehave(PATH + package.filename, faults.silent(), when=lambda asked: "range" in asked.headers)
    running = await make_proxy(origin.url, fetch=SMALL | {"read_timeout": 0.2, "connect_timeout": 0.2})

    first, second = [await get(http, address(running, package)) for package in (one, two)]

    assert [(200, one.sha256), (200, two.sha256)] == [(got.status, got.sha256) for got in (first, second)]
    assert [2, 1] == [origin.count(PATH + package.filename) for package in (one, two)]


@pytest.mark.parametrize("which", ["first", "second", "further ones"])
@pytest.mark.parametrize("listed", [True, False])
async def test_silent__in_the_middle(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package, which: str, listed: bool
) -> None:
    """What a connection leaves that falls silent in the middle of its part comes by the others, or a new one."""
    publish(origin, package, listed=listed)
    origin.misbehave(PATH + package.filename, faults.throttled(RATE))
    arrived = count()

    def falls_silent(request: Request, answer: Answer) -> Answer:
        return faults.hold_body(1000, Gate())(request, answer) if next(arrived) == (which == "second") else answer

    if which == "further ones":
        origin.limit = Limit(1, faults.hold_body(1000, Gate()))
    else:
        origin.misbehave(None, falls_silent, when=lambda asked: "range" in asked.headers)
    running = await make_proxy(origin.url, fetch=SMALL | {"read_timeout": 600, "connect_timeout": 600})

    got = await get(http, address(running, package))

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)
    await until_idle(running)


async def test_silent__all_ranges_but_the_first(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, package: Package
) -> None:
    """In the end the file is asked for without a range."""
    publish(origin, package, listed=True)
    arrived = count()
    origin.misbehave(
        PATH + package.filename, faults.silent(), when=lambda asked: "range" in asked.headers and next(arrived) > 0
    )
    running = await make_proxy(origin.url, fetch=SMALL | {"read_timeout": 600, "connect_timeout": 600})

    got = await get(http, address(running, package))

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)


def publish(origin: Origin, package: Package, *, listed: bool) -> None:
    """Serve a package, with or without its digest."""
    origin.publish(package)
    if not listed:
        origin.page(f"/simple/{package.project}/", [faults_link(package)])


def faults_link(package: Package):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """A link that says nothing of size or digest."""
    from tests.pages import Link  # noqa: PLC0415

    return Link(package.filename, PATH + package.filename)


# ---------------------------------------------------------------------- any sequence of faults

WHOLE = Noise(10 << 16, 7)
OTHER = Flipped(WHOLE, 5 << 16)  # the next version of the file: as long, and one byte is another
TAG = '"one"'


async def downloaded(origin: Origin, digest: Digest | None) -> bytes:
    """What a client gets of the file by four connections, as far as it comes."""
    clock, store = SteppedClock(), MemoryStore()
    upstream = AiohttpUpstream(observer=lambda _: None, clock=clock, retries=0, read_timeout=5.0)
    downloads = Downloads(store, upstream, clock, lambda _: None, Lanes(4, 1 << 16))
    site = Site("pypi", f"{origin.url}/", "simple/", 600.0, frozenset({f"{origin.host}:{origin.port}"}))
    wanted = WantedFile("file", f"{origin.url}/file.whl", site, digest)
    received = bytearray()
    try:
        flight, _ = await downloads.open(wanted)
        assert isinstance(flight, Flight)
        async for piece in follow(flight, 0):
            received += piece
        if store.find("file") is None:
            while downloads.running(wanted):
                await asyncio.sleep(0)
        entry = store.find("file")
        blob = await downloads.stored(wanted)
        assert entry is not None
        assert isinstance(blob, Blob)
        assert hashed(bytes(received)) == blob.digest.value
    finally:
        await downloads.close()
        await upstream.close()
    return bytes(received)


def hashed(body: bytes) -> str:
    """The sha256 in hexadecimal."""
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(body).hexdigest()


def sequence(listed: list[str]) -> Fault:
    """Spoil the first answers so, one after another; later ones are right."""
    left: Iterator[str] = iter(listed)

    def fault(request: Request, answer: Answer) -> Answer:
        name = next(left, None)
        return answer if name is None else REFUSALS[name](request, answer)

    return fault


QUICK = sorted(set(REFUSALS) - {"silence"})
FILE = "/file.whl"


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(QUICK), max_size=12),
    st.integers(1, 3),
    st.booleans(),
)
def test_property__help_never_harms(listed: list[str], most: int, known: bool) -> None:
    """Whatever happens to those connections that are too many: the file comes whole and right."""

    async def run() -> bytes:
        async with Origin() as origin:
            origin.file(FILE, WHOLE, etag=TAG)
            origin.misbehave(FILE, faults.throttled(RATE))
            origin.limit = Limit(most, sequence(listed))
            return await downloaded(origin, Digest("sha256", sha256(WHOLE)) if known else None)

    assert sha256(WHOLE) == hashed(asyncio.run(run()))


SPOILT: dict[str, Callable[[Origin], Fault]] = {name: lambda _, name=name: REFUSALS[name] for name in QUICK} | {
    "new version": lambda origin: renewing(origin, OTHER, '"two"'),
    "new version of the same name": lambda origin: renewing(origin, OTHER, TAG),
    "old version": lambda origin: renewing(origin, WHOLE, TAG),
    "without tag": lambda _: faults.without_headers("ETag", "Last-Modified"),
    "chunked": lambda _: faults.chunked(),
    "until the end": lambda _: faults.until_close(),
}


def renewing(origin: Origin, body: Body, etag: str) -> Fault:
    """From the next request on upstream has this version."""

    def fault(_: Request, answer: Answer) -> Answer:
        origin.file(FILE, body, etag=etag)
        return answer

    return fault


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([None, *SPOILT]), max_size=10), st.booleans())
def test_property__right_or_broken(listed: list[str | None], known: bool) -> None:
    """Whatever happens to whichever connection: what arrives whole is one version of the file, and the promised one."""

    async def run() -> bytes | None:
        async with Origin() as origin:
            origin.file(FILE, WHOLE, etag=TAG)
            left = iter(listed)

            def fault(request: Request, answer: Answer) -> Answer:
                name = next(left, None)
                return faults.throttled(RATE)(request, SPOILT[name](origin)(request, answer) if name else answer)

            origin.misbehave(FILE, fault)
            try:
                return await downloaded(origin, Digest("sha256", sha256(WHOLE)) if known else None)
            except PullthroughError:
                return None

    body = asyncio.run(run())
    allowed = {sha256(WHOLE)} if known else {sha256(WHOLE), sha256(OTHER)}
    assert body is None or hashed(body) in allowed
