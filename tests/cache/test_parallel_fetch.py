"""Who fetches which part of a file, and what happens when one of several fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import pytest

from proxy.cache import retry_policy
from proxy.cache.flight import Changed, Flight, Location
from proxy.cache.host_limits import HostLimits
from proxy.cache.lanes import Job, Lanes
from proxy.cache.parallel_fetch import ParallelFetch
from proxy.errors import (
    Crowded,
    NoDescriptor,
    NotFound,
    StoreFull,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    WrongBytes,
)
from tests.cache.conftest import SITE, URL, HandClock, wanted
from tests.meant_log import meant_log

SEGMENT = 1000
SIZE = 20 * SEGMENT
STEP = 0.01  # seconds that a part takes: slow, so that further connections are wanted

Do = Callable[["Bed", Job], Awaitable[None]]


class Bed:
    """A file that is begun, and what does the jobs."""

    def __init__(
        self,
        do: Do,
        lanes: Lanes = Lanes(4, SEGMENT),  # noqa: B008 frozen
        size: int | None = SIZE,
        clock: HandClock | None = None,
    ) -> None:
        self.flight = Flight(wanted())
        self.flight.size = size
        self.jobs: list[Job] = []
        self.most = self.now = 0
        self.host_limits = HostLimits() if clock is None else HostLimits(clock.monotonic)
        self._do = do
        self.fetch = ParallelFetch(self.flight, Location(URL, SITE), lanes, self.host_limits, self.do)
        self.fetch.parallel = True

    async def do(self, job: Job) -> None:
        """One job, counted."""
        self.jobs.append(job)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self._do(self, job)
        finally:
            self.now -= 1

    async def run(self) -> None:
        """All of them."""
        await self.fetch.run()
        assert [] == self.flight.extents.gaps(SIZE)
        assert 0 == self.host_limits.busy(URL) == self.now

    def answer(self, job: Job) -> None:
        """The head of an answer."""
        self.flight.size = SIZE
        self.flight.start()
        self.fetch.answered(job)


async def right(bed: Bed, job: Job) -> None:
    """Bring what is asked for."""
    bed.answer(job)
    await asyncio.sleep(STEP)
    bed.flight.written(job.start, SIZE if job.end is None else job.end)
    bed.flight.received += SEGMENT


async def test_run__every_part_once() -> None:
    """Each part is fetched once, in order, by as many as are allowed and not more."""
    bed = Bed(right)
    await bed.run()
    assert [(at, at + SEGMENT) for at in range(0, SIZE, SEGMENT)] == [(job.start, job.end) for job in bed.jobs]
    assert 1 < bed.most <= 4
    assert not bed.jobs[0].helper


async def test_run__size_unknown() -> None:
    """The first request asks for the first part; what it learns decides about the rest."""
    bed = Bed(right, size=None)
    await bed.run()
    assert (0, SEGMENT) == (bed.jobs[0].start, bed.jobs[0].end)
    assert 20 == len(bed.jobs)


@pytest.mark.parametrize("known", [1, 3])
async def test_run__host_allows_few(known: int) -> None:
    """At a host that is known to allow few connections no more are opened."""
    bed = Bed(right)
    for _ in range(known):
        bed.host_limits.take(URL)
    bed.host_limits.refused(URL)
    for _ in range(known):
        bed.host_limits.leave(URL, answered=False)
    await bed.run()
    assert bed.most <= known


HARMLESS = [
    NotFound("gone"),
    UpstreamThrottled("later", 3600),
    UpstreamBroken("odd"),
    WrongBytes("a page"),
    Changed(),
    RuntimeError("a bug"),
]


@pytest.mark.parametrize("error", [NotFound("expired"), UpstreamDenied("expired"), UpstreamBroken("status 400")])
@pytest.mark.parametrize("allowed", [4, 1])
async def test_run__address_expires(monkeypatch: pytest.MonkeyPatch, error: Exception, allowed: int) -> None:
    """What all connections meet at last is no word about their number; what one met and others did not, is."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    proven: list[int] = []

    async def do(bed: Bed, job: Job) -> None:
        if len(bed.jobs) > 17:
            proven.append(bed.host_limits.proven(URL))
            raise error
        if bed.now > allowed:
            raise error
        await right(bed, job)

    bed = Bed(do)
    bed.host_limits.note(Location(URL, SITE), ranges=True)
    with pytest.raises(type(error)):
        await bed.run()
    assert (1 < proven[0]) is (allowed > 1)
    assert (proven[0], allowed) == (bed.host_limits.proven(URL), bed.host_limits.room(URL, 4))
    assert 0 == bed.host_limits.busy(URL) == bed.now


