"""One line of the verdict: a figure, its bound, and whether it holds. Pure."""

from __future__ import annotations

import enum
import operator
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.results import OURS, Row

if TYPE_CHECKING:
    from bench.results import Results

TIMES = "\N{MULTIPLICATION SIGN}"


class Bound(enum.Enum):
    """How a figure is held against its limit; the value is the sign that the report prints."""

    LEAST = "≥"
    MOST = "≤"
    EXACT = "="

    def holds(self, value: float, limit: float) -> bool:
        """Whether `value` keeps to `limit`."""
        compare = {Bound.LEAST: operator.ge, Bound.MOST: operator.le, Bound.EXACT: operator.eq}[self]
        return bool(compare(value, limit))


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the verdict. `value` is None where one of the two sides was not measured."""

    what: str
    value: float | None
    bound: Bound
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """None where it was not measured."""
        return None if self.value is None else self.bound.holds(self.value, self.limit)


def ratio(results: Results, case: str, name: str, metric: str, other: str) -> float | None:
    """A figure of ours ÷ that of another server in the same row."""
    return quotient(results, Row(case, name, OURS), Row(case, name, other), metric)


def quotient(results: Results, row: Row, other: Row, metric: str) -> float | None:
    """One figure ÷ another; None where one of them was not measured.

    Both are measured in turn. So each repetition gives a quotient, and the median of these counts: that the machine is
    slower in one repetition than in the next drops out. Where one has fewer repetitions, medians are divided.
    """
    values, divisors = results.values(row, metric), results.values(other, metric)
    if not values or not divisors:
        return None
    if len(values) != len(divisors):
        values, divisors = [statistics.median(values)], [statistics.median(divisors)]
    return statistics.median(map(operator.truediv, values, divisors)) if all(divisors) else None
