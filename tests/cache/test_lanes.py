"""How fast connections are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.lanes import Job, Lanes, Pacing

LANES = Lanes(connections=3, least=1000, window=60.0)


def answered(pacing: Pacing, now: float = 0.0, *, plain: bool = False) -> Job:
    """A connection that was answered."""
    job = Job(0, 1 << 20, now, plain=plain)
    pacing.answered(job, now, 0, 0)
    return job


@pytest.mark.parametrize(("rate", "slow"), [(50_000_000, True), (200_000_000, False)])
def test_look__single_connection(rate: int, slow: bool) -> None:
    """A connection is slow if it is at any look; the time to the first answer does not count."""
    pacing = Pacing(LANES)
    pacing.look(30.0, 0)
    answered(pacing, 30.0)
    for step in range(1, 30):
        pacing.look(30.0 + step / 20, rate * step // 20)
    assert slow is pacing.slow
    pacing.look(40.0, rate * 2)
    assert pacing.slow
    pacing.look(41.0, 10**12)
    assert pacing.slow


@pytest.mark.parametrize(
    ("size", "part"),
    [(None, 16), (100, 2), (2 << 20, 2), (5 << 20, 2), (12 << 20, 4), (30 << 20, 10), (400 << 20, 16)],
)
def test_part__of_a_file(size: int | None, part: int) -> None:
    """All connections have some of a file that is worth more than one; a large one comes in segments."""
    assert part << 20 == LANES.part(size)


@pytest.mark.parametrize(("seconds", "brought", "brisk"), [(0.02, 4 << 20, True), (0.2, 4 << 20, False)])
def test_brisk__single_connection(seconds: float, brought: int, brisk: bool) -> None:
    """A part that one connection brought alone tells whether it is enough."""
    pacing = Pacing(LANES)
    assert brisk is pacing.brisk(answered(pacing, 7.0), 7.0 + seconds, brought)


def test_long_part__after_fast_ones() -> None:
    """A connection that is fast takes twice as much each time, within a bound, and begins anew when it was not."""
    pacing = Pacing(LANES)
    parts = [pacing.long_part]
    for seconds in (*[0.1] * 7, 0.4, 0.1):
        pacing.done(answered(pacing, 7.0), 7.0 + seconds, 16 << 20)
        parts.append(pacing.long_part)
    assert [16, 32, 64, 128, 256, 512, 512, 512, 16, 32] == [part >> 20 for part in parts]


@pytest.mark.parametrize(
    ("start", "end", "brought", "left"),
    [(64, 128, 0, 80), (64, 128, 15, 80), (64, 128, 16, 96), (64, 128, 60, 128), (10, 20, 2, 20), (64, None, 0, None)],
)
def test_leave_rest__of_a_long_part(start: int, end: int | None, brought: int, left: int | None) -> None:
    """A part longer than a segment ends with the segment that it is in; others stay as they are."""
    job = Job(start, end, 0.0)
    job.leave_rest(brought, 16)
    assert left == job.end


@pytest.mark.parametrize(
    ("seconds", "brought", "busy", "crawls"),
    [(0.2, 4 << 20, False, True), (0.2, 6 << 20, False, False), (0.2, 4 << 20, True, False), (0.05, 0, False, False)],
)
def test_crawls__since_the_last_look(seconds: float, brought: int, busy: bool, crawls: bool) -> None:
    """A connection crawls if upstream brings little twice in a row, and not if this machine is busy with what came."""
    job = answered(Pacing(LANES), 7.0)
    job.busy = lambda: busy
    assert not Pacing.crawls(job, 8.0, 100 << 20)
    assert not Pacing.crawls(job, 8.0 + seconds, (100 << 20) + brought)
    assert crawls is Pacing.crawls(job, 8.0 + 2 * seconds, (100 << 20) + 2 * brought)


def test_crawls__no_answer() -> None:
    """A request without a response is none."""
    assert not Pacing.crawls(Job(0, 1 << 20, 0.0), 9.0, 0)


def test_brisk__not_known() -> None:
    """A few bytes tell nothing, and nor does a job without an answer; beside others a connection is not enough."""
    pacing = Pacing(LANES)
    assert pacing.brisk(Job(0, None, 0.0), 1.0, 4 << 20) is None
    job = answered(pacing)
    assert pacing.brisk(job, 1.0, 1000) is None
    pacing.look(1.0, 1000)
    assert pacing.brisk(job, 1.0, 1000) is False


def test_patience() -> None:
    """As long as the least rate allows; without one for ever."""
    assert (62.0, None) == (Lanes(least=512).patience(1024), Lanes(least=0).patience(1024))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=400))
def test_trickles__least_rate(seconds: list[int]) -> None:
    """A download is given up when a whole window brought less than it must, and only then."""
    pacing = Pacing(LANES)
    came = 0
    given_up = [
        now for now, size in enumerate(seconds) if (came := came + size) >= 0 and pacing.trickles(float(now), came)
    ]
    if given_up:
        last = given_up[0]
        assert sum(seconds[last - 59 : last + 1]) < 60 * 1000
    if all(size >= 1000 for size in seconds):
        assert not given_up
    if len(seconds) > 120 and sum(seconds[:120]) < 60 * 1000 and seconds[0] == 0:
        assert given_up


def test_silent__further_connections_only() -> None:
    """A further connection may be silent for two seconds, or longer at a host that takes its time; a first one may."""
    pacing = Pacing(LANES)
    first = Job(0, 1, 0.0)
    assert not pacing.silent(first, 100.0)
    pacing.answered(first, 0.01, 0, 0)
    assert not pacing.silent(first, 100.0)
    helper = Job(0, 1, 10.0, helper=True)
    assert [False, True] == [pacing.silent(helper, now) for now in (11.9, 12.1)]
    slow = Pacing(LANES)
    slow.answered(Job(0, 1, 0.0), 3.0, 0, 0)
    assert [False, True] == [slow.silent(helper, now) for now in (21.9, 22.1)]
    helper.answered = 11.0
    assert not pacing.silent(helper, 100.0)


def test_silent__the_only_one() -> None:
    """The only connection may hang when others were answered; it is tried anew a few times, and then waited for."""
    pacing = Pacing(LANES)
    answered(pacing)
    alone = Job(0, 1, 10.0)
    assert [False, True, True, True, False] == [pacing.silent(alone, now) for now in (14.9, 15.1, 15.1, 15.1, 99.0)]


def test_silent__beside_others() -> None:
    """Whoever is not alone is a further one; and the whole may take longer than a part to come."""
    pacing = Pacing(LANES)
    answered(pacing)
    first = Job(0, 1, 10.0)
    assert [False, True] == [pacing.silent(first, now, others=True) for now in (11.9, 12.1)]
    assert [False, True] == [pacing.silent(first, now, idle=True, others=True) for now in (10.4, 10.6)]
    whole = Job(0, None, 10.0, plain=True)
    assert [False, True] == [pacing.silent(whole, now) for now in (19.9, 20.1)]


def test_stalls__in_the_middle() -> None:
    """Nothing new for some seconds, sooner where another is idle; not the whole, nor what is still being written."""
    pacing = Pacing(LANES)
    job = answered(pacing)
    seen = [(1.0, 10), (4.9, 10), (5.1, 10), (6.0, 20), (9.9, 20)]
    assert [False, False, True, False, False] == [pacing.stalls(job, *at) for at in seen]
    assert [False, True] == [pacing.stalls(answered(pacing), now, 0, idle=True) for now in (1.9, 2.1)]
    whole, writing = answered(pacing), answered(pacing)
    whole.whole, writing.busy = True, lambda: True
    for other in (whole, writing, answered(pacing, plain=True), Job(0, 1, 0.0)):
        assert not pacing.stalls(other, 100.0, 0)


def test_lags__behind_the_others() -> None:
    """One that brings a small part of what others brought is replaced, a bounded number of times."""
    pacing = Pacing(LANES)
    fast = answered(pacing)
    pacing.done(fast, 1.0, 1_000_000)
    replaced = 0
    for _ in range(10):
        job = answered(pacing)
        assert not pacing.lags(job, 4.9, 0)
        replaced += pacing.lags(job, 5.1, 100_000)
    assert 3 == replaced


def test_lags__as_fast_as_the_others() -> None:
    """Who keeps up is left alone, and so is one that nothing is known to compare it with, or that fetches it all."""
    pacing = Pacing(LANES)
    first = answered(pacing)
    assert not pacing.lags(first, 6.0, 1)
    pacing.done(answered(pacing), 0.001, 10_000_000)  # out of a buffer
    assert not pacing.lags(answered(pacing), 6.0, 1)
    pacing.done(first, 10.0, 10_000_000)
    job = answered(pacing)
    assert [False] * 4 == [pacing.lags(job, 5.5 * step, 1_000_000 * step) for step in range(1, 5)]
    assert not pacing.lags(answered(pacing, plain=True), 6.0, 1)
    assert pacing.lags(job, 40.0, 4_000_001)