@pytest.mark.parametrize("error", [NotFound("too many"), UpstreamThrottled("too many")])
async def test_run__host_refuses_more(error: Exception) -> None:
    """That a host refuses further connections while one goes on is learnt, in whatever words it does."""

    async def do(bed: Bed, job: Job) -> None:
        if bed.now > 1:
            raise error
        await right(bed, job)

    bed = Bed(do)
    await bed.run()
    assert 1 == bed.host_limits.room(URL, 4)


@pytest.mark.parametrize("error", [Crowded("as many as may be"), NoDescriptor("none left")])
async def test_run__cache_itself_has_no_more(clock: HandClock, error: Exception) -> None:
    """The cache's own limits are not the host's; a further connection is tried again after a while."""

    async def do(bed: Bed, job: Job) -> None:
        if job.probe and clock.monotonic() < 53:
            raise error
        await right(bed, job)
        clock.advance(0.5)

    bed = Bed(do, clock=clock)
    await bed.run()
    assert 4 == bed.host_limits.room(URL, 4)
    refused = [job for job in bed.jobs if job.probe and job.answered is None]
    assert 1 == len(refused)
    assert any(job.probe and job.answered is not None for job in bed.jobs)


@pytest.fixture
def told() -> Iterator[list[logging.LogRecord]]:
    """What the fetch logs."""
    with meant_log("proxy.cache.parallel_fetch") as records:
        yield records


@pytest.mark.parametrize("error", HARMLESS, ids=lambda error: type(error).__name__)
async def test_run__further_ones_fail(error: Exception, told: list[logging.LogRecord]) -> None:
    """Failures of further connections before a response do no harm; a defect is logged once."""

    async def do(bed: Bed, job: Job) -> None:
        if job.probe:
            raise error
        await right(bed, job)

    bed = Bed(do)
    await bed.run()
    assert 1 <= sum(job.probe for job in bed.jobs) <= 3
    assert int(isinstance(error, RuntimeError)) == len(told)
    assert all(record.exc_info for record in told)


async def test_run__bug_in_the_only_one(told: list[logging.LogRecord]) -> None:
    """A transfer that breaks in the cache itself is a broken transfer, and is logged once."""
    left = iter([RuntimeError("a bug"), BufferError("another"), OSError("a third")])

    async def do(bed: Bed, job: Job) -> None:
        bed.answer(job)
        if (error := next(left, None)) is not None:
            raise error
        await right(bed, job)

    await Bed(do).run()
    assert 1 == len(told)


@pytest.mark.parametrize("error", [StoreFull("full"), WrongBytes("too long")])
async def test_run__what_ends_it(error: Exception) -> None:
    """A full disk, and bytes that cannot be right, end it, whichever connection meets them."""

    async def do(bed: Bed, job: Job) -> None:
        bed.answer(job)
        if job.helper:
            raise error
        await right(bed, job)

    bed = Bed(do)
    with pytest.raises(type(error)):
        await bed.run()
    assert 0 == bed.host_limits.busy(URL) == bed.now


async def test_run__one_is_silent() -> None:
    """A further connection that is not answered is let go when others have nothing else to do."""

    async def do(bed: Bed, job: Job) -> None:
        if job.probe:
            await asyncio.Event().wait()
        await right(bed, job)

    bed = Bed(do)
    await bed.run()
    assert 1 == sum(job.dropped for job in bed.jobs)


async def test_run__one_falls_silent_in_the_middle(clock: HandClock) -> None:
    """The rest of its part is fetched by the others, and its host is asked for less at once."""

    async def do(bed: Bed, job: Job) -> None:
        if job.probe and not any(other.silent for other in bed.jobs):
            bed.answer(job)
            bed.flight.written(job.start, job.start + 100)
            await asyncio.Event().wait()
        await right(bed, job)
        clock.advance(0.3)

    bed = Bed(do, clock=clock)
    await bed.run()
    fell = [job for job in bed.jobs if job.silent]
    assert 1 <= len(fell) <= 3
    assert {job.start + 100 for job in fell} <= {job.start for job in bed.jobs}
    assert bed.host_limits.room(URL, 4) < 4


