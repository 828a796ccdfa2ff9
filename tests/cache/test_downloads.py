"""Downloads: one flight for all who want a file, stored under its digest, past the store where that fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from msgspec import structs

from proxy.cache import retry_policy, settling
from proxy.cache.downloads import Downloads
from proxy.cache.flight import Flight, Location, WantedFile, follow
from proxy.cache.lanes import Lanes
from proxy.cache.passthrough import Passthrough
from proxy.errors import (
    Crowded,
    NotAllowed,
    NotFound,
    PullthroughError,
    StoreFull,
    TooLargeAhead,
    UpstreamBroken,
    UpstreamError,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongBytes,
)
from proxy.events import Event, Flying
from proxy.model import Blob, Source
from tests.cache.conftest import BODY, SITE, URL, HandClock, sha256, wanted
from tests.memory_store import MemoryStore
from tests.memory_upstream import Gate, MemoryUpstream, Scripted

SIBLING = "https://sibling.example/demo-1.0-py3-none-any.whl"
THIRD = "https://third.example/demo-1.0-py3-none-any.whl"


class Bed:
    """Downloads, and what they report."""

    def __init__(self, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock) -> None:
        self.events: list[Event] = []
        self.downloads = Downloads(store, upstream, clock, self.events.append, Lanes(1, 100_000))


MakeBed = Callable[[MemoryStore], Bed]


@pytest.fixture
async def make_bed(upstream: MemoryUpstream, clock: HandClock) -> AsyncIterator[MakeBed]:
    """Makes downloads into a store."""
    made: list[Bed] = []

    def make(store: MemoryStore) -> Bed:
        made.append(Bed(store, upstream, clock))
        return made[-1]

    yield make
    for bed in made:
        await bed.downloads.close()


@pytest.fixture
def bed(make_bed: MakeBed, store: MemoryStore) -> Bed:
    """Downloads with one lane and segments of 100,000 bytes."""
    return make_bed(store)


async def body_of(flight: Flight) -> bytes:
    """All of a flight."""
    return b"".join([piece async for piece in follow(flight, 0)])


async def idle(bed: Bed) -> None:
    """Wait for the end of all flights."""
    while [event for event in bed.events if isinstance(event, Flying)][-1] != Flying(0):
        await asyncio.sleep(0)


async def test_open__cold_then_kept(bed: Bed, upstream: MemoryUpstream) -> None:
    """The first caller starts a flight, a later one finds the blob."""
    upstream.on(URL, Scripted(BODY, ranges=True))

    flight, source = await bed.downloads.open(wanted())
    assert isinstance(flight, Flight)
    assert Source.UPSTREAM is source
    assert BODY == await body_of(flight)
    await idle(bed)
    blob, source = await bed.downloads.open(wanted())

    assert isinstance(blob, Blob)
    assert (Source.CACHE, sha256(BODY)) == (source, blob.digest)
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
    assert [Source.UPSTREAM, Source.SHARED] == [source for _, source in flights]
    await idle(bed)
    assert await bed.downloads.stored(other) is not None


async def test_open__right_after_a_flight_ended(bed: Bed, upstream: MemoryUpstream) -> None:
    """A caller that comes in the very step in which a flight failed gets a flight of its own, which works."""
    missing = Scripted(error=NotFound("no"))
    upstream.on(URL, missing, missing, Scripted(BODY))
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
            await flight.ended()
        await idle(bed)
        clock.advance(pause - 0.01)
        with pytest.raises(WrongBytes):
            await bed.downloads.open(wanted())
        clock.advance(0.02)

    flight, _ = await bed.downloads.open(wanted())
    assert isinstance(flight, Flight)
    assert BODY == await body_of(flight)
    await idle(bed)


async def test_open__wrong_bytes_and_a_flight_from_elsewhere(bed: Bed, upstream: MemoryUpstream) -> None:
    """While one address cools down, its clients follow the flight that brings the same bytes from another one."""
    gate = Gate()
    upstream.on(URL, Scripted(b"x" * len(BODY)))
    upstream.on(SIBLING, Scripted(BODY, gate=gate))
    flight, _ = await bed.downloads.open(wanted())
    assert isinstance(flight, Flight)
    with pytest.raises(WrongBytes):
        await flight.ended()
    await idle(bed)
    other = asyncio.create_task(bed.downloads.open(wanted(key="file:sibling", url=SIBLING)))
    await gate.reached.wait()
    opened = asyncio.create_task(bed.downloads.open(wanted()))
    gate.open()
    flight, source = await opened
    assert isinstance(flight, Flight)
    assert (BODY, Source.SHARED) == (await body_of(flight), source)
    await other
    await idle(bed)


async def test_open__wrong_bytes_of_one_version(bed: Bed, upstream: MemoryUpstream, clock: HandClock) -> None:
    """Only that file is not fetched again from there, and no longer than upstream's word counts."""
    brief = replace(wanted(), site=structs.replace(SITE, ttl=0.5))
    other = BODY[::-1]
    upstream.on(URL, Scripted(b"x" * len(BODY)), Scripted(other), Scripted(BODY))
    flight, _ = await bed.downloads.open(brief)
    assert isinstance(flight, Flight)
    with pytest.raises(WrongBytes):
        await flight.ended()
    await idle(bed)
    with pytest.raises(WrongBytes):
        await bed.downloads.open(brief)

    flight, _ = await bed.downloads.open(replace(brief, digest=sha256(other)))
    assert isinstance(flight, Flight)
    assert other == await body_of(flight)
    await idle(bed)
    clock.advance(0.5)
    flight, _ = await bed.downloads.open(brief)
    assert isinstance(flight, Flight)
    assert BODY == await body_of(flight)
    await idle(bed)


