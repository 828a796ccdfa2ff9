"""What a download does when its only connection failed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.cache import retry_policy
from proxy.cache.flight import Changed, Flight, Location, WantedFile
from proxy.cache.host_limits import HostLimits
from proxy.cache.lanes import Job
from proxy.cache.retry_policy import RetryPolicy
from proxy.errors import (
    Crowded,
    NoDescriptor,
    NotAllowed,
    NotFound,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.cache.conftest import SITE, URL, HandClock, wanted

PLACE = Location(URL, SITE)


class Bed:
    """One download."""

    def __init__(self, clock: HandClock, file: WantedFile) -> None:
        self.clock = clock
        self.host_limits = HostLimits(clock.monotonic)
        self.flight = Flight(file)
        self.retries = RetryPolicy(self.flight, PLACE, self.host_limits)

    def begin(self, *, ranges: bool) -> None:
        """An answer came."""
        self.flight.size = 1000
        self.flight.start()
        if ranges:
            self.host_limits.note(PLACE, ranges=True)

    async def tried(self, error: Exception, *, plain: bool = False, answered: bool = False, new: int = 0) -> str:
        """A connection fails, after `new` bytes; whether it is tried again, how, or given up."""
        total = self.flight.extents.total
        self.flight.written(total, total + new)
        job = Job(0, None, self.clock.monotonic(), plain=plain)
        job.answered = self.clock.monotonic() if answered else None
        try:
            await self.retries.failed(job, error)
        except type(error):
            return "given up"
        return "plain" if self.retries.plain else "ranged"


@pytest.fixture
async def bed(clock: HandClock) -> Bed:
    """A download that nobody answered yet."""
    return Bed(clock, wanted())


@pytest.mark.parametrize(
    ("error", "unknown", "known"),
    [
        (NotFound(""), "plain", "given up"),
        (UpstreamDenied(""), "plain", "given up"),
        (UpstreamThrottled("", 7), "plain", "given up"),
        (UpstreamUnreachable(""), "plain", "given up"),
        (UpstreamBroken(""), "plain", "plain"),
        (UpstreamTimeout(""), "plain", "plain"),
        (NotAllowed(""), "given up", "given up"),
        (Crowded(""), "given up", "given up"),
        (Changed(), "given up", "given up"),
    ],
)
async def test_failed__nothing_here_yet(bed: Bed, error: Exception, unknown: str, known: str) -> None:
    """A first request that failed is followed by a plain one where the range may have been the trouble; then not."""
    assert unknown == await bed.tried(error)
    assert "given up" == await bed.tried(error, plain=True)
    other = Bed(bed.clock, wanted())
    other.host_limits.note(PLACE, ranges=True)
    assert known == await other.tried(error)


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_failed__away(clock: HandClock, elsewhere: bool) -> None:
    """A host that cannot be reached is not asked plainly if the file is elsewhere, or if that took its time."""
    bed = Bed(clock, replace(wanted(), others=(PLACE,) if elsewhere else ()))
    assert ("given up" if elsewhere else "plain") == await bed.tried(UpstreamUnreachable(""))
    late = Job(0, None, clock.monotonic() - 10)
    with pytest.raises(UpstreamUnreachable):
        await Bed(clock, wanted()).retries.failed(late, UpstreamUnreachable(""))


@pytest.mark.parametrize("beside", [True, False])
async def test_answered__silence_is_remembered(bed: Bed, beside: bool) -> None:
    """A host that said nothing when a range was wanted, and gave the whole, is asked without ranges for a minute."""
    if beside:
        bed.retries.plain_sent = True
        assert "given up" == await bed.tried(UpstreamTimeout(""))  # both said nothing
    else:
        assert "plain" == await bed.tried(UpstreamTimeout(""))
    assert bed.host_limits.honours(PLACE) is None
    bed.retries.answered(Job(0, None, 0.0, plain=True))
    assert bed.host_limits.honours(PLACE) is False
    bed.clock.advance(61)
    assert bed.host_limits.honours(PLACE) is None


async def test_dropped__for_silence(bed: Bed) -> None:
    """A range that is met by silence twice, or five times where much would have to come again, is asked plainly."""
    asked = []
    for here, silences in ((1000, 3), (100 << 20, 6)):
        other = Bed(bed.clock, wanted())
        other.begin(ranges=True)
        other.retries.dropped(silent=True)
        other.flight.written(0, here)
        for _ in range(silences):
            other.retries.dropped(silent=True)
            other.retries.dropped(silent=False)  # it was slow
            asked.append(other.retries.plain)
    assert [False, True, True] + [False] * 4 + [True] * 2 == asked


@pytest.mark.parametrize("error", [NotFound(""), UpstreamBroken(""), Changed()])
async def test_answered__plainly(bed: Bed, error: Exception) -> None:
    """That a range gets an error is learnt when the plain request gets the file; another version is no error."""
    bed.begin(ranges=False)
    assert "plain" == await bed.tried(error)
    bed.retries.answered(Job(0, None, 0.0, plain=True))
    assert (None if isinstance(error, Changed) else False) is bed.host_limits.honours(PLACE)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    ("error", "answered"), [(UpstreamBroken("cut"), True), (UpstreamTimeout("stalled"), True), (NotFound(""), False)]
)
async def test_failed__in_the_middle(bed: Bed, ranges: bool, error: Exception, answered: bool) -> None:
    """A broken transfer goes on where it was as long as bytes come; plainly when ranges may be the trouble, or last."""
    bed.begin(ranges=ranges)
    expected = "ranged" if answered or ranges else "plain"
    for _ in range(10):
        assert expected == await bed.tried(error, answered=answered, new=512)
        bed.retries.plain = False
    if expected == "ranged":
        bed.retries._failures = 3
        assert "ranged" == await bed.tried(error, answered=answered)
        assert "plain" == await bed.tried(error, answered=answered)
    assert "given up" == await bed.tried(error, plain=True)


async def test_failed__with_next_to_nothing_each_time(bed: Bed) -> None:
    """A range of which a byte comes at each try is asked for plainly, as one of which nothing comes."""
    bed.begin(ranges=True)
    tries = [await bed.tried(UpstreamBroken("cut"), answered=True, new=1) for _ in range(5)]
    assert ["ranged"] * 4 + ["plain"] == tries


@pytest.mark.parametrize("here", [1000, 400 << 20])
async def test_failed__host_is_away(bed: Bed, here: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that honours ranges and cannot be reached is never asked for all of it again: what is here stays."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    bed.begin(ranges=True)
    tries = [await bed.tried(UpstreamUnreachable(""), new=here)] + [
        await bed.tried(UpstreamUnreachable("")) for _ in range(5)
    ]
    assert ["ranged"] * 5 + ["given up"] == tries
    assert not bed.retries.plain


async def test_failed__host_is_away_and_may_not_honour_ranges(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ranges may be the trouble, the plain request comes last."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    bed.begin(ranges=False)
    tries = [await bed.tried(UpstreamUnreachable("")) for _ in range(5)]
    assert ["ranged"] * 4 + ["plain"] == tries
    assert "given up" == await bed.tried(UpstreamUnreachable(""), plain=True)


async def test_failed__with_much_here(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where much would have to come again, the range is tried more often, if it may still bring something."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    bed.begin(ranges=True)
    bed.flight.written(0, 100 << 20)
    tries = [await bed.tried(UpstreamBroken("cut"), answered=True) for _ in range(7)]
    assert ["ranged"] * 6 + ["plain"] == tries
    assert "given up" == await bed.tried(UpstreamBroken("cut"), plain=True)
    gone = Bed(bed.clock, wanted())
    gone.begin(ranges=True)
    gone.flight.written(0, 100 << 20)
    assert ["ranged"] * 4 + ["plain"] == [await gone.tried(NotFound("")) for _ in range(5)]


async def test_answered__plainly_after_no_descriptor_was_left(bed: Bed) -> None:
    """What the cache itself lacked says nothing of ranges."""
    assert "plain" == await bed.tried(NoDescriptor(""))
    bed.retries.answered(Job(0, None, 0.0, plain=True))
    assert bed.host_limits.honours(PLACE) is None


async def test_failed__nothing_to_go_on_by(bed: Bed) -> None:
    """Parts that cannot be told to belong to one file are discarded, and all of it is fetched again."""
    bed.begin(ranges=True)
    bed.retries.provable = False
    assert "plain" == await bed.tried(UpstreamBroken("cut"), answered=True, new=5)


@pytest.mark.parametrize(("seconds", "expected"), [(0, "ranged"), (31, "given up")])
async def test_failed__asked_to_wait(bed: Bed, seconds: int, expected: str) -> None:
    """A wait that no client has patience for ends it, unless it may be about connections that are gone by now."""
    bed.begin(ranges=True)
    assert expected == await bed.tried(UpstreamThrottled("", seconds), new=1)
    bed.retries.together = bed.clock.monotonic() - 2
    assert "ranged" == await bed.tried(UpstreamThrottled("", seconds), new=1)


@pytest.mark.parametrize("begun", [True, False])
async def test_failed__others_have_the_connections(bed: Bed, begun: bool) -> None:
    """Where other downloads of the host are under way, one that is refused waits for one of them, and tries again."""
    if begun:
        bed.begin(ranges=True)
    bed.host_limits.take(URL)
    bed.host_limits.take(URL)

    async def free() -> None:
        while not bed.host_limits.crowded(URL):
            await asyncio.sleep(0)
        assert begun is bed.host_limits.pressed(URL)
        bed.host_limits.leave(URL, answered=False)

    _, result = await asyncio.gather(free(), bed.tried(UpstreamThrottled("")))
    assert "ranged" == result
    assert 1 == bed.host_limits.room(URL, 6)
