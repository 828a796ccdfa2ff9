"""What the kept indexes of packages and sources say of a file: the digest that it must have, and its size.

`vouching` asks before a file is fetched or served; the service tells of each index that it serves. Tables are made in a
thread when they are first needed, and the longest unused are dropped. Indexes are known by when they came, also those
of an earlier run. Never decides which of two indexes is right.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from proxy.apt import packages, sources
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.packages import Table
from proxy.apt.sources import Match, Source
from proxy.cache.file_opener import Body
from proxy.cache.flight import Flight
from proxy.cache.single_flight import SingleFlight
from proxy.cache.workers import Workers
from proxy.errors import PullthroughError, StoreError
from proxy.model import Blob, Digest
from proxy.ports import Clock, Store

_log = logging.getLogger(__name__)

_BYTES = 64 << 20  # of all tables
_INDEXES = 256  # known of one host
_HOSTS = 256
_FOUND = 4096  # files of which what was found is remembered
_PATIENCE = 5.0  # seconds that a package waits for tables that are being made
_PIECE = 1 << 20


class ReadAgain(Exception):
    """Tables of indexes have to be made, of which all is known that matters."""


class Catalog:
    """Finds files in indexes.

    Mutable state: the indexes known by host, longest unused first, their tables, and what was found in them.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._sources: OrderedDict[str, OrderedDict[str, Source]] = OrderedDict()
        self._learnt: dict[str, int] = {}
        self._found: dict[str, tuple[int, list[Match]]] = {}
        self._changes = 0  # of sources and tables
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._bytes = 0
        self._making: SingleFlight[None] = SingleFlight()
        self._tabling = Workers("tables", 2)

    def served(self, suite: ArchiveAddress, path: str, digest: Digest, body: Body) -> None:
        """An index of `suite` is being served: its table is made, since the client asks for packages soon."""
        self._served(self.learn(suite, path, digest), body)

    def served_alone(self, address: ArchiveAddress, key: str, body: Body) -> None:
        """The same of an index that no Release file lists, kept under `key`. Its former version says nothing more."""
        digest = None
        if isinstance(body, Blob):
            digest = body.digest
        elif isinstance(body, Flight) and body.verified and body.running_hash is not None:
            digest = body.running_hash.check()
        known = self._of_host(address)
        if digest is None:
            known.pop(key, None)
            self._changes += 1
        else:
            self._served(
                self._learn(
                    address,
                    Source(key, None, address.path, digest.value, sources.came(self._store, key, self._clock.now())),
                ),
                body,
            )

    def learn(self, suite: ArchiveAddress, path: str, digest: Digest) -> Source | None:
        """An index of `suite` is kept, or will be."""
        key = sources.key_of(suite, path, digest)
        return self._learn(
            suite, Source(key, suite, path, digest.value, sources.came(self._store, key, self._clock.now()))
        )

    def learn_kept(self, suite: ArchiveAddress, path: str, digest: Digest) -> bool:
        """Learn of an index if it is in the store. Whether that is news."""
        known = self._of_host(suite)
        key = sources.key_of(suite, path, digest)
        return key not in known and self._store.find(key) is not None and self.learn(suite, path, digest) is not None

    def unchanged(self, address: ArchiveAddress) -> Callable[[], bool]:
        """A question to be asked later: whether no further index of the host was learnt since now."""
        host = sources.host_of(address)
        learnt = self._learnt.get(host.key, 0)
        return lambda: self._learnt.get(host.key, 0) == learnt

    async def find(self, address: ArchiveAddress, *, wait: bool = True, checked: float | None = None) -> list[Match]:
        """What the indexes that name the file say of it, the latest first. `wait`, not for long, for their tables.

        Raises ReadAgain where tables are to be made, and the file was compared with what all of their indexes say:
        it was `checked` after the latest of them came.
        """
        known = self._found.get(address.key)
        if known is not None and known[0] == self._changes:
            for match in known[1]:
                self._tables.move_to_end(match.source.table)
            return known[1]
        named = self._naming(address)
        missing = [source for source, _ in named if source.table not in self._tables]
        if missing:
            tasks = [self._making.join(one.table, partial(self._make, one))[0] for one in missing]
            if checked is not None and named[0][0].since < checked:
                raise ReadAgain
            if wait:
                await asyncio.wait(tasks, timeout=_PATIENCE)
        found = list(self._looked_up(named))
        self._found[address.key] = self._changes, found
        if len(self._found) > _FOUND:
            del self._found[next(iter(self._found))]
        return found

    async def close(self) -> None:
        """Break off what is being made."""
        await self._making.close()
        await self._tabling.close()

    def _looked_up(self, named: Iterable[tuple[Source, tuple[tuple[str, ...], tuple[str, ...]]]]) -> Iterator[Match]:
        hashes: dict[str, bytes] = {}
        for source, (near, beside) in named:
            table = self._tables.get(source.table)
            if table is None:
                continue
            for name in near or beside:
                hashed = hashes.get(name) or hashes.setdefault(name, packages.hashed(name))
                listed = table.look_up(hashed)
                if listed is not None:
                    self._tables.move_to_end(source.table)
                    yield Match(source, listed, bool(near))
                    break

    def _naming(self, address: ArchiveAddress) -> list[tuple[Source, tuple[tuple[str, ...], tuple[str, ...]]]]:
        """The indexes that may name a file, the latest first, and what they may call it."""
        path = address.path
        named = [(source, source.names(path)) for source in self._of_host(address).values()]
        named = [one for one in named if one[1] != _NO_NAMES]
        named.sort(key=_since)
        return named

    def _served(self, source: Source | None, body: Body) -> None:
        if source is None or source.table in self._tables:
            return
        if isinstance(body, Flight) and body.verified:
            self._making.join(source.table, partial(self._make_of, source, body))
        elif isinstance(body, Blob):
            self._making.join(source.table, partial(self._make, source))

    def _learn(self, address: ArchiveAddress, source: Source) -> Source | None:
        if not packages.readable(source.path):
            return None
        of_host = self._of_host(address)
        known = of_host.pop(source.key, None)
        if known is None or known.table != source.table:
            host = sources.host_of(address).key
            self._learnt[host] = self._learnt.get(host, 0) + 1
            self._changes += 1
            known = source
        of_host[source.key] = known
        if len(of_host) > _INDEXES:
            of_host.popitem(last=False)
        return known

    def _of_host(self, address: ArchiveAddress) -> OrderedDict[str, Source]:
        """The indexes known of a host; at first those that an earlier run left in the store."""
        host = sources.host_of(address)
        known = self._sources.get(host.key)
        if known is None:
            known = self._sources[host.key] = OrderedDict()
            if len(self._sources) > _HOSTS:
                dropped, _ = self._sources.popitem(last=False)
                self._learnt.pop(dropped, None)
            for source in sorted(sources.left(self._store, host), key=lambda source: source.since):
                self._learn(address, source)
        self._sources.move_to_end(host.key)
        return known

    async def _make(self, source: Source) -> None:
        entry = self._store.find(source.key)
        blob = self._store.blob(entry.digest) if entry is not None else None
        if blob is None or (source.suite is None and blob.digest.value != source.table):
            self._forget(source.table)
            return
        try:
            with self._store.lease(blob) as descriptor:
                await self._read(source, descriptor, blob.size)
        except StoreError:
            self._forget(source.table)

    async def _make_of(self, source: Source, flight: Flight) -> None:
        """The same of an index that the store is about to take."""
        assert flight.size is not None, "it is here"
        with flight.share() as descriptor:
            await self._read(source, descriptor, flight.size)

    async def _read(self, source: Source, descriptor: int, size: int) -> None:
        try:
            table = await self._tabling.run(packages.table, source.path, _pieces(descriptor, size))
        except PullthroughError as error:
            _log.warning("index not read", extra={"upstream": "apt", "reason": str(error)})
            table = Table(())
        self._changes += 1
        self._tables[source.table] = table
        self._bytes += table.weight
        while self._bytes > _BYTES and len(self._tables) > 1:
            # With what it was made from: else the next package would have it made again, and another one dropped.
            digest, dropped = self._tables.popitem(last=False)
            self._bytes -= dropped.weight
            self._forget(digest)

    def _forget(self, table: str) -> None:
        self._changes += 1
        for known in self._sources.values():
            for key in [key for key, source in known.items() if source.table == table]:
                del known[key]


_NO_NAMES: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def _since(named: tuple[Source, object]) -> float:
    return -named[0].since


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield os.pread(descriptor, _PIECE, offset)
