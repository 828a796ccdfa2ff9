"""What is learnt of hosts: how many connections they allow, and whether they honour ranges."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.flight import Location
from proxy.cache.host_limits import HostLimits
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
HERE, ELSEWHERE = Location(URL, SITE), Location(OTHER, SITE)


@pytest.fixture
def host_limits(clock: HandClock) -> HostLimits:
    """HostLimits on the clock of the test."""
    return HostLimits(clock.monotonic)


@contextmanager
def connection(host_limits: HostLimits, url: str = URL) -> Iterator[None]:
    """A connection that is used for a while."""
    host_limits.take(url)
    before = host_limits._host(url).answered
    try:
        yield
    finally:
        host_limits.leave(url, answered=host_limits._host(url).answered > before)


def open_as_allowed(host_limits: HostLimits, allowed: int, most: int = 6) -> int:
    """Open as many connections as there seems to be room for, at a host that allows `allowed`; gives the refusals."""
    refusals = 0
    with ExitStack() as stack:
        for _ in range(host_limits.room(URL, most)):
            with ExitStack() as one:
                one.enter_context(connection(host_limits))
                if host_limits.busy(URL) <= allowed:
                    host_limits.answered(URL)
                    stack.enter_context(one.pop_all())
                    continue
            host_limits.refused(URL)
            refusals += 1
    return refusals


def test_room__nothing_known(host_limits: HostLimits) -> None:
    """A host that refused nothing gets what is asked for."""
    assert 6 == host_limits.room(URL, 6)


@given(st.integers(1, 8), st.integers(1, 8))
def test_room__falls_at_once_and_rises_slowly(allowed: int, later: int) -> None:
    """The number is learnt at the first refusals; then one more is tried now and then, and ever less often."""
    clock = HandClock()
    host_limits = HostLimits(clock.monotonic)
    assert max(6 - allowed, 0) == open_as_allowed(host_limits, allowed)
    assert 0 == open_as_allowed(host_limits, allowed)
    for pause in (10, 20, 40, 80, 160) if allowed < 6 else ():
        clock.advance(pause - 0.1)
        assert 0 == open_as_allowed(host_limits, allowed)
        clock.advance(0.2)
        assert 1 == open_as_allowed(host_limits, allowed)
    for _ in range(20):
        clock.advance(3600)
        open_as_allowed(host_limits, later)
    assert min(later, 6) in {host_limits.room(URL, 6), host_limits.room(URL, 6) - 1}


def test_room__of_others(host_limits: HostLimits) -> None:
    """A host is known by its name and port, whatever the address."""
    host_limits.take(URL)
    host_limits.leave(URL, answered=False)
    host_limits.refused(URL, 50.0)
    assert (1, 6) == (host_limits.room(SAME, 6), host_limits.room(OTHER, 6))
    assert host_limits.same(URL, SAME)
    with connection(host_limits, SAME):
        assert 0 == host_limits.room(URL, 6)
    assert 0 == host_limits.room(URL, 6, begun=1)


def test_refused__asks_to_be_left_alone(host_limits: HostLimits, clock: HandClock) -> None:
    """Nothing more is tried before upstream wants it to be."""
    host_limits.refused(URL, 500.0)
    with connection(host_limits):
        clock.advance(499)
        assert 0 == host_limits.room(URL, 6)
        clock.advance(2)
        assert 1 == host_limits.room(URL, 6)


def test_refused__and_taken_back(host_limits: HostLimits, clock: HandClock) -> None:
    """A refusal that was none is forgotten, one by one; not where more was learnt since."""
    with connection(host_limits):
        host_limits.answered(URL)
        taken_back = [host_limits.refused(URL), host_limits.refused(URL)]
        for take_back in reversed(taken_back):
            take_back()
        assert 6 == host_limits.room(URL, 6)
        first = host_limits.refused(URL)
        clock.advance(11)
        host_limits.refused(URL)
        first()
        assert 0 == host_limits.room(URL, 6)


def test_proven__falls_too(host_limits: HostLimits) -> None:
    """So many connections as a host answered at once may be opened at once, until it refuses one."""
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connection(host_limits))
            host_limits.answered(URL)
        assert 4 == host_limits.proven(URL)
    assert 4 == host_limits.proven(URL)
    host_limits.refused(URL)
    assert 1 == host_limits.proven(URL)


def test_hosts__are_bounded(host_limits: HostLimits) -> None:
    """However many hosts there are, few are remembered; never is one forgotten that is in use."""
    with connection(host_limits):
        for number in range(3000):
            host_limits.refused(f"https://host{number}.example/")
            host_limits.note(Location(f"https://host{number}.example/", SITE), ranges=True)
        assert 1 == host_limits.busy(URL)
    assert len(host_limits._hosts) <= 1025
    assert len(host_limits._ranges) <= 1024


async def test_freed__in_turn(host_limits: HostLimits) -> None:
    """Who waits for a connection gets it when one is let go, one by one, those in the middle of a file first."""
    got: list[str] = []

    async def wait(name: str, *, begun: bool) -> None:
        await host_limits.freed(URL, 50, begun=begun)
        host_limits.take(URL)
        got.append(name)

    host_limits.take(URL)
    host_limits.refused(URL)
    waiting = [asyncio.create_task(wait("new", begun=False))]
    await asyncio.sleep(0)
    assert (True, False) == (host_limits.crowded(URL), host_limits.pressed(URL))
    waiting += [asyncio.create_task(wait(name, begun=True)) for name in ("one", "two")]
    await asyncio.sleep(0)
    assert host_limits.pressed(URL)
    assert 0 == host_limits.room(URL, 6)
    for name in ("one", "two", "new"):
        assert name not in got
        host_limits.leave(URL, answered=False)
        while name not in got:
            await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert (["one", "two", "new"], False) == (got, host_limits.crowded(URL))


async def test_freed__taken_by_somebody_else(host_limits: HostLimits) -> None:
    """A connection that another download takes again at once was not free."""
    host_limits.take(URL)
    host_limits.refused(URL)
    waiting = asyncio.create_task(host_limits.freed(URL, 50, begun=False))
    await asyncio.sleep(0)
    host_limits.leave(URL, answered=False)
    host_limits.take(URL)
    await asyncio.wait((waiting,), timeout=0.01)
    assert not waiting.done()
    host_limits.leave(URL, answered=False)
    await waiting


async def test_freed__in_vain(host_limits: HostLimits) -> None:
    """Waiting ends by itself, or with the one who waits, and leaves nothing."""
    host_limits.take(URL)
    host_limits.refused(URL)
    await host_limits.freed(URL, 0.0, begun=True)
    waiting = asyncio.create_task(host_limits.freed(URL, 50, begun=True))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not host_limits.crowded(URL)


def test_shaken__by_a_later_connection(host_limits: HostLimits, clock: HandClock) -> None:
    """A connection that broke right after another one was opened was broken by it."""
    with connection(host_limits):
        answered = clock.monotonic()
        clock.advance(5)
        assert not host_limits.shaken(URL, answered)
        with connection(host_limits):
            clock.advance(0.5)
            assert host_limits.shaken(URL, answered)
            clock.advance(1)
            assert not host_limits.shaken(URL, answered)


# Ranges


def test_honours__what_was_seen(host_limits: HostLimits, clock: HandClock) -> None:
    """That ranges work is known for good; that they get an error, for a while."""
    assert host_limits.honours(HERE) is None
    host_limits.note(HERE, ranges=False)
    assert host_limits.honours(HERE) is False
    clock.advance(601)
    assert host_limits.honours(HERE) is None
    host_limits.note(HERE, ranges=True)
    clock.advance(1e6)
    assert host_limits.honours(HERE) is True
    assert host_limits.honours(ELSEWHERE) is None


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
def test_final__last_word(host_limits: HostLimits, error: PullthroughError, unknown: bool, known: bool) -> None:
    """What a ranged request got is the answer where ranges are known to work, if it is about the file."""
    assert unknown is host_limits.final(HERE, error)
    host_limits.note(HERE, ranges=True)
    assert known is host_limits.final(HERE, error)


def test_brisk__as_noted() -> None:
    """One connection is not enough until it was seen to be, for any address of the host."""
    limits = HostLimits()
    assert (False, None) == (limits.brisk(URL), limits.pace(URL))
    limits.note_pace(URL, brisk=True)
    assert (True, True) == (limits.brisk(SAME), limits.pace(SAME))
    limits.note_pace(SAME, brisk=False)
    assert (False, False) == (limits.brisk(URL), limits.pace(URL))
