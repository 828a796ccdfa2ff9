"""Sources of wrong bytes are left alone for a moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.cache.cooling import Cooling
from proxy.errors import WrongBytes
from tests.cache.conftest import HandClock, sha256, wanted


def refused(cooling: Cooling, clock: HandClock) -> int:
    """How many seconds the source of the file is left alone."""
    for second in range(200):
        try:
            cooling.refuse(wanted())
        except WrongBytes:
            clock.advance(1)
        else:
            return second
    raise AssertionError("it never cools down")


def test_wrong__longer_each_time(clock: HandClock) -> None:
    """A source that sends wrong bytes again and again is asked less and less, but asked."""
    cooling = Cooling(clock)
    waits = []
    for _ in range(9):
        cooling.wrong(wanted())
        waits.append(refused(cooling, clock))
    assert [1, 2, 4, 8, 16, 32, 60, 60, 60] == waits


def test_right__forgets(clock: HandClock) -> None:
    """What was right in the end begins anew."""
    cooling = Cooling(clock)
    cooling.wrong(wanted())
    cooling.wrong(wanted())
    cooling.right(wanted())
    assert 0 == refused(cooling, clock)
    cooling.wrong(wanted())
    assert 1 == refused(cooling, clock)


def test_refuse__another_version(clock: HandClock) -> None:
    """Another digest at the same address, and the same at another address, are asked for."""
    cooling = Cooling(clock)
    cooling.wrong(wanted())
    cooling.refuse(replace(wanted(), digest=sha256(b"other")))
    cooling.refuse(replace(wanted(), url="https://other.example/x"))
    with pytest.raises(WrongBytes):
        cooling.refuse(wanted())


def test_wrong__bounded(clock: HandClock) -> None:
    """However many sources lie, memory does not grow: the oldest are forgotten."""
    cooling = Cooling(clock)
    for number in range(10_050):
        cooling.wrong(replace(wanted(), url=f"https://files.example/{number}"))
    cooling.refuse(replace(wanted(), url="https://files.example/0"))
    with pytest.raises(WrongBytes):
        cooling.refuse(replace(wanted(), url="https://files.example/10049"))


@pytest.mark.parametrize("ttl", [0.0, 3.0])
def test_wrong__no_longer_than_upstream_is_believed(clock: HandClock, ttl: float) -> None:
    """A source whose word counts for some seconds is asked again after these, also when it was wrong."""
    cooling = Cooling(clock)
    one = replace(wanted(), site=replace(wanted().site, ttl=ttl))
    for _ in range(9):
        cooling.wrong(one)
    clock.advance(ttl)

    cooling.refuse(one)
