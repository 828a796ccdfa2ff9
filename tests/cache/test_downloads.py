"""Downloads: one flight for all who ask, kept under the digest, past the store where that fails."""

from __future__ import annotations

import asyncio

import pytest

from proxy.cache.downloads import Downloads
from proxy.cache.filling import Lanes
from proxy.cache.flight import Flight
from proxy.cache.following import follow, landing
from proxy.cache.passage import Passage
from proxy.errors import NotFound, StoreFull, UpstreamBroken, WrongBytes
from proxy.model import Blob, Event, Flying
from tests.cache.conftest import BODY, URL, HandClock, sha256, wanted
from tests.memory_store import MemoryStore
from tests.memory_upstream import Gate, MemoryUpstream, Scripted


class Bed:
    """Downloads, and what they report."""

    def __init__(self, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock) -> None:
        self.events: list[Event] = []
        self.downloads = Downloads(store, upstream, clock, self.events.append, Lanes(1, 100_000))


@pytest.fixture
def bed(store: MemoryStore, upstream: MemoryUpstream, clock: HandClock) -> Bed:
    """Downloads with one lane and segments of 100,000 bytes."""
    return Bed(store, upstream, clock)


async def body_of(flight: Flight) -> bytes:
    """All of a flight."""
    return b"".join([piece async for piece in follow(flight, 0)])


async def idle(bed: Bed) -> None:
    """Wait for the end of all flights."""
    while bed.events[-1] != Flying(0):
        await asyncio.sleep(0)


async def test_open__cold_then_kept(bed: Bed, upstream: MemoryUpstream) -> None:
    """The first asker begins a flight, a later one finds the blob."""
    upstream.on(URL, Scripted(BODY, ranges=True))

    flight, began = await bed.downloads.open(wanted())
    assert isinstance(flight, Flight)
    assert began
    assert BODY == await body_of(flight)
    await idle(bed)
    blob, began = await bed.downloads.open(wanted())

    assert isinstance(blob, Blob)
    assert (False, sha256(BODY)) == (began, blob.digest)
    assert len(BODY) == upstream.sent


async def test_open__joined_by_digest(bed: Bed, upstream: MemoryUpstream) -> None:
    """Two addresses of one digest share a flight, and both know the file afterwards."""
    gate = Gate()
    upstream.on(URL, Scripted(BODY, gate=gate))
    other = wanted(key="file:other", url="https://other.example/demo-1.0-py3-none-any.whl")

    first = asyncio.create_task(bed.downloads.open(wanted()))
    await gate.reached.wait()
    second = asyncio.create_task(bed.downloads.open(other))
    gate.open()
    flights = await asyncio.gather(first, second)

    assert flights[0][0] is flights[1][0]
    assert [True, False] == [began for _, began in flights]
    await idle(bed)
    assert await bed.downloads.kept(other) is not None


async def test_open__right_after_a_flight_ended(bed: Bed, upstream: MemoryUpstream) -> None:
    """An asker that comes in the very step in which a flight failed gets a flight of its own, that flies."""
    upstream.on(URL, Scripted(error=NotFound("no")), Scripted(BODY))
    with pytest.raises(NotFound):
        await bed.downloads.open(wanted())
    flight, _ = await bed.downloads.open(wanted())

    assert isinstance(flight, Flight)
    assert BODY == await body_of(flight)
    await idle(bed)


async def test_open__wrong_bytes_cool_down(bed: Bed, upstream: MemoryUpstream, clock: HandClock) -> None:
    """After wrong bytes the source rests for a second, then two; a right answer ends that."""
    upstream.on(URL, Scripted(b"x" * len(BODY)), Scripted(b"y" * len(BODY)), Scripted(BODY))
    for pause in (1.0, 2.0):
        flight, _ = await bed.downloads.open(wanted())
        assert isinstance(flight, Flight)
        with pytest.raises(WrongBytes):
            await landing(flight)
        await idle(bed)
        clock.advance(pause - 0.01)
        with pytest.raises(WrongBytes):
            await bed.downloads.open(wanted())
        clock.advance(0.02)

    flight, _ = await bed.downloads.open(wanted())
    assert isinstance(flight, Flight)
    assert BODY == await body_of(flight)
    await idle(bed)


