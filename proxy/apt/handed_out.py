"""Which snapshot of a suite each client was given, so that it gets the indexes and packages that belong to it.

The service notes each Release file that a client gets, and asks which snapshot counts for it; `vouching` does, too. It
is remembered with the connection for as long as that lasts, and with the client's name for some minutes, in case the
connection broke.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.suites import Snapshot
from proxy.bounded import Bounded
from proxy.errors import Unsettled
from proxy.model import Client
from proxy.ports import Clock

_SUITES = 64  # remembered with one connection
_CLIENTS = 10_000  # remembered by name and suite
_LIFE = 300.0  # seconds


class HandedOut:
    """Mutable state: the snapshots by client's name and suite, the oldest first."""

    def __init__(self, known: Callable[[ArchiveAddress], Awaitable[list[Snapshot]]], clock: Clock) -> None:
        """`known`: the snapshots that are known of a suite, the present one first."""
        self._known = known
        self._clock = clock
        self._by_name: Bounded[tuple[str, str], tuple[str, float]] = Bounded(_CLIENTS)

    def note(self, client: Client, suite: ArchiveAddress, snapshot: Snapshot) -> None:
        """A client was given `snapshot`."""
        connection = client.handed_out
        connection.pop(suite.key, None)
        connection[suite.key] = snapshot.name
        if len(connection) > _SUITES:
            del connection[next(iter(connection))]
        self._by_name[client.name, suite.key] = snapshot.name, self._clock.monotonic()

    def name(self, client: Client, suite: ArchiveAddress) -> str | None:
        """The name of the snapshot that the client was given last."""
        if suite.key in client.handed_out:
            return client.handed_out[suite.key]
        name, when = self._by_name.get((client.name, suite.key), ("", float("-inf")))
        return name if self._clock.monotonic() - when < _LIFE else None

    async def snapshot(self, client: Client, suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot that the client was given. Raises Unsettled if that is not known any more."""
        name = self.name(client, suite)
        if name is None:
            return None
        for snapshot in await self._known(suite):
            if snapshot.name == name:
                return snapshot
        if client.shared or suite.key not in client.handed_out:  # perhaps it was another client that was given it
            return None
        raise Unsettled("The Release file that this client has is not known any more. Fetch it again.")

    async def snapshot_or_present(self, client: Client, suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot whose indexes the client is to get: the one that it was given, else the present one."""
        snapshot = await self.snapshot(client, suite)
        return snapshot if snapshot is not None else next(iter(await self._known(suite)), None)
