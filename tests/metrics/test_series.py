"""The text is what Prometheus' own library writes, and is not written twice."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from proxy.metrics.histogram import Histogram
from proxy.metrics.series import Series

_AWKWARD = ("plain", 'a "b"', "c\\d\ne", "größer")


class _Library(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def _library(metric: Metric) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Library(metric))
    return generate_latest(registry).decode()


def _as_library(pieces: Iterator[str]) -> str:
    """With the numbers as the library writes them: all of them as floats."""
    number: Callable[[str], str] = floatToGoString
    return re.sub(r"(?m)^([^#].*) (\S+)$", lambda line: f"{line[1]} {number(line[2])}", "".join(pieces))


def test_counter__as_the_library_has_it() -> None:
    """Names, labels in order, and what has to be escaped."""
    family = CounterMetricFamily("eaten", "What was eaten.", labels=["what", "by"])
    values = {(one, "me"): 10**number for number, one in enumerate(_AWKWARD)}
    for labels, value in values.items():
        family.add_metric(labels, value)

    series = Series("counter", "eaten_total", "What was eaten.", ["what", "by"])

    assert _library(family) == _as_library(series.numbers(values.items()))


def test_gauge__as_the_library_has_it() -> None:
    """Without labels, and without a value."""
    series = Series("gauge", "left", "What is left.")

    assert _library(GaugeMetricFamily("left", "What is left.", 0.25)) == _as_library(series.numbers([((), 0.25)]))
    assert _library(GaugeMetricFamily("left", "What is left.", labels=[])) == _as_library(series.numbers([]))


def test_histogram__as_the_library_has_it() -> None:
    """Buckets, count and sum, each time with what was added since."""
    series = Series("histogram", "wait_seconds", "How long it took.", ["who"])
    one, other = Histogram((0.5, 1.0, math.inf)), Histogram((0.5, 1.0, math.inf))
    for seconds in (0.1, 0.7, 5.0):
        one.add(seconds)
        family = HistogramMetricFamily("wait_seconds", "How long it took.", labels=["who"])
        for name, histogram in (("one", one), ("other", other)):
            buckets = zip(histogram.labels(), map(float, histogram.cumulative()), strict=True)
            family.add_metric([name], list(buckets), histogram.seconds)

        written = series.histograms([(("one",), one), (("other",), other)])

        assert _library(family) == _as_library(written)


def test_text__of_a_series_that_stayed_the_same_is_kept() -> None:
    """The same object: nothing was put together. One that changed is another, and its neighbour stays."""
    series = Series("histogram", "wait_seconds", "How long it took.", ["who"])
    both: list[tuple[tuple[str, ...], Histogram]] = [(("one",), Histogram()), (("other",), Histogram())]
    _, one, other = series.histograms(both)
    both[0][1].add(1.0)

    _, one_then, other_then = series.histograms(both)

    assert one != one_then
    assert other is other_then
