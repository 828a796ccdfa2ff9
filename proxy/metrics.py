"""Metrics: events are counted, and the counts are rendered in Prometheus' text format.

`app` makes one and passes it as the `Observer`; the edge calls `render` for `/metrics`. Only the event loop writes, so
the counts are plain integers, which costs a quarter of what prometheus_client's own objects do; the library gets them
when it renders. Labels come from closed sets: an upstream that is not configured counts as "other", and no label is a
path.
"""

from __future__ import annotations

import math
import platform
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import assert_never

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from proxy import version
from proxy.errors import UpstreamError
from proxy.events import Event, Evicted, Fetched, Flying, Served, StaleServed, Stored, Tunnelled, UpstreamFailed
from proxy.model import Kind, Outcome, Source

_OWN = "-"  # the program's own pages
_OTHER = "other"
_HITS = frozenset({Outcome.HIT, Outcome.SHARED, Outcome.STALE, Outcome.REVALIDATED})
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, math.inf)
_AGES = (60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, math.inf)


@dataclass(slots=True)
class _Sent:
    """Body bytes of one upstream and kind, by source."""

    cache: int = 0
    shared: int = 0
    upstream: int = 0


@dataclass(slots=True)
class _Timing:
    """The histogram of one kind and outcome, or of one upstream; `buckets` are not cumulative."""

    bounds: tuple[float, ...] = _BOUNDS
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buckets = [0] * len(self.bounds)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.seconds += seconds
        self.buckets[bisect_left(self.bounds, seconds)] += 1

    def labelled(self) -> list[tuple[str, float]]:
        """The buckets as Prometheus has them: cumulative."""
        labels = (*(str(bound) for bound in self.bounds[:-1]), "+Inf")
        return list(zip(labels, map(float, accumulate(self.buckets)), strict=True))


