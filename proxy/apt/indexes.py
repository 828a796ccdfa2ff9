"""Indexes of suites: each is kept under its suite, its path and the digest that a snapshot lists for it.

`snapshots` brings them before a new snapshot is adopted, the service opens them for clients. So an index is served
only with the size and digest of the snapshot that the client was given. Never decides which snapshot that is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from proxy.apt import packages
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.release import Listed
from proxy.apt.suites import Snapshot
from proxy.cache import freshness
from proxy.cache.downloads import Downloads
from proxy.cache.file_opener import Body
from proxy.cache.flight import Flight, Wanted
from proxy.cache.passthrough import Passthrough
from proxy.errors import NotFound, StoreError, WrongBytes
from proxy.model import Site
from proxy.ports import Store

# Seconds that a client waits for an index to be whole and checked: until then an error can be told as one. apt itself
# gives up after 30 s without a byte.
_PATIENCE = 10.0
_SHORT = 1 << 20  # bytes; what is longer, and is not read here, leaves as it comes
_BY_HASH = {"sha256": "SHA256", "sha512": "SHA512", "sha1": "SHA1", "md5": "MD5Sum"}


class Indexes:
    """Opens indexes."""

    def __init__(self, downloads: Downloads, store: Store) -> None:
        self._downloads = downloads
        self._store = store

    def wanted(self, suite: ArchiveAddress, path: str, listed: Listed, site: Site, url: str | None = None) -> Wanted:
        """The wish for an index; `url` is where, if not at its plain name."""
        url = url or suite.at(suite.path + path).url
        return Wanted(_key(suite, path, listed), url, site, listed.digest, listed.size, signed=True)

    async def open(
        self, suite: ArchiveAddress, snapshot: Snapshot, path: str, site: Site, first: str | None = None
    ) -> tuple[Body, bool]:
        """The index at `path` of `snapshot`, and whether this asker began it. Whole, if that does not take long.

        Contents, icons and installer images are long, and nothing is asked for that they say: they come as they come.

        `first` is an address where it may be, to be tried before the others. Raises WrongBytes where upstream has
        another version, NotFound, or another UpstreamError.
        """
        listed = snapshot.release.files[path]
        *others, last = dict.fromkeys([*([first] if first else []), *_places(suite, snapshot, path, listed)])
        for url in others:
            with contextlib.suppress(NotFound, WrongBytes):
                return await self._open(self.wanted(suite, path, listed, site, url), path)
        return await self._open(self.wanted(suite, path, listed, site, last), path)

    async def fetch(self, suite: ArchiveAddress, snapshot: Snapshot, path: str, site: Site) -> None:
        """Have the index at `path` of `snapshot`. Raises as `open` does."""
        body, _ = await self.open(suite, snapshot, path, site)
        if isinstance(body, Passthrough):  # the disk cannot take it, but upstream has one of the right size
            await body.close()
        elif isinstance(body, Flight):
            with contextlib.suppress(StoreError):
                await body.ended()

    def last_modified(self, suite: ArchiveAddress, path: str, listed: Listed) -> str | None:
        """What upstream said of a kept index."""
        entry = self._store.find(_key(suite, path, listed))
        return entry.validator.last_modified if entry is not None else None

    def dated(
        self, suite: ArchiveAddress, path: str, listed: Listed, snapshots: Iterable[Snapshot], now: float
    ) -> bool:
        """Whether its Last-Modified stands for this version of the index only: old enough, and no other's."""
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
        """Paths of the indexes of `snapshot` that are here."""
        return [path for path, digest in self._keys(suite) if _value(snapshot, path) == digest]

    async def prune(self, suite: ArchiveAddress, snapshots: Iterable[Snapshot]) -> None:
        """Drop the indexes that none of the snapshots lists."""
        known = tuple(snapshots)
        for path, digest in self._keys(suite):
            if all(_value(snapshot, path) != digest for snapshot in known):
                await self._store.forget(f"{_keys(suite)}{digest}:{path}")

    async def _open(self, wanted: Wanted, path: str) -> tuple[Body, bool]:
        body, began = await self._downloads.open(wanted)
        if isinstance(body, Flight) and (packages.readable(path) or (wanted.size or 0) <= _SHORT):
            with contextlib.suppress(TimeoutError, StoreError):
                async with asyncio.timeout(_PATIENCE):
                    await body.ended()
        return body, began

    def _keys(self, suite: ArchiveAddress) -> Iterator[tuple[str, str]]:
        """Path and digest of the suite's indexes in the store."""
        front = _keys(suite)
        for key in self._store.keys(front):
            digest, _, path = key.removeprefix(front).partition(":")
            yield path, digest


def _places(suite: ArchiveAddress, snapshot: Snapshot, path: str, listed: Listed) -> Iterator[str]:
    """Where upstream may have it: under its digest, which cannot be another version, then under its name."""
    folder, _, _ = path.rpartition("/")
    if snapshot.release.by_hash and listed.digest.algorithm in _BY_HASH:
        name = f"by-hash/{_BY_HASH[listed.digest.algorithm]}/{listed.digest.value}"
        yield suite.at(suite.path + (f"{folder}/{name}" if folder else name)).url
    yield suite.at(suite.path + path).url


def _keys(suite: ArchiveAddress) -> str:
    return f"apt:index:{suite.key}:"


def _key(suite: ArchiveAddress, path: str, listed: Listed) -> str:
    return f"{_keys(suite)}{listed.digest.value}:{path}"


def _value(snapshot: Snapshot, path: str) -> str | None:
    listed = snapshot.release.files.get(path)
    return listed.digest.value if listed else None
