"""What the kept indexes of packages say of a file: the digest that it must have, and its size.

The service asks before it fetches a package, and tells of each index that was served. Tables are made in a thread when
they are first needed, and the longest unused are dropped. What no kept index names is fetched without a digest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

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
from proxy.ports import Store

_log = logging.getLogger(__name__)

_BYTES = 64 << 20  # of all tables
_INDEXES = 256  # known of one host
_HOSTS = 256
_PATIENCE = 5.0  # seconds that a package waits for tables that are being made
_PIECE = 1 << 20
_KEY = re.compile(r"(.*?):([0-9a-f]{64}):(.*)", re.DOTALL)  # behind the host: suite, digest, path


@dataclass(frozen=True, slots=True)
class Source:
    """A kept index of packages. `roots`: what its file names may be relative to."""

    digest: Digest
    path: str
    roots: tuple[str, ...]


class Catalog:
    """Finds packages in indexes. Mutable state: the indexes known by host, newest last, and their tables."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sources: OrderedDict[str, OrderedDict[str, Source]] = OrderedDict()
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._bytes = 0
        self._making: Flights[None] = Flights()
        self._tabling = Workers("tables", 2)

    def served(self, suite: ArchiveAddress, path: str, digest: Digest, body: Body) -> None:
        """An index of `suite` is being served: its table is made, since the client asks for packages soon."""
        self.learn(suite, path, digest)
        source = self._of_host(suite).get(digest.value)
        if source is None or digest.value in self._tables:
            return
        if isinstance(body, Flight) and body.verified:
            self._making.join(digest.value, partial(self._make_of, source, body))
        elif isinstance(body, Blob):
            self._making.join(digest.value, partial(self._make, source))

    def learn(self, suite: ArchiveAddress, path: str, digest: Digest) -> None:
        """An index of `suite` is kept."""
        if not packages.readable(path) or digest.algorithm != "sha256":
            return
        sources = self._of_host(suite)
        sources.pop(digest.value, None)
        sources[digest.value] = Source(digest, path, paths.archive_roots(suite.path))
        if len(sources) > _INDEXES:
            sources.popitem(last=False)

    async def find(self, address: ArchiveAddress, *, wait: bool) -> Listed | None:
        """What the newest index that names the file says of it. `wait`, not for long, for tables being made."""
        sources = [source for source in self._of_host(address).values() if _below(address.path, source.roots)]
        missing = [source for source in sources if source.digest.value not in self._tables]
        tasks = [self._making.join(one.digest.value, partial(self._make, one))[0] for one in missing]
        if tasks and wait:
            await asyncio.wait(tasks, timeout=_PATIENCE)
        for source in reversed(sources):
            table = self._tables.get(source.digest.value)
            if table is None:
                continue
            self._tables.move_to_end(source.digest.value)
            for root in _below(address.path, source.roots):
                listed = table.find(address.path.removeprefix(root))
                if listed is not None:
                    return listed
        return None

    async def close(self) -> None:
        """Break off what is being made."""
        await self._making.close()
        await self._tabling.close()

    def _of_host(self, address: ArchiveAddress) -> OrderedDict[str, Source]:
        """The indexes known of a host; at first those that an earlier run left in the store."""
        host = ArchiveAddress(address.scheme, address.host, "")
        known = self._sources.get(host.key)
        if known is None:
            known = self._sources[host.key] = OrderedDict()
            if len(self._sources) > _HOSTS:
                self._sources.popitem(last=False)
            for suite, path, digest in self._left(host):
                self.learn(suite, path, digest)
        self._sources.move_to_end(host.key)
        return known

    def _left(self, host: ArchiveAddress) -> Iterator[tuple[ArchiveAddress, str, Digest]]:
        front = f"apt:index:{host.key}"
        for key in self._store.keys(front):
            match = _KEY.fullmatch(key.removeprefix(front))
            if match is not None:
                yield ArchiveAddress(host.scheme, host.host, match[1]), match[3], Digest("sha256", match[2])

    async def _make(self, source: Source) -> None:
        blob = self._store.blob(source.digest)
        if blob is None:
            self._forget(source.digest.value)
            return
        try:
            with self._store.lease(blob) as descriptor:
                await self._read(source, descriptor, blob.size)
        except StoreError:
            self._forget(source.digest.value)

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
            table = Table(b"")
        self._tables[source.digest.value] = table
        self._bytes += len(table.records)
        while self._bytes > _BYTES and len(self._tables) > 1:
            # With what it was made from: else the next package would have it made again, and another one dropped.
            digest, dropped = self._tables.popitem(last=False)
            self._bytes -= len(dropped.records)
            self._forget(digest)

    def _forget(self, digest: str) -> None:
        for sources in self._sources.values():
            sources.pop(digest, None)


def _below(path: str, roots: tuple[str, ...]) -> list[str]:
    """Those of `roots` that `path` lies below."""
    return [root for root in roots if path.startswith(root)]


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield os.pread(descriptor, _PIECE, offset)
