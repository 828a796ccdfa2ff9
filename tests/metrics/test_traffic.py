"""What clients got, by upstream and kind."""

from __future__ import annotations

from proxy.events import Served
from proxy.metrics.traffic import Traffic, TrafficRow, TrafficTable
from proxy.model import Kind, Outcome, Source


def _served(outcome: Outcome, sent: dict[Source, int], first_byte: float | None = 0.5, mount: str = "pypi") -> Served:
    return Served(mount, Kind.FILE, outcome, 200, sent, 2.0, "GET", "/x", first_byte=first_byte)


def test_add__times() -> None:
    """An answer of which nothing left has no first byte."""
    table = TrafficTable(["pypi"])
    table.add("pypi", _served(Outcome.HIT, {Source.CACHE: 5}))
    table.add("pypi", _served(Outcome.HIT, {}, None))

    times = table.times[Kind.FILE, Outcome.HIT]
    assert (1, 0.5) == (times.first_byte.count, times.first_byte.seconds)
    assert (2, 4.0) == (times.total.count, times.total.seconds)
    assert 2 == table.answers


def test_summary__hits_and_sources() -> None:
    """Bytes of one's own download are sent, and are not from the cache; the program's own pages are left out."""
    table = TrafficTable(["pypi"])
    table.add("pypi", _served(Outcome.HIT, {Source.CACHE: 5}))
    table.add("pypi", _served(Outcome.SHARED, {Source.SHARED: 7}))
    table.add("pypi", _served(Outcome.MISS, {Source.UPSTREAM: 11}))
    table.add("-", _served(Outcome.HIT, {Source.CACHE: 100}, mount="-"))

    summary = table.summary(30)

    assert [TrafficRow("pypi", "file", 3, 2, 12)] == [row for row in summary.rows if row.requests]
    assert (23, 30, -7) == (summary.sent, summary.fetched, summary.saved)
    assert 0 == Traffic().saved
