"""Which snapshot of a suite a client was given, so that it gets the indexes that belong to it.

The service notes and recalls. A connection's own memory is the connection's: it lives as long. What is remembered for
an address serves a client whose connection broke, for some minutes. Knows snapshots by name only.
"""

from __future__ import annotations

from collections import OrderedDict

from proxy.model import Client

_SUITES = 64  # remembered for one connection
_CLIENTS = 10_000  # remembered by address and suite
_LIFE = 300.0  # seconds


class HandedOut:
    """The memory by address. Mutable state: the table, oldest first."""

    def __init__(self) -> None:
        self._table: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def note(self, client: Client, suite: str, snapshot: str, now: float) -> None:
        """A client was given `snapshot` of `suite`. `now`: seconds of the monotonic clock."""
        connection = client.handed_out
        connection.pop(suite, None)
        connection[suite] = snapshot
        if len(connection) > _SUITES:
            del connection[next(iter(connection))]
        self._table.pop((client.name, suite), None)
        self._table[client.name, suite] = snapshot, now
        if len(self._table) > _CLIENTS:
            self._table.popitem(last=False)

    def recall(self, client: Client, suite: str, now: float) -> str | None:
        """The snapshot of `suite` that the client was given last."""
        if suite in client.handed_out:
            return client.handed_out[suite]
        snapshot, when = self._table.get((client.name, suite), ("", float("-inf")))
        return snapshot if now - when < _LIFE else None