@pytest.mark.parametrize("error", [NotFound("gone"), UpstreamBroken("broken")])
async def test_open__upstream_fails(bed: Bed, upstream: MemoryUpstream, error: NotFound | UpstreamBroken) -> None:
    """A failure before the first byte, with and without a range, is every caller's."""
    upstream.on(URL, Scripted(error=error))

    results = await asyncio.gather(*(bed.downloads.open(wanted()) for _ in range(5)), return_exceptions=True)

    assert [type(error)] * 5 == [type(result) for result in results]
    assert [True, False] == ["Range" in ask.headers for ask in upstream.asks]
    assert bed.downloads.running(wanted()) is None


async def test_open__no_room(make_bed: MakeBed, upstream: MemoryUpstream) -> None:
    """Where the disk has no room the file goes past it, checked."""
    bed = make_bed(MemoryStore(limit=1000))
    upstream.on(URL, Scripted(BODY))

    passthrough, source = await bed.downloads.open(wanted())

    assert isinstance(passthrough, Passthrough)
    assert Source.UPSTREAM is source
    assert BODY == b"".join([piece async for piece in passthrough.chunks()])
    await passthrough.close()


async def test_open__room_ends_on_the_way(make_bed: MakeBed, upstream: MemoryUpstream) -> None:
    """A disk that fills in mid-download fails the flight, leaves nothing there, and the rest goes past it."""
    store = MemoryStore(limit=300_000)
    bed = make_bed(store)
    upstream.on(URL, Scripted(BODY, ranges=True))

    flight, _ = await bed.downloads.open(wanted(size=False))
    assert isinstance(flight, Flight)
    with flight.share() as descriptor:
        with pytest.raises(StoreFull):
            await flight.ended()
        rest = b"".join([piece async for piece in bed.downloads.rest(flight, descriptor, 50_000, len(BODY))])
    await idle(bed)

    assert BODY[50_000:] == rest
    assert not store.spools
    assert not store._left_over


@pytest.mark.parametrize("ranges", [True, False])
async def test_rest__wrong_bytes(make_bed: MakeBed, upstream: MemoryUpstream, ranges: bool) -> None:
    """The rest past the store is checked together with what the client has."""
    bed = make_bed(MemoryStore(limit=300_000))
    upstream.on(URL, Scripted(BODY, ranges=True))
    flight, _ = await bed.downloads.open(wanted(size=False))
    assert isinstance(flight, Flight)
    with flight.share() as descriptor:
        with pytest.raises(StoreFull):
            await flight.ended()
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


# Stored a moment later


