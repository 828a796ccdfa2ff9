"""How long a stale copy is held back."""

from __future__ import annotations

import pytest

from proxy.cache.patience import Patience
from tests.cache.conftest import HandClock
from tests.memory_upstream import MemoryUpstream

URL = "https://index.example/simple/demo/"
OTHER = "https://index.example/simple/other/"
ELSEWHERE = "https://elsewhere.example/simple/demo/"


def waits(patience: Patience) -> list[bool]:
    """Whether it is worth to wait for these."""
    return [patience.seconds(url) > 0 for url in (URL, OTHER, ELSEWHERE)]


def test_seconds__host_that_kept_somebody_waiting(upstream: MemoryUpstream, clock: HandClock) -> None:
    """Who waited in vain waited for all pages of the host, for a while."""
    patience = Patience(upstream, clock)
    before = waits(patience)
    patience.ran_out(URL)

    assert ([True, True, True], [False, False, True]) == (before, waits(patience))
    clock.advance(31)
    assert [True, True, True] == waits(patience)


def test_seconds__host_that_answers_again(upstream: MemoryUpstream, clock: HandClock) -> None:
    """A prompt answer is worth waiting for the next one; one that came late is not."""
    patience = Patience(upstream, clock)
    patience.ran_out(URL)
    asked = clock.monotonic()
    clock.advance(5)
    patience.answered(OTHER, asked)
    late = waits(patience)
    patience.answered(OTHER, clock.monotonic())

    assert ([False, False, True], [True, True, True]) == (late, waits(patience))


def test_seconds__known_to_be_down(upstream: MemoryUpstream, clock: HandClock) -> None:
    """Nobody waits for a host that is down."""
    patience = Patience(upstream, clock)
    upstream.down_urls.add(URL)

    assert [False, True, True] == waits(patience)


def test_ran_out__names_made_up(upstream: MemoryUpstream, clock: HandClock) -> None:
    """The hosts that are remembered are bounded; the latest is among them."""
    patience = Patience(upstream, clock)
    for number in range(3000):
        patience.ran_out(f"https://host{number}.example/")

    assert [1.0, 0.0] == [patience.seconds(f"https://host{number}.example/") for number in (0, 2999)]


@pytest.mark.parametrize(
    ("age", "least", "most"),
    [(0, 1, 1), (-5, 1, 1), (300, 1, 1), (3600, 1, 3), (86_400, 3, 9), (7 * 86_400, 10, 10), (90 * 86_400, 20, 20)],
)
def test_worth__by_age(upstream: MemoryUpstream, clock: HandClock, age: float, least: float, most: float) -> None:
    """The older a suite's copy is, the longer it is held back; never as long as apt waits."""
    assert least <= Patience(upstream, clock).worth(URL, age) <= most


def test_worth__host_that_takes_its_time(upstream: MemoryUpstream, clock: HandClock) -> None:
    """A host that answers late, but answers, is waited for; one that said nothing is not, until it does."""
    patience = Patience(upstream, clock)
    asked = clock.monotonic()
    clock.advance(2)
    patience.answered(URL, asked)
    slow = patience.worth(OTHER, 0)
    patience.ran_out(URL)
    silent = patience.worth(OTHER, 0)
    patience.answered(URL, asked)

    assert (6.0, 0.0, 6.0) == (slow, silent, patience.worth(OTHER, 0))
    assert 0.0 == patience.seconds(OTHER)
    upstream.down_urls.add(OTHER)
    assert 0.0 == patience.worth(OTHER, 0)
