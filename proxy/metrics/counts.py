"""What is counted, in plain numbers: `observer` writes it, `exposition` reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

from proxy.errors import UpstreamError
from proxy.events import DiskMeasured
from proxy.metrics.histogram import AGES, Histogram
from proxy.metrics.traffic import TrafficTable
from proxy.model import Kind

ANSWERED = {0: "none", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}  # requests to upstream, by their status' class
CANCELLED = "cancelled"  # one that the cache needed no more
REASONS = ("limit", "disk")  # why a blob is evicted
FORESEEN = (Kind.PAGE.value, Kind.METADATA.value, Kind.FILE.value)
OUTCOMES = ("fetched", "used", "unused")  # of what was asked for ahead of clients
_ENDINGS = ("complete", "incomplete", "failed")
_RESULTS = ("unchanged", "changed", "failed")


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is asked for when somebody looks. `limit`: the setting `disk`, in bytes.

    How many lines of the log were not written so far, how often the data folder failed, and how many clients are sent
    a download that is still under way.
    """

    limit: int = 0
    dropped_lines: Callable[[], int] = lambda: 0
    store_errors: Callable[[], int] = lambda: 0
    followers: Callable[[], int] = lambda: 0


class Counts:
    """All counts. Changed on the event loop only."""

    def __init__(self, mounts: Iterable[str]) -> None:
        """`mounts`: the configured upstreams, whose counters exist from the start, at zero."""
        known = sorted(set(mounts))
        self.traffic = TrafficTable(known)
        self.fetched = dict.fromkeys(known, 0)
        self.failed: dict[tuple[str, str], int] = dict.fromkeys(product(known, failure_reasons()), 0)
        self.asked: dict[tuple[str, str], int] = dict.fromkeys(product(known, (*ANSWERED.values(), CANCELLED)), 0)
        self.answered = {name: Histogram() for name in known}
        self.revalidations: dict[tuple[str, str], int] = dict.fromkeys(product(known, _RESULTS), 0)
        self.mismatched = dict.fromkeys(known, 0)
        self.discarded = dict.fromkeys(known, 0)
        # What was asked for ahead of clients, and its bytes, by upstream, kind and outcome.
        self.foreseen: dict[tuple[str, str, str], int] = dict.fromkeys(product(known, FORESEEN, OUTCOMES), 0)
        self.foreseen_bytes = dict.fromkeys(self.foreseen, 0)
        self.stale = {name: Histogram(AGES) for name in known}
        self.evictions = dict.fromkeys(REASONS, 0)
        self.evicted = dict.fromkeys(REASONS, 0)
        self.flying = self.size = self.blobs = 0
        self.disk: DiskMeasured | None = None
        self.to_client = self.to_host = 0
        self.warm_runs = dict.fromkeys(_ENDINGS, 0)
        self.started = time.time()


def failure_reasons() -> list[str]:
    """The closed set of reasons: those of `UpstreamError` and its subclasses."""
    return sorted({UpstreamError.reason, *(kind.reason for kind in UpstreamError.__subclasses__())})
