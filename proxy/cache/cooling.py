"""Sources of wrong bytes, left alone for a moment: for as long as one cools, its file is not asked of it again.

By address and digest, since another version at the same address may be right. Owned by `downloads`.
"""

from __future__ import annotations

from proxy.bounded import Bounded
from proxy.cache.flight import Wanted
from proxy.errors import WrongBytes
from proxy.ports import Clock

_FIRST = 1.0  # seconds; doubles each time
_LONGEST = 60.0
_MOST = 10_000  # sources remembered


class Cooling:
    """The sources that cool down. Mutable state: until when (monotonic seconds), and the last step, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sources: Bounded[tuple[str, str], tuple[float, float]] = Bounded(_MOST)

    def wrong(self, wanted: Wanted) -> None:
        """The file's source sent wrong bytes."""
        source = (wanted.url, wanted.flight_key)
        _, step = self._sources.get(source, (0.0, _FIRST / 2))
        step = min(step * 2, _LONGEST)
        # No longer than upstream's word counts, be it a wrong one.
        self._sources[source] = (self._clock.monotonic() + min(step, wanted.site.ttl), step)

    def right(self, wanted: Wanted) -> None:
        """The file came as it was promised."""
        self._sources.pop((wanted.url, wanted.flight_key), None)

    def refuse(self, wanted: Wanted) -> None:
        """Raise WrongBytes while the file's source cools down."""
        until, _ = self._sources.get((wanted.url, wanted.flight_key), (0.0, 0.0))
        if self._clock.monotonic() < until:
            raise WrongBytes("Upstream sent wrong bytes for this file a moment ago; it is asked again soon.")
