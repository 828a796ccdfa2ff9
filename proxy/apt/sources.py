"""Kept indexes as sources of digests: which archive's files each may name, and how it is found in the store.

`catalog` has a table of each, `vouching` judges which are believed. Never reads an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from proxy.apt import packages, paths
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.release import Listed
from proxy.model import Digest
from proxy.ports import Store

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


@dataclass(frozen=True, slots=True)
class Match:
    """What an index says of a file. `near`: the file lies where the index's files do."""

    source: Source
    listed: Listed
    near: bool


def host_of(address: ArchiveAddress) -> ArchiveAddress:
    """What all archives of a host have in common."""
    return ArchiveAddress(address.scheme, address.host, "")


def key_of(suite: ArchiveAddress, path: str, digest: Digest) -> str:
    """The store's key of an index that is listed by this digest, as `indexes` has it."""
    return f"apt:index:{suite.key}:{digest.value}:{path}"


def came(store: Store, key: str, now: float) -> float:
    """When a kept index came; `now` for one that is on its way. In seconds since the epoch."""
    entry = store.find(key)
    return now if entry is None else entry.stored


def left(store: Store, host: ArchiveAddress) -> Iterator[Source]:
    """The indexes of a host that are in the store."""
    front = f"apt:index:{host.key}"
    for key in store.keys(front):
        match = _KEY.fullmatch(key.removeprefix(front))
        if match is not None:
            suite = ArchiveAddress(host.scheme, host.host, match[1])
            yield Source(key, suite, match[3], match[2], came(store, key, 0.0))
    front = f"apt:document:{host.key}"
    for key in store.keys(front):
        entry = store.find(key)
        if entry is not None and packages.readable(key):
            yield Source(key, None, key.removeprefix(front), entry.digest.value, entry.stored)
