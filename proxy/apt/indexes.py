"""Indexes in the store, each under its suite, its path and the digest by which a Release file lists it.

The service opens indexes for clients, and `snapshots` fetches those of a new snapshot before it is adopted. So an index
is served only with the size and digest of the snapshot that the client was given. `catalog` finds here which stored
indexes may list a file. Never decides which snapshot a client gets, and never reads an index.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from proxy.apt import packages, paths
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.release import Listed
from proxy.apt.suites import Snapshot
from proxy.cache import freshness
from proxy.cache.downloads import Body, Downloads
from proxy.cache.flight import Flight, WantedFile
from proxy.cache.passthrough import Passthrough
from proxy.errors import NotFound, StoreError, WrongBytes
from proxy.model import Digest, Site, Source
from proxy.ports import Store

# Seconds that a client waits for an index to be whole and checked, since until then an error can still be answered.
# apt itself stops after 30 s without a byte.
_PATIENCE = 10.0
_SHORT = 1 << 20  # bytes; a longer index that is not read here is sent as it arrives
_KEY = re.compile(r"(.*?):([0-9a-f]{32,128}):(.*)", re.DOTALL)  # behind the host: suite, digest, path


class Indexes:
    """Opens the indexes that Release files list. It has no state of its own."""

    def __init__(self, downloads: Downloads, store: Store) -> None:
        self._downloads = downloads
        self._store = store

    async def open(
        self, suite: ArchiveAddress, snapshot: Snapshot, path: str, site: Site, first: str | None = None
    ) -> tuple[Body, Source]:
        """The index at `path` of `snapshot`, and where its bytes come from. Whole, if that is soon.

        Contents, icons and installer images are long, and no request depends on what they say: they are sent as they
        arrive. `first` is an address where the index may be, to be tried before the others.

        Raises WrongBytes where upstream has another version, NotFound, or another UpstreamError.
        """
        listed = snapshot.release.files[path]
        *others, last = dict.fromkeys([*([first] if first else []), *_addresses(suite, snapshot, path, listed)])
        for url in others:
            with contextlib.suppress(NotFound, WrongBytes):
                return await self._open(suite, path, listed, site, url)
        return await self._open(suite, path, listed, site, last)

    async def fetch(self, suite: ArchiveAddress, snapshot: Snapshot, path: str, site: Site) -> None:
        """Have the index at `path` of `snapshot` in the store. Raises as `open` does."""
        body, _ = await self.open(suite, snapshot, path, site)
        if isinstance(body, Passthrough):  # the disk cannot take it, but upstream has one of the right size
            await body.close()
        elif isinstance(body, Flight):
            with contextlib.suppress(StoreError):
                await body.ended()

    def last_modified(self, suite: ArchiveAddress, path: str, listed: Listed) -> str | None:
        """The Last-Modified of a stored index."""
        entry = self._store.find(index_key(suite, path, listed.digest))
        return entry.validator.last_modified if entry is not None else None

    def dated(
        self, suite: ArchiveAddress, path: str, listed: Listed, snapshots: Iterable[Snapshot], now: float
    ) -> bool:
        """Whether its Last-Modified stands for this version of the index only: old enough, and of no other version."""
        date = self.last_modified(suite, path, listed)
        others = {
            other.digest: other
            for snapshot in snapshots
            if (other := snapshot.release.files.get(path)) is not None and other.digest != listed.digest
        }
        return freshness.is_settled(date, now) and all(
            self.last_modified(suite, path, other) != date for other in others.values()
        )

    def cached(self, suite: ArchiveAddress, snapshot: Snapshot) -> list[str]:
        """Paths of the indexes of `snapshot` that are in the store."""
        return [path for path, digest in self._stored(suite) if _digest(snapshot, path) == digest]

    async def prune(self, suite: ArchiveAddress, snapshots: Iterable[Snapshot]) -> None:
        """Drop the indexes that none of the snapshots lists."""
        known = tuple(snapshots)
        for path, digest in self._stored(suite):
            if all(_digest(snapshot, path) != digest for snapshot in known):
                await self._store.forget(f"{_keys(suite)}{digest}:{path}")

    async def _open(
        self, suite: ArchiveAddress, path: str, listed: Listed, site: Site, url: str
    ) -> tuple[Body, Source]:
        key = index_key(suite, path, listed.digest)
        body, source = await self._downloads.open(WantedFile(key, url, site, listed.digest, listed.size, signed=True))
        if isinstance(body, Flight) and (packages.readable(path) or listed.size <= _SHORT):
            with contextlib.suppress(TimeoutError, StoreError):
                async with asyncio.timeout(_PATIENCE):
                    await body.ended()
        return body, source

    def _stored(self, suite: ArchiveAddress) -> Iterator[tuple[str, str]]:
        """Path and digest of the suite's indexes in the store."""
        front = _keys(suite)
        for key in self._store.keys(front):
            digest, _, path = key.removeprefix(front).partition(":")
            yield path, digest


