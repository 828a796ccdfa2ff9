"""Sums of periods."""

from __future__ import annotations

from proxy.history.periods import PeriodSum, periods
from proxy.history.sums import DaySum

_TODAY = 20_000  # 2024-10-04


def test_periods__each_with_its_days() -> None:
    """Today counts in all of them; a day at the edge counts, the one before it does not."""
    days = [DaySum(_TODAY - back, 10**number, 1) for number, back in enumerate((400, 30, 29, 7, 6, 0))]

    assert (
        PeriodSum("today", "2024-10-04", 100_000, 1, 99_999),
        PeriodSum("7 days", "2024-09-28", 110_000, 2, 109_998),
        PeriodSum("30 days", "2024-09-05", 111_100, 4, 111_096),
        PeriodSum("lifetime", "2023-08-31", 111_111, 6, 111_105),
    ) == periods(days, _TODAY)


def test_periods__more_fetched_than_sent() -> None:
    """A saving can be below zero; a day without anything has nothing."""
    assert [0, -7, -7, -7] == [one.saved for one in periods([DaySum(_TODAY - 3, 3, 10)], _TODAY)]


def test_periods__no_history() -> None:
    """Without days there is nothing to say, which is not the same as nothing saved."""
    assert () == periods([], _TODAY)


def test_periods__days_of_a_clock_that_was_ahead() -> None:
    """What is dated after today is not of today nor of the last days; it was sent all the same."""
    days = [DaySum(_TODAY, 5, 1), DaySum(_TODAY + 400, 1000, 0)]

    assert [5, 5, 5, 1005] == [one.sent for one in periods(days, _TODAY)]
