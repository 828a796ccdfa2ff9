"""What is stored of pages and files, for who looks ahead of clients. Never asks upstream."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.address_text import authority
from proxy.cache.downloads import Downloads
from proxy.errors import PullthroughError
from proxy.model import Group, Site, Target
from proxy.ports import Store
from proxy.python import addresses, filenames
from proxy.python.catalog import Catalog
from proxy.python.file_list import file_of, links_of
from proxy.python.metadata import Metadata
from proxy.python.page_cache import PageCache
from proxy.python.parsed_pages import ParsedPages
from proxy.python.plain_links import Link
from proxy.python.routes import members_for
from proxy.python.store_keys import PageAddress, file_key, file_keys, located


@dataclass(frozen=True, slots=True)
class Prospect:
    """A file that a client may ask for: its size in bytes, as its page says, and whether it could be fetched now."""

    size: int | None
    free: bool  # it is not here, nor on its way, and its host is likely to allow one more download
    here: bool = False


class Outlook:
    """Reads stored pages. It has no state of its own. `sites` and `groups` are by mount."""

    def __init__(  # noqa: PLR0913, PLR0917 where pages and files are known
        self,
        sites: Mapping[str, Site],
        groups: Mapping[str, Group],
        store: Store,
        pages: PageCache,
        parsed: ParsedPages,
        catalog: Catalog,
        metadata: Metadata,
        downloads: Downloads,
    ) -> None:
        self._sites = sites
        self._groups = groups
        self._store = store
        self._pages = pages
        self._parsed = parsed
        self._catalog = catalog
        self._metadata = metadata
        self._downloads = downloads
        self._hosts = {mount: authority(site.base) for mount, site in sites.items()}

    def project(self, page: Target) -> str | None:
        """The project whose page is at `page`; None for a page of another kind."""
        site = self._sites.get(page.mount)
        project = addresses.project_of_folder(page)
        named = page.host is None and f"/{page.path}".endswith(f"/{project}/") and filenames.is_project(project)
        return project if named and not (site is not None and site.flat) else None

    def beside(self, page: Target, project: str) -> Target:
        """Where a client looks for another project that looked for one at `page`."""
        return Target(page.mount, None, f"{addresses.parent_of(page)}{project}/")

    def first(self, page: Target) -> Target:
        """The page itself; of a group, that of the first member that may have the project."""
        group = self._groups.get(page.mount)
        if group is None:
            return page
        project = addresses.project_of_folder(page)
        member = members_for(group, project)[0]
        return Target(member.mount, None, f"{member.index}{project}/")

    def host(self, mount: str) -> str:
        """The host of an index: what it allows and refuses, it does so for all mounts that stand for it."""
        return self._hosts[mount]

    def page_size(self, page: Target) -> int:
        """Bytes of the stored page; 0 if there is none."""
        document = self._pages.stored(self._address(page))
        return document.entry.size if document is not None else 0

    async def links(self, page: Target) -> Sequence[Link]:
        """The links of a stored page; none if they must not be served.

        None, too, of a page that was not read lately if files of its project are here: a client is likely to want
        those, and to read the page would take longer than to ask for them.
        """
        address = self._address(page)
        document = self._pages.stored(address)
        parsed = self._parsed.remembered(document) if document is not None else None
        if document is not None and parsed is None and not self._store.keys(file_keys(page.mount, address.project)):
            with contextlib.suppress(PullthroughError):
                parsed = await self._parsed.get(document)
        return () if parsed is None or parsed.page.quarantined else links_of(parsed.page.files)

    def place(self, link: Link, page: Target) -> Target | None:
        """The address on the cache of a file that a page lists."""
        return located(file_of(link), self._sites[page.mount])

    def is_cheap(self, link: Link) -> bool:
        """Whether its metadata takes no more than a small request, be there nobody who waits for it."""
        return bool(link.core_metadata) or link.small or self._metadata.is_cheap(link.url)

    async def prospect(self, target: Target) -> Prospect:
        """What is known of the file at `target`. Raises NotFound if its project is quarantined."""
        site = self._sites[target.mount]
        entry = self._store.find(file_key(target))
        if entry is not None and self._store.blob(entry.digest) is not None:
            return Prospect(entry.size, free=False, here=True)
        listing = await self._catalog.stored(target, site)
        if listing.file is None:
            return Prospect(None, free=False)
        wanted = self._catalog.wanted(target, site, listing)
        here = await self._downloads.stored(wanted) is not None
        free = not here and self._downloads.running(wanted) is None and self._downloads.room(wanted.url) > 0
        return Prospect(listing.file.size, free, here)

    @property
    def idle(self) -> bool:
        """Whether no client waits for a download."""
        return all(flight.ahead or flight.over for flight in self._downloads.under_way())

    def _address(self, page: Target) -> PageAddress:
        return PageAddress(self._sites[page.mount], addresses.project_of_folder(page), page.path)
