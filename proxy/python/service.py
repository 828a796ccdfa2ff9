"""Python indexes: what is answered at each address below a mount.

The only module of this room that others call for answers. `routes` says what an address is; `pages`, `files` and
`project_list` answer. Speaks no HTTP: gets a query, gives a representation.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from proxy.cache.documents import Documents
from proxy.cache.downloads import Downloads
from proxy.cache.representation import Representation
from proxy.cache.revalidation import Revalidator
from proxy.errors import NotFound, NotHere, Offline, ParentOffline
from proxy.model import GROUP_INDEX, Group, Query, Site, Target
from proxy.ports import Clock, Store
from proxy.python import addresses
from proxy.python.catalog import Catalog
from proxy.python.files import Files
from proxy.python.imported_pages import ImportedPages
from proxy.python.metadata import Later, Metadata, in_time
from proxy.python.metadata_offers import MetadataOffers
from proxy.python.outlines import Outlines
from proxy.python.outlook import Outlook
from proxy.python.page_cache import PageCache
from proxy.python.pages import Pages
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.project_list import ProjectLists, ProjectStream
from proxy.python.rendered_pages import RenderedPages
from proxy.python.routes import (
    Elsewhere,
    FlatPage,
    OtherSpelling,
    PackageFile,
    ProjectList,
    ProjectPage,
    classify,
)
from proxy.python.sidecars import Sidecars
from proxy.python.supplements import Supplements

_USUAL = "pypi"  # the mount that `warm` asks where it is told no other
Answer = Representation | Elsewhere | Later | ProjectStream


class PythonIndexes:
    """Answers for all mounts and groups. `sites` is by mount."""

    def __init__(  # noqa: PLR0913, PLR0917 the ports and what it is built on
        self,
        sites: Mapping[str, Site],
        groups: Iterable[Group],
        store: Store,
        documents: Documents,
        downloads: Downloads,
        revalidator: Revalidator,
        clock: Clock,
        quarantined: Callable[[], None] = lambda: None,
    ) -> None:
        """`quarantined` is called when an index says that it quarantined a project."""
        self._sites = sites
        self._groups = {group.mount: group for group in groups}
        self.mounts = frozenset((*sites, *self._groups))
        # Mounts without credentials: everybody may read them.
        self.public = self.mounts - {
            mount for mount in self.mounts if any(sites[name].authenticated for name in self._members(mount))
        }
        self._page_work = PageWork()
        parsed = ParsedPages(self._page_work)
        self._sidecars = Sidecars(store, self._page_work, clock)
        outlines = Outlines(parsed, self._sidecars)
        offers = MetadataOffers(store, clock)
        supplements = Supplements(store, documents, parsed, outlines, downloads.stored_files, offers, clock)
        page_cache = self._page_cache = PageCache(store, documents, parsed, outlines, supplements, quarantined)
        self.imported_pages = ImportedPages(sites, page_cache, supplements)
        self._rendered = RenderedPages(parsed, self._sidecars, self._page_work)
        self._pages = Pages(sites, page_cache, supplements, self._rendered, offers)
        catalog = Catalog(sites, store, page_cache, outlines)
        self._metadata = Metadata(store, downloads, offers, clock)
        self._lists = ProjectLists(sites, downloads)
        self._files = Files(store, downloads, revalidator, catalog, self._metadata, clock)
        self.outlook = Outlook(sites, self._groups, store, page_cache, parsed, catalog, self._metadata, downloads)

    def _members(self, mount: str) -> Iterable[str]:
        """The mounts whose pages a mount shows."""
        return {member.mount for member in self._groups[mount].members} if mount in self._groups else {mount}

    async def answer(self, query: Query[Target]) -> Answer:
        """Answer a query. Raises NotFound, NotAllowed, or another UpstreamError."""
        try:
            return await self._answer(query)
        except Offline as error:
            which = "this cache's parent" if isinstance(error, ParentOffline) else "this cache"
            raise NotHere(self._not_here(query.target, which)) from error

    def _not_here(self, target: Target, which: str) -> str:
        """What is missing, of which index, and the command that gets it. `which`: the cache that is offline."""
        site = self._sites.get(target.mount)
        lists = target.path == (GROUP_INDEX if site is None else site.index)
        called = "The list of projects" if lists else addresses.called(target)
        text = f"{called} of the index {target.mount} is not here, and {which} is offline."
        if lists or (site is not None and site.flat):
            return text
        command = ["pullthrough", "warm", called.removesuffix(".metadata")]
        index, page = target.mount, not addresses.name_of(target)
        if page and site is not None and addresses.parent_of(target) != site.index:
            index += f"/{addresses.parent_of(target).strip('/')}"
        command += [] if index == _USUAL else ["--index", index]
        return f"{text} Get it while it is online, with: {shlex.join(command)}"

    async def _answer(self, query: Query[Target]) -> Answer:
        target = query.target
        group = self._groups.get(target.mount)
        if group is not None:
            return await self._grouped(query, group)
        site = self._sites[target.mount]
        route = classify(target, site)
        match route:
            case Elsewhere():
                return route
            case ProjectPage() | FlatPage() | OtherSpelling():
                return await self._page(query, site, route)
            case ProjectList():
                return await self._lists.of_index(query, site)
            case PackageFile():
                if route.name.endswith(".whl.metadata"):
                    metadata = self._files.metadata(target, site, route.name, ahead=query.ahead)
                    return await in_time(metadata, route.name, query.waited, query.user_agent)
                return await self._files.file(query, site)
            case _:
                assert_never(route)

    async def _page(
        self, query: Query[Target], site: Site, route: ProjectPage | FlatPage | OtherSpelling
    ) -> Representation | Elsewhere:
        if isinstance(route, OtherSpelling):
            return await self._pages.other_spelling(query, site, query.target, route)
        project = route.project if isinstance(route, ProjectPage) else ""
        return await self._pages.page(query, site, query.target, project)

    async def _grouped(self, query: Query[Target], group: Group) -> Answer:
        """A group has only pages and a list of its projects. Links lead to the mounts of its members."""
        route = classify(query.target, Site(group.mount, "", GROUP_INDEX, 0.0))
        match route:
            case Elsewhere():
                return route
            case OtherSpelling(_, str(location)):
                return Elsewhere(location)
            case ProjectPage():
                return await self._pages.grouped(query, group, route.project)
            case ProjectList():
                return await self._lists.of_group(query, group)
            case FlatPage() | OtherSpelling() | PackageFile():
                raise NotFound("A group of indexes has pages of projects only, at /<mount>/simple/<project>/.")
            case _:
                assert_never(route)

    def imported(self) -> None:
        """An import may have put pages into the store: look at them."""
        self._page_cache.imported()

    async def close(self) -> None:
        """Break off the work under way."""
        await self._metadata.close()
        await self._rendered.close()
        await self._sidecars.close()
        await self._page_work.close()
