"""What was saved by day and by longer times: the figures of the page, and its graph as SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from proxy.status import DayStatus

SHOWN = 90  # days of the graph
_HEIGHT, _STEP, _BAR = 120, 8, 6  # of the drawing, in its own units


@dataclass(frozen=True, slots=True)
class PeriodSaving:
    """What was sent and fetched in a time, in bytes."""

    name: str
    sent: int
    fetched: int

    @property
    def saved(self) -> int:
        """Bytes sent less bytes fetched; it can be below zero."""
        return self.sent - self.fetched

    @property
    def share(self) -> float | None:
        """The share of what was sent that was not fetched; None where nothing was sent."""
        return self.saved / self.sent if self.sent else None


@dataclass(frozen=True, slots=True)
class Bar:
    """A day of the graph, in the units of the drawing. `saved` is a part of `sent`."""

    date: str
    x: int
    width: int
    sent: float
    saved: float


def savings(days: Sequence[DayStatus], today: date) -> tuple[PeriodSaving, ...]:
    """Today, the last seven days with it, and all time. Days after today (of a clock that was ahead) are in all."""
    week = (today - timedelta(days=6)).isoformat()

    def of(name: str, meant: Sequence[DayStatus]) -> PeriodSaving:
        return PeriodSaving(name, sum(day.sent for day in meant), sum(day.fetched for day in meant))

    past = [day for day in days if day.date <= today.isoformat()]
    return (
        of("today", [day for day in past if day.date == today.isoformat()]),
        of("in 7 days", [day for day in past if day.date >= week]),
        of("in all", days),
    )


def bars(days: Sequence[DayStatus], today: date) -> tuple[Bar, ...]:
    """The days of the graph on which something was sent, the last one at the right."""
    first = today - timedelta(days=SHOWN - 1)
    shown = [day for day in days if first.isoformat() <= day.date <= today.isoformat() and day.sent]
    most = max((day.sent for day in shown), default=1)
    return tuple(
        Bar(
            date=day.date,
            x=(date.fromisoformat(day.date) - first).days * _STEP,
            width=_BAR,
            sent=round(day.sent / most * _HEIGHT, 2),
            saved=round(max(day.sent - day.fetched, 0) / most * _HEIGHT, 2),
        )
        for day in shown
    )


def view_box() -> str:
    """The attribute `viewBox` of the graph."""
    return f"0 0 {SHOWN * _STEP} {_HEIGHT}"
