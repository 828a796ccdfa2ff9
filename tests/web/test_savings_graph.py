"""What was saved by day and by longer times."""

from __future__ import annotations

from datetime import date

from proxy.status import DayStatus
from proxy.web.savings_graph import Bar, PeriodSaving, bars, savings, view_box

_TODAY = date(2026, 3, 31)
_DAYS = (
    DayStatus("2025-12-31", 700, 0),  # before the graph
    DayStatus("2026-01-01", 100, 25),
    DayStatus("2026-03-24", 50, 0),  # before the week
    DayStatus("2026-03-25", 40, 60),
    DayStatus("2026-03-31", 200, 100),
)


def test_savings__times() -> None:
    """Today, seven days with today, and all."""
    assert (
        PeriodSaving("today", 200, 100),
        PeriodSaving("in 7 days", 240, 160),
        PeriodSaving("in all", 1090, 185),
    ) == savings(_DAYS, _TODAY)


def test_savings__days_of_a_clock_that_was_ahead() -> None:
    """What is dated after today is not of today nor of the last days; it was sent all the same."""
    days = (DayStatus("2026-03-31", 5, 1), DayStatus("2027-05-01", 1000, 0))

    assert [5, 5, 1005] == [one.sent for one in savings(days, _TODAY)]


def test_saving__below_zero_and_of_nothing() -> None:
    """More can be fetched than is sent; of nothing there is no share."""
    assert (-20, -0.5) == (PeriodSaving("", 40, 60).saved, PeriodSaving("", 40, 60).share)
    assert (-60, None) == (PeriodSaving("", 0, 60).saved, PeriodSaving("", 0, 60).share)


def test_bars__of_the_last_days() -> None:
    """The largest day has the full height, today is the last; what was not saved is no bar below the line."""
    assert (
        Bar("2026-01-01", 0, 6, 60.0, 45.0),
        Bar("2026-03-24", 82 * 8, 6, 30.0, 30.0),
        Bar("2026-03-25", 83 * 8, 6, 24.0, 0.0),
        Bar("2026-03-31", 89 * 8, 6, 120.0, 60.0),
    ) == bars(_DAYS, _TODAY)
    assert "0 0 720 120" == view_box()


def test_bars__nothing_sent() -> None:
    """No day, no bar."""
    assert () == bars((DayStatus("2026-03-31", 0, 5),), _TODAY)
