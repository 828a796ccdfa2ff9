"""What the kept indexes of packages and sources say of a file: the digest that it must have, and its size.

`vouching` asks before a file is fetched or served; the service tells of each index that it serves. Tables are made in a
thread when they are first needed, and the longest unused are dropped. Indexes are known by when they came, also those
of an earlier run. Never decides which of two indexes is right.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from proxy.apt import packages, paths
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.packages import Table
from proxy.apt.release import Listed
from proxy.cache.access import Body
from proxy.cache.flight import Flight
from proxy.cache.flights import Flights
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
_KEY = re.compile(r"(.*?):([0-9a-f]{32,128}):(.*)", re.DOTALL)  # behind the host: suite, digest, path


@dataclass(frozen=True)
class Source:
    """A kept index. `path` is relative to the suite whose Release file lists it; `suite` None: none does.

    `table`: the digest by which it is listed. `since`: when it came, in seconds since the epoch.
    """

    key: str  # the store's
    suite: ArchiveAddress | None
    path: str
    table: str
    since: float

    @cached_property
    def _where(self) -> tuple[str, str, str | None]:
        """The folder of its Release file, or else its own; its own; and the root of its archive, if not a flat one."""
        base = self.suite.path if self.suite is not None else ""
        folder, slash, _ = (base + self.path).rpartition("/")
        own = folder + slash
        base = base if self.suite is not None else own
        return base, own, own if packages.of_patches(self.path) else paths.archive_root(base)

    def names(self, address: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What it may call the file at `address`; and what, if its files lie where those of few archives do."""
        base, own, root = self._where
        if root is not None:
            return ((address[len(root) :],) if address.startswith(root) else ()), ()
        names = paths.names_in(address, base)
        if own != base:
            names = tuple(dict.fromkeys((*names, *paths.names_in(address, own))))
        return names, () if names else paths.names_beside(address, base)


class ReadAgain(Exception):
    """Tables of indexes have to be made, of which all is known that matters."""


@dataclass(frozen=True, slots=True)
class Match:
    """What an index says of a file. `near`: the file lies where the index's files do."""

    source: Source
    listed: Listed
    near: bool


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
        self._making: Flights[None] = Flights()
        self._tabling = Workers("tables", 2)

    def served(self, suite: ArchiveAddress, path: str, digest: Digest, body: Body) -> None:
        """An index of `suite` is being served: its table is made, since the client asks for packages soon."""
        self._served(self.learn(suite, path, digest), body)

    def served_alone(self, address: ArchiveAddress, key: str, body: Body) -> None:
        """The same of an index that no Release file lists, kept under `key`. Its former version says nothing more."""
        digest = None
        if isinstance(body, Blob):
            digest = body.digest
        elif isinstance(body, Flight) and body.verified and body.digesting is not None:
            digest = body.digesting.check()
        known = self._of_host(address)
        if digest is None:
            known.pop(key, None)
            self._changes += 1
        else:
            self._served(self._learn(address, Source(key, None, address.path, digest.value, self._came(key))), body)

    def learn(self, suite: ArchiveAddress, path: str, digest: Digest) -> Source | None:
        """An index of `suite` is kept, or will be."""
        key = _key(suite, path, digest)
        return self._learn(suite, Source(key, suite, path, digest.value, self._came(key)))

    def learn_kept(self, suite: ArchiveAddress, path: str, digest: Digest) -> bool:
        """Learn of an index if it is in the store. Whether that is news."""
        known = self._of_host(suite)
        key = _key(suite, path, digest)
        return key not in known and self._store.find(key) is not None and self.learn(suite, path, digest) is not None

    def unchanged(self, address: ArchiveAddress) -> Callable[[], bool]:
        """A question to be asked later: whether no further index of the host was learnt since now."""
        host = _host(address)
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
        sources = self._of_host(address)
        known = sources.pop(source.key, None)
        if known is None or known.table != source.table:
            host = _host(address).key
            self._learnt[host] = self._learnt.get(host, 0) + 1
            self._changes += 1
            known = source
        sources[source.key] = known
        if len(sources) > _INDEXES:
            sources.popitem(last=False)
        return known

    def _came(self, key: str) -> float:
        entry = self._store.find(key)
        return self._clock.now() if entry is None else entry.stored

    def _of_host(self, address: ArchiveAddress) -> OrderedDict[str, Source]:
        """The indexes known of a host; at first those that an earlier run left in the store."""
        host = _host(address)
        known = self._sources.get(host.key)
        if known is None:
            known = self._sources[host.key] = OrderedDict()
            if len(self._sources) > _HOSTS:
                dropped, _ = self._sources.popitem(last=False)
                self._learnt.pop(dropped, None)
            for source in sorted(self._left(host), key=lambda source: source.since):
                self._learn(address, source)
        self._sources.move_to_end(host.key)
        return known

    def _left(self, host: ArchiveAddress) -> Iterator[Source]:
        front = f"apt:index:{host.key}"
        for key in self._store.keys(front):
            match = _KEY.fullmatch(key.removeprefix(front))
            if match is not None:
                suite = ArchiveAddress(host.scheme, host.host, match[1])
                yield Source(key, suite, match[3], match[2], self._came(key))
        front = f"apt:document:{host.key}"
        for key in self._store.keys(front):
            entry = self._store.find(key)
            if entry is not None and packages.readable(key):
                yield Source(key, None, key.removeprefix(front), entry.digest.value, entry.stored)

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
        for sources in self._sources.values():
            for key in [key for key, source in sources.items() if source.table == table]:
                del sources[key]


_NO_NAMES: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def _since(named: tuple[Source, object]) -> float:
    return -named[0].since


def _host(address: ArchiveAddress) -> ArchiveAddress:
    return ArchiveAddress(address.scheme, address.host, "")


def _key(suite: ArchiveAddress, path: str, digest: Digest) -> str:
    """The store's key of an index that is listed by this digest, as `indexes` has it."""
    return f"apt:index:{suite.key}:{digest.value}:{path}"


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield os.pread(descriptor, _PIECE, offset)