async def test_run__the_only_one_falls_silent_in_the_middle(clock: HandClock) -> None:
    """Another one goes on where it was; unless what it brought is still being written."""
    bed = Bed(right, Lanes(1, SEGMENT), clock=clock)
    writing = [True]

    async def do(bed: Bed, job: Job) -> None:
        if len(bed.jobs) > 1:
            await right(bed, job)
            return
        job.busy = lambda: writing[0]
        bed.answer(job)
        bed.flight.written(0, 100)
        await asyncio.Event().wait()

    bed._do = do
    running = asyncio.create_task(bed.run())
    while not bed.jobs or bed.jobs[0].moved[1] != 100:
        await asyncio.sleep(STEP)
    clock.advance(5)
    while bed.jobs[0].moved[0] != clock.monotonic():
        await asyncio.sleep(STEP)
    assert 1 == len(bed.jobs)
    writing[0] = False
    clock.advance(5)
    await running
    assert [(0, False), (100, False)] == [(job.start, job.plain) for job in bed.jobs[:2]]


def met_by_silence(gate: asyncio.Event, beside: Callable[[Bed, Job], Awaitable[None]]) -> Do:
    """A host that answers ranges when the gate opens, and a request without a range as `beside` says."""

    async def do(bed: Bed, job: Job) -> None:
        if job.plain:
            await beside(bed, job)
        else:
            await gate.wait()
        bed.fetch.chosen(job)
        await right(bed, job)

    return do


async def asked(bed: Bed, clock: HandClock, count: int, seconds: float) -> asyncio.Task[None]:
    """Run it until it asked so often, after some silence."""
    running = asyncio.create_task(bed.run())
    while not bed.jobs:
        await asyncio.sleep(0)
    clock.advance(seconds)
    while len(bed.jobs) < count:
        await asyncio.sleep(STEP)
    return running


@pytest.mark.parametrize(("known", "seconds"), [(None, 3.1), (True, 8.1)])
async def test_run__first_range_is_met_by_silence(clock: HandClock, known: bool | None, seconds: float) -> None:
    """The whole is asked for beside it, later where ranges are known to work, and then that is how it comes."""

    async def given(bed: Bed, job: Job) -> None:
        pass

    bed = Bed(met_by_silence(asyncio.Event(), given), size=None, clock=clock)
    if known:
        bed.host_limits.note(Location(URL, SITE), ranges=True)
    running = await asked(bed, clock, 1, seconds - 0.2)
    await asyncio.sleep(0.3)  # more than one look
    assert 1 == len(bed.jobs)
    clock.advance(0.2)
    await running
    assert [(False, True), (True, False)] == [(job.plain, job.dropped) for job in bed.jobs]
    assert bed.host_limits.honours(Location(URL, SITE)) is False


async def test_run__first_range_takes_its_time(clock: HandClock) -> None:
    """A host that is slow with whatever it is asked gives its parts: the plain request is let go without an answer."""
    gate = asyncio.Event()

    async def slow(bed: Bed, job: Job) -> None:
        await asyncio.Event().wait()

    bed = Bed(met_by_silence(gate, slow), size=None, clock=clock)
    running = await asked(bed, clock, 2, 3.1)
    gate.set()
    await running
    assert [True] == [job.dropped for job in bed.jobs if job.plain]
    assert bed.host_limits.honours(Location(URL, SITE)) is None


async def test_run__plain_request_beside_it_fails(clock: HandClock) -> None:
    """What it gets of the file is the answer; a refusal may be about the second connection, and nothing is learnt."""
    gate = asyncio.Event()

    async def missing(bed: Bed, job: Job) -> None:
        raise NotFound("gone")

    async def refused(bed: Bed, job: Job) -> None:
        raise UpstreamThrottled("later")

    with pytest.raises(NotFound):
        await (await asked(Bed(met_by_silence(gate, missing), size=None, clock=clock), clock, 2, 3.1))
    bed = Bed(met_by_silence(gate, refused), size=None, clock=clock)
    running = await asked(bed, clock, 2, 3.1)
    gate.set()
    await running
    assert 4 == bed.host_limits.room(URL, 4)


async def test_run__somebody_has_no_connection() -> None:
    """Further connections make room for the first one of another file."""
    gate = asyncio.Event()

    async def do(bed: Bed, job: Job) -> None:
        bed.answer(job)
        if bed.most < 3 or job.helper:
            await asyncio.sleep(STEP)
        if bed.most >= 3 and not gate.is_set():
            await gate.wait()
        bed.flight.written(job.start, job.end or SIZE)

    bed = Bed(do)
    running = asyncio.create_task(bed.run())
    while bed.now < 3:
        await asyncio.sleep(STEP)
    bed.host_limits.refused(URL)
    other = asyncio.create_task(bed.host_limits.freed(URL, 50, begun=False))
    await other
    assert any(job.dropped for job in bed.jobs)
    gate.set()
    await running


