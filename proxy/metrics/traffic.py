"""What clients got: requests, body bytes and times by upstream, kind and outcome.

One look-up finds all counters of an answer, since hashing enums is slow; an answer that is sent again needs none. The
number of rows is bounded: all labels are from closed sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import assert_never

from proxy.events import HITS, OWN, Served
from proxy.metrics.histogram import Histogram
from proxy.model import Kind, Outcome, Source

# Classes of the statuses that answers usually have; others have a row from their first answer on.
_ANSWERED = (2, 3)
_REFUSED = (4, 5)


@dataclass(slots=True)
class Sent:
    """Body bytes of one upstream and kind, by source."""

    cache: int = 0
    shared: int = 0
    upstream: int = 0

    def add(self, sent: dict[Source, int]) -> None:
        """Add the bytes of an answer."""
        for source, size in sent.items():
            if source is Source.CACHE:
                self.cache += size
            elif source is Source.SHARED:
                self.shared += size
            elif source is Source.UPSTREAM:
                self.upstream += size
            else:
                assert_never(source)

    def by_source(self) -> dict[Source, int]:
        """The bytes from each source."""
        return {Source.CACHE: self.cache, Source.SHARED: self.shared, Source.UPSTREAM: self.upstream}


@dataclass(slots=True)
class AnswerTimes:
    """Histograms of one kind and outcome: until the first byte leaves, and until the last one did."""

    first_byte: Histogram = field(default_factory=Histogram)
    total: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class Row:
    """The counters for one set of labels."""

    sent: Sent
    times: AnswerTimes
    requests: int = 0

    def add_again(self, size: int, seconds: float) -> None:
        """Count an answer of so many bytes from the cache, all of which left at once."""
        self.requests += 1
        self.sent.cache += size
        self.times.total.add_to_both(self.times.first_byte, seconds)


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """What clients got of one upstream and kind so far. `from_cache`: bytes, also of downloads under way."""

    index: str
    kind: str
    requests: int
    hits: int  # answers without a download of their own
    from_cache: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What clients got so far. `sent` and `fetched` in bytes."""

    rows: tuple[TrafficRow, ...] = ()
    sent: int = 0
    fetched: int = 0

    @property
    def saved(self) -> int:
        """Bytes sent less bytes fetched; it can fall, and below zero."""
        return self.sent - self.fetched


class TrafficTable:
    """The rows. Mutable state, changed on the event loop only."""

    def __init__(self, upstreams: Iterable[str]) -> None:
        """`upstreams`: those whose rows exist from the start, at zero."""
        self.sent: dict[tuple[str, Kind], Sent] = {}
        self.times = {key: AnswerTimes() for key in product(Kind, Outcome)}
        self.rows: dict[tuple[str, Kind, Outcome, int], Row] = {}
        for upstream, kind, outcome in product(upstreams, Kind, Outcome):
            for hundreds in _REFUSED if outcome is Outcome.ERROR else _ANSWERED:
                self._row((upstream, kind, outcome, hundreds))

    def add(self, upstream: str, event: Served) -> None:
        """Count an answer for `upstream`, the event's own or what stands for it."""
        row = self._row_of(upstream, event)
        row.requests += 1
        row.times.total.add(event.seconds)
        if event.first_byte is not None:
            row.times.first_byte.add(event.first_byte)
        row.sent.add(event.sent)

    def prepare(self, upstream: str, event: Served) -> tuple[Row, int]:
        """The counters of an answer from the cache, and its size in bytes, for `Row.add_again`."""
        return self._row_of(upstream, event), event.sent.get(Source.CACHE, 0)

    @property
    def answers(self) -> int:
        """How many answers were counted."""
        return sum(row.requests for row in self.rows.values())

    def summary(self, fetched: int) -> Traffic:
        """What clients got so far, by upstream and kind; the program's own pages are left out. `fetched`: in bytes."""
        counts = {place: [0, 0] for place in self.sent if place[0] != OWN}
        for (upstream, kind, outcome, _), row in self.rows.items():
            if (count := counts.get((upstream, kind))) is not None:
                count[0] += row.requests
                count[1] += row.requests if outcome in HITS else 0
        sent = {place: self.sent[place] for place in counts}
        rows = tuple(
            TrafficRow(upstream, kind.value, requests, hits, sent[upstream, kind].cache + sent[upstream, kind].shared)
            for (upstream, kind), (requests, hits) in counts.items()
        )
        return Traffic(rows, sum(sum(one.by_source().values()) for one in sent.values()), fetched)

    def _row_of(self, upstream: str, event: Served) -> Row:
        labels = upstream, event.kind, event.outcome, event.status // 100
        return self.rows.get(labels) or self._row(labels)

    def _row(self, labels: tuple[str, Kind, Outcome, int]) -> Row:
        upstream, kind, outcome, _ = labels
        sent = self.sent.setdefault((upstream, kind), Sent())
        return self.rows.setdefault(labels, Row(sent, self.times[kind, outcome]))
