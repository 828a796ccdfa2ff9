"""Filling a spool file from upstream, in one stream or in parts."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
from dataclasses import replace

import pytest

from proxy.cache import retry_policy
from proxy.cache.filling import Filling
from proxy.cache.flight import Flight, WantedFile
from proxy.cache.host_limits import HostLimits
from proxy.cache.lanes import Lanes
from proxy.errors import (
    NotFound,
    PullthroughError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamUnreachable,
    WrongBytes,
)
from proxy.model import UpstreamRequest, Validator
from proxy.ports import SpoolState
from tests.cache.conftest import BODY, URL, wanted
from tests.memory_store import MemoryStore
from tests.memory_upstream import Gate, MemoryUpstream, Scripted

ETAG = {"etag": '"v1"'}
YOUNG = "Wed, 01 Jan 2025 00:00:00 GMT"
OVERLAP = 65_536


async def fill(
    store: MemoryStore,
    upstream: MemoryUpstream,
    file: WantedFile,
    lanes: Lanes,
    left: SpoolState | None = None,
    host_limits: HostLimits | None = None,
) -> tuple[Flight, bytes]:
    """Fill a file; gives the flight and what the file holds. `left` is what an earlier run had."""
    if left is not None:
        spool = await store.spool("demo", None)
        await spool.checkpoint(SpoolState(left.size, left.validator, ()))
        for start, end in left.extents:
            await spool.write(start, [BODY[start:end]])
        await spool.close(keep=True)
    flight = Flight(file)
    flight.spool = await store.spool("demo", None)
    try:
        await Filling(
            flight, flight.wanted.locations[0], flight.spool, upstream, lanes, host_limits or HostLimits()
        ).run()
        return flight, os.pread(flight.spool.fd, 1 << 20, 0)
    finally:
        await flight.spool.close(keep=False)


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("known", [True, False])
async def test_run__parts(store: MemoryStore, upstream: MemoryUpstream, connections: int, known: bool) -> None:
    """Where ranges are honoured every byte is asked for once; validators count where no digest is known."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=ETAG))
    flight, body = await fill(store, upstream, wanted(BODY if known else None), Lanes(connections, 100_000))
    assert (BODY, len(BODY), len(BODY), 6) == (body, flight.size, upstream.sent, len(upstream.asks))
    assert [None] + [None if known else '"v1"'] * 5 == [ask.headers.get("If-Range") for ask in upstream.asks]


@pytest.mark.parametrize("headers", [{}, {"etag": 'W/"weak"'}, {"last-modified": YOUNG, "date": YOUNG}])
async def test_run__parts_of_nothing_that_tells(
    store: MemoryStore, upstream: MemoryUpstream, headers: dict[str, str]
) -> None:
    """Without digest and validator the rest comes as one, and repeats a little, which is compared."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=headers))
    _, body = await fill(store, upstream, wanted(None), Lanes(6, 100_000))
    assert BODY == body
    assert ["bytes=0-99999", f"bytes={100_000 - OVERLAP}-"] == [ask.headers["Range"] for ask in upstream.asks]
    upstream.on(URL, Scripted(BODY, ranges=True, headers=headers), Scripted(BODY[::-1], ranges=True, headers=headers))
    with pytest.raises(UpstreamBroken):
        await fill(store, upstream, wanted(None), Lanes(6, 100_000))


@pytest.mark.parametrize("cut", [50_000, 150_000, 500_000])
async def test_run__stream_breaks_behind_its_segment(store: MemoryStore, upstream: MemoryUpstream, cut: int) -> None:
    """A stream of the whole that breaks at any place is completed, never taken for complete."""
    upstream.on(URL, Scripted(BODY, cut=cut), Scripted(BODY))
    _, body = await fill(store, upstream, wanted(), Lanes(1, 100_000))
    assert BODY == body


async def test_run__length_unknown_and_broken(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """A stream of unknown length that breaks goes on with an open range; what it repeats is compared."""
    no_length = {**ETAG, "content-length": "unknown"}
    upstream.on(URL, Scripted(BODY, cut=250_000, headers=no_length), Scripted(BODY, ranges=True, headers=ETAG))
    flight, body = await fill(store, upstream, wanted(None), Lanes(2, 100_000))
    assert (BODY, len(BODY), len(BODY) + OVERLAP) == (body, flight.size, upstream.sent)


@pytest.mark.parametrize("second", [BODY[:100_000], b""], ids=["half", "empty"])
@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("known", [True, False])
async def test_run__ends_before_what_is_here(
    store: MemoryStore,
    upstream: MemoryUpstream,
    monkeypatch: pytest.MonkeyPatch,
    second: bytes,
    length: bool,
    known: bool,
) -> None:
    """A file of unknown length is no shorter than what came of it, however properly a later answer ends."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    no_length = {"content-length": "unknown"}
    headers = {} if length else no_length
    upstream.on(URL, Scripted(BODY, cut=250_000, headers=no_length), Scripted(second, headers=headers))
    file = replace(wanted(BODY if known else None, size=False), called="changes.txt")
    with pytest.raises(UpstreamBroken):
        await fill(store, upstream, file, Lanes(1, 100_000))


