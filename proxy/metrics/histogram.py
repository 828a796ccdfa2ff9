"""A histogram as Prometheus has it, in plain numbers: only the event loop adds to it."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

# Seconds; what takes no longer than a bound is in its bucket.
DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, math.inf)
AGES = (60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, math.inf)


class Histogram:
    """One histogram. `seconds`: the sum; `buckets` are not cumulative."""

    __slots__ = ("bounds", "buckets", "seconds")

    def __init__(self, bounds: tuple[float, ...] = DURATIONS) -> None:
        """`bounds`: ascending, the last one infinite."""
        self.bounds = bounds
        self.seconds = 0.0
        self.buckets = [0] * len(bounds)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.seconds += seconds
        self.buckets[bisect_left(self.bounds, seconds)] += 1

    def add_to_both(self, other: Histogram, seconds: float) -> None:
        """Count one duration here and in another histogram of the same bounds."""
        bucket = bisect_left(self.bounds, seconds)
        self.seconds += seconds
        self.buckets[bucket] += 1
        other.seconds += seconds
        other.buckets[bucket] += 1

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.buckets)

    def cumulative(self) -> list[int]:
        """The buckets as Prometheus has them: how many took no longer than each bound."""
        return list(accumulate(self.buckets))

    def labels(self) -> list[str]:
        """The bounds as Prometheus writes them in the label `le`."""
        return [*(str(bound) for bound in self.bounds[:-1]), "+Inf"]
