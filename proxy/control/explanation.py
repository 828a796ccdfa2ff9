"""What a person asks of one address, and what is answered. Said over the socket, by the API, and by the verb's JSON."""

from __future__ import annotations

import msgspec

from proxy.cache.forecast import Forecast

_LONGEST = 8000  # characters of an address


class ExplainWish(msgspec.Struct, frozen=True):
    """What is explained: an address of the cache, whole or from its slash on, or one upstream."""

    url: str

    def wrong(self) -> str | None:
        """Why it cannot be answered; None if it can."""
        if len(self.url) > _LONGEST:
            return f"an address has at most {_LONGEST} characters"
        return None if self.url.strip() else "name an address"


class RecentFailure(msgspec.Struct, frozen=True):
    """A request to the upstream that failed. `reason` as in the metrics."""

    time: float
    reason: str


class Explanation(msgspec.Struct, frozen=True):
    """What would happen at an address, and why.

    `running`: whether a cache runs: without one, nothing is known of upstream. `down`: its host failed so recently that
    what is stored is sent without asking it. `failures`: the last ones of this upstream, the newest first.
    """

    forecast: Forecast
    running: bool = False
    down: bool = False
    failures: tuple[RecentFailure, ...] = ()