@pytest.mark.parametrize("error", [NotFound("gone"), UpstreamBroken("broken")])
async def test_open__upstream_fails(bed: Bed, upstream: MemoryUpstream, error: NotFound | UpstreamBroken) -> None:
    """A failure before the first byte is every asker's."""
    upstream.on(URL, Scripted(error=error))

    results = await asyncio.gather(*(bed.downloads.open(wanted()) for _ in range(5)), return_exceptions=True)

    assert [type(error)] * 5 == [type(result) for result in results]
    assert 1 == upstream.count(URL)
    assert bed.downloads.running(wanted()) is None


async def test_open__no_room(upstream: MemoryUpstream, clock: HandClock) -> None:
    """Where the disk has no room the file goes past it, checked."""
    bed = Bed(MemoryStore(limit=1000), upstream, clock)
    upstream.on(URL, Scripted(BODY))

    passage, began = await bed.downloads.open(wanted())

    assert isinstance(passage, Passage)
    assert began
    assert BODY == b"".join([piece async for piece in passage.chunks()])
    await passage.close()


async def test_open__room_ends_on_the_way(upstream: MemoryUpstream, clock: HandClock) -> None:
    """A disk that fills in mid-download fails the flight, leaves nothing there, and the rest goes past it."""
    store = MemoryStore(limit=300_000)
    bed = Bed(store, upstream, clock)
    upstream.on(URL, Scripted(BODY, ranges=True))

    flight, _ = await bed.downloads.open(wanted(size=False))
    assert isinstance(flight, Flight)
    with flight.share() as descriptor:
        with pytest.raises(StoreFull):
            await landing(flight)
        rest = b"".join([piece async for piece in bed.downloads.rest(flight, descriptor, 50_000, len(BODY))])
    await idle(bed)

    assert BODY[50_000:] == rest
    assert not store.spools
    assert not store._kept


@pytest.mark.parametrize("ranges", [True, False])
async def test_rest__wrong_bytes(upstream: MemoryUpstream, clock: HandClock, ranges: bool) -> None:
    """The rest past the store is checked together with what the client has."""
    bed = Bed(MemoryStore(limit=300_000), upstream, clock)
    upstream.on(URL, Scripted(BODY, ranges=True))
    flight, _ = await bed.downloads.open(wanted(size=False))
    assert isinstance(flight, Flight)
    with flight.share() as descriptor:
        with pytest.raises(StoreFull):
            await landing(flight)
        upstream.on(URL, Scripted(BODY[:-1] + b"?", ranges=ranges))
        with pytest.raises(WrongBytes):
            _ = [piece async for piece in bed.downloads.rest(flight, descriptor, 50_000, len(BODY))]
    await idle(bed)


async def test_probe__size_only(bed: Bed, upstream: MemoryUpstream) -> None:
    """The size of a file costs one byte."""
    upstream.on(URL, Scripted(BODY, ranges=True))

    assert len(BODY) == (await bed.downloads.probe(wanted())).size
    assert (1, 0) == (upstream.sent, upstream.open)


async def test_close__flights_under_way(bed: Bed, upstream: MemoryUpstream, store: MemoryStore) -> None:
    """At the end flights are broken off, and what they brought is left for the next run."""
    gate = Gate()
    etag = {"etag": '"v"'}
    held = Scripted(BODY, ranges=True, headers=etag, body_gate=gate)
    upstream.on(URL, Scripted(BODY, ranges=True, headers=etag), held)
    flight, _ = await bed.downloads.open(wanted())
    assert isinstance(flight, Flight)
    await gate.reached.wait()

    await bed.downloads.close()

    assert flight.error is not None
    assert 0 == upstream.open
    spool = await store.spool(wanted().flight_key, len(BODY))
    assert spool.state is not None
    assert ((0, 100_000),) == spool.state.extents
    await spool.close(keep=False)