async def test_run__trickles() -> None:
    """A download that brings next to nothing over its window is given up; one that brings enough is not."""

    async def do(bed: Bed, job: Job) -> None:
        bed.answer(job)
        while True:
            await asyncio.sleep(STEP)
            bed.flight.received += 1

    with pytest.raises(UpstreamTimeout):
        await Bed(do, Lanes(1, SEGMENT, least=1_000_000, window=0.2)).run()
    await Bed(right, Lanes(1, SEGMENT, least=10, window=0.2)).run()


async def test_run__cancelled() -> None:
    """Broken off, it ends when all that it began has ended."""

    async def do(bed: Bed, job: Job) -> None:
        bed.answer(job)
        await asyncio.Event().wait()

    bed = Bed(do)
    running = asyncio.create_task(bed.run())
    while bed.now < 2:
        await asyncio.sleep(STEP)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert 0 == bed.host_limits.busy(URL) == bed.now


MIDDLE = 9 << 20  # bytes of a file that one connection could take as one segment
PART = MIDDLE // 4
LONG = 4 << 20  # bytes of a segment that tells how fast a connection is


async def parts_of(alone: Callable[[Bed], Awaitable[None]], *, brisk: bool = False) -> list[tuple[int, int | None]]:
    """The parts of a file of middle length that are asked for; the first one takes until `alone` ends."""

    async def bring(bed: Bed, job: Job) -> None:
        bed.flight.size = MIDDLE
        bed.flight.start()
        bed.fetch.answered(job)
        if not job.start:
            await alone(bed)
        bed.flight.written(job.start, MIDDLE if job.end is None else job.end)

    bed = Bed(bring, Lanes(4, 16 << 20), None)
    bed.flight.wanted = replace(bed.flight.wanted, size=MIDDLE)
    bed.host_limits.note_pace(URL, brisk=brisk)
    await bed.fetch.run()
    assert [] == bed.flight.extents.gaps(MIDDLE)
    return [(job.start, job.end) for job in bed.jobs]


async def test_run__middle_length_slow() -> None:
    """Where one connection is slow, all of them have some of a file that is no longer than a segment."""

    async def slow(bed: Bed) -> None:
        while len(bed.jobs) < 4:
            await asyncio.sleep(STEP)

    assert [(at, at + PART) for at in range(0, MIDDLE, PART)] == sorted(await parts_of(slow))


async def test_run__middle_length_fast() -> None:
    """Where one connection is fast, it fetches the rest at once; and the next file of that host as a whole."""

    async def fast(_: Bed) -> None:
        pass

    assert [(0, PART), (PART, MIDDLE)] == await parts_of(fast)
    assert [(0, 16 << 20)] == await parts_of(fast, brisk=True)


async def test_run__long_parts_where_it_is_fast() -> None:
    """A connection that is fast takes longer and longer parts, cut where segments of that length end."""

    async def at_once(bed: Bed, job: Job) -> None:
        bed.flight.size = 130 * LONG
        bed.flight.start()
        bed.fetch.answered(job)
        bed.flight.written(job.start, 130 * LONG if job.end is None else job.end)

    bed = Bed(at_once, Lanes(4, LONG), None)
    bed.flight.wanted = replace(bed.flight.wanted, size=130 * LONG)
    await bed.fetch.run()
    ends = [0, 1, 2, 4, 8, 16, 32, 64, 96, 128, 130]
    assert [(a * LONG, b * LONG) for a, b in itertools.pairwise(ends)] == [(job.start, job.end) for job in bed.jobs]


async def test_run__long_part_turns_out_to_be_slow() -> None:
    """A connection that becomes slow in a long part stops at the end of its segment, and others take the rest."""
    length = 8 * LONG

    async def slow_at_last(bed: Bed, job: Job) -> None:
        bed.flight.size = length
        bed.flight.start()
        bed.fetch.answered(job)
        while (job.start, job.end) == (4 * LONG, length):
            await asyncio.sleep(STEP)
        bed.flight.written(job.start, length if job.end is None else job.end)

    bed = Bed(slow_at_last, Lanes(4, LONG), None)
    bed.flight.wanted = replace(bed.flight.wanted, size=length)
    await bed.fetch.run()
    assert [] == bed.flight.extents.gaps(length)
    parts = [(job.start // LONG, (job.end or length) // LONG) for job in bed.jobs]
    assert [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6), (6, 7), (7, 8)] == parts
