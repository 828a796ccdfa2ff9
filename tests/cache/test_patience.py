"""How long a stale copy is held back."""

from __future__ import annotations

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
