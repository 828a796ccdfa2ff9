"""Where metadata comes from, when the ways to it fail or are silent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest

from proxy.cache.flight import WantedFile
from proxy.cache.representation import Representation
from proxy.errors import (
    NotFound,
    PullthroughError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
    WrongBytes,
)
from proxy.model import Digest, Kind, Outcome, Source, UpstreamRequest
from proxy.python.metadata import _BRIEF, _HOSTS, _MISSES, MOST_WAITS, Advertised, Later, in_time, patience
from tests.memory_upstream import Gate, Scripted
from tests.python.world import SITE, World, content
from tests.wheels import Package, wheel

PACKAGE = wheel(padding=300_000)
BODY, METADATA = content(PACKAGE), PACKAGE.metadata or b""
HASH = Digest("sha256", hashlib.sha256(METADATA).hexdigest())
ORIGIN = "https://index.example/"
FAILURES = [
    NotFound("gone"),
    Withheld("refused"),
    UpstreamDenied("refused"),
    UpstreamThrottled("busy"),
    UpstreamBroken("broken"),
    UpstreamTimeout("silent"),
    UpstreamUnreachable("away"),
    WrongBytes("a page"),
]
OFFERS: list[Advertised] = [None, True, HASH]


def url(package: Package = PACKAGE) -> str:
    """Where a wheel is upstream."""
    return f"{ORIGIN}p/{package.filename}"


async def get(
    world: World,
    advertised: Advertised = None,
    package: Package = PACKAGE,
    *,
    size: int | None = None,
    ahead: bool = False,
) -> tuple[bytes, Source]:
    """Metadata as a client gets it, and where it came from. `size` of the wheel, if its page gives that."""
    wanted = WantedFile(f"file:{package.filename}", url(package), SITE, size=size)
    key = f"{wanted.key}.metadata"
    body, source = await world.metadata.get(key, wanted, package.filename, advertised, ahead=ahead)
    if not isinstance(body, bytes):
        with world.store.lease(body) as descriptor, open(descriptor, "rb", closefd=False) as file:
            body = file.read()
    return body, source


def no_parts(error: PullthroughError) -> Callable[[UpstreamRequest], Scripted]:
    """A host that answers each range by an error, and the plain request by the file."""
    return lambda ask: Scripted(error=error) if "Range" in ask.headers else Scripted(BODY)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("advertised", OFFERS)
async def test_get__own_file_fails(world: World, failure: PullthroughError, advertised: Advertised) -> None:
    """However it fails, offered or not: the wheel's end has it."""
    world.upstream.on(f"{url()}.metadata", Scripted(error=failure))
    world.upstream.on(url(), Scripted(BODY, ranges=True))
    assert (METADATA, Source.UPSTREAM) == await get(world, advertised)
    assert world.upstream.sent < len(BODY)


@pytest.mark.parametrize("advertised", OFFERS)
async def test_get__own_file_is_silent(world: World, advertised: Advertised) -> None:
    """It is not waited for."""
    gate = Gate()
    world.upstream.on(f"{url()}.metadata", Scripted(METADATA, gate=gate))
    world.upstream.on(url(), Scripted(BODY, ranges=True))
    assert METADATA == (await get(world, advertised))[0]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("advertised", OFFERS)
async def test_get__parts_fail(world: World, failure: PullthroughError, advertised: Advertised) -> None:
    """However a host answers a range: the plain way comes last, and pages do not promise more of it."""
    world.upstream.on(url(), no_parts(failure))
    got = await get(world, advertised)
    assert (METADATA, False) == (got[0], world.offers.honours(ORIGIN))


async def test_get__parts_are_silent(world: World) -> None:
    """A host that is not known to give parts is not waited for; a short wheel is fetched beside, by a plain request."""
    gate = Gate()
    world.upstream.on(url(), lambda ask: Scripted(BODY, gate=gate if "Range" in ask.headers else None))
    assert METADATA == (await get(world, size=len(BODY)))[0]


def plain_requests(world: World) -> int:
    """How often the whole wheel was asked for."""
    return sum(ask.url == url() and "Range" not in ask.headers for ask in world.upstream.asks)


