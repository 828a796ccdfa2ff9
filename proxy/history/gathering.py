"""Sums in memory: what answers and downloads come to until the next batch is written.

`recorder` owns one, and calls it on the event loop. The number of sums is bounded: past it, further clients and files
are not noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.events import HITS, Served
from proxy.history.database import DAY
from proxy.history.sums import ClientSum, Total
from proxy.model import Kind, Source
from proxy.user_agent import UserAgent

_MOST = 20_000  # sums that wait for the next batch
_LONGEST = 2048  # characters of an address
_CLIENTS = 16  # of one answer whose sums are at hand: it may not be sent again for long
_GOT = (200, 206)


@dataclass(slots=True)
class Batch:
    """Totals by day, upstream and kind; sums by day, file (upstream, path, sha256) and client (address, program)."""

    totals: dict[tuple[int, str, str], Total] = field(default_factory=dict)
    sums: dict[tuple[int, str, str, str | None, str, UserAgent], ClientSum] = field(default_factory=dict)

    def total(self, day: int, upstream: str, kind: str) -> Total:
        """The total of a day, zero if there is none yet."""
        key = (day, upstream, kind)
        total = self.totals.get(key)
        if total is None:
            total = self.totals[key] = Total()
        return total


class Gathering:
    """Mutable state: `batch`, what is gathered now, and its number, by which `AnswerSums` knows its sums."""

    def __init__(self) -> None:
        self.batch = Batch()
        self.number = 1

    def take(self) -> Batch:
        """What was gathered so far; a new batch begins."""
        taken, self.batch = self.batch, Batch()
        self.number += 1
        return taken


class AnswerSums:
    """An answer and its sums, which are looked up once for each batch, day, client and program."""

    __slots__ = (
        "_begins",
        "_by_client",
        "_ends",
        "_event",
        "_gathering",
        "_number",
        "_of_file",
        "_one",
        "_saved",
        "_size",
        "_total",
    )

    def __init__(self, gathering: Gathering, event: Served) -> None:
        self._gathering = gathering
        self._event = event
        sent = event.sent
        cache, flight = sent.get(Source.CACHE, 0), sent.get(Source.SHARED, 0)
        self._one = Total(1, int(event.outcome in HITS), cache, flight, sent.get(Source.UPSTREAM, 0))
        self._size, self._saved = self._one.sent, cache + flight
        got = event.kind is Kind.FILE and event.method == "GET" and event.status in _GOT
        self._of_file = got and len(event.path) <= _LONGEST
        self._number = -1
        self._begins = self._ends = 0  # the day, in seconds since the epoch
        self._total = Total()
        self._by_client: dict[tuple[str, UserAgent], ClientSum] = {}

    def add(self, when: float, client: str, agent: UserAgent) -> None:
        """Add it once more. `when`: seconds since the epoch."""
        if self._number != self._gathering.number or not self._begins <= when < self._ends:
            self._renew(when)
        self._total.add(self._one)
        if self._of_file:
            asked = self._by_client.get((client, agent)) or self._asked_by(client, agent, when)
            asked.requests += 1
            asked.size += self._size
            asked.saved += self._saved
            if when > asked.last:
                asked.last = when
            elif when < asked.first:  # the clock was set back
                asked.first = when

    def _renew(self, when: float) -> None:
        """Another batch, or another day: the sums are new ones."""
        day = int(when) // DAY
        self._number, self._begins, self._ends = self._gathering.number, day * DAY, (day + 1) * DAY
        self._total = self._gathering.batch.total(day, self._event.upstream, self._event.kind.value)
        self._by_client = {}

    def _asked_by(self, client: str, agent: UserAgent, when: float) -> ClientSum:
        """The sum of a client's program. It is in no batch where there are too many."""
        event, sums = self._event, self._gathering.batch.sums
        key = (self._begins // DAY, event.upstream, event.path, event.sha256, client, agent)
        asked = sums.get(key)
        if asked is None:
            asked = ClientSum(0, 0, when, when)
            if len(sums) >= _MOST:
                return asked
            sums[key] = asked
        if len(self._by_client) < _CLIENTS:
            self._by_client[client, agent] = asked
        return asked