@dataclass(slots=True)
class _Row:
    """The counters for one set of labels: one look-up for each event, since hashing enums is slow."""

    sent: _Sent
    timing: _Timing
    requests: int = 0


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """What clients got of one upstream and kind so far. `from_cache`: bytes, also of downloads under way."""

    index: str
    kind: str
    requests: int
    hits: int  # answers without a download of their own
    from_cache: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What clients got so far. `saved`: bytes sent less bytes fetched; it can fall, and below zero."""

    rows: tuple[TrafficRow, ...] = ()
    saved: int = 0


class Metrics(Collector):
    """Implements `ports.Observer`. Mutable state: the numbers, written on the event loop only."""

    def __init__(
        self,
        mounts: Iterable[str],
        dropped_lines: Callable[[], int] = lambda: 0,
        store_errors: Callable[[], int] = lambda: 0,
    ) -> None:
        """`mounts`: the configured upstreams, whose counters exist from the start, at zero.

        `dropped_lines`: how many lines of the log were not written so far; `store_errors`: how often the data folder
        failed.
        """
        self._dropped_lines = dropped_lines
        self._store_errors = store_errors
        known = sorted(set(mounts))
        self._upstreams = {name: name for name in (*known, _OWN)}
        self._reasons = {reason: reason for reason in _reasons()}
        self._fetched = dict.fromkeys(known, 0)
        self._failed: dict[tuple[str, str], int] = dict.fromkeys(product(known, self._reasons), 0)
        self._sent: dict[tuple[str, Kind], _Sent] = {}
        self._timings = {key: _Timing() for key in product(Kind, Outcome)}
        self._stale = {name: _Timing(_AGES) for name in known}
        self._rows: dict[tuple[str, Kind, Outcome, int], _Row] = {}
        for mount, kind, outcome in product(known, Kind, Outcome):
            self._row((mount, kind, outcome, 5 if outcome is Outcome.ERROR else 2))
        self._evictions = self._evicted = self._flying = self._size = self._blobs = 0
        self._to_client = self._to_host = 0
        self._started = time.time()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def __call__(self, event: Event, /) -> None:
        """Count an event."""
        match event:
            case Served():
                self._served(event)
            case Fetched():
                upstream = self._upstreams.get(event.upstream, _OTHER)
                self._fetched[upstream] = self._fetched.get(upstream, 0) + event.size
            case UpstreamFailed():
                failed = self._upstreams.get(event.upstream, _OTHER), self._reasons.get(event.reason, _OTHER)
                self._failed[failed] = self._failed.get(failed, 0) + 1
            case StaleServed():
                self._stale.setdefault(self._upstreams.get(event.upstream, _OTHER), _Timing(_AGES)).add(event.age)
            case Evicted():
                self._evictions += 1
                self._evicted += event.size
            case Stored():
                self._size, self._blobs = event.size, event.blobs
            case Flying():
                self._flying = event.count
            case Tunnelled():
                self._to_client += event.to_client
                self._to_host += event.to_host
            case _:
                assert_never(event)

    def render(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def traffic(self) -> Traffic:
        """What clients got so far, by upstream and kind; the program's own pages are left out."""
        counts = {place: [0, 0] for place in self._sent if place[0] != _OWN}
        for (upstream, kind, outcome, _), row in self._rows.items():
            if (count := counts.get((upstream, kind))) is not None:
                count[0] += row.requests
                count[1] += row.requests if outcome in _HITS else 0
        sent = {place: self._sent[place] for place in counts}
        rows = tuple(
            TrafficRow(upstream, kind.value, requests, hits, sent[upstream, kind].cache + sent[upstream, kind].shared)
            for (upstream, kind), (requests, hits) in counts.items()
        )
        all_sent = sum(one.cache + one.shared + one.upstream for one in sent.values())
        return Traffic(rows, all_sent - sum(self._fetched.values()))

    def describe(self) -> list[Metric]:
        """Nothing: all names begin with this program's, and nothing else registers any."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metric families, with their present values."""
        yield from self._traffic()
        yield from self._histograms()
        for name, text, value in (
            ("evictions", "Blobs removed to keep the bound of the disk.", self._evictions),
            ("evicted_bytes", "Bytes removed to keep the bound of the disk.", self._evicted),
            ("store_errors", "Reads and writes of the data folder that failed.", self._store_errors()),
            ("dropped_log_lines", "Lines of the log that standard error did not take.", self._dropped_lines()),
        ):
            yield CounterMetricFamily(f"pullthrough_{name}", text, value=value)
        tunnelled = CounterMetricFamily("pullthrough_tunnelled_bytes", "Bytes through tunnels.", labels=["direction"])
        tunnelled.add_metric(["to_client"], self._to_client)
        tunnelled.add_metric(["to_host"], self._to_host)
        yield tunnelled
        for name, text, number in (
            ("downloads_in_flight", "Downloads from upstream under way.", self._flying),
            ("cache_bytes", "Bytes of the blobs in the store.", self._size),
            ("cache_blobs", "Blobs in the store.", self._blobs),
            ("start_time_seconds", "When this process began to count, in seconds since the epoch.", self._started),
        ):
            yield GaugeMetricFamily(f"pullthrough_{name}", text, value=number)
        build = GaugeMetricFamily("pullthrough_build_info", "Always 1.", labels=["version", "python"])
        build.add_metric([version(), platform.python_version()], 1)
        yield build

    def _served(self, event: Served) -> None:
        labels = self._upstreams.get(event.upstream, _OTHER), event.kind, event.outcome, event.status // 100
        row = self._rows.get(labels) or self._row(labels)
        row.requests += 1
        row.timing.add(event.seconds)
        for source, size in event.sent.items():
            if source is Source.CACHE:
                row.sent.cache += size
            elif source is Source.SHARED:
                row.sent.shared += size
            elif source is Source.UPSTREAM:
                row.sent.upstream += size
            else:
                assert_never(source)

    def _row(self, labels: tuple[str, Kind, Outcome, int]) -> _Row:
        """A new row. Their number is bounded: all labels are from closed sets."""
        upstream, kind, outcome, _ = labels
        sent = self._sent.setdefault((upstream, kind), _Sent())
        return self._rows.setdefault(labels, _Row(sent, self._timings[kind, outcome]))

    def _traffic(self) -> Iterator[Metric]:
        sent = CounterMetricFamily(
            "pullthrough_sent_bytes",
            "Body bytes sent to clients, by where they came from.",
            labels=["upstream", "kind", "source"],
        )
        for (upstream, kind), sizes in self._sent.items():
            sent.add_metric([upstream, kind.value, Source.CACHE.value], sizes.cache)
            sent.add_metric([upstream, kind.value, Source.SHARED.value], sizes.shared)
            sent.add_metric([upstream, kind.value, Source.UPSTREAM.value], sizes.upstream)
        yield sent
        fetched = CounterMetricFamily("pullthrough_fetched_bytes", "Body bytes upstream sent.", labels=["upstream"])
        for upstream, size in self._fetched.items():
            fetched.add_metric([upstream], size)
        yield fetched
        requests = CounterMetricFamily(
            "pullthrough_requests", "Requests answered.", labels=["upstream", "kind", "outcome", "status"]
        )
        for (upstream, kind, outcome, hundreds), row in self._rows.items():
            requests.add_metric([upstream, kind.value, outcome.value, f"{hundreds}xx"], row.requests)
        yield requests
        failed = CounterMetricFamily(
            "pullthrough_upstream_errors", "Attempts upstream that failed.", labels=["upstream", "reason"]
        )
        for (upstream, reason), count in self._failed.items():
            failed.add_metric([upstream, reason], count)
        yield failed

    def _histograms(self) -> Iterator[Metric]:
        seconds = HistogramMetricFamily(
            "pullthrough_request_seconds",
            "Seconds from a request to the last byte of its answer.",
            labels=["kind", "outcome"],
        )
        for (kind, outcome), timing in self._timings.items():
            seconds.add_metric([kind.value, outcome.value], timing.labelled(), timing.seconds)
        yield seconds
        stale = HistogramMetricFamily(
            "pullthrough_stale_age_seconds",
            "Seconds since upstream confirmed what was served past its life.",
            labels=["upstream"],
        )
        for upstream, ages in self._stale.items():
            stale.add_metric([upstream], ages.labelled(), ages.seconds)
        yield stale


def _reasons() -> list[str]:
    """The closed set of reasons: those of `UpstreamError` and its subclasses."""
    return sorted({UpstreamError.reason, *(kind.reason for kind in UpstreamError.__subclasses__())})
