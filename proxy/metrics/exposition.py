"""The text of `/metrics`: all counts by their names, in Prometheus' text format."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from proxy import version
from proxy.events import DiskMeasured
from proxy.metrics.counts import Counts, Gauges
from proxy.metrics.histogram import Histogram
from proxy.metrics.series import Labels, Series
from proxy.metrics.traffic import AnswerTimes

_NOT_MEASURED = DiskMeasured(None, None, None)


class Exposition:
    """Writes the text. Called on the event loop, which changes the counts."""

    def __init__(self, counts: Counts, gauges: Gauges) -> None:
        self._counts = counts
        self._gauges = gauges
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        self._parts = [*self._traffic(), *self._upstream(), *self._foresight(), *self._store(), *self._program()]

    def render(self) -> tuple[bytes, str]:
        """The text, and its content type."""
        text = "".join([piece for part in self._parts for piece in part()])
        return text.encode() + generate_latest(self._process), CONTENT_TYPE_PLAIN_0_0_4

    def _traffic(self) -> Iterator[Callable[[], Iterable[str]]]:
        """What clients got."""
        traffic = self._counts.traffic
        yield _counters(
            "sent_bytes",
            "Body bytes sent to clients, by where they came from.",
            ["upstream", "kind", "source"],
            lambda: (
                ((upstream, kind.value, source.value), size)
                for (upstream, kind), sent in traffic.sent.items()
                for source, size in sent.by_source().items()
            ),
        )
        yield _counters(
            "requests",
            "Requests answered.",
            ["upstream", "kind", "outcome", "status"],
            lambda: (
                ((upstream, kind.value, outcome.value, f"{hundreds}xx"), row.requests)
                for (upstream, kind, outcome, hundreds), row in traffic.rows.items()
            ),
        )
        times: dict[Labels, AnswerTimes] = {
            (kind.value, outcome.value): one for (kind, outcome), one in traffic.times.items()
        }
        yield _histograms(
            "request_seconds",
            "Seconds from a request to the last byte of its answer.",
            ["kind", "outcome"],
            {labels: one.total for labels, one in times.items()},
        )
        yield _histograms(
            "first_byte_seconds",
            "Seconds from a request until its answer began to leave.",
            ["kind", "outcome"],
            {labels: one.first_byte for labels, one in times.items()},
        )
        yield _histograms(
            "stale_age_seconds",
            "Seconds since upstream confirmed what was served although upstream did not answer.",
            ["upstream"],
            self._counts.stale,
        )

    def _upstream(self) -> Iterator[Callable[[], Iterable[str]]]:
        """What went on with upstream."""
        counts = self._counts
        yield _counters(
            "fetched_bytes", "Body bytes upstream sent.", ["upstream"], lambda: _by_one_label(counts.fetched)
        )
        yield _counters(
            "upstream_requests",
            "Requests sent to upstream, each hop and each try.",
            ["upstream", "status"],
            counts.asked.items,
        )
        yield _histograms(
            "upstream_response_seconds",
            "Seconds from a request to upstream to the head of its answer.",
            ["upstream"],
            counts.answered,
        )
        yield _counters(
            "revalidations",
            "Requests to upstream whether a stored copy is still right.",
            ["upstream", "result"],
            counts.revalidations.items,
        )
        yield _counters(
            "upstream_errors", "Attempts upstream that failed.", ["upstream", "reason"], counts.failed.items
        )
        yield _counters(
            "digest_mismatches",
            "Whole bodies without the digest that the index promised.",
            ["upstream"],
            lambda: _by_one_label(counts.mismatched),
        )
        yield _counters(
            "discarded_bytes",
            "Bytes that downloads fetched and that were neither kept nor sent.",
            ["upstream"],
            lambda: _by_one_label(counts.discarded),
        )

    def _foresight(self) -> Iterator[Callable[[], Iterable[str]]]:
        """What was asked for before a client asked."""
        labels, counts = ["upstream", "kind", "outcome"], self._counts
        yield _counters("foreseen", "Answers that upstream gave ahead of clients.", labels, counts.foreseen.items)
        yield _counters("foreseen_bytes", "Bytes that came ahead of clients.", labels, counts.foreseen_bytes.items)

    def _store(self) -> Iterator[Callable[[], Iterable[str]]]:
        """What is on the disk."""
        counts, gauges = self._counts, self._gauges
        yield _counters("evictions", "Blobs removed to make room.", ["reason"], lambda: _by_one_label(counts.evictions))
        yield _counters(
            "evicted_bytes", "Bytes removed to make room.", ["reason"], lambda: _by_one_label(counts.evicted)
        )
        yield _counter("store_errors", "Reads and writes of the data folder that failed.", gauges.store_errors)
        yield _gauge("cache_bytes", "Bytes of the blobs in the store.", lambda: counts.size)
        yield _gauge("cache_blobs", "Blobs in the store.", lambda: counts.blobs)
        yield _gauge("cache_limit_bytes", "The setting disk: what the data folder may take.", lambda: gauges.limit)
        yield _gauge(
            "disk_free_bytes",
            "Free bytes of the file system of the data folder.",
            lambda: (counts.disk or _NOT_MEASURED).free,
        )
        yield _gauge(
            "disk_size_bytes",
            "Bytes of the file system of the data folder.",
            lambda: (counts.disk or _NOT_MEASURED).size,
        )
        yield _gauge(
            "longest_unused_seconds",
            "Seconds since the last use of the blob that was unused the longest.",
            lambda: (counts.disk or _NOT_MEASURED).longest_unused,
        )

    def _program(self) -> Iterator[Callable[[], Iterable[str]]]:
        """What goes on in the program itself."""
        counts, gauges = self._counts, self._gauges
        yield _counter("dropped_log_lines", "Lines of the log that standard error did not take.", gauges.dropped_lines)
        yield _counters(
            "tunnelled_bytes",
            "Bytes through tunnels.",
            ["direction"],
            lambda: ((("to_client",), counts.to_client), (("to_host",), counts.to_host)),
        )
        yield _counters(
            "warm_runs",
            "Runs of [[warm]] of the settings that ended.",
            ["outcome"],
            lambda: _by_one_label(counts.warm_runs),
        )
        yield _gauge("downloads_in_flight", "Downloads from upstream under way.", lambda: counts.flying)
        yield _gauge("followers", "Clients that are sent a download while it is under way.", gauges.followers)
        yield _gauge("start_time_seconds", "When this process began to count, since the epoch.", lambda: counts.started)
        build = Series("gauge", "pullthrough_build_info", "Always 1.", ["version", "python"])
        what = version(), platform.python_version()
        yield lambda: build.numbers([(what, 1)])


def _by_one_label(numbers: Mapping[str, int]) -> Iterator[tuple[Labels, int]]:
    return (((upstream,), number) for upstream, number in numbers.items())


def _counters(
    name: str, text: str, labels: list[str], values: Callable[[], Iterable[tuple[Labels, float]]]
) -> Callable[[], Iterable[str]]:
    series = Series("counter", f"pullthrough_{name}_total", text, labels)
    return lambda: series.numbers(values())


def _counter(name: str, text: str, value: Callable[[], int]) -> Callable[[], Iterable[str]]:
    return _counters(name, text, [], lambda: [((), value())])


def _gauge(name: str, text: str, value: Callable[[], float | None]) -> Callable[[], Iterable[str]]:
    """A gauge that has no series while there is no value."""
    series = Series("gauge", f"pullthrough_{name}", text)

    def values() -> Iterator[tuple[Labels, float]]:
        known = value()
        if known is not None:
            yield (), known

    return lambda: series.numbers(values())


def _histograms(
    name: str, text: str, labels: list[str], histograms: Mapping[Labels, Histogram] | Mapping[str, Histogram]
) -> Callable[[], Iterable[str]]:
    """`histograms`: by their labels, or by the value of the only one."""
    series = Series("histogram", f"pullthrough_{name}", text, labels)
    return lambda: series.histograms(((key,) if isinstance(key, str) else key, one) for key, one in histograms.items())