async def test_run__ends_early_once(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """An answer without a length that ends too soon is followed by another one, which may have all of it."""
    no_length = {"content-length": "unknown"}
    short = Scripted(BODY[:100_000], headers=no_length)
    upstream.on(URL, Scripted(BODY, cut=250_000, headers=no_length), short, Scripted(BODY, headers=no_length))
    flight, body = await fill(store, upstream, wanted(None), Lanes(1, 100_000))
    assert (BODY, len(BODY)) == (body, flight.size)


async def test_run__size_becomes_known(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """A size that only a later answer says is noted at once, so that a later run can resume the file."""
    gate = Gate()
    upstream.on(
        URL, Scripted(BODY, cut=250_000, headers={"content-length": "?"}), Scripted(BODY, ranges=True, body_gate=gate)
    )
    spool = await store.spool("demo", None)
    flight = Flight(wanted())
    filling = Filling(flight, flight.wanted.locations[0], spool, upstream, Lanes(1, 100_000), HostLimits())
    running = asyncio.create_task(filling.run())
    await gate.reached.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await spool.close(keep=True)
    later = await store.spool("demo", None)
    await later.close(keep=False)
    assert later.state is not None
    assert (len(BODY), ((0, 250_000),)) == (later.state.size, later.state.extents)


@pytest.mark.parametrize("known", [True, False])
async def test_run__resumes(store: MemoryStore, upstream: MemoryUpstream, known: bool) -> None:
    """What an earlier run left is not asked for again, but for what is compared where no digest is known."""
    upstream.on(URL, Scripted(BODY, ranges=True, headers=ETAG))
    left = SpoolState(len(BODY), Validator('"v1"'), ((0, 120_000), (300_000, 400_000)))
    flight, body = await fill(store, upstream, wanted(BODY if known else None), Lanes(1, 100_000), left)
    assert (BODY, 220_000) == (body, flight.resumed)
    assert len(BODY) - 220_000 + (0 if known else 2 * OVERLAP) == upstream.sent


async def test_run__resumes_what_is_not_it(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """Whatever validators say: bytes that are not those on disk show another file, and all of it is fetched."""
    other = BODY[::-1]
    upstream.on(URL, Scripted(other, ranges=True, headers=ETAG))
    left = SpoolState(len(BODY), Validator('"v1"'), ((0, 120_000),))
    flight, body = await fill(store, upstream, wanted(None), Lanes(1, 100_000), left)
    assert (other, 0) == (body, flight.resumed)


@pytest.mark.parametrize("validator", [Validator(), Validator('W/"weak"')])
async def test_run__left_over_without_proof(store: MemoryStore, upstream: MemoryUpstream, validator: Validator) -> None:
    """Without digest and strong validator nothing that was left is used."""
    upstream.on(URL, Scripted(BODY, ranges=True))
    left = SpoolState(len(BODY), validator, ((0, 120_000),))
    flight, body = await fill(store, upstream, wanted(None), Lanes(1, 100_000), left)
    assert (BODY, len(BODY) + OVERLAP, 0) == (body, upstream.sent, flight.resumed)


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
    """A transfer that brings no new byte, time after time, fails."""
    upstream.on(URL, Scripted(BODY, cut=1000))
    with pytest.raises(UpstreamBroken):
        await fill(store, upstream, wanted(None), Lanes(1, 100_000))
    assert 5 == len(upstream.asks)


@pytest.mark.parametrize("same", [True, False])
async def test_run__begun_again(store: MemoryStore, upstream: MemoryUpstream, same: bool) -> None:
    """Without anything to go on by, a broken transfer is begun again, and what it repeats is compared."""
    again = BODY if same else BODY[:900] + b"?" + BODY[901:]
    upstream.on(URL, Scripted(BODY, cut=1000), Scripted(again))
    if same:
        _, body = await fill(store, upstream, wanted(None), Lanes(1, 100_000))
        assert BODY == body
    else:
        with pytest.raises(UpstreamBroken):
            await fill(store, upstream, wanted(None), Lanes(1, 100_000))


@pytest.mark.parametrize("file", [wanted(b"", size=False), replace(wanted(None), called="py.typed")])
async def test_run__empty_file(store: MemoryStore, upstream: MemoryUpstream, file: WantedFile) -> None:
    """A file without a byte is a file, though no range of it can be had: where its digest or its name lets it be."""
    upstream.on(URL, Scripted(b"", ranges=True))
    flight, body = await fill(store, upstream, file, Lanes(1, 100_000))
    assert [True, False] == ["Range" in ask.headers for ask in upstream.asks]
    assert (b"", 0) == (body, flight.size)


@pytest.mark.parametrize("file", [wanted(None), wanted(size=False)])
@pytest.mark.parametrize("headers", [{}, {"content-length": ""}], ids=["length", "no length"])
async def test_run__empty_answer(
    store: MemoryStore, upstream: MemoryUpstream, file: WantedFile, headers: dict[str, str]
) -> None:
    """A wheel without a byte is none."""
    upstream.on(URL, Scripted(b"", ranges=True, headers=headers))
    with pytest.raises(WrongBytes):
        await fill(store, upstream, file, Lanes(1, 100_000))


async def test_run__wrong_length(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """A length other than that of a signed list, or of a page without a digest, is refused at the head."""
    upstream.on(URL, Scripted(BODY + b"more", ranges=True))
    for file in (replace(wanted(), signed=True), replace(wanted(), digest=None)):
        with pytest.raises(WrongBytes):
            await fill(store, upstream, file, Lanes(1, 100_000))
    assert 0 == upstream.sent


@pytest.mark.parametrize("size", [10, len(BODY) - 1, len(BODY) + 1, 10 * len(BODY)])
@pytest.mark.parametrize("script", [Scripted(BODY, ranges=True), Scripted(BODY, headers={"content-length": "?"})])
async def test_run__size_of_the_page_is_wrong(
    store: MemoryStore, upstream: MemoryUpstream, size: int, script: Scripted
) -> None:
    """Where a digest decides, what a page says of the size does not matter, nor what upstream calls the file."""
    page = replace(script, headers={**script.headers, "etag": '"v1"'})
    upstream.on(URL, page)
    flight, body = await fill(store, upstream, replace(wanted(), size=size), Lanes(3, 100_000))
    assert (BODY, len(BODY)) == (body, flight.size)


async def test_run__replicas(store: MemoryStore, upstream: MemoryUpstream) -> None:
    """Replicas of a file whose digest is known may each say other things of it."""
    turns = itertools.count()

    def answer(_: UpstreamRequest) -> Scripted:
        turn = next(turns)
        headers = {"etag": f'"{turn}"', "content-type": "text/html", "last-modified": f"turn {turn}"}
        return Scripted(BODY, ranges=True, headers=headers)

    upstream.on(URL, answer)
    _, body = await fill(store, upstream, wanted(), Lanes(3, 100_000))
    assert (BODY, len(BODY)) == (body, upstream.sent)


# What a special request gets is never the last word


ODD = [
    Scripted(error=NotFound("no")),
    Scripted(error=UpstreamDenied("no")),
    Scripted(error=UpstreamThrottled("no")),
    Scripted(error=UpstreamBroken("status 500")),
    Scripted(error=UpstreamUnreachable("closed")),
    Scripted(b"", status=416),
    Scripted(BODY[:100_000], status=206, headers={"content-range": "bytes 0-99999/*"}),
    Scripted(BODY[5:100_000], status=206, headers={"content-range": "bytes 5-99999/512000"}),
    Scripted(b"<html>no ranges", headers={"content-type": "text/html"}),
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("known", [True, False])
async def test_run__ranges_get_an_error(
    store: MemoryStore, upstream: MemoryUpstream, odd: Scripted, known: bool
) -> None:
    """Whatever a range gets, the plain request is asked too; and from then on only that one, for a while."""
    upstream.on(URL, lambda ask: odd if "Range" in ask.headers else Scripted(BODY))
    host_limits = HostLimits()
    for asked in (2, 1):
        before = len(upstream.asks)
        _, body = await fill(
            store, upstream, wanted(BODY if known else None), Lanes(3, 100_000), host_limits=host_limits
        )
        assert (BODY, asked) == (body, len(upstream.asks) - before)


@pytest.mark.parametrize("error", [NotFound("no"), UpstreamDenied("no"), UpstreamThrottled("later", 7)])
async def test_run__clear_answer_of_a_host_that_honours_ranges(
    store: MemoryStore, upstream: MemoryUpstream, error: PullthroughError
) -> None:
    """Where ranges are known to work, what a file's first request gets is the answer."""
    host_limits = HostLimits()
    upstream.on(URL, Scripted(BODY, ranges=True))
    await fill(store, upstream, wanted(), Lanes(1, 100_000), host_limits=host_limits)
    upstream.on(URL, Scripted(error=error))
    before = len(upstream.asks)
    with pytest.raises(type(error)):
        await fill(store, upstream, wanted(), Lanes(1, 100_000), host_limits=host_limits)
    assert 1 == len(upstream.asks) - before


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("known", [True, False])
async def test_run__the_rest_gets_an_error(
    store: MemoryStore, upstream: MemoryUpstream, odd: Scripted, known: bool
) -> None:
    """A transfer of the whole that broke, and whose rest cannot be had, is begun again."""
    upstream.on(URL, Scripted(BODY, cut=200_000, headers=ETAG), lambda ask: odd if "Range" in ask.headers else whole)
    whole = Scripted(BODY, headers=ETAG)
    _, body = await fill(store, upstream, wanted(BODY if known else None), Lanes(3, 100_000))
    assert BODY == body


# A file that is marked as coded


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "br"])
@pytest.mark.parametrize("name", ["demo-1.0.tar.gz", "demo-1.0.tgz"])
async def test_run__coding_is_the_files_own(
    store: MemoryStore, upstream: MemoryUpstream, coding: str, name: str
) -> None:
    """A coding that is named for an archive's own is not taken off; one that was put on is refused."""
    packed = gzip.compress(BODY)
    url = f"https://files.example/{name}"
    for ranges in (True, False):
        upstream.on(url, Scripted(packed, ranges=ranges, headers={"content-encoding": coding}))
        _, body = await fill(store, upstream, wanted(None, url=url), Lanes(1, 1000))
        assert packed == body
        upstream.on(url, Scripted(gzip.compress(packed), ranges=ranges, headers={"content-encoding": coding}))
        with pytest.raises(UpstreamBroken):
            await fill(store, upstream, wanted(None, url=url), Lanes(1, 1000))
