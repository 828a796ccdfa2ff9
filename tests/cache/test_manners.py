"""What is learnt of hosts: how many connections they allow, and whether they honour ranges."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.flight import Place
from proxy.cache.manners import Manners
from proxy.errors import (
    Crowded,
    NotAllowed,
    NotFound,
    PullthroughError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from tests.cache.conftest import SITE, HandClock

URL = "https://files.example/a"
SAME = "https://user:secret@FILES.example/b?c"
OTHER = "https://files.example:444/a"
HERE, ELSEWHERE = Place(URL, SITE), Place(OTHER, SITE)


@pytest.fixture
def manners(clock: HandClock) -> Manners:
    """Manners on the clock of the test."""
    return Manners(clock.monotonic)


@contextmanager
def connection(manners: Manners, url: str = URL) -> Iterator[None]:
    """A connection that is used for a while."""
    manners.take(url)
    before = manners._host(url).answered
    try:
        yield
    finally:
        manners.leave(url, answered=manners._host(url).answered > before)


def open_as_allowed(manners: Manners, allowed: int, most: int = 6) -> int:
    """Open as many connections as there seems to be room for, at a host that allows `allowed`; gives the refusals."""
    refusals = 0
    with ExitStack() as stack:
        for _ in range(manners.room(URL, most)):
            with ExitStack() as one:
                one.enter_context(connection(manners))
                if manners.busy(URL) <= allowed:
                    manners.answered(URL)
                    stack.enter_context(one.pop_all())
                    continue
            manners.refused(URL)
            refusals += 1
    return refusals


def test_room__nothing_known(manners: Manners) -> None:
    """A host that refused nothing gets what is asked for."""
    assert 6 == manners.room(URL, 6)


@given(st.integers(1, 8), st.integers(1, 8))
def test_room__falls_at_once_and_rises_slowly(allowed: int, later: int) -> None:
    """The number is learnt at the first refusals; then one more is tried now and then, and ever less often."""
    clock = HandClock()
    manners = Manners(clock.monotonic)
    assert max(6 - allowed, 0) == open_as_allowed(manners, allowed)
    assert 0 == open_as_allowed(manners, allowed)
    for pause in (10, 20, 40, 80, 160) if allowed < 6 else ():
        clock.advance(pause - 0.1)
        assert 0 == open_as_allowed(manners, allowed)
        clock.advance(0.2)
        assert 1 == open_as_allowed(manners, allowed)
    for _ in range(20):
        clock.advance(3600)
        open_as_allowed(manners, later)
    assert min(later, 6) in {manners.room(URL, 6), manners.room(URL, 6) - 1}


def test_room__of_others(manners: Manners) -> None:
    """One host is known by its name and port, whoever asks for what."""
    manners.take(URL)
    manners.leave(URL, answered=False)
    manners.refused(URL, 50.0)
    assert (1, 6) == (manners.room(SAME, 6), manners.room(OTHER, 6))
    assert manners.same(URL, SAME)
    with connection(manners, SAME):
        assert 0 == manners.room(URL, 6)
    assert 0 == manners.room(URL, 6, begun=1)


def test_refused__asks_to_be_left_alone(manners: Manners, clock: HandClock) -> None:
    """Nothing more is tried before upstream wants it to be."""
    manners.refused(URL, 500.0)
    with connection(manners):
        clock.advance(499)
        assert 0 == manners.room(URL, 6)
        clock.advance(2)
        assert 1 == manners.room(URL, 6)


def test_proven__falls_too(manners: Manners) -> None:
    """So many connections as a host answered at once may be opened at once, until it refuses one."""
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connection(manners))
            manners.answered(URL)
        assert 4 == manners.proven(URL)
    assert 4 == manners.proven(URL)
    manners.refused(URL)
    assert 1 == manners.proven(URL)


def test_hosts__are_bounded(manners: Manners) -> None:
    """However many hosts there are, few are remembered; never is one forgotten that is in use."""
    with connection(manners):
        for number in range(3000):
            manners.refused(f"https://host{number}.example/")
            manners.note(Place(f"https://host{number}.example/", SITE), ranges=True)
        assert 1 == manners.busy(URL)
    assert len(manners._hosts) <= 1025
    assert len(manners._ranges) <= 1024


async def test_freed__in_turn(manners: Manners) -> None:
    """Who waits for a connection gets it when one is let go, one by one, those in the middle of a file first."""
    got: list[str] = []

    async def wait(name: str, *, begun: bool) -> None:
        await manners.freed(URL, 50, begun=begun)
        manners.take(URL)
        got.append(name)

    manners.take(URL)
    manners.refused(URL)
    waiting = [asyncio.create_task(wait("new", begun=False))]
    await asyncio.sleep(0)
    assert (True, False) == (manners.crowded(URL), manners.pressed(URL))
    waiting += [asyncio.create_task(wait(name, begun=True)) for name in ("one", "two")]
    await asyncio.sleep(0)
    assert manners.pressed(URL)
    assert 0 == manners.room(URL, 6)
    for name in ("one", "two", "new"):
        assert name not in got
        manners.leave(URL, answered=False)
        while name not in got:
            await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert (["one", "two", "new"], False) == (got, manners.crowded(URL))


async def test_freed__taken_by_somebody_else(manners: Manners) -> None:
    """A connection that another download takes again at once was not free."""
    manners.take(URL)
    manners.refused(URL)
    waiting = asyncio.create_task(manners.freed(URL, 50, begun=False))
    await asyncio.sleep(0)
    manners.leave(URL, answered=False)
    manners.take(URL)
    await asyncio.wait((waiting,), timeout=0.01)
    assert not waiting.done()
    manners.leave(URL, answered=False)
    await waiting


async def test_freed__in_vain(manners: Manners) -> None:
    """Waiting ends by itself, or with the one who waits, and leaves nothing."""
    manners.take(URL)
    manners.refused(URL)
    await manners.freed(URL, 0.0, begun=True)
    waiting = asyncio.create_task(manners.freed(URL, 50, begun=True))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not manners.crowded(URL)


def test_shaken__by_a_later_connection(manners: Manners, clock: HandClock) -> None:
    """A connection that broke right after another one was opened was broken by it."""
    with connection(manners):
        answered = clock.monotonic()
        clock.advance(5)
        assert not manners.shaken(URL, answered)
        with connection(manners):
            clock.advance(0.5)
            assert manners.shaken(URL, answered)
            clock.advance(1)
            assert not manners.shaken(URL, answered)


# Ranges


def test_honours__what_was_seen(manners: Manners, clock: HandClock) -> None:
    """That ranges work is known for good; that they get an error, for a while."""
    assert manners.honours(HERE) is None
    manners.note(HERE, ranges=False)
    assert manners.honours(HERE) is False
    clock.advance(601)
    assert manners.honours(HERE) is None
    manners.note(HERE, ranges=True)
    clock.advance(1e6)
    assert manners.honours(HERE) is True
    assert manners.honours(ELSEWHERE) is None


@pytest.mark.parametrize(
    ("error", "unknown", "known"),
    [
        (NotFound(""), False, True),
        (Withheld(""), False, True),
        (UpstreamDenied(""), False, True),
        (UpstreamThrottled(""), False, True),
        (UpstreamUnreachable(""), False, True),
        (UpstreamBroken(""), False, False),
        (UpstreamTimeout(""), False, False),
        (NotAllowed(""), True, True),
        (Crowded(""), True, True),
    ],
)
def test_final__last_word(manners: Manners, error: PullthroughError, unknown: bool, known: bool) -> None:
    """What a ranged request got is the answer where ranges are known to work, if it is about the file."""
    assert unknown is manners.final(HERE, error)
    manners.note(HERE, ranges=True)
    assert known is manners.final(HERE, error)
