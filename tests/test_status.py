"""The facts of the page and of the API."""

from __future__ import annotations

from msgspec import structs

from proxy.events import DiskMeasured, Fetched, Served, Stored, UpstreamAsked, UpstreamFailed, WarmRun
from proxy.history import DaySum, ProjectSum
from proxy.metrics import Traffic, TrafficRow
from proxy.model import Kind, Outcome, Source
from proxy.status import DayStatus, FailureStatus, Now, ProjectStatus, Status, UpstreamStatus
from proxy.user_agent import UNKNOWN
from tests.flows.asking import SteppedClock


def _served(path: str, upstream: str = "pypi") -> Served:
    sent = {Source.CACHE: 10, Source.UPSTREAM: 5}
    return Served(upstream, Kind.FILE, Outcome.HIT, 200, sent, 0.25, "GET", path, "10.0.0.7")


async def _now(status: Status, traffic: Traffic | None = None) -> Now:
    return await status.now(lambda: traffic or Traffic(), tuple)


async def test_now__sums_by_upstream() -> None:
    """Kinds of one upstream are one row; what was saved is what was sent less what was fetched."""
    rows = (
        TrafficRow("pypi", "page", 3, 1, 100),
        TrafficRow("pypi", "file", 2, 2, 1000),
        TrafficRow("apt", "file", 1, 0, 0),
    )

    now = await _now(Status(SteppedClock(), 5000), Traffic(rows, sent=2000, fetched=900))

    assert (UpstreamStatus("apt", 1, 0, 0), UpstreamStatus("pypi", 5, 3, 1100)) == now.upstreams
    assert (2000, 900, 1100) == (now.sent, now.fetched, now.saved)
    assert (5000, None) == (now.limit, now.free)


async def test_now__last_answers_and_failures() -> None:
    """The newest come first, the program's own pages are none of them, and their number is bounded."""
    status = Status(SteppedClock(), 5000)
    for number in range(500):
        status(_served(f"/pypi/{number}"))
        status(UpstreamFailed("pypi", f"reason {number}"))
    status(_served("/metrics", "-"))
    status(Fetched("pypi", 10))
    status(Stored(1234, 7))
    status(DiskMeasured(99, 1000, None))

    now = await _now(status)

    assert "/pypi/499" == now.answers[0].path
    assert ("10.0.0.7", 15, "hit") == (now.answers[0].client, now.answers[0].sent, now.answers[0].outcome)
    assert (200, 50) == (len(now.answers), len(now.failures))
    assert isinstance(now.failures[0], FailureStatus)
    assert "reason 499" == now.failures[0].reason
    assert (1234, 7, 99) == (now.size, now.files, now.free)


async def test_now__what_is_looked_after() -> None:
    """Of each `[[warm]]` its last run."""
    status = Status(SteppedClock(), 5000)
    for event in (
        WarmRun("one", "failed"),
        WarmRun("two", "complete", 5),
        WarmRun("one", "incomplete", 1, 2, 3, ("x",)),
    ):
        status(event)
    one, two = (await _now(status)).warms
    assert ("one", "incomplete", 1, 2, 3, ("x",)) == (
        one.name,
        one.outcome,
        one.here,
        one.came,
        one.came_size,
        one.refused,
    )
    assert ("two", "complete", 5) == (two.name, two.outcome, two.here)
    assert one.time >= two.time


async def test_now__how_upstreams_are() -> None:
    """An upstream that answers is well, whatever failed before; one whose last request failed is not."""
    clock = SteppedClock()
    status = Status(clock, 5000)
    status(UpstreamAsked("pypi", 404, 0.1, conditional=False))
    status(UpstreamFailed("apt", "timeout"))
    at = clock.now()
    clock.advance(5.0)
    status(UpstreamAsked("pypi", 503, 0.1, conditional=False))
    status(UpstreamFailed("pypi", "throttled"))
    status(UpstreamAsked("apt", 200, 0.1, conditional=True))
    status(DiskMeasured(None, None, 3600.0))
    rows = tuple(TrafficRow(name, "file", 1, 0, 0) for name in ("apt", "nvidia", "pypi"))

    now = await _now(status, Traffic(rows))

    assert (
        UpstreamStatus("apt", 1, 0, 0, at + 5.0),
        UpstreamStatus("nvidia", 1, 0, 0),
        UpstreamStatus("pypi", 1, 0, 0, at, "throttled"),
    ) == now.upstreams
    assert 3600.0 == now.unused


async def test_again() -> None:
    """Told in short that an answer was sent again, it shows it as another one, of its time and its client."""
    clock = SteppedClock()
    told, told_in_short = Status(clock, 5000), Status(clock, 5000)
    wheel = told_in_short.prepare(_served("/pypi/a.whl"))
    own = told_in_short.prepare(_served("/", upstream="-"))
    for client in ("10.0.0.7", "10.0.0.8"):
        clock.advance(1)
        told(structs.replace(_served("/pypi/a.whl"), client=client, seconds=2.0))
        told_in_short.again(wheel, clock.now(), client, 2.0, UNKNOWN)
        told_in_short.again(own, clock.now(), client, 2.0, UNKNOWN)

    assert await _now(told) == await _now(told_in_short)
    assert ["10.0.0.8", "10.0.0.7"] == [one.client for one in (await _now(told_in_short)).answers]


async def test_now__projects_of_answers() -> None:
    """A page says its project, a file's name tells it."""
    status = Status(SteppedClock(), 5000, None, lambda upstream, name: (f"{upstream} {name}", None))
    status(_served("/pypi/packages/a%20b.whl?x=/y"))
    status(structs.replace(_served("/pypi/simple/six/"), project="six"))

    assert ["six", "pypi a b.whl"] == [one.project for one in (await _now(status)).answers]


async def test_now__days_of_the_history() -> None:
    """Days have their dates."""

    async def days() -> list[DaySum]:
        return [DaySum(0, 10, 5), DaySum(20_454, 7, 0)]

    now = await _now(Status(SteppedClock(), 5000, days))

    assert (DayStatus("1970-01-01", 10, 5), DayStatus("2026-01-01", 7, 0)) == now.days


async def test_now__projects_of_the_history() -> None:
    """Those that saved most."""

    async def projects() -> list[ProjectSum]:
        return [ProjectSum("torch", 9), ProjectSum("six", 1)]

    now = await _now(Status(SteppedClock(), 5000, projects=projects))

    assert (ProjectStatus("torch", 9), ProjectStatus("six", 1)) == now.projects
