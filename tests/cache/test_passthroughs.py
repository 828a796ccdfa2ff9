"""Passthroughs: parts from wherever they are, and the rest of a file that the disk gave up."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from proxy.cache.flight import Flight, Location, Wanted
from proxy.cache.host_limits import HostLimits
from proxy.cache.passthroughs import Passthroughs
from proxy.cache.workers import Workers
from proxy.errors import NotFound, PullthroughError, UpstreamBroken, UpstreamError, UpstreamThrottled, WrongBytes
from proxy.model import Validator
from tests.cache.conftest import BODY, SITE, URL, wanted
from tests.memory_upstream import MemoryUpstream, Scripted

SIBLING = "https://sibling.example/demo-1.0-py3-none-any.whl"
ETAG = {"etag": '"v1"'}
AT = 200_000  # bytes that are on disk


@pytest.fixture
async def passthroughs(upstream: MemoryUpstream) -> AsyncIterator[Passthroughs]:
    """What is tested."""
    hashing = Workers("hashing")
    yield Passthroughs(upstream, HostLimits(), hashing)
    await hashing.close()


@pytest.fixture
def descriptor() -> Iterator[int]:
    """What the disk has of the file."""
    number = os.memfd_create("part")
    os.pwrite(number, BODY[:AT], 0)
    yield number
    os.close(number)


async def rest(passthroughs: Passthroughs, wish: Wanted, descriptor: int, size: int | None = len(BODY)) -> bytes:
    """The rest of a file whose beginning is on disk."""
    flight = Flight(wish)
    flight.size, flight.validator = size, Validator('"v1"')
    return b"".join([piece async for piece in passthroughs.rest(flight, descriptor, AT, size)])


async def test_past__learns_of_ranges(passthroughs: Passthroughs, upstream: MemoryUpstream) -> None:
    """A part that came shows that its host gives parts."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    assert passthroughs._host_limits.honours(Location(URL, SITE)) is None
    await (await passthroughs.past(wanted(), 5, 10)).close()
    assert passthroughs._host_limits.honours(Location(URL, SITE)) is True


async def test_past__down_last(passthroughs: Passthroughs, upstream: MemoryUpstream) -> None:
    """A place that is known to be down is asked last."""
    upstream.on(SIBLING, Scripted(BODY))
    upstream.down_urls.add(URL)
    await (await passthroughs.past(replace(wanted(), others=(Location(SIBLING, SITE),)), 0, None)).close()
    assert [SIBLING] == [ask.url for ask in upstream.asks]


@pytest.mark.parametrize("known", [True, False])
async def test_rest__by_a_range(
    passthroughs: Passthroughs, upstream: MemoryUpstream, descriptor: int, known: bool
) -> None:
    """Only what is missing is fetched, and, where no digest tells, a little of what is here."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=ETAG))
    assert BODY[AT:] == await rest(passthroughs, wanted(BODY if known else None), descriptor)
    assert len(BODY) - AT + (0 if known else 65_536) == upstream.sent


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "odd",
    [Scripted(BODY, headers=ETAG), *(Scripted(error=kind("no")) for kind in (NotFound, UpstreamBroken))],
)
async def test_rest__by_the_whole(
    passthroughs: Passthroughs, upstream: MemoryUpstream, descriptor: int, known: bool, odd: Scripted
) -> None:
    """Where a range gets the whole, or an error, the whole is fetched again."""
    upstream.on(URL, lambda ask: odd if "Range" in ask.headers else Scripted(BODY, headers=ETAG))
    assert BODY[AT:] == await rest(passthroughs, wanted(BODY if known else None), descriptor)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("other", [BODY[: AT - 1] + b"!" + BODY[AT:], BODY + b"?", BODY[:-1]])
async def test_rest__of_another_version(
    passthroughs: Passthroughs, upstream: MemoryUpstream, descriptor: int, ranges: bool, other: bytes
) -> None:
    """Bytes that are not those on disk, or another length, show another file: the two are not glued."""
    upstream.on(URL, Scripted(other, ranges=ranges, headers=ETAG))
    with pytest.raises(UpstreamError):
        await rest(passthroughs, wanted(None), descriptor)


async def test_rest__that_is_too_short(passthroughs: Passthroughs, upstream: MemoryUpstream, descriptor: int) -> None:
    """A whole that ends before what is here is no such file."""
    for body in (BODY[: AT - 5], b""):
        upstream.on(URL, Scripted(body, headers={"content-length": "?"}))
        for wish in (wanted(), wanted(None)):
            with pytest.raises((UpstreamBroken, WrongBytes)):
                await rest(passthroughs, wish, descriptor, None)


@pytest.mark.parametrize("error", [NotFound("gone"), UpstreamThrottled("busy")])
async def test_rest__clear_answer(
    passthroughs: Passthroughs, upstream: MemoryUpstream, descriptor: int, error: PullthroughError
) -> None:
    """Where ranges are known to work, what the range got is the answer."""
    passthroughs._host_limits.note(Location(URL, SITE), ranges=True)
    upstream.on(URL, Scripted(error=error))
    with pytest.raises(type(error)):
        await rest(passthroughs, wanted(), descriptor)
    assert 1 == len(upstream.asks)
