"""Durations in buckets."""

from __future__ import annotations

import math

import pytest

from proxy.metrics.histogram import AGES, DURATIONS, Histogram


def test_cumulative() -> None:
    """What takes no longer than a bound is in its bucket, and in all that follow."""
    histogram = Histogram((1.0, 2.0, math.inf))
    for seconds in (1.0, 1.5, 2.5, 100.0):
        histogram.add(seconds)

    assert [("1.0", 1), ("2.0", 2), ("+Inf", 4)] == list(zip(histogram.labels(), histogram.cumulative(), strict=True))
    assert (4, 105.0) == (histogram.count, histogram.seconds)


@pytest.mark.parametrize("bounds", [DURATIONS, AGES])
def test_bounds__ascend_without_end(bounds: tuple[float, ...]) -> None:
    """Nothing falls beside the buckets."""
    assert list(bounds) == sorted(set(bounds))
    assert math.inf == bounds[-1]


def test_add_to_both() -> None:
    """It comes to the same as counting twice."""
    one, other, both = Histogram(), Histogram(), (Histogram(), Histogram())
    for seconds in (0.0, 0.001, 0.0011, 400.0):
        one.add(seconds)
        other.add(seconds)
        both[0].add_to_both(both[1], seconds)
    assert [(h.seconds, h.buckets) for h in (one, other)] == [(h.seconds, h.buckets) for h in both]
