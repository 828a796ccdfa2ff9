"""A flight: what followers may have, when they are called, and how they read behind the writer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.cache.flight import HELD_BACK, Flight, follow
from proxy.errors import UpstreamBroken
from proxy.model import Digest
from tests.cache.conftest import BODY, wanted
from tests.memory_store import MemoryStore


async def test_readable__end_is_held_back() -> None:
    """The last 64 KiB are readable only after the check, whether the size is known or not."""
    flight = Flight(wanted())
    flight.written(0, 300_000)
    assert 300_000 - HELD_BACK == flight.readable(0)
    flight.size = 400_000
    assert 300_000 == flight.readable(0)
    flight.written(300_000, 400_000)
    assert 400_000 - HELD_BACK == flight.readable(0)
    assert 399_000 == flight.readable(399_000)
    flight.finish()
    assert 400_000 == flight.readable(0)


async def test_readable__gap() -> None:
    """A gap ends what may be read, from either side."""
    flight = Flight(wanted())
    flight.size = 1_000_000
    flight.written(0, 1000)
    flight.written(5000, 6000)
    assert [1000, 1000, 6000, 6000] == [flight.readable(position) for position in (0, 1000, 5000, 6000)]


async def test_listen__until_stopped() -> None:
    """Listeners are called for bytes and for the end, and not after they stopped."""
    flight = Flight(wanted())
    told: list[int] = []
    stop = flight.listen(lambda: told.append(flight.extents.total))
    flight.written(0, 10)
    stop()
    stop()
    flight.written(10, 20)
    assert [10] == told


async def test_fail__before_the_start() -> None:
    """Whoever waits for the start gets the error; nobody waiting is no complaint."""
    flight = Flight(wanted())
    flight.fail(UpstreamBroken("no"))
    assert flight.over
    with pytest.raises(UpstreamBroken):
        await flight.begun()


async def test_flight_key__is_the_digest() -> None:
    """Two addresses of one digest are one flight; without a digest each address is its own."""
    assert wanted(key="a").flight_key == wanted(key="b").flight_key
    assert wanted(None, key="a").flight_key != wanted(None, key="b").flight_key


def test_flight_key__is_not_a_digest_that_two_files_may_have() -> None:
    """Whoever made two files of one md5 gets none of them to those who ask for the other."""
    one, other = (replace(wanted(None, key=key), digest=Digest("md5", "0" * 32)) for key in "ab")
    assert one.flight_key != other.flight_key
    assert one.flight_key != replace(one, digest=Digest("md5", "1" * 32)).flight_key


@pytest.fixture
async def flight(store: MemoryStore) -> AsyncIterator[Flight]:
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
    flight.written(start, end)


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


@pytest.mark.parametrize("error", [UpstreamBroken("no"), None])
async def test_ended__waits_for_either_end(flight: Flight, error: UpstreamBroken | None) -> None:
    """A wait for the end ends when all is there and checked, or with the failure; not before."""
    waiting = asyncio.create_task(flight.ended())
    await land(flight, 0, len(BODY))
    await asyncio.sleep(0)
    assert not waiting.done()
    if error is None:
        flight.finish()
        await waiting
    else:
        flight.fail(error)
        with pytest.raises(UpstreamBroken):
            await waiting
    with pytest.raises(UpstreamBroken) if error else contextlib.nullcontext():
        await flight.ended()


async def _all(flight: Flight, position: int) -> bytes:
    return b"".join([piece async for piece in follow(flight, position)])