@pytest.mark.parametrize(
    ("advertised", "size"),
    [(HASH, len(BODY)), (HASH, _BRIEF + 1), (True, len(BODY)), (None, _BRIEF + 1), (None, None)],
)
@pytest.mark.parametrize("ahead", [True, False])
async def test_get__line_that_stalls(
    world: World, monkeypatch: pytest.MonkeyPatch, advertised: Advertised, size: int | None, ahead: bool
) -> None:
    """A wheel that is not short, or of which the index has the metadata, is not fetched for that."""
    monkeypatch.setattr("proxy.python.metadata._PATIENCE", 0)  # what is tried after some silence is tried at once
    own, parts = Gate(), Gate()
    world.upstream.on(f"{url()}.metadata", Scripted(METADATA, gate=own))
    world.upstream.on(url(), Scripted(BODY, ranges=True, gate=parts))
    asked = asyncio.create_task(get(world, advertised, size=size, ahead=ahead))
    await own.reached.wait()
    await parts.reached.wait()
    own.open()
    assert (METADATA, Source.UPSTREAM) == await asked
    assert (0, ()) == (plain_requests(world), world.downloads.under_way())


async def test_get__ahead_no_wheel_is_fetched(world: World) -> None:
    """Where parts cannot be had, only a client gets it out of the whole, and that of a very short wheel."""
    world.upstream.on(url(), no_parts(UpstreamThrottled("busy")))
    with pytest.raises(UpstreamThrottled):
        await get(world, ahead=True)
    assert 0 == plain_requests(world)
    assert METADATA == (await get(world))[0]
    assert 1 == plain_requests(world)

    small = wheel(version="2.0")
    world.upstream.on(url(small), Scripted(content(small)))
    assert small.metadata == (await get(world, package=small, size=len(content(small)), ahead=True))[0]


async def test_get__ahead_with_no_way_left(world: World) -> None:
    """Nothing is asked of a host that honours no ranges and has no metadata files."""
    world.offers.learn(ORIGIN, honoured=False)
    for _ in range(_MISSES):
        world.metadata._missed(ORIGIN)
    with pytest.raises(NotFound):
        await get(world, ahead=True)
    assert [] == world.upstream.asks


async def test_get__client_joins_what_goes_ahead(world: World) -> None:
    """What is under way is not asked for twice, whoever came first."""
    gate = Gate()
    world.upstream.on(f"{url()}.metadata", Scripted(METADATA, gate=gate))
    world.upstream.on(url(), Scripted(BODY, gate=Gate()))
    early = [asyncio.create_task(get(world, HASH, ahead=True)) for _ in range(2)]
    await gate.reached.wait()
    clients = [asyncio.create_task(get(world, HASH)) for _ in range(2)]
    await asyncio.sleep(0)
    gate.open()
    assert {METADATA} == {body for body, _ in await asyncio.gather(*early, *clients)}
    assert Source.SHARED is clients[0].result()[1]
    assert 1 == world.upstream.count(f"{url()}.metadata")


async def test_get__client_joins_what_fails_ahead(world: World) -> None:
    """For the client all is tried."""
    gate = Gate()
    world.upstream.on(f"{url()}.metadata", Scripted(error=NotFound("gone"), gate=gate))
    world.upstream.on(url(), no_parts(UpstreamBroken("broken")))
    early = asyncio.create_task(get(world, ahead=True))
    await gate.reached.wait()
    client = asyncio.create_task(get(world))
    await asyncio.sleep(0)
    gate.open()
    with pytest.raises(PullthroughError):
        await early
    assert METADATA == (await client)[0]


async def test_get__ahead_follows_a_client(world: World) -> None:
    """What a client has begun is not begun again."""
    gate = Gate()
    world.upstream.on(f"{url()}.metadata", Scripted(METADATA, gate=gate))
    world.upstream.on(url(), Scripted(BODY, gate=Gate()))
    client = asyncio.create_task(get(world, HASH))
    await gate.reached.wait()
    early = asyncio.create_task(get(world, HASH, ahead=True))
    await asyncio.sleep(0)
    gate.open()
    assert (await client)[0] == (await early)[0] == METADATA
    assert 1 == world.upstream.count(f"{url()}.metadata")


async def test_get__of_a_host_that_gives_parts(world: World) -> None:
    """It is known from then on."""
    world.upstream.on(url(), Scripted(BODY, ranges=True))
    await get(world)
    assert world.offers.honours(ORIGIN)