def deferred(number: int, body: bytes) -> WantedFile:
    """One of several files that may be stored together."""
    url = f"https://files.example/{number}"
    return replace(wanted(body, key=f"file:{number}", url=url), deferred=True)


async def test_deferred__stored_together(bed: Bed, upstream: MemoryUpstream, store: MemoryStore) -> None:
    """Clients have all of each file before any is stored; then all are, by themselves."""
    files = [deferred(number, bytes([number]) * 1000) for number in range(3)]
    for number, file in enumerate(files):
        upstream.on(file.url, Scripted(bytes([number]) * 1000))
    flights = [(await bed.downloads.open(file))[0] for file in files]
    for flight in flights:
        assert isinstance(flight, Flight)
        await flight.ended()
        await body_of(flight)
    assert [None] * 3 == [store.find(file.key) for file in files]
    await idle(bed)
    assert None not in [store.find(file.key) for file in files]


@pytest.mark.parametrize("ahead", [False, True])
async def test_deferred__wanted_again(bed: Bed, upstream: MemoryUpstream, ahead: bool) -> None:
    """Whoever wants a file that a client has gets what is stored; the client for whom it came ahead gets it at once."""
    file = deferred(1, BODY)
    upstream.on(file.url, Scripted(BODY))
    flight, _ = await bed.downloads.open(file, ahead=ahead)
    assert isinstance(flight, Flight)
    await flight.ended()
    await asyncio.sleep(0)

    again, source = await bed.downloads.open(file)

    assert (again is flight, source) == ((True, Source.SHARED) if ahead else (False, Source.CACHE))
    assert isinstance(await bed.downloads.stored(file), Blob)
    assert len(BODY) == upstream.sent


async def test_deferred__close(bed: Bed, upstream: MemoryUpstream, store: MemoryStore) -> None:
    """What is whole at the end is stored, and not fetched again."""
    file = deferred(1, BODY)
    upstream.on(file.url, Scripted(BODY))
    flight, _ = await bed.downloads.open(file)
    assert isinstance(flight, Flight)
    await flight.ended()
    await asyncio.sleep(0)
    await bed.downloads.close()
    assert store.find(file.key) is not None


