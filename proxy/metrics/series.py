"""The text of one metric in Prometheus' text format; what does not change of it is kept.

A cache has two thousand series, and between two looks most of them stay as they are. Prometheus' library takes tens of
milliseconds for all of them, in which the event loop answers nobody. So names and labels are written once, and a series
anew only when its numbers are others. A test holds the text against the library's own. Called by `exposition`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from proxy.metrics.histogram import Histogram

Labels = tuple[str, ...]

_BOUND = "le"  # the label of a bucket


class Series:
    """A metric and its series, by the values of their labels. Series are added, and never taken away.

    Mutable state: the text of each series, with the numbers that it was written for. The set of series is bounded, as
    labels are from closed sets.
    """

    def __init__(self, kind: str, name: str, text: str, labels: Iterable[str] = ()) -> None:
        """`kind`: `counter`, `gauge` or `histogram`; `text`: what it is, one line; `labels`: their names."""
        self._name = name
        self._order = sorted((label, place) for place, label in enumerate(labels))
        self._head = f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
        self._lines: dict[Labels, list[str]] = {}  # all but the number, of each line of a series
        self._written: dict[Labels, tuple[tuple[float, ...], str]] = {}

    def numbers(self, values: Iterable[tuple[Labels, float]]) -> Iterator[str]:
        """The text of a counter or gauge."""
        yield self._head
        for labels, value in values:
            yield self._text(labels, (value,))

    def histograms(self, values: Iterable[tuple[Labels, Histogram]]) -> Iterator[str]:
        """The text of histograms."""
        yield self._head
        for labels, one in values:
            buckets = one.cumulative()
            yield self._text(labels, (*buckets, buckets[-1], one.seconds), one)

    def _text(self, labels: Labels, numbers: tuple[float, ...], histogram: Histogram | None = None) -> str:
        before, text = self._written.get(labels, ((), ""))
        if before != numbers:
            lines = self._lines.get(labels)
            if lines is None:
                lines = self._lines[labels] = self._begun(labels, histogram)
            text = "".join([f"{line} {number}\n" for line, number in zip(lines, numbers, strict=True)])
            self._written[labels] = numbers, text
        return text

    def _begun(self, labels: Labels, histogram: Histogram | None) -> list[str]:
        """The lines of a series up to their numbers; labels are in the order of their names."""
        pairs = [(label, f'{label}="{_escaped(labels[place])}"') for label, place in self._order]
        written = ",".join([pair for _, pair in pairs])
        braced = f"{{{written}}}" if written else ""
        if histogram is None:
            return [self._name + braced]
        before = "".join([f"{pair}," for label, pair in pairs if label < _BOUND])
        after = "".join([f",{pair}" for label, pair in pairs if label > _BOUND])
        buckets = [f'{self._name}_bucket{{{before}{_BOUND}="{bound}"{after}}}' for bound in histogram.labels()]
        return [*buckets, f"{self._name}_count{braced}", f"{self._name}_sum{braced}"]


@lru_cache(maxsize=256)
def _escaped(value: str) -> str:
    """A value as the text format has it: backslash, quote and line feed are escaped."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
