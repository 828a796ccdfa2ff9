"""Counts events.

Only the event loop does, so the counts are plain numbers: a quarter of what prometheus_client's own objects cost
(`exposition` writes them). Labels come from closed sets: an upstream that is not configured counts as "other", and no
label is a client or a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from proxy.events import (
    OWN,
    Discarded,
    DiskMeasured,
    Event,
    Evicted,
    Fetched,
    Flying,
    Foreseen,
    Mismatched,
    Served,
    Stored,
    Tunnelled,
    UpstreamAsked,
    UpstreamFailed,
    WarmRun,
)
from proxy.metrics.counts import ANSWERED, CANCELLED, Counts, Gauges, failure_reasons
from proxy.metrics.exposition import Exposition
from proxy.metrics.histogram import AGES, Histogram
from proxy.metrics.traffic import Row, Traffic
from proxy.user_agent import UserAgent

K = TypeVar("K")

_OTHER = "other"
_NOT_MODIFIED = 304


class Metrics:
    """Implements `ports.AnswerObserver`. Mutable state: the counts, written on the event loop only."""

    def __init__(self, mounts: Iterable[str], gauges: Gauges | None = None) -> None:
        """`mounts`: the configured upstreams."""
        mounts = tuple(mounts)
        self._upstreams = {name: name for name in (*mounts, OWN)}
        self._reasons = {reason: reason for reason in failure_reasons()}
        self._counts = Counts(mounts)
        self._exposition = Exposition(self._counts, gauges or Gauges())
        self._count = self._counting()

    def __call__(self, event: Event, /) -> None:
        """Count an event."""
        self._count[type(event)](event)

    def prepare(self, event: Served) -> tuple[Row, int]:
        return self._counts.traffic.prepare(self._name(event.upstream), event)

    def again(self, prepared: tuple[Row, int], _when: float, _client: str, seconds: float, _: UserAgent, /) -> None:
        row, size = prepared
        row.add_again(size, seconds)

    def render(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its content type."""
        return self._exposition.render()

    def traffic(self) -> Traffic:
        """What clients got so far, by upstream and kind; the program's own pages are left out."""
        return self._counts.traffic.summary(sum(self._counts.fetched.values()))

    @property
    def answers(self) -> int:
        """How many answers were counted, those of the program's own pages too."""
        return self._counts.traffic.answers

    @property
    def flying(self) -> int:
        """How many downloads are under way."""
        return self._counts.flying

    def _counting(self) -> dict[type, Callable[[Any], None]]:
        """What counts events, by their type: one look-up, however many types there are."""
        return {
            Served: self._served,
            Fetched: self._fetched,
            UpstreamAsked: self._asked,
            UpstreamFailed: self._failed,
            Mismatched: self._mismatched,
            Discarded: self._discarded,
            Foreseen: self._foreseen,
            Evicted: self._evicted,
            Stored: self._stored,
            DiskMeasured: self._measured,
            Flying: self._flying,
            Tunnelled: self._tunnelled,
            WarmRun: self._warmed,
        }

    def _name(self, upstream: str) -> str:
        return self._upstreams.get(upstream, _OTHER)

    def _served(self, event: Served) -> None:
        upstream = self._upstreams.get(event.upstream, _OTHER)
        self._counts.traffic.add(upstream, event)
        if event.stale_age is not None:
            self._counts.stale.setdefault(upstream, Histogram(AGES)).add(event.stale_age)

    def _fetched(self, event: Fetched) -> None:
        _add(self._counts.fetched, self._name(event.upstream), event.size)

    def _asked(self, event: UpstreamAsked) -> None:
        counts, upstream, hundreds = self._counts, self._name(event.upstream), event.status // 100
        if event.cancelled:
            _add(counts.asked, (upstream, CANCELLED), 1)
            return
        _add(counts.asked, (upstream, ANSWERED.get(hundreds, ANSWERED[0])), 1)
        if event.status:
            counts.answered.setdefault(upstream, Histogram()).add(event.seconds)
        if event.conditional and (hundreds != _NOT_MODIFIED // 100 or event.status == _NOT_MODIFIED):
            # Another 3xx leads on to a further request.
            _add(counts.revalidations, (upstream, {3: "unchanged", 2: "changed"}.get(hundreds, "failed")), 1)

    def _failed(self, event: UpstreamFailed) -> None:
        _add(self._counts.failed, (self._name(event.upstream), self._reasons.get(event.reason, _OTHER)), 1)

    def _mismatched(self, event: Mismatched) -> None:
        _add(self._counts.mismatched, self._name(event.upstream), 1)

    def _discarded(self, event: Discarded) -> None:
        _add(self._counts.discarded, self._name(event.upstream), event.size)

    def _foreseen(self, event: Foreseen) -> None:
        key = self._name(event.upstream), event.kind.value, event.outcome
        _add(self._counts.foreseen, key, 1)
        _add(self._counts.foreseen_bytes, key, event.size)

    def _evicted(self, event: Evicted) -> None:
        _add(self._counts.evictions, event.reason, 1)
        _add(self._counts.evicted, event.reason, event.size)

    def _stored(self, event: Stored) -> None:
        self._counts.size, self._counts.blobs = event.size, event.blobs

    def _measured(self, event: DiskMeasured) -> None:
        self._counts.disk = event

    def _flying(self, event: Flying) -> None:
        self._counts.flying = event.count

    def _tunnelled(self, event: Tunnelled) -> None:
        self._counts.to_client += event.to_client
        self._counts.to_host += event.to_host

    def _warmed(self, event: WarmRun) -> None:
        _add(self._counts.warm_runs, event.outcome, 1)


def _add(counts: dict[K, int], key: K, number: int) -> None:
    counts[key] = counts.get(key, 0) + number
