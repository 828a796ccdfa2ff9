"""Which downloads ahead of clients wait for those before them."""

from __future__ import annotations

import asyncio

import pytest

from proxy.cache.ahead_turns import AheadTurns
from proxy.cache.flight import Flight, WantedFile
from proxy.cache.host_limits import HostLimits
from tests.cache.conftest import SITE, HandClock

MIB = 1 << 20
URL, SAME, OTHER = "https://mirror.example/a", "https://mirror.example/b", "https://other.example/a"


def flying(clock: HandClock, url: str, size: int | None, received: int = 0, *, since: float = 1.0) -> Flight:
    """A download of `size` bytes that has been under way for `since` seconds."""
    flight = Flight(WantedFile(url, url, SITE, None, size))
    flight.begun_at = clock.monotonic() - since
    flight.received = received
    return flight


async def waits(turns: AheadTurns, url: str = URL) -> bool:
    """Whether a download would wait now."""
    turn = asyncio.create_task(turns.turn(url))
    for _ in range(3):
        await asyncio.sleep(0)
    waiting = not turn.done()
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    return waiting


@pytest.mark.parametrize(
    ("url", "size", "received", "since", "expected"),
    [
        (SAME, 20 * MIB, 0, 0.001, True),  # it may be fast
        (SAME, 200 * MIB, 150 * MIB, 1.0, True),  # it is
        (SAME, 20 * MIB, MIB, 1.0, False),  # it is slow: one beside it is a help
        (SAME, 20 * MIB, 18 * MIB, 0.001, False),  # it has nearly come
        (SAME, MIB, 0, 0.001, False),  # it is short
        (SAME, None, 0, 0.001, False),  # nobody knows how long it is
        (OTHER, 20 * MIB, 0, 0.001, False),  # of another host
    ],
)
async def test_turn__beside_another(
    clock: HandClock, url: str, size: int | None, received: int, since: float, expected: bool
) -> None:
    """A download ahead waits while the oldest of its host is fast, and much of them has to come."""
    flights = [flying(clock, url, size, received, since=since)]
    assert expected is await waits(AheadTurns(HostLimits(clock.monotonic), lambda: flights, clock.monotonic))


async def test_turn__known_to_be_slow(clock: HandClock) -> None:
    """Nothing waits at a host where one connection alone is not fast."""
    limits = HostLimits(clock.monotonic)
    limits.note_pace(URL, brisk=False)
    flights = [flying(clock, SAME, 20 * MIB, since=0.001)]
    assert not await waits(AheadTurns(limits, lambda: flights, clock.monotonic))


async def test_turn__those_that_ended(clock: HandClock) -> None:
    """What is whole, and waits to be stored, keeps nobody waiting."""
    whole = flying(clock, SAME, 20 * MIB, since=0.001)
    whole.finish()
    assert not await waits(AheadTurns(HostLimits(clock.monotonic), lambda: [whole], clock.monotonic))


async def test_turn__in_order(clock: HandClock) -> None:
    """Each that waits sees what began before it; another host has a queue of its own."""
    flights = [flying(clock, SAME, 20 * MIB, since=0.001)]
    turns = AheadTurns(HostLimits(clock.monotonic), lambda: flights, clock.monotonic)
    order: list[int] = []

    async def begin(number: int) -> None:
        await turns.turn(URL)
        order.append(number)
        flights.append(flying(clock, URL, 20 * MIB, since=0.001))

    waiting = [asyncio.create_task(begin(number)) for number in range(3)]
    assert not await waits(turns, OTHER)
    for count in range(3):
        assert list(range(count)) == order
        flights[-1].received = 20 * MIB
        while len(order) == count:
            await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert [0, 1, 2] == order
