"""Bodies straight from upstream: ranges, whole files that are checked on their way, and what the disk gave up."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from proxy.cache.flight import Flight, Location, WantedFile
from proxy.cache.host_limits import HostLimits
from proxy.cache.passthrough import Passthrough, Passthroughs
from proxy.cache.workers import Workers
from proxy.errors import NotFound, PullthroughError, UpstreamBroken, UpstreamError, UpstreamThrottled, WrongBytes
from proxy.events import Event
from proxy.model import Kind, Validator
from tests.cache.conftest import BODY, SITE, URL, wanted
from tests.memory_upstream import MemoryUpstream, Scripted
from tests.system import anonymous_file

SIBLING = "https://sibling.example/demo-1.0-py3-none-any.whl"
ETAG = {"etag": '"v1"'}
AT = 200_000  # bytes that are on disk


async def read(passthrough: Passthrough) -> bytes:
    """All of it, and let it go."""
    try:
        return b"".join([piece async for piece in passthrough.chunks()])
    finally:
        await passthrough.close()


async def test_open__part(upstream: MemoryUpstream) -> None:
    """A part says where it lies in the whole."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    passthrough = Passthrough(upstream, wanted(), list[Event]().append)
    await passthrough.open(100, 200, {})
    assert (100, 200, len(BODY), False) == (passthrough.start, passthrough.end, passthrough.size, passthrough.whole)
    assert BODY[100:200] == await read(passthrough)
    assert 0 == upstream.open


@pytest.mark.parametrize(
    ("start", "end", "kind"),
    [
        (0, 1, Kind.METADATA),
        (100, 100 + (512 << 10), Kind.METADATA),
        (-(32 << 10), None, Kind.METADATA),
        (0, 1 + (512 << 10), Kind.FILE),
        (-(1 << 20), None, Kind.FILE),
        (100, None, Kind.FILE),
        (0, None, Kind.FILE),
    ],
)
async def test_open__what_it_is_for(upstream: MemoryUpstream, start: int, end: int | None, kind: Kind) -> None:
    """A short part is asked for as metadata is; it waits for no file."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    passthrough = Passthrough(upstream, wanted(), list[Event]().append)
    await passthrough.open(start, end, {})
    await passthrough.close()
    assert [kind] == [ask.kind for ask in upstream.asks]


async def test_open__no_parts_there(upstream: MemoryUpstream) -> None:
    """An upstream that gives the whole in place of a part is of no use."""
    upstream.on(URL, Scripted(BODY))
    passthrough = Passthrough(upstream, wanted(), list[Event]().append)
    with pytest.raises(UpstreamBroken):
        await passthrough.open(100, 200, {})
    await passthrough.close()


@pytest.mark.parametrize("body", [BODY[:-1] + b"?", b"?" + BODY[1:]])
async def test_chunks__wrong_whole(upstream: MemoryUpstream, body: bytes) -> None:
    """The end of a whole file that is not the promised one never comes."""
    upstream.on(URL, Scripted(body))
    passthrough = Passthrough(upstream, wanted(), list[Event]().append)
    await passthrough.open(0, None, {})
    received = b""
    with pytest.raises(WrongBytes):
        async for piece in passthrough.chunks():
            received += piece
    await passthrough.close()
    assert len(received) < len(BODY)


@pytest.mark.parametrize("media_type", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
async def test_open__html_for_a_wheel(upstream: MemoryUpstream, media_type: str) -> None:
    """HTML for a binary file is refused at its head, also where no digest is known."""
    upstream.on(URL, Scripted(b"<html>", headers={"content-type": media_type}))
    passthrough = Passthrough(upstream, wanted(None), list[Event]().append)
    with pytest.raises(WrongBytes):
        await passthrough.open(0, None, {})
    await passthrough.close()


async def test_open__coding_nobody_asked_for(upstream: MemoryUpstream) -> None:
    """A file in a content coding is refused where no digest could tell what it is."""
    for size in (3, 200_000):
        upstream.on(URL, Scripted(b"zip" * size, headers={"content-encoding": "gzip"}))
        passthrough = Passthrough(upstream, wanted(None), list[Event]().append)
        await passthrough.open(0, None, {})
        with pytest.raises(UpstreamBroken):
            await read(passthrough)


async def test_open__other_length(upstream: MemoryUpstream) -> None:
    """A length other than a signed list says is refused at the head."""
    upstream.on(URL, Scripted(BODY + b"more"))
    passthrough = Passthrough(upstream, replace(wanted(), signed=True), list[Event]().append)
    with pytest.raises(WrongBytes):
        await passthrough.open(0, None, {})
    await passthrough.close()


# From wherever a file is


@pytest.fixture
async def passthroughs(upstream: MemoryUpstream) -> AsyncIterator[Passthroughs]:
    """What is tested."""
    hashing = Workers("hashing")
    yield Passthroughs(upstream, HostLimits(), hashing, list[Event]().append)
    await hashing.close()


@pytest.fixture
def descriptor() -> Iterator[int]:
    """What the disk has of the file."""
    number = anonymous_file(BODY[:AT])
    yield number
    os.close(number)


async def rest(passthroughs: Passthroughs, file: WantedFile, descriptor: int, size: int | None = len(BODY)) -> bytes:
    """The rest of a file whose beginning is on disk."""
    flight = Flight(file)
    flight.size, flight.validator = size, Validator('"v1"')
    return b"".join([piece async for piece in passthroughs.rest(flight, descriptor, AT, size)])


async def test_passthroughs__learns_of_ranges(passthroughs: Passthroughs, upstream: MemoryUpstream) -> None:
    """A part that came shows that its host gives parts."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    assert passthroughs._host_limits.honours(Location(URL, SITE)) is None
    await (await passthroughs.open(wanted(), 5, 10)).close()
    assert passthroughs._host_limits.honours(Location(URL, SITE)) is True


async def test_passthroughs__down_last(passthroughs: Passthroughs, upstream: MemoryUpstream) -> None:
    """A location that is known to be down is tried last."""
    upstream.on(SIBLING, Scripted(BODY))
    upstream.down_urls.add(URL)
    await (await passthroughs.open(replace(wanted(), others=(Location(SIBLING, SITE),)), 0, None)).close()
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
        for file in (wanted(), wanted(None)):
            with pytest.raises((UpstreamBroken, WrongBytes)):
                await rest(passthroughs, file, descriptor, None)


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