@dataclass(frozen=True)
class StoredIndex:
    """An index that may say what files have to be. `path` is relative to `suite`, whose Release file lists it.

    `suite` is None if no Release file does; `path` is the whole path then. `digest`: by which it is listed, or of what
    is stored. `arrived`: seconds since the epoch.
    """

    key: str  # the store's
    suite: ArchiveAddress | None
    path: str
    digest: str
    arrived: float

    @cached_property
    def _folders(self) -> tuple[str, str, str | None]:
        """The folder of its Release file, or else its own; its own; the root of its archive, None if that is flat."""
        base = self.suite.path if self.suite is not None else ""
        folder, slash, _ = (base + self.path).rpartition("/")
        own = folder + slash
        base = base if self.suite is not None else own
        return base, own, own if packages.of_patches(self.path) else paths.archive_root(base)

    def names(self, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What it may call the file at `path`. First, if its files usually lie there; second, if they seldom do."""
        base, own, root = self._folders
        if root is not None:
            return ((path[len(root) :],) if path.startswith(root) else ()), ()
        names = paths.names_in(path, base)
        if own != base:
            names = tuple(dict.fromkeys((*names, *paths.names_in(path, own))))
        return names, () if names else paths.names_beside(path, base)


def host_of(address: ArchiveAddress) -> ArchiveAddress:
    """What all archives of a host have in common."""
    return ArchiveAddress(address.scheme, address.host, "")


def index_key(suite: ArchiveAddress, path: str, digest: Digest) -> str:
    """The store's key of an index that is listed by this digest."""
    return f"{_keys(suite)}{digest.value}:{path}"


def document_key(address: ArchiveAddress) -> str:
    """The store's key of a file that changes under its name, such as an index without a Release file."""
    return f"apt:document:{address.key}"


def arrived(store: Store, key: str, now: float) -> float:
    """When a stored index arrived; `now` for one that is on its way. In seconds since the epoch."""
    entry = store.find(key)
    return now if entry is None else entry.stored


def stored_indexes(store: Store, host: ArchiveAddress) -> Iterator[StoredIndex]:
    """The indexes of a host that are in the store."""
    front = f"apt:index:{host.key}"
    for key in store.keys(front):
        match = _KEY.fullmatch(key.removeprefix(front))
        if match is not None:
            suite = ArchiveAddress(host.scheme, host.host, match[1])
            yield StoredIndex(key, suite, match[3], match[2], arrived(store, key, 0.0))
    front = document_key(host)
    for key in store.keys(front):
        entry = store.find(key)
        if entry is not None and packages.readable(key):
            yield StoredIndex(key, None, key.removeprefix(front), entry.digest.value, entry.stored)


def _addresses(suite: ArchiveAddress, snapshot: Snapshot, path: str, listed: Listed) -> Iterator[str]:
    """Where upstream may have it: under its digest, which cannot be another version, then under its name."""
    if snapshot.release.by_hash:
        folder, slash, _ = path.rpartition("/")
        yield suite.at(suite.path + paths.by_hash(folder + slash, listed.digest)).url
    yield suite.at(suite.path + path).url


def _keys(suite: ArchiveAddress) -> str:
    return f"apt:index:{suite.key}:"


def _digest(snapshot: Snapshot, path: str) -> str | None:
    listed = snapshot.release.files.get(path)
    return listed.digest.value if listed else None
