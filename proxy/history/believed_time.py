"""The time by which rows are forgotten for their age: a clock that jumped ahead is not believed at once.

A machine without a battery for its clock can be years off until it has asked others. Called in the history's thread.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy import operating_system

_SLACK = 86_400.0  # seconds that a clock may gain: it is set, and nights without requests pass
_STEADY = 86_400.0  # seconds for which a clock that is ahead must go on so, until it is believed
_SAME = 3600.0  # seconds by which it may be set meanwhile


class BelievedTime:
    """Mutable state: the last time that was believed, and since when the clock is ahead. Seconds since the epoch."""

    def __init__(
        self, latest: float | None, steady: Callable[[], float] = operating_system.monotonic_with_sleep
    ) -> None:
        """`latest`: the last time that the history knew before this run, if any.

        `steady`: a clock that no one sets, and that goes on while the machine sleeps.
        """
        self._steady = steady
        self._believed = latest
        self._at = steady()
        self._ahead: tuple[float, float] | None = None  # by how much, and since when by the steady clock

    def at(self, now: float) -> float:
        """The time to forget by. `now`: what the clock says."""
        at = self._steady()
        passed = at - self._at
        expected = now if self._believed is None else self._believed + passed
        if now > expected + _SLACK:
            ahead = now - expected
            if self._ahead is None or abs(ahead - self._ahead[0]) > _SAME:
                self._ahead = ahead, at
            if at - self._ahead[1] < _STEADY:
                return expected
        self._believed, self._at, self._ahead = now, at, None
        return now
