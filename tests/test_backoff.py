"""Back-off by key."""

from __future__ import annotations

import pytest

from proxy.backoff import Backoff


def pause(backoff: Backoff[str], now: float, key: str = "a") -> float:
    """How many seconds `key` is left alone from now on, to a quarter."""
    quarters = 0
    while backoff.active(key, now + quarters / 4):
        quarters += 1
    return quarters / 4


def test_failed__again_and_again() -> None:
    """The pause doubles from the first to the longest."""
    backoff, now, pauses = Backoff[str](1.0, 60.0, 10), 100.0, []
    for _ in range(40):
        backoff.failed("a", now)
        pauses.append(pause(backoff, now))
        now += pauses[-1]
    assert [1, 2, 4, 8, 16, 32, *[60] * 34] == pauses


def test_failed__together() -> None:
    """Fifty requests that fail at once are one failure, and none shortens the pause."""
    backoff = Backoff[str](1.0, 30.0, 10)
    for _ in range(50):
        backoff.failed("a", 100.0)
    backoff.failed("a", 100.5)
    assert 1.5 == pause(backoff, 100.0)
    backoff.failed("a", 100.75, at_most=0.0)
    assert 0.75 == pause(backoff, 100.75)


@pytest.mark.parametrize(("at_least", "seconds"), [(0.0, 1.0), (7.0, 7.0), (3600.0, 30.0)])
def test_failed__upstream_says_for_how_long(at_least: float, seconds: float) -> None:
    """What upstream asks for counts, up to the longest pause."""
    backoff = Backoff[str](1.0, 30.0, 10)
    backoff.failed("a", 0.0, at_least=at_least)
    assert seconds == pause(backoff, 0.0)


@pytest.mark.parametrize("at_most", [0.0, 3.0])
def test_failed__worth_no_more(at_most: float) -> None:
    """A pause takes no longer than it is worth, however often it was doubled."""
    backoff, now = Backoff[str](1.0, 30.0, 10), 0.0
    for _ in range(9):
        backoff.failed("a", now, at_most=at_most)
        now += pause(backoff, now)
    backoff.failed("a", now, at_most=at_most)
    assert at_most == pause(backoff, now)


def test_succeeded__begins_anew() -> None:
    """Who succeeds is not left alone, and its next failure is the first one; others are as they were."""
    backoff = Backoff[str](1.0, 30.0, 10)
    assert backoff.unused
    for key in ("a", "a", "b"):
        backoff.failed(key, 0.0)
    backoff.failed("a", 5.0)
    backoff.succeeded("a")
    assert [0.0, 1.0] == [pause(backoff, 5.0), pause(backoff, 0.0, "b")]
    backoff.failed("a", 5.0)
    assert (1.0, False) == (pause(backoff, 5.0), backoff.unused)


def test_failed__bounded() -> None:
    """However many fail, few are remembered: the latest."""
    backoff = Backoff[int](1.0, 30.0, 1000)
    for number in range(5000):
        backoff.failed(number, 0.0)
    assert [False, True, True] == [backoff.active(number, 0.5) for number in (3999, 4000, 4999)]
