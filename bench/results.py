"""The figures of a run, as they come: every repetition of every measurement, and every failure with its reason.

The cases fill it, `targets` and `report` read it. It knows nothing of how a figure came about.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

DIRECT = "direct"
OURS = "pullthrough"
PORTABLE = "portable"  # ours, with what Linux alone has taken away: as it runs on macOS


class Row(NamedTuple):
    """What was measured: the case's letter, its variant (such as `8 clients`) and the server."""

    case: str
    variant: str
    server: str


@dataclass(slots=True)
class Results:
    """Mutable state: `figures` (row → metric → values in order) `failures` (row → reason), `notes`.

    `left_out`: the cases that could not be measured here, and why. `durations`: how many seconds each case took.
    """

    figures: dict[Row, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[Row, str] = field(default_factory=dict)
    notes: dict[Row, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)

    def add(self, row: Row, **values: float) -> None:
        """Note the figures of one repetition, and say them to the person who waits."""
        metrics = self.figures.setdefault(row, {})
        for metric, value in values.items():
            metrics.setdefault(metric, []).append(value)
        told = "  ".join(f"{metric}={value:.4g}" for metric, value in values.items())
        say(f"({row.case}) {row.variant}: {row.server}  {told}")

    def fail(self, row: Row, error: Exception) -> None:
        """Note why a server has no figure here; the first reason stays."""
        reason = str(error) or type(error).__name__
        self.failures.setdefault(row, reason)
        say(f"({row.case}) {row.variant}: {row.server}  failed: {reason}")

    def note(self, row: Row, text: str) -> None:
        """Say something about a row that has figures all the same; the first note stays."""
        self.notes.setdefault(row, text)

    def leave_out(self, case: str, reason: str) -> None:
        """Note why a whole case is not measured."""
        self.left_out[case] = reason
        say(f"({case}) left out: {reason}")

    def values(self, row: Row, metric: str) -> Sequence[float]:
        """A metric in the order of its repetitions; nothing where it was not measured."""
        return self.figures.get(row, {}).get(metric, ())

    def median(self, row: Row, metric: str) -> float | None:
        """The median of a metric over its repetitions; None where nothing was measured."""
        values = self.values(row, metric)
        return statistics.median(values) if values else None

    def highest(self, row: Row, metric: str) -> float | None:
        """The worst repetition, for what must never happen."""
        values = self.figures.get(row, {}).get(metric)
        return max(values) if values else None

    def total(self, row: Row, metric: str) -> float:
        """The sum over all repetitions."""
        return sum(self.figures.get(row, {}).get(metric, []))

    def variants(self, case: str) -> Sequence[str]:
        """The variants of a case in the order of their measurement, failed ones too."""
        rows = [*self.figures, *self.failures]
        return list(dict.fromkeys(row.variant for row in rows if row.case == case))

    def as_json(self) -> dict[str, Any]:
        """All figures in plain values."""
        return {
            "figures": [{**row._asdict(), "values": values} for row, values in self.figures.items()],
            "failures": [{**row._asdict(), "reason": reason} for row, reason in self.failures.items()],
            "notes": [{**row._asdict(), "note": note} for row, note in self.notes.items()],
            "left out": self.left_out,
        }


def say(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
