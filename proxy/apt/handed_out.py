"""Which snapshot of a suite each client was given, so that it gets the indexes and packages that belong to it.

The service notes each Release file that a client gets, and asks which snapshot counts for it; `vouching` does, too. It
is remembered with the connection for as long as that lasts, and with the client's name for some minutes, in case the
connection broke. A list and its signature are asked for one soon after the other, in either order: both are of one
snapshot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proxy.apt import paths
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.suites import Snapshot
from proxy.bounded import Bounded
from proxy.errors import SnapshotForgotten
from proxy.model import Client
from proxy.ports import Clock

_SUITES = 128  # lists and signatures remembered with one connection
_CLIENTS = 10_000  # remembered by name and suite
_LIFE = 300.0  # seconds
_SOON = 5.0  # seconds between a list and its signature


class HandedOut:
    """Mutable state: the snapshots by client's name and suite, the oldest first, and when each was given.

    The same of those whose signature was given before the list.
    """

    def __init__(self, known: Callable[[ArchiveAddress], Awaitable[list[Snapshot]]], clock: Clock) -> None:
        """`known`: the snapshots that are known of a suite, the present one first."""
        self._known = known
        self._clock = clock
        self._by_name: Bounded[tuple[str, str], tuple[str, float]] = Bounded(_CLIENTS)
        self._signed_first: Bounded[tuple[str, str], tuple[str, float]] = Bounded(_CLIENTS)

    def note(self, client: Client, suite: ArchiveAddress, snapshot: Snapshot, *, signature: bool = False) -> None:
        """A client was given the list of `snapshot`, or its signature."""
        connection, who, given = client.handed_out, (client.name, suite.key), (snapshot.name, self._clock.monotonic())
        if signature:
            if self._name_of_list(client, suite) != snapshot.name:
                self._signed_first[who] = given
            connection.pop(_signature_key(suite), None)
            connection[_signature_key(suite)] = snapshot.name
        elif self._signed_first.pop(who, ("", 0.0))[0] != snapshot.name:
            connection.pop(_signature_key(suite), None)  # that of this list is still to be asked for
        connection.pop(suite.key, None)
        connection[suite.key] = snapshot.name
        while len(connection) > _SUITES:
            del connection[next(iter(connection))]
        self._by_name[who] = given

    def name(self, client: Client, suite: ArchiveAddress) -> str | None:
        """The name of the snapshot that the client was given last."""
        if suite.key in client.handed_out:
            return client.handed_out[suite.key]
        name, when = self._by_name.get((client.name, suite.key), ("", float("-inf")))
        return name if self._clock.monotonic() - when < _LIFE else None

    async def snapshot(self, client: Client, suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot that the client was given. Raises SnapshotForgotten if that is not known any more."""
        return await self._snapshot(client, suite, self.name(client, suite))

    async def for_signature(self, client: Client, suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot whose list the client was given, and whose signature it asks for. Raises as `snapshot`.

        None: it asks for the signature first, and is given that of the present snapshot.
        """
        return await self._snapshot(client, suite, self._name_of_list(client, suite))

    async def for_list(self, client: Client, suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot whose signature the client was given a moment ago, before its list. None: there is none."""
        name, when = self._signed_first.get((client.name, suite.key), ("", float("-inf")))
        if self._clock.monotonic() - when >= _SOON:
            return None
        return next((snapshot for snapshot in await self._known(suite) if snapshot.name == name), None)

    def _name_of_list(self, client: Client, suite: ArchiveAddress) -> str | None:
        """The name of the snapshot whose list the client was given, and not yet its signature.

        What is known by the client's name alone may be of another client, or of its last update. So may be what the
        connection knows, if that has both. Each counts for some seconds, in case the client asks again.
        """
        on_connection = client.handed_out.get(suite.key)
        if on_connection is not None and client.handed_out.get(_signature_key(suite)) != on_connection:
            return on_connection
        name, when = self._by_name.get((client.name, suite.key), ("", float("-inf")))
        soon = self._clock.monotonic() - when < _SOON
        return name if soon and on_connection in {None, name} else None

    async def _snapshot(self, client: Client, suite: ArchiveAddress, name: str | None) -> Snapshot | None:
        if name is None:
            return None
        for snapshot in await self._known(suite):
            if snapshot.name == name:
                return snapshot
        if client.shared or suite.key not in client.handed_out:  # perhaps it was another client that was given it
            return None
        raise SnapshotForgotten("The Release file that this client has is not known any more. Fetch it again.")

    async def snapshot_or_present(self, client: Client, suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot whose indexes the client is to get: the one that it was given, else the present one."""
        snapshot = await self.snapshot(client, suite)
        return snapshot if snapshot is not None else next(iter(await self._known(suite)), None)


def _signature_key(suite: ArchiveAddress) -> str:
    """Under which a connection knows whose signature it was given."""
    return f"{suite.key}{paths.SIGNATURE}"
