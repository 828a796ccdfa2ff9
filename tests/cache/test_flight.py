"""A flight's state: what followers may have, and when they are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.cache.flight import HELD_BACK, Flight
from proxy.errors import UpstreamBroken
from proxy.model import Digest
from tests.cache.conftest import wanted


async def test_readable__end_is_held_back() -> None:
    """The last 64 KiB are readable only after the check, whether the size is known or not."""
    flight = Flight(wanted())
    flight.landed(0, 300_000)
    assert 300_000 - HELD_BACK == flight.readable(0)
    flight.size = 400_000
    assert 300_000 == flight.readable(0)
    flight.landed(300_000, 400_000)
    assert 400_000 - HELD_BACK == flight.readable(0)
    assert 399_000 == flight.readable(399_000)
    flight.finish()
    assert 400_000 == flight.readable(0)


async def test_readable__gap() -> None:
    """A gap ends what may be read, from either side."""
    flight = Flight(wanted())
    flight.size = 1_000_000
    flight.landed(0, 1000)
    flight.landed(5000, 6000)
    assert [1000, 1000, 6000, 6000] == [flight.readable(position) for position in (0, 1000, 5000, 6000)]


async def test_listen__until_stopped() -> None:
    """Listeners are told of bytes and of the end, and of nothing after they stopped."""
    flight = Flight(wanted())
    told: list[int] = []
    stop = flight.listen(lambda: told.append(flight.extents.total))
    flight.landed(0, 10)
    stop()
    stop()
    flight.landed(10, 20)
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