async def test_get__of_a_host_that_gives_no_parts(world: World) -> None:
    """It is not asked for parts again soon."""
    world.offers.learn(ORIGIN, honoured=False)
    world.upstream.on(url(), Scripted(BODY))
    assert METADATA == (await get(world))[0]
    assert 1 == world.upstream.count(url())


async def test_get__all_fail(world: World) -> None:
    """What the plain way says is told, and nothing is said of parts: there is no wheel."""
    assert world.offers.honours(ORIGIN) is None
    with pytest.raises(NotFound):
        await get(world)
    assert world.offers.honours(ORIGIN) is None


@pytest.mark.parametrize("body", [METADATA[:20], METADATA[:-3], METADATA + b"Requires-Dist: x", b"<html>"])
async def test_get__own_file_is_not_whole(world: World, body: bytes) -> None:
    """What was cut short is no metadata where nothing else tells: the wheel's is stored."""
    world.upstream.on(f"{url()}.metadata", Scripted(body))
    world.upstream.on(url(), Scripted(BODY, ranges=True))
    assert METADATA == (await get(world, advertised=True))[0]


async def test_get__own_file_without_an_end(world: World) -> None:
    """A body that ends with the connection may be cut anywhere: the wheel decides."""
    end = METADATA.index(b"Version: 1.0\n") + len(b"Version: 1.0\n")
    world.upstream.on(f"{url()}.metadata", Scripted(METADATA[:end], headers={"content-length": ""}))
    world.upstream.on(url(), Scripted(BODY, ranges=True))
    assert METADATA == (await get(world, advertised=True))[0]


async def test_get__hash_that_nothing_has(world: World) -> None:
    """Neither upstream's file nor the wheel's is given."""
    world.upstream.on(f"{url()}.metadata", Scripted(METADATA))
    world.upstream.on(url(), Scripted(BODY, ranges=True))
    with pytest.raises(WrongBytes):
        await get(world, Digest("sha256", "0" * 64))


async def test_get__wheel_that_has_none(world: World) -> None:
    """No page promises it again."""
    version = world.offers.version
    world.upstream.on(url(), Scripted(BODY.replace(b"dist-info/METADATA", b"dist-info/NO_DATA!"), ranges=True))
    with pytest.raises(NotFound):
        await get(world)
    assert version != world.offers.version


async def test_misses__are_bounded(world: World) -> None:
    """Of as many hosts as there may be."""
    for number in range(2 * _HOSTS):
        world.metadata._missed(f"https://h{number}.example/")
    assert _HOSTS == len(world.metadata._misses)


# Answers that take long

PIP = 'pip/26.3 {"ci":null}'
SHOWN = Representation(b"", Kind.METADATA, "pypi", "text/plain", "", None, Outcome.MISS, Source.UPSTREAM)


@pytest.mark.parametrize(("agent", "follows"), [(PIP, 30), ("poetry/2.5", 30), ("uv/0.9", 10), (None, 10)])
def test_patience__within_what_clients_follow(agent: str | None, follows: int) -> None:
    """The last redirect that a client follows leads to an answer that is waited for; the first ones come soon."""
    steps = [patience(waited, agent) for waited in range(follows)]
    assert steps[-1] is None
    assert 1.0 == steps[0]
    assert patience(MOST_WAITS, agent) is None


def test_patience__of_a_patient_client() -> None:
    """No answer takes longer than pip waits by itself, and all of them together take minutes."""
    steps = [seconds for waited in range(MOST_WAITS) if (seconds := patience(waited, PIP)) is not None]
    assert max(steps) < 15
    assert sum(steps) > 120


async def test_in_time__is_there() -> None:
    """What is there is given, and what fails is told."""

    async def there() -> Representation:
        return SHOWN

    async def fails() -> Representation:
        raise NotFound("gone")

    assert SHOWN is await in_time(there(), "a.whl.metadata", 0, None)
    with pytest.raises(NotFound):
        await in_time(fails(), "a.whl.metadata", 0, None)


async def test_in_time__takes_long() -> None:
    """The client is told where to wait on, by the name as it is in addresses."""

    async def never() -> Representation:
        await asyncio.Event().wait()
        return SHOWN

    assert Later("a-1%2Bcpu.whl.metadata?waited=3") == await in_time(never(), "a-1+cpu.whl.metadata", 2, None)
