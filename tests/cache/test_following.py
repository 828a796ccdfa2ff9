"""Reading behind a flight's writer."""

from __future__ import annotations

import asyncio

import pytest

from proxy.cache.flight import Flight
from proxy.cache.following import follow, landing
from proxy.errors import UpstreamBroken
from tests.cache.conftest import BODY, wanted
from tests.memory_store import MemoryStore


@pytest.fixture
async def flight(store: MemoryStore) -> object:
    """A flight that started, with nothing landed."""
    made = Flight(wanted())
    made.spool = await store.spool("demo", len(BODY))
    made.size = len(BODY)
    made.start()
    yield made
    await made.spool.close(keep=False)


async def land(flight: Flight, start: int, end: int) -> None:
    """Let bytes arrive."""
    assert flight.spool is not None
    await flight.spool.write(start, [BODY[start:end]])
    flight.landed(start, end)


async def test_follow__out_of_order(flight: Flight) -> None:
    """A follower gets all bytes in order, however they land."""
    reading = asyncio.create_task(_all(flight, 0))
    await land(flight, 200_000, len(BODY))
    await land(flight, 0, 200_000)
    flight.finish()
    assert BODY == await reading


async def test_follow__from_the_middle(flight: Flight) -> None:
    """A follower may begin anywhere."""
    await land(flight, 0, len(BODY))
    flight.finish()
    assert BODY[300_000:] == await _all(flight, 300_000)


async def test_follow__failure(flight: Flight) -> None:
    """A failure reaches the follower after what may be read, and the end is not in it."""
    await land(flight, 0, len(BODY))
    flight.fail(UpstreamBroken("no"))
    received = b""
    with pytest.raises(UpstreamBroken):
        async for piece in follow(flight, 0):
            received += piece
    assert 0 < len(received) < len(BODY)
    assert BODY.startswith(received)


async def test_landing__waits_for_either_end(flight: Flight) -> None:
    """Landing returns when all is there, and raises what failed."""
    waiting = asyncio.create_task(landing(flight))
    await land(flight, 0, len(BODY))
    assert not waiting.done()
    flight.fail(UpstreamBroken("no"))
    with pytest.raises(UpstreamBroken):
        await waiting


async def _all(flight: Flight, position: int) -> bytes:
    return b"".join([piece async for piece in follow(flight, position)])
