"""What was sent and fetched today, in seven days, in thirty, and in all. Pure; days are UTC, counted from the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from proxy.history.sums import DaySum

_LENGTHS = {"today": 1, "7 days": 7, "30 days": 30}  # days, today included
_EPOCH = date(1970, 1, 1)


class PeriodSum(msgspec.Struct, frozen=True):
    """What was sent and fetched in a period, in bytes. `saved`: sent less fetched; it can be below zero.

    `first`: its first day, as "2026-01-31"; of the lifetime the first day on which anything was sent or fetched.
    """

    name: str
    first: str
    sent: int
    fetched: int
    saved: int


def periods(days: Sequence[DaySum], today: int) -> tuple[PeriodSum, ...]:
    """The sums of each period. `days`: in their order; those that have nothing may be missing. None of no days.

    Days after `today`, of a clock that was ahead, are in the lifetime only.
    """
    if not days:
        return ()
    past = [day for day in days if day.day <= today]
    firsts = {name: today - length + 1 for name, length in _LENGTHS.items()}
    recent = (_sum(name, first, [day for day in past if day.day >= first]) for name, first in firsts.items())
    return *recent, _sum("lifetime", days[0].day, days)


def _sum(name: str, first: int, days: Sequence[DaySum]) -> PeriodSum:
    sent, fetched = sum(day.sent for day in days), sum(day.fetched for day in days)
    return PeriodSum(name, (_EPOCH + timedelta(days=first)).isoformat(), sent, fetched, sent - fetched)
