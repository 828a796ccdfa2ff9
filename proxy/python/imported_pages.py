"""Index pages that an import puts in place of others: what is learnt from upstream's pages is learnt from these.

Called by an import, before an entry is saved over one with another body. Never asks upstream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Self

from proxy.cache.documents import Documents
from proxy.cache.stored_files import StoredFiles
from proxy.errors import BlobDamaged, UpstreamError
from proxy.model import Entry, Site
from proxy.ports import Clock, Store
from proxy.python.metadata_offers import MetadataOffers
from proxy.python.outlines import Outlines
from proxy.python.page_cache import PageCache
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.sidecars import Sidecars
from proxy.python.store_keys import PageAddress
from proxy.python.supplements import Supplements

_COLONS = 3  # in a key: kind, mount, project, path


class ImportedPages:
    """Learns. It has no state of its own."""

    def __init__(self, sites: Mapping[str, Site], page_cache: PageCache, supplements: Supplements) -> None:
        """`sites`: by mount."""
        self._sites = sites
        self._page_cache = page_cache
        self._supplements = supplements

    @classmethod
    @asynccontextmanager
    async def of_store(
        cls, sites: Mapping[str, Site], store: Store, documents: Documents, clock: Clock
    ) -> AsyncGenerator[Self]:
        """Those of a store from which no cache serves."""
        work, stored_files = PageWork(), StoredFiles(store, clock)
        parsed, sidecars = ParsedPages(work), Sidecars(store, work, clock)
        outlines, offers = Outlines(parsed, sidecars), MetadataOffers(store, clock)
        supplements = Supplements(store, documents, parsed, outlines, stored_files, offers, clock)
        try:
            yield cls(sites, PageCache(store, documents, parsed, outlines, supplements), supplements)
        finally:
            await sidecars.close()
            await stored_files.close()
            await work.close()

    async def learn(self, entry: Entry, /, *, older: bool = False) -> bool:
        """Learn from a page, or from what one dropped, whose body is stored. Gives whether the entry is to be saved.

        A page is not that is none, or that is another index's, or that is `older` than the one that is here: what it
        lists besides is recorded as dropped. What a page dropped elsewhere is recorded beside what it dropped here. Of
        an index that the settings do not name nothing is known.
        """
        kind, _, rest = entry.key.partition(":")
        site = self._sites.get(rest.partition(":")[0])
        if site is None or entry.key.count(":") < _COLONS:
            return not older
        address = PageAddress.of_key(entry.key, site)
        try:
            if older:
                await self._supplements.recall(address, entry)
                return False
            if kind == "page":
                await self._page_cache.learn(address, entry)
                return True
            if not site.keep_removed:
                return True
            await self._supplements.join(address, entry)
        except (UpstreamError, BlobDamaged):
            pass
        return False
