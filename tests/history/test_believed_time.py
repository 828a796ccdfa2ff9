"""A clock that jumps, and what is believed of it."""

from __future__ import annotations

from proxy.history.believed_time import BelievedTime
from tests.flows.asking import SteppedClock

_DAY = 86_400.0


def _steady_and_believed(latest: float | None) -> tuple[SteppedClock, BelievedTime]:
    steady = SteppedClock()
    return steady, BelievedTime(latest, steady.now)


def test_at__clock_that_goes_right() -> None:
    """The clock is believed where nothing speaks against it: also in a new history, and after a quiet night."""
    _, believed = _steady_and_believed(None)
    assert 1000 * _DAY == believed.at(1000 * _DAY)
    steady, believed = _steady_and_believed(1000 * _DAY)
    assert 1000.5 * _DAY == believed.at(1000.5 * _DAY)
    steady.advance(50 * _DAY)
    assert 1050.5 * _DAY == believed.at(1050.5 * _DAY)


def test_at__clock_years_ahead_for_hours() -> None:
    """No more is old than by the time that passed; when the clock is right again, so is what is believed."""
    steady, believed = _steady_and_believed(1000 * _DAY)
    assert 1000 * _DAY == believed.at(1400 * _DAY)
    steady.advance(_DAY / 2)
    assert 1000.5 * _DAY == believed.at(1400.5 * _DAY)
    assert 1000.5 * _DAY == believed.at(1000.5 * _DAY)
    steady.advance(_DAY)
    assert 1001.5 * _DAY == believed.at(1500 * _DAY)


def test_at__cache_that_was_off_for_months() -> None:
    """A clock that stays ahead for a day is right; one that jumps on begins that day anew."""
    steady, believed = _steady_and_believed(1000 * _DAY)
    assert 1000 * _DAY == believed.at(1100 * _DAY)
    steady.advance(_DAY / 2)
    assert 1000.5 * _DAY == believed.at(1200.5 * _DAY)
    steady.advance(_DAY / 2)
    assert 1001 * _DAY == believed.at(1201 * _DAY)
    steady.advance(_DAY / 2)
    assert 1201.5 * _DAY == believed.at(1201.5 * _DAY)


def test_at__clock_that_goes_back_and_is_set_again() -> None:
    """The way back from 1970 is a jump like others."""
    steady, believed = _steady_and_believed(20_000 * _DAY)
    assert _DAY == believed.at(_DAY)
    assert _DAY == believed.at(20_000 * _DAY)
    steady.advance(_DAY)
    assert 20_001 * _DAY == believed.at(20_001 * _DAY)
