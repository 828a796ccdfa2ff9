"""Filling a spool file from upstream, in one stream or in parts."""

from __future__ import annotations

import os

import pytest

from proxy.cache.filling import Filling, Lanes
from proxy.cache.flight import Flight, Wanted
from proxy.errors import UpstreamBroken, WrongBytes
from proxy.model import Validator
from proxy.ports import SpoolState
from tests.cache.conftest import BODY, URL, wanted
from tests.memory_store import MemoryStore
from tests.memory_upstream import MemoryUpstream, Scripted

ETAG = {"etag": '"v1"'}


async def fill(
    store: MemoryStore, upstream: MemoryUpstream, wish: Wanted, lanes: Lanes, left: SpoolState | None = None
) -> tuple[Flight, bytes]:
    """Fill a file; gives the flight and what the file holds. `left` is what an earlier run had."""
    if left is not None:
        spool = await store.spool("demo", None)
        await spool.checkpoint(SpoolState(left.size, left.validator, ()))
        for start, end in left.extents:
            await spool.write(start, [BODY[start:end]])
        await spool.close(keep=True)
    flight = Flight(wish)
    flight.spool = await store.spool("demo", None)
    try:
        await Filling(flight, flight.wanted.places[0], flight.spool, upstream, lanes).run()
        return flight, os.pread(flight.spool.fd, 1 << 20, 0)
    finally:
        await flight.spool.close(keep=False)


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("known", [True, False])
async def test_run__parts(store: MemoryStore, upstream: MemoryUpstream, connections: int, known: bool) -> None:
    """Where ranges are honoured every byte is asked for once."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=ETAG))
    flight, body = await fill(store, upstream, wanted(BODY if known else None), Lanes(connections, 100_000))
    assert (BODY, len(BODY), len(BODY), 6) == (body, flight.size, upstream.sent, len(upstream.asks))
    assert all(ask.headers.get("If-Range", '"v1"') == '"v1"' for ask in upstream.asks)


@pytest.mark.parametrize("cut", [50_000, 150_000, 500_000])
async def test_run__stream_breaks_behind_its_segment(store: MemoryStore, upstream: MemoryUpstream, cut: int) -> None:
    """A stream of the whole that breaks at any place is completed, never taken for complete."""
    upstream.on(URL, Scripted(BODY, cut=cut), Scripted(BODY))
    _, body = await fill(store, upstream, wanted(), Lanes(1, 100_000))
    assert BODY == body


async def test_run__length_unknown_and_broken(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """A stream of unknown length that breaks goes on with an open range, and the length is known then."""
    no_length = {**ETAG, "content-length": "unknown"}
    upstream.on(URL, Scripted(BODY, cut=250_000, headers=no_length), Scripted(BODY, ranges=True, headers=ETAG))
    flight, body = await fill(store, upstream, wanted(None), Lanes(2, 100_000))
    assert (BODY, len(BODY), len(BODY)) == (body, flight.size, upstream.sent)


async def test_run__resumes(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """What an earlier run left is not asked for again."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=ETAG))
    left = SpoolState(len(BODY), Validator('"v1"'), ((0, 120_000), (300_000, 400_000)))
    flight, body = await fill(store, upstream, wanted(None), Lanes(1, 100_000), left)
    assert (BODY, len(BODY) - 220_000, 220_000) == (body, upstream.sent, flight.resumed)


@pytest.mark.parametrize("validator", [Validator(), Validator('W/"weak"')])
async def test_run__left_over_without_proof(store: MemoryStore, upstream: MemoryUpstream, validator: Validator) -> None:
    """Without digest and strong validator nothing that was left is used."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    left = SpoolState(len(BODY), validator, ((0, 120_000),))
    flight, body = await fill(store, upstream, wanted(None), Lanes(1, 100_000), left)
    assert (BODY, len(BODY), 0) == (body, upstream.sent, flight.resumed)


async def test_run__file_changed_since(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """If-Range finds another file: what was left is dropped, and counted as nothing."""
    other = BODY[::-1]
    upstream.on(URL, Scripted(other, ranges=True, headers={"etag": '"v2"'}))
    left = SpoolState(len(BODY), Validator('"v1"'), ((0, 120_000),))
    flight, body = await fill(store, upstream, wanted(None), Lanes(1, 100_000), left)
    assert (other, 0) == (body, flight.resumed)


async def test_run__parts_at_times_only(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """A part first and the whole then: the file is completed by one connection."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=ETAG), Scripted(BODY, headers=ETAG))
    _, body = await fill(store, upstream, wanted(), Lanes(4, 100_000))
    assert BODY == body


async def test_run__gives_up(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """A transfer that cannot be resumed fails at its first break."""
    upstream.on(URL, Scripted(BODY, cut=1000))
    with pytest.raises(UpstreamBroken):
        await fill(store, upstream, wanted(None), Lanes(1, 100_000))
    assert 1 == len(upstream.asks)


async def test_run__empty_file(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """A file without a byte is a file, though no range of it can be had."""
    upstream.on(URL, Scripted(b"", ranges=True))
    flight, body = await fill(store, upstream, wanted(None), Lanes(1, 100_000))
    assert (b"", 0) == (body, flight.size)


async def test_run__wrong_length(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """A length other than the index says is refused at the head."""
    upstream.on(URL, Scripted(BODY + b"more", ranges=True))
    with pytest.raises(WrongBytes):
        await fill(store, upstream, wanted(), Lanes(1, 100_000))
    assert 0 == upstream.sent
