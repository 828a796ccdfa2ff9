"""Back-off: who failed is left alone for a while, for twice as long after each further failure in a row. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from proxy.bounded import Bounded

_Key = TypeVar("_Key")
_DOUBLINGS = 16  # more would only make large numbers


@dataclass(frozen=True, slots=True)
class _Pause:
    failures: int  # in a row
    until: float


class Backoff(Generic[_Key]):
    """The back-offs of up to `most` keys, those that failed last. All times are seconds of one monotonic clock.

    A pause takes `first` seconds after one failure, doubles with each further one, and takes `longest` at most.
    """

    def __init__(self, first: float, longest: float, most: int) -> None:
        self._first = first
        self._longest = longest
        self._pauses: Bounded[_Key, _Pause] = Bounded(most)

    def failed(self, key: _Key, now: float, *, at_least: float = 0.0, at_most: float = float("inf")) -> None:
        """One more failure. `at_least`: seconds that upstream asks for; `at_most`: seconds that a pause is worth here.

        Failures of requests that were under way together count as one: only a failure after the pause doubles it.
        """
        before = self._pauses.get(key)
        failures = 1 if before is None else before.failures + (now >= before.until)
        pause = max(self._first * 2 ** min(failures - 1, _DOUBLINGS), at_least)
        until = now + min(pause, self._longest, at_most)
        self._pauses[key] = _Pause(failures, until if before is None else max(until, before.until))

    def succeeded(self, key: _Key) -> None:
        """The next failure begins anew."""
        self._pauses.pop(key, None)

    @property
    def unused(self) -> bool:
        """Whether nobody failed: then nobody is left alone, whatever the key."""
        return not self._pauses

    def active(self, key: _Key, now: float) -> bool:
        """Whether `key` is left alone now."""
        pause = self._pauses.get(key)
        return pause is not None and now < pause.until
