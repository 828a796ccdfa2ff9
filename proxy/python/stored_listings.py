"""What stored pages say of a file, for a person who asks: all pages that may list it, and what they promise.

Called by `forecasts`. Unlike `catalog`, which the services ask, it never asks upstream and remembers nothing.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import partial

from proxy.cache.documents import Document
from proxy.errors import BlobDamaged, StoreError, UpstreamError
from proxy.model import Entry, Outcome, Site, Target
from proxy.ports import Store
from proxy.python import addresses
from proxy.python.page import File, trust
from proxy.python.parsed_page import ParsedPage
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.store_keys import PageAddress, located, page_keys


@dataclass(frozen=True, slots=True)
class StoredListing:
    """What was found. `pages`: those that may list the file, the newest first, and whether they do.

    `file`: as the newest page has it that gives a digest. `quarantined`: a page says that of its project (PEP 792).
    """

    pages: tuple[tuple[PageAddress, Entry, bool], ...] = ()
    file: File | None = None
    quarantined: bool = False


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
        quarantined = False
        parsed = ParsedPages(self._work)
        for address, entry in self._pages_of(site, target):
            with contextlib.suppress(StoreError, UpstreamError):
                page = await parsed.get(Document(entry, None, Outcome.HIT, 0.0, fetched=False, load=self._read))
                quarantined |= page.summary.quarantined
                file = _on(page, target, site)
                pages.append((address, entry, file is not None))
                if file is not None and (best is None or (file.digests and not best.digests)):
                    best = file
        return StoredListing(tuple(pages), best, quarantined)

    def _pages_of(self, site: Site, target: Target) -> list[tuple[PageAddress, Entry]]:
        """The stored pages that may list a file, the newest first."""
        project = addresses.project_of(target)
        found = []
        for front in (project, "") if project else ("",):
            for key in self._store.keys(page_keys(site.mount, front)):
                entry = self._store.find(key)
                if entry is not None and site.owns(entry.url):
                    found.append((PageAddress.of_key(key, site), entry))
        return sorted(found, key=lambda one: -one[1].checked)

    async def _read(self, entry: Entry) -> bytes:
        blob = self._store.blob(entry.digest)
        if blob is None:
            raise BlobDamaged("The stored copy is gone.")
        with self._store.lease(blob) as descriptor:
            return await self._work.run(blob.size, partial(os.pread, descriptor, blob.size, 0))


def _on(page: ParsedPage, target: Target, site: Site) -> File | None:
    """The file at `target` as a page lists it; of several links to it, that with the most trusted digest."""
    found = [file for file in page.by_name.get(addresses.name_of(target), ()) if located(file, site) == target]
    return min(found, key=lambda file: trust(file.best_digest), default=None)