async def test_deferred__makes_room_for_others(
    upstream: MemoryUpstream, store: MemoryStore, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that only waits for others to be stored with does not keep the next one from being fetched."""
    monkeypatch.setattr(settling, "_GATHER", 3600.0)
    downloads = Downloads(store, upstream, clock, lambda _: None, Lanes(1, 100_000, downloads=2, turn=3600.0))
    gate = Gate()
    flights = []
    for number in range(3):
        body = BODY[number:]
        file = deferred(number, body)
        upstream.on(file.url, Scripted(body, body_gate=gate if number == 1 else None, gate_at=100))
        flight, _ = await downloads.open(file)
        assert isinstance(flight, Flight)
        flights.append(flight)
        if number != 1:
            await flight.ended()
    assert store.find("file:0") is not None
    gate.open()
    await flights[1].ended()
    await downloads.close()
    assert [True] * 3 == [store.find(f"file:{number}") is not None for number in range(3)]


async def test_deferred__no_slot_left(
    upstream: MemoryUpstream, store: MemoryStore, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all slots are taken a file is stored at once: the next download may wait for its slot."""
    monkeypatch.setattr(settling, "_GATHER", 3600.0)
    downloads = Downloads(store, upstream, clock, lambda _: None, Lanes(1, 100_000, downloads=1, turn=3600.0))
    file = deferred(0, BODY)
    upstream.on(file.url, Scripted(BODY))
    flight, _ = await downloads.open(file)
    assert isinstance(flight, Flight)
    await flight.ended()
    while downloads.under_way():
        await asyncio.sleep(0)
    assert store.find("file:0") is not None
    await downloads.close()


async def test_room__those_that_are_whole(bed: Bed, upstream: MemoryUpstream) -> None:
    """A file that waits to be stored takes no connection of its host."""
    file = deferred(1, BODY)
    upstream.on(file.url, Scripted(BODY))
    bed.downloads.host_limits.take(file.url)
    bed.downloads.host_limits.refused(file.url)
    flight, _ = await bed.downloads.open(file)
    assert isinstance(flight, Flight)
    await flight.ended()
    assert [flight] == list(bed.downloads.under_way())
    bed.downloads.host_limits.leave(file.url, answered=False)
    assert 1 == bed.downloads.room(file.url)
    await idle(bed)


# Other locations


def spread(*urls: str, size: bool = True) -> WantedFile:
    """A wanted file that is at other locations too."""
    return replace(wanted(size=size), others=tuple(Location(url, SITE) for url in urls or (SIBLING,)))


async def brought(bed: Bed, file: WantedFile) -> bytes:
    """All of a file that has to be fetched."""
    flight, _ = await bed.downloads.open(file)
    assert isinstance(flight, Flight)
    body = await body_of(flight)
    await idle(bed)
    return body


@pytest.mark.parametrize(
    ("error", "asked"),
    [(UpstreamUnreachable("away"), 1), (UpstreamBroken("broken"), 2), (NotFound("gone"), 2), (NotAllowed("closed"), 1)],
)
async def test_locations__first_fails(bed: Bed, upstream: MemoryUpstream, error: PullthroughError, asked: int) -> None:
    """A file whose host fails, also without a range, comes from the next location, and is stored under its address."""
    upstream.on(URL, Scripted(error=error))
    upstream.on(SIBLING, Scripted(BODY, ranges=True))
    assert BODY == await brought(bed, spread())
    assert (asked, len(BODY)) == (upstream.count(URL), upstream.sent)
    blob = await bed.downloads.stored(wanted())
    assert blob is not None
    assert sha256(BODY) == blob.digest


async def test_locations__only_as_many_as_needed(bed: Bed, upstream: MemoryUpstream) -> None:
    """While its own host gives the file, no other one is asked."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    assert BODY == await brought(bed, spread(SIBLING, THIRD))
    assert {URL} == {ask.url for ask in upstream.asks}


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("length", [{}, {"content-length": "unknown"}])
async def test_locations__first_breaks_in_the_middle(
    bed: Bed, upstream: MemoryUpstream, length: dict[str, str], ranges: bool, size: bool
) -> None:
    """The rest comes from the next location, whatever its validators, and whether or not it honours ranges."""
    told = {"etag": '"here"', **length}
    upstream.on(URL, Scripted(BODY, headers=told, cut=160_000), Scripted(error=NotFound("gone")))
    upstream.on(SIBLING, Scripted(BODY, ranges=ranges, headers={"etag": '"there"'}))
    assert BODY == await brought(bed, spread(size=size))
    assert len(BODY) + (0 if ranges else 160_000) == upstream.sent


async def test_locations__each_gives_a_part(bed: Bed, upstream: MemoryUpstream) -> None:
    """A file may come from three locations, one after the other."""
    for url, cut in ((URL, 50_000), (SIBLING, 60_000)):
        upstream.on(url, Scripted(BODY, ranges=True, cut=cut), Scripted(error=NotFound("gone")))
    upstream.on(THIRD, Scripted(BODY, ranges=True))
    assert BODY == await brought(bed, spread(SIBLING, THIRD))
    assert len(BODY) == upstream.sent


async def test_locations__of_which_one_has_another_file(bed: Bed, upstream: MemoryUpstream) -> None:
    """The rest of another file makes wrong bytes: the client does not get the end, and nothing is stored."""
    upstream.on(URL, Scripted(BODY, ranges=True, cut=60_000), Scripted(error=NotFound("gone")))
    upstream.on(SIBLING, Scripted(BODY[::-1], ranges=True))
    with pytest.raises(WrongBytes):
        await brought(bed, spread())
    await idle(bed)
    assert await bed.downloads.stored(spread()) is None


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/html"}])
async def test_locations__first_sends_wrong_bytes(bed: Bed, upstream: MemoryUpstream, headers: dict[str, str]) -> None:
    """Wrong bytes are reported, not replaced behind the index's back."""
    upstream.on(URL, Scripted(b"x" * len(BODY), headers=headers))
    upstream.on(SIBLING, Scripted(BODY))
    with pytest.raises(WrongBytes):
        await brought(bed, spread())
    await idle(bed)
    assert 0 == upstream.count(SIBLING)


async def test_locations__known_to_be_down(bed: Bed, upstream: MemoryUpstream) -> None:
    """A location that is known to be down is tried last."""
    upstream.on(URL, Scripted(BODY))
    upstream.on(SIBLING, Scripted(error=UpstreamBroken("broken")))
    upstream.on(THIRD, Scripted(error=UpstreamBroken("broken")))
    upstream.down_urls |= {URL, SIBLING}
    assert BODY == await brought(bed, spread(SIBLING, THIRD))
    assert [THIRD, THIRD, URL] == [ask.url for ask in upstream.asks]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("other", [NotFound("gone"), NotAllowed("closed"), UpstreamBroken("broken")])
async def test_locations__all_fail(bed: Bed, upstream: MemoryUpstream, down: bool, other: PullthroughError) -> None:
    """The failure is that of the file's own host: a host that is away is never reported as a missing file."""
    upstream.on(URL, Scripted(error=UpstreamUnreachable("away")))
    upstream.on(SIBLING, Scripted(error=other))
    if down:
        upstream.down_urls.add(URL)
    with pytest.raises(UpstreamUnreachable):
        await bed.downloads.open(spread())
    with pytest.raises(UpstreamUnreachable):
        await bed.downloads.pass_through(spread(), 0, 10)
    assert 2 == upstream.count(URL) <= upstream.count(SIBLING)


async def moved(
    bed: Bed, upstream: MemoryUpstream, answers: int, rounds: int
) -> tuple[PullthroughError | None, list[str]]:
    """A file whose address is good for so many answers; how it ends, and the addresses that are said to be expired.

    After so many rounds an address is good for nothing from the start.
    """
    asked: list[str] = []

    def sign(number: int) -> str:
        url = f"https://files.example/{number}/demo-1.0-py3-none-any.whl"
        good = iter(range(answers if number < rounds else 0))
        expired = Scripted(error=NotFound("expired"))
        upstream.on(url, lambda _: expired if next(good, None) is None else Scripted(BODY, ranges=True))
        return url

    async def again(expired: str) -> Location:
        asked.append(expired)
        return Location(sign(len(asked)), SITE)

    file = replace(wanted(url=sign(0)), again=again)
    flight, _ = await bed.downloads.open(file)
    assert isinstance(flight, Flight)
    try:
        assert BODY == await body_of(flight)
    except PullthroughError as error:
        return error, asked
    finally:
        await idle(bed)
    return None, asked


async def test_again__as_often_as_it_expires(
    bed: Bed, upstream: MemoryUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that is good for a part of the file is followed by the next one, which is told of it."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    error, asked = await moved(bed, upstream, 2, 9)
    assert error is None
    assert [f"https://files.example/{number}/demo-1.0-py3-none-any.whl" for number in range(2)] == asked
    assert len(BODY) == upstream.sent


async def test_again__until_it_brings_nothing(
    bed: Bed, upstream: MemoryUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new address that gives nothing is the last one."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    error, asked = await moved(bed, upstream, 1, 2)
    assert isinstance(error, NotFound)
    assert 2 == len(asked)


async def test_past__other_place(bed: Bed, upstream: MemoryUpstream) -> None:
    """A range goes elsewhere too; the connection of the one that failed is let go."""
    upstream.on(URL, Scripted(BODY))  # gives no parts
    upstream.on(SIBLING, Scripted(BODY, ranges=True))
    passthrough = await bed.downloads.pass_through(spread(), 100, 200)
    assert BODY[100:200] == b"".join([piece async for piece in passthrough.chunks()])
    await passthrough.close()
    assert (100, 0) == (upstream.sent, upstream.open)


async def test_rest__from_another_place(make_bed: MakeBed, upstream: MemoryUpstream) -> None:
    """The disk fills, then the host goes: the rest comes from where else the same bytes are."""
    bed = make_bed(MemoryStore(limit=300_000))
    upstream.on(URL, Scripted(BODY, ranges=True, headers={"etag": '"here"'}))
    upstream.on(SIBLING, Scripted(BODY, ranges=True, headers={"etag": '"there"'}))
    flight, _ = await bed.downloads.open(spread(size=False))
    assert isinstance(flight, Flight)
    with flight.share() as descriptor:
        with pytest.raises(StoreFull):
            await flight.ended()
        upstream.on(URL, Scripted(error=UpstreamUnreachable("away")))
        rest = b"".join([piece async for piece in bed.downloads.rest(flight, descriptor, 50_000, len(BODY))])
    await idle(bed)
    assert BODY[50_000:] == rest


# What is not stored, and what is stored no more


@pytest.mark.parametrize("honoured", [True, False])
async def test_open__marked_no_store(bed: Bed, upstream: MemoryUpstream, store: MemoryStore, honoured: bool) -> None:
    """What upstream marks `no-store` is passed on and dropped, where the settings say so."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers={"cache-control": "private, No-Store"}))
    site = structs.replace(SITE, honour_no_store=honoured)
    assert BODY == await brought(bed, replace(wanted(), site=site))
    assert honoured is (await bed.downloads.stored(wanted()) is None)
    assert ({}, {}) == (store.spools, store._left_over)


async def test_open__no_store_is_the_word_of_the_place(bed: Bed, upstream: MemoryUpstream) -> None:
    """What the index that answered wants counts, not what the one does that was asked first."""
    upstream.on(URL, Scripted(error=NotFound("gone")))
    upstream.on(SIBLING, Scripted(BODY, headers={"cache-control": "no-store"}))
    strict = structs.replace(SITE, mount="strict", honour_no_store=True)
    assert BODY == await brought(bed, replace(wanted(), others=(Location(SIBLING, strict),)))
    assert await bed.downloads.stored(wanted()) is None


async def test_open__renewed(bed: Bed, upstream: MemoryUpstream, store: MemoryStore) -> None:
    """What is stored under the key is not used when it is another file; the new one replaces it."""
    upstream.on(URL, Scripted(BODY), Scripted(BODY[::-1], headers={"etag": '"two"'}))
    await brought(bed, wanted(None))
    renewing = replace(wanted(None), renew=True)
    assert await bed.downloads.stored(renewing) is None
    assert BODY[::-1] == await brought(bed, renewing)
    entry = store.find(wanted().key)
    assert entry is not None
    assert (sha256(BODY[::-1]), '"two"') == (entry.digest, entry.validator.etag)
    assert store.blob(sha256(BODY)) is None


@pytest.mark.parametrize("algorithm", ["md5", "sha512"])
async def test_kept__by_a_hash_that_names_no_blob(bed: Bed, upstream: MemoryUpstream, algorithm: str) -> None:
    """Another algorithm than sha256 finds the file by its address."""
    import hashlib  # noqa: PLC0415 the only use

    from proxy.model import Digest  # noqa: PLC0415 the only use

    upstream.on(URL, Scripted(BODY))
    digest = Digest(algorithm, hashlib.new(algorithm, BODY, usedforsecurity=False).hexdigest())
    file = replace(wanted(None), digest=digest)
    assert BODY == await brought(bed, file)
    blob = await bed.downloads.stored(file)
    assert blob is not None
    assert sha256(BODY) == blob.digest


@pytest.mark.parametrize("other", [BODY, b"?" + BODY[1:]])
async def test_locations__of_a_file_without_a_digest(bed: Bed, upstream: MemoryUpstream, other: bytes) -> None:
    """Another location continues what one began only if all bytes on disk are the same there."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers={"etag": '"a"'}), Scripted(error=NotFound("gone")))
    upstream.on(SIBLING, Scripted(other, ranges=True, headers={"etag": '"b"'}))
    file = replace(wanted(None), others=(Location(SIBLING, SITE),))
    if other == BODY:
        assert BODY == await brought(bed, file)
    else:
        with pytest.raises(NotFound):
            await brought(bed, file)
        await idle(bed)


# Bounds


async def test_open__as_many_as_there_may_be(upstream: MemoryUpstream, store: MemoryStore, clock: HandClock) -> None:
    """One download more than there may be waits for its turn, and passes the store when that takes long."""
    events: list[Event] = []
    downloads = Downloads(store, upstream, clock, events.append, Lanes(1, 100_000, downloads=2, turn=1.0))
    gate = Gate()
    urls = [f"https://files.example/{number}.bin" for number in range(4)]
    for url in urls:
        upstream.on(url, Scripted(BODY, gate=gate if url in urls[:2] else None))
    wishes = [wanted(None, key=url, url=url) for url in urls]

    held = [asyncio.create_task(downloads.open(file)) for file in wishes[:2]]
    while upstream.asks[1:] == []:
        await asyncio.sleep(0)
    past, source = await downloads.open(wishes[2])
    assert isinstance(past, Passthrough)
    assert Source.UPSTREAM is source
    assert BODY == b"".join([piece async for piece in past.chunks()])
    await past.close()
    waiting = asyncio.create_task(downloads.open(wishes[3]))
    await asyncio.sleep(0)
    gate.open()
    flights = [await task for task in (*held, waiting)]
    assert all(isinstance(flight, Flight) for flight, _ in flights)
    while events[-1] != Flying(0):
        await asyncio.sleep(0)
    assert [True, True, False, True] == [await downloads.stored(file) is not None for file in wishes]
    await downloads.close()


async def test_open__upstream_trickles(upstream: MemoryUpstream, store: MemoryStore, clock: HandClock) -> None:
    """A download that brings next to nothing ends; its bytes stay, and the next one continues there."""
    lanes = Lanes(1, 1 << 20, least=1000, window=0.1)
    downloads = Downloads(store, upstream, clock, lambda _: None, lanes)
    gate = Gate()
    upstream.on(URL, Scripted(BODY, body_gate=gate, gate_at=200_000))
    flight, _ = await downloads.open(wanted())
    assert isinstance(flight, Flight)
    with pytest.raises(UpstreamTimeout):
        await flight.ended()
    while downloads.running(wanted()):
        await asyncio.sleep(0)
    gate.open()

    upstream.on(URL, Scripted(BODY, ranges=True))
    flight, _ = await downloads.open(wanted())
    assert isinstance(flight, Flight)
    assert BODY == await body_of(flight)
    assert len(BODY) == upstream.sent
    await downloads.close()


async def test_open__upstream_drips_the_beginning(
    upstream: MemoryUpstream, store: MemoryStore, clock: HandClock
) -> None:
    """The least rate holds, too, for the first bytes of a file, which are looked at before anybody gets them."""
    downloads = Downloads(store, upstream, clock, lambda _: None, Lanes(1, 1 << 20, least=100_000, window=0.1))
    file = replace(wanted(None), looked_at=True)
    upstream.on(URL, Scripted(BODY, body_gate=Gate(), gate_at=100))
    async with asyncio.timeout(20):  # else it waits for ever
        with pytest.raises(UpstreamTimeout):
            await downloads.open(file)
    while downloads.running(file):
        await asyncio.sleep(0)
    assert 0 == upstream.open
    await downloads.close()


async def test_open__ahead_and_far_larger_than_its_page_says(
    upstream: MemoryUpstream, store: MemoryStore, clock: HandClock
) -> None:
    """Nothing of it is fetched while no client waits for it: its bound trusts the page. A client has it."""
    body = bytes(17 << 20)
    file = replace(wanted(body), size=1)
    downloads = Downloads(store, upstream, clock, lambda _: None, Lanes(1, 64 << 20))
    upstream.on(URL, Scripted(body))
    with pytest.raises(TooLargeAhead):
        await downloads.open(file, ahead=True)
    assert (1, 0) == (len(upstream.asks), upstream.sent)
    while downloads.running(file):
        await asyncio.sleep(0)
    flight, _ = await downloads.open(file)
    assert isinstance(flight, Flight)
    assert body == await body_of(flight)
    await downloads.close()


@pytest.mark.parametrize(
    "error",
    [
        None,
        Crowded("as many as may be"),
        UpstreamThrottled("later"),
        UpstreamUnreachable("closed"),
    ],
    ids=["too large", "crowded", "throttled", "unreachable"],
)
async def test_open__joined_while_it_is_refused_ahead(
    upstream: MemoryUpstream, clock: HandClock, error: PullthroughError | None
) -> None:
    """A client that comes at any turn of the event loop, while a file is refused ahead of clients, gets it."""
    body = BODY if error else bytes(17 << 20)
    file = wanted(body) if error else replace(wanted(body), size=1)
    # As upstream's client does: what is asked ahead of clients is tried once, and gives way.
    upstream.on(URL, lambda ask: Scripted(body, error=error if ask.bulk else None))
    turns = joined = 0
    while True:
        downloads = Downloads(MemoryStore(), upstream, clock, lambda _: None, Lanes(1, 64 << 20))
        downloads.host_limits.note(file.locations[0], ranges=True)  # so that the first answer counts
        refused = asyncio.create_task(downloads.open(file, ahead=True))
        for _ in range(turns):
            await asyncio.sleep(0)
        over = refused.done()
        joined += downloads.running(file) is not None
        flight, _ = await downloads.fetch(file)
        assert isinstance(flight, Flight)
        assert len(body) == flight.size
        with contextlib.suppress(UpstreamError):
            await refused
        await downloads.close()
        if over:
            break
        turns += 1
    assert joined > 1


async def test_open__joined_while_it_fails_for_all(bed: Bed, upstream: MemoryUpstream) -> None:
    """What is not about being ahead is every client's after one more try, and the end of it."""
    gate = Gate()
    upstream.on(URL, Scripted(error=UpstreamBroken("status 500"), gate=gate))
    ahead = asyncio.create_task(bed.downloads.open(wanted(), ahead=True))
    await gate.reached.wait()
    clients = [asyncio.create_task(bed.downloads.open(wanted())) for _ in range(5)]
    await asyncio.sleep(0)
    gate.open()
    results = await asyncio.gather(ahead, *clients, return_exceptions=True)
    assert [UpstreamBroken] * 6 == [type(result) for result in results]
    assert [True, False, False, False] == [ask.bulk for ask in upstream.asks]


# What cannot be what it is called


@pytest.mark.parametrize("second", [BODY[:100_000], b""], ids=["half", "empty"])
async def test_open__half_of_a_file_of_any_kind(
    bed: Bed, upstream: MemoryUpstream, monkeypatch: pytest.MonkeyPatch, second: bytes
) -> None:
    """Where nothing else tells, a file is as long as what came of it at least: less is never stored or whole."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    no_length = {"content-length": "unknown"}
    url = "https://files.example/changes.txt"
    upstream.on(url, Scripted(BODY, cut=250_000, headers=no_length), Scripted(second, headers=no_length))
    file = wanted(None, url=url)
    flight, _ = await bed.downloads.open(file)
    assert isinstance(flight, Flight)
    with pytest.raises(UpstreamBroken):
        await body_of(flight)
    await idle(bed)
    assert await bed.downloads.stored(file) is None


@pytest.mark.parametrize("name", ["demo-1.0.tar.gz", "demo-1.0-py3-none-any.whl", "demo_1.0_amd64.deb"])
@pytest.mark.parametrize("body", [b"", b"<html>no file</html>", BODY])
@pytest.mark.parametrize("full", [True, False])
async def test_open__is_no_such_file(
    upstream: MemoryUpstream, clock: HandClock, name: str, body: bytes, full: bool
) -> None:
    """Where neither a digest nor a length tells, bytes that cannot be the file are refused, past a full disk too."""
    bed = Bed(MemoryStore(limit=10 if full else 1 << 30), upstream, clock)
    url = f"https://files.example/{name}"
    upstream.on(url, Scripted(body, headers={"content-length": "?"}))
    file = wanted(None, url=url)
    with pytest.raises(WrongBytes):
        found, _ = await bed.downloads.open(file)
        pieces = found.chunks() if isinstance(found, Passthrough) else bed.downloads.followed(found)  # type: ignore[arg-type]
        _ = [piece async for piece in pieces]
    await idle(bed)
    assert await bed.downloads.stored(file) is None
    upstream.on(url, Scripted(body))
    clock.advance(10)
    if body:  # its length tells
        found, _ = await bed.downloads.open(file)
        if isinstance(found, Passthrough):
            await found.close()
    await idle(bed)
    await bed.downloads.close()
