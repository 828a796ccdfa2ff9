"""Writing an answer into a spool file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import pytest

from proxy.cache.flight import Flight
from proxy.cache.running_hash import RunningHash
from proxy.cache.spool_writer import SpoolWriter
from proxy.errors import StoreFull, UpstreamBroken, WrongBytes
from proxy.model import UpstreamRequest
from tests.cache.conftest import BODY, SITE, URL, sha256, wanted
from tests.gates import Gate
from tests.memory_store import MemorySpool, MemoryStore
from tests.memory_upstream import MemoryUpstream, Scripted


async def write_body(
    store: MemoryStore, script: Scripted, end: int | None, landed: tuple[int, bytes] | None = None
) -> bytes:
    """Write an answer; gives what the file holds, and raises what the writer raised."""
    upstream = MemoryUpstream()
    upstream.on(URL, script)
    flight = Flight(wanted())
    spool = await store.spool("demo", None)
    try:
        if landed is not None:
            await spool.write(landed[0], [landed[1]])
            flight.written(landed[0], landed[0] + len(landed[1]))
        async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
            await SpoolWriter(spool, flight, 0).write_body(reply, end)
        return os.pread(spool.fd, 1 << 20, 0)
    finally:
        store.landed = flight.extents.total  # type: ignore[attr-defined]
        await spool.close(keep=False)


@pytest.mark.parametrize("piece", [1000, 65_536, 1 << 20])
async def test_pour__whole(store: MemoryStore, piece: int) -> None:
    """Every byte lands, in chunks of whatever size."""
    assert BODY == await write_body(store, Scripted(BODY, piece=piece), len(BODY))


@pytest.mark.parametrize(("size", "end"), [(1000, 1000), (250_000, 250_000), (512_000, 512_000), (1000, 999)])
async def test_pour__in_memory(store: MemoryStore, size: int, end: int) -> None:
    """A short body is written as it comes, and hashed; it may not be too long either."""
    upstream = MemoryUpstream()
    upstream.on(URL, Scripted(BODY[:size], piece=700))
    flight = Flight(wanted(BODY[:size]))
    flight.running_hash = RunningHash(None)
    spool = await store.spool("demo", size, brief=True)
    async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
        writer = SpoolWriter(spool, flight, 0)
        if end < size:
            with pytest.raises(WrongBytes):
                await writer.write_body(reply, end)
        else:
            assert size == await writer.write_body(reply, end)
            assert BODY[:size] == os.pread(spool.fd, 1 << 20, 0)
            assert (size, sha256(BODY[:size])) == (flight.extents.total, flight.running_hash.check())
    assert size == flight.received if end == size else flight.received > end
    await spool.close(keep=False)


async def test_pour__keeps_what_landed(store: MemoryStore) -> None:
    """Bytes that landed before are never written again: they may have been hashed."""
    known = b"K" * 70_000
    assert known + BODY[70_000:] == await write_body(store, Scripted(BODY), len(BODY), (0, known))


@pytest.mark.parametrize("stops", [[100_000], [100_000, 100_000, 80_000], [None, 90_000], [0]])
async def test_pour__stops_early(store: MemoryStore, stops: list[int | None]) -> None:
    """It stops where it is told, or as soon as it is told when it is past that; what came is written and hashed."""
    upstream = MemoryUpstream()
    upstream.on(URL, Scripted(BODY, piece=30_000))
    flight, told = Flight(wanted()), list(stops)
    spool = await store.spool("demo", None)
    async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
        writer = SpoolWriter(spool, flight, 0)
        end = await writer.write_body(reply, len(BODY), stop=lambda: told.pop(0) if len(told) > 1 else told[0])
    assert stops[-1] is not None
    assert stops[-1] <= end == flight.extents.total == flight.received < len(BODY)
    assert end == stops[-1] or len(stops) > 1
    assert BODY[:end] == os.pread(spool.fd, 1 << 20, 0)
    await spool.close(keep=False)


async def test_pour__too_long(store: MemoryStore) -> None:
    """More than was promised is wrong bytes."""
    with pytest.raises(WrongBytes):
        await write_body(store, Scripted(BODY), len(BODY) - 1)


async def test_pour__breaks(store: MemoryStore) -> None:
    """What came before a break is written."""
    with pytest.raises(UpstreamBroken):
        await write_body(store, Scripted(BODY, cut=200_000), len(BODY))
    assert 200_000 == store.landed  # type: ignore[attr-defined]


async def test_pour__disk_is_full() -> None:
    """A write that fails ends it."""
    with pytest.raises(StoreFull):
        await write_body(MemoryStore(limit=100_000), Scripted(BODY), len(BODY))


class HeldSpool(MemorySpool):
    """A disk that is found to be full only when the test says so."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, "demo", 0, None)
        self.gate = Gate()
        self.failed = 0

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        await self.gate.passing()
        self.failed += 1
        raise StoreFull("The disk is full.")


async def test_pour__cancelled_while_writes_fail(store: MemoryStore) -> None:
    """However often it is cancelled, it ends after its writes did, and their failure is not lost."""
    upstream = MemoryUpstream()
    upstream.on(URL, Scripted(BODY, piece=65_536))
    spool = HeldSpool(store)
    try:
        async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
            pouring = asyncio.create_task(SpoolWriter(spool, Flight(wanted()), 0).write_body(reply, len(BODY)))
            await spool.gate.until_arrived(3)
            for _ in range(3):
                pouring.cancel()
                await asyncio.wait((pouring,), timeout=0)
            assert not pouring.done()
            spool.gate.open()
            with pytest.raises(asyncio.CancelledError):
                await pouring
        assert 3 == spool.failed
    finally:
        spool.end(None)
