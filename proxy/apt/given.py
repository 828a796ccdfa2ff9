"""Which snapshot of a suite a client was given, so that it gets the indexes that belong to it.

The service notes and recalls. A connection's own memory is the connection's: it lives as long. What is remembered for
an address serves a client whose connection broke, for some minutes. Knows snapshots by name only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableMapping

Memory = MutableMapping[str, str]  # of one connection: suite → snapshot

_SUITES = 64  # remembered for one connection
_CLIENTS = 10_000  # remembered by address and suite
_LIFE = 300.0  # seconds


class Given:
    """The memory by address. Mutable state: the table, oldest first."""

    def __init__(self) -> None:
        self._table: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def note(self, memory: Memory, client: str, suite: str, snapshot: str, now: float) -> None:
        """A client was given `snapshot` of `suite`. `now`: seconds of the monotonic clock."""
        memory.pop(suite, None)
        memory[suite] = snapshot
        if len(memory) > _SUITES:
            del memory[next(iter(memory))]
        self._table.pop((client, suite), None)
        self._table[client, suite] = snapshot, now
        if len(self._table) > _CLIENTS:
            self._table.popitem(last=False)

    def recall(self, memory: Memory, client: str, suite: str, now: float) -> str | None:
        """The snapshot of `suite` that the client was given last."""
        if suite in memory:
            return memory[suite]
        snapshot, when = self._table.get((client, suite), ("", float("-inf")))
        return snapshot if now - when < _LIFE else None
