"""What stored pages say of a file, for a person who asks: all pages that may list it, and what they promise.

Called by `forecasts`. Unlike `catalog`, which the services ask, it never asks upstream and remembers nothing.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from proxy.cache.documents import Document
from proxy.errors import BlobDamaged, StoreError, UpstreamError
from proxy.model import Entry, Outcome, Site, Target
from proxy.ports import Store
from proxy.python import addresses, attachments
from proxy.python.layouts import same_place
from proxy.python.page import File, trust
from proxy.python.parsed_page import ParsedPage
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.store_keys import PageAddress, located, newest_copies, page_keys


@dataclass(frozen=True, slots=True)
class StoredListing:
    """What was found. `pages`: those that may list the file, the newest first, and whether they do.

    `file`: as the newest page has it that gives a digest. `quarantined`: none lists it, and one says so of its project
    (PEP 792). `hosts`: on which pages have files of this name.
    """

    pages: tuple[tuple[PageAddress, Entry, bool], ...] = ()
    file: File | None = None
    quarantined: bool = False
    hosts: frozenset[str] = frozenset()


class StoredListings:
    """Reads pages out of the store. `close` ends its threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._work = PageWork()

    async def close(self) -> None:
        """End the threads."""
        await self._work.close()

    async def of(self, target: Target, site: Site) -> StoredListing:
        """What stored pages say of the file at `target`. A page that cannot be read says nothing."""
        pages: list[tuple[PageAddress, Entry, bool]] = []
        best: File | None = None
        quarantined: set[str] = set()  # folders, as in `Catalog.stored`
        hosts: set[str] = set()
        parsed = ParsedPages(self._work)
        for address, entry in self._pages_of(site, target):
            with contextlib.suppress(StoreError, UpstreamError):
                page = await parsed.get(Document(entry, None, Outcome.HIT, 0.0, fetched=False, load=self._read))
                if page.summary.quarantined:
                    quarantined.add(address.folder)
                said = _on(page, target, site) if address.folder not in quarantined else _OnPage()
                hosts |= said.hosts
                pages.append((address, entry, said.file is not None))
                if said.file is not None and (best is None or (said.file.digests and not best.digests)):
                    best = said.file
        return StoredListing(tuple(pages), best, best is None and bool(quarantined), frozenset(hosts))

    def _pages_of(self, site: Site, target: Target) -> list[tuple[PageAddress, Entry]]:
        """The stored pages that may list a file; see `newest_copies`."""
        project = addresses.project_of(target)
        found = []
        for front in (project, "") if project else ("",):
            for key in self._store.keys(page_keys(site.mount, front)):
                entry = self._store.find(key)
                if entry is not None and site.owns(entry.url):
                    found.append(entry)
        return [(PageAddress.of_key(entry.key, site), entry) for entry in newest_copies(found)]

    async def _read(self, entry: Entry) -> bytes:
        blob = self._store.blob(entry.digest)
        if blob is None:
            raise BlobDamaged("The stored copy is gone.")
        with self._store.lease(blob) as descriptor:
            return await self._work.run(blob.size, partial(os.pread, descriptor, blob.size, 0))


class _OnPage(NamedTuple):
    """What one page says: the file, and the hosts of all files of its name."""

    file: File | None = None
    hosts: frozenset[str] = frozenset()


def _on(page: ParsedPage, target: Target, site: Site) -> _OnPage:
    """What a page says of the file at `target`, which it lists, or promises beside a distribution that it lists."""
    said, owner = _linked(page, target, site), attachments.owner_of(target)
    if said.file is not None or owner is None:
        return said
    distribution = _linked(page, owner.target, site)
    file = attachments.promised(distribution.file, owner.ending) if distribution.file is not None else None
    return _OnPage(file, said.hosts | distribution.hosts)


def _linked(page: ParsedPage, target: Target, site: Site) -> _OnPage:
    """What a page that links to a file says of it; of several links to it, that with the most trusted digest."""
    places = [(file, located(file, site)) for file in page.by_name.get(addresses.name_of(target), ())]
    found = [file for file, at in places if at is not None and (at == target or same_place(at, target, site))]
    hosts = frozenset(at.host for _, at in places if at is not None and at.host is not None)
    return _OnPage(min(found, key=lambda file: trust(file.best_digest), default=None), hosts)
