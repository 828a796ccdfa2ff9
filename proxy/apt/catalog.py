"""What stored indexes say of a file: the digest that it must have, and its size.

`vouching` asks before a file is fetched or served. The service tells the catalog of each index that it serves. A table
of an index is made in a thread when it is first needed, and the longest unused tables are dropped. Indexes are known by
when they arrived, including those that an earlier run stored. Never decides which of two indexes is right.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from proxy.apt import indexes, packages
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.indexes import StoredIndex
from proxy.apt.packages import Table
from proxy.apt.policy import MOUNT
from proxy.apt.release import Listed
from proxy.bounded import Bounded
from proxy.cache.downloads import Body
from proxy.cache.flight import Flight
from proxy.cache.passthrough import Passthrough
from proxy.cache.single_flight import SingleFlight
from proxy.cache.workers import Workers
from proxy.errors import PullthroughError, StoreError
from proxy.model import Blob, Digest
from proxy.ports import Clock, Store

_log = logging.getLogger(__name__)

_BYTES = 64 << 20  # of all tables
_INDEXES = 256  # known of one host
_HOSTS = 256
_FOUND = 4096  # files for which the result of a search is remembered
_PATIENCE = 5.0  # seconds that a client waits for tables that are being made
_PIECE = 1 << 20

_Names = tuple[tuple[str, ...], tuple[str, ...]]  # as `StoredIndex.names` gives them
_NO_NAMES: _Names = ((), ())


@dataclass(frozen=True, slots=True)
class Match:
    """What an index says of a file, one of several if it lists several of that name.

    `near`: the file lies where the index's files usually do.
    """

    index: StoredIndex
    listed: Listed
    near: bool


class NotRead(Exception):
    """Indexes that may name the file are still to be read, but it was compared with all of them before."""


class Catalog:
    """Finds files in indexes.

    Mutable state: the indexes known by host, longest unused first, their tables, and results of searches.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._indexes: OrderedDict[str, Bounded[str, StoredIndex]] = OrderedDict()
        self._learned: dict[str, int] = {}  # by host, how many indexes were
        self._found: Bounded[str, tuple[int, list[Match]]] = Bounded(_FOUND)
        self._changes = 0  # of indexes and tables
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._bytes = 0
        self._making: SingleFlight[None] = SingleFlight()
        self._arriving: SingleFlight[None] = SingleFlight()  # what waits for indexes that are on their way
        self._workers = Workers("tables", 2)

    def served(self, suite: ArchiveAddress, path: str, digest: Digest, body: Body) -> None:
        """An index of `suite` is being served. Its table is made, since the client will ask for packages soon."""
        self._make_soon(self.learn(suite, path, digest), body)

    def served_alone(self, address: ArchiveAddress, key: str, body: Body) -> None:
        """The same for an index that no Release file lists, stored under `key`. Its former version is forgotten.

        One that is on its way has no digest before all of it came: it is learnt then. A part says nothing new.
        """
        if isinstance(body, Passthrough) and not body.whole:
            return
        if isinstance(body, Flight) and not body.verified:
            self._arriving.join(key, partial(self._learn_later, address, key, body))
        digest = None
        if isinstance(body, Blob):
            digest = body.digest
        elif isinstance(body, Flight) and body.verified and body.running_hash is not None:
            digest = body.running_hash.check()
        if digest is None:
            self._of_host(address).pop(key, None)
            self._changes += 1
            return
        index = StoredIndex(key, None, address.path, digest.value, self._arrived(key))
        self._make_soon(self._learn(address, index), body)

    def learn(self, suite: ArchiveAddress, path: str, digest: Digest) -> StoredIndex | None:
        """An index of `suite` is stored, or will be. None if it cannot be read."""
        key = indexes.index_key(suite, path, digest)
        return self._learn(suite, StoredIndex(key, suite, path, digest.value, self._arrived(key)))

    def learn_stored(self, suite: ArchiveAddress, path: str, digest: Digest) -> bool:
        """Learn of an index if it is in the store. Whether it was unknown."""
        key = indexes.index_key(suite, path, digest)
        unknown = key not in self._of_host(suite)
        return unknown and self._store.find(key) is not None and self.learn(suite, path, digest) is not None

    def unchanged(self, address: ArchiveAddress) -> Callable[[], bool]:
        """A function that tells, when it is called later, whether no index of the host was learned since now."""
        host = indexes.host_of(address)
        learned = self._learned.get(host.key, 0)
        return lambda: self._learned.get(host.key, 0) == learned

    async def find(self, address: ArchiveAddress, checked: float | None = None) -> list[Match]:
        """What the indexes that name the file say of it, the latest first. Waits, not for long, for their tables.

        Raises NotRead where tables are to be made, and the file was compared with what all of their indexes say: it was
        `checked` after the latest of them arrived.
        """
        known = self._found.get(address.key)
        if known is not None and known[0] == self._changes:
            for match in known[1]:
                self._tables.move_to_end(match.index.digest)
            return known[1]
        named = self._naming(address)
        missing = [index for index, _ in named if index.digest not in self._tables]
        if missing:
            tasks = [self._making.join(index.digest, partial(self._make, index))[0] for index in missing]
            if checked is not None and named[0][0].arrived < checked:
                raise NotRead
            await asyncio.wait(tasks, timeout=_PATIENCE)
        found = list(self._looked_up(named))
        self._found[address.key] = self._changes, found
        return found

    def imported(self) -> None:
        """An import may have put indexes into the store: what is known of each host is read anew."""
        self._indexes.clear()
        self._changes += 1
        for host in self._learned:
            self._learned[host] += 1

    async def close(self) -> None:
        """Cancel the making of tables."""
        await self._arriving.close()
        await self._making.close()
        await self._workers.close()

    def _looked_up(self, named: Iterable[tuple[StoredIndex, _Names]]) -> Iterator[Match]:
        hashes: dict[str, bytes] = {}
        for index, (near, beside) in named:
            table = self._tables.get(index.digest)
            if table is None:
                continue
            for name in near or beside:
                hashed = hashes.get(name) or hashes.setdefault(name, packages.hashed(name))
                listed = table.find(hashed)
                if listed:
                    self._tables.move_to_end(index.digest)
                    yield from (Match(index, one, bool(near)) for one in listed)
                    break

    def _naming(self, address: ArchiveAddress) -> list[tuple[StoredIndex, _Names]]:
        """The indexes that may name a file, the latest first, and what they may call it.

        One that is on its way says nothing yet. Nobody waits for it, and it is known when it has come.
        """
        path = address.path
        indexes_of_host = self._of_host(address).values()
        named = [(index, index.names(path)) for index in indexes_of_host if self._arriving.get(index.digest) is None]
        named = [one for one in named if one[1] != _NO_NAMES]
        named.sort(key=_arrival, reverse=True)
        return named

    def _arrived(self, key: str) -> float:
        return indexes.arrived(self._store, key, self._clock.now())

    def _learn(self, address: ArchiveAddress, index: StoredIndex) -> StoredIndex | None:
        if not packages.readable(index.path):
            return None
        of_host = self._of_host(address)
        known = of_host.get(index.key)
        if known is None or known.digest != index.digest:
            host = indexes.host_of(address).key
            self._learned[host] = self._learned.get(host, 0) + 1
            self._changes += 1
            known = index
        of_host[index.key] = known
        return known

    def _of_host(self, address: ArchiveAddress) -> Bounded[str, StoredIndex]:
        """The indexes known of a host; at first those that an earlier run left in the store."""
        host = indexes.host_of(address)
        known = self._indexes.get(host.key)
        if known is None:
            known = self._indexes[host.key] = Bounded(_INDEXES)
            if len(self._indexes) > _HOSTS:
                dropped, _ = self._indexes.popitem(last=False)
                self._learned.pop(dropped, None)
            for index in sorted(indexes.stored_indexes(self._store, host), key=lambda index: index.arrived):
                self._learn(address, index)
        self._indexes.move_to_end(host.key)
        return known

    def _make_soon(self, index: StoredIndex | None, body: Body) -> None:
        if index is None or index.digest in self._tables:
            return
        if isinstance(body, Flight) and body.verified:
            self._making.join(index.digest, partial(self._make_of, index, body))
        elif isinstance(body, Flight):
            self._arriving.join(index.digest, partial(self._make_later, index, body))
        elif isinstance(body, Blob):
            self._making.join(index.digest, partial(self._make, index))

    async def _make(self, index: StoredIndex) -> None:
        """Make the table of an index."""
        entry = self._store.find(index.key)
        blob = self._store.blob(entry.digest) if entry is not None else None
        if blob is None or (index.suite is None and blob.digest.value != index.digest):
            self._forget(index.digest)
            return
        try:
            with self._store.lease(blob) as descriptor:
                await self._read(index, descriptor, blob.size)
        except StoreError:
            self._forget(index.digest)

    async def _make_of(self, index: StoredIndex, flight: Flight) -> None:
        """The same for an index that the store is about to take."""
        assert flight.size is not None, "all of it arrived"
        with flight.share() as descriptor:
            await self._read(index, descriptor, flight.size)

    async def _make_later(self, index: StoredIndex, flight: Flight) -> None:
        """The same for an index that is on its way, once all of it came."""
        await flight.ended()
        self._changes += 1  # what was found meanwhile is to be looked for again
        self._make_soon(index, flight)

    async def _learn_later(self, address: ArchiveAddress, key: str, flight: Flight) -> None:
        """The same for one that no Release file lists, so that it has no digest before."""
        await flight.ended()
        self.served_alone(address, key, flight)

    async def _read(self, index: StoredIndex, descriptor: int, size: int) -> None:
        try:
            table = await self._workers.run(packages.table, index.path, _pieces(descriptor, size))
        except PullthroughError as error:
            _log.warning("index not read", extra={"upstream": MOUNT, "reason": str(error)})
            table = Table(())
        self._changes += 1
        self._tables[index.digest] = table
        self._bytes += table.weight
        while self._bytes > _BYTES and len(self._tables) > 1:
            # Forget its index, too: else the next package would have this table made again, and another one dropped.
            digest, dropped = self._tables.popitem(last=False)
            self._bytes -= dropped.weight
            self._forget(digest)

    def _forget(self, digest: str) -> None:
        self._changes += 1
        for known in self._indexes.values():
            for key in [key for key, index in known.items() if index.digest == digest]:
                del known[key]


def _arrival(named: tuple[StoredIndex, object]) -> float:
    return named[0].arrived


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield os.pread(descriptor, _PIECE, offset)
