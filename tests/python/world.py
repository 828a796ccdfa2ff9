"""The parts of the room, connected as the service does it, over a store and an upstream in memory."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from msgspec import structs

from proxy.cache.downloads import Downloads
from proxy.cache.flight import Flight, follow
from proxy.cache.freshness import Patience
from proxy.cache.lanes import Lanes
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.cache.revalidation import Revalidator
from proxy.events import Event, Flying
from proxy.model import Blob, Digest, Entry, Query, Site, Target, Validator
from proxy.python import urls
from proxy.python.catalog import Catalog
from proxy.python.files import Files
from proxy.python.metadata import Metadata
from proxy.python.metadata_offers import MetadataOffers
from proxy.python.outlines import Outlines
from proxy.python.page_cache import PageCache
from proxy.python.pages import Pages
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.project_list import ProjectLists
from proxy.python.rendered_pages import RenderedPages
from proxy.python.sidecars import Sidecars
from proxy.python.store_keys import file_key
from proxy.python.supplements import Supplements
from tests.bodies import pieces
from tests.cache.conftest import documents_of
from tests.flows.asking import SteppedClock
from tests.memory_store import MemoryStore, stored
from tests.memory_upstream import MemoryUpstream, Scripted
from tests.pages import JSON, Link, as_json
from tests.wheels import Package

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
PAGE = Target("pypi", None, "simple/demo/")
HTML = {"content-type": "text/html"}


class World:
    """Pages, files, and what is between them. `limit` in bytes bounds the store."""

    def __init__(self, *sites: Site, limit: int = 1 << 30) -> None:
        self.sites = {site.mount: site for site in sites or (SITE,)}
        self.store = MemoryStore(limit)
        self.upstream = MemoryUpstream()
        self.clock = SteppedClock()
        self.events: list[Event] = [Flying(0)]
        self.documents = documents_of(self.store, self.upstream, self.clock)
        self.downloads = Downloads(self.store, self.upstream, self.clock, self.events.append, Lanes(1, 1 << 20))
        self.revalidator = Revalidator(self.store, self.upstream, self.clock, Patience(self.upstream, self.clock))
        self.page_work = PageWork()
        self.parsed = ParsedPages(self.page_work)
        self.offers = MetadataOffers(self.store, self.clock)
        stored_files = self.downloads.stored_files
        self.sidecars = Sidecars(self.store, self.page_work, self.clock)
        self.outlines = Outlines(self.parsed, self.sidecars)
        self.supplements = Supplements(
            self.store, self.documents, self.parsed, self.outlines, stored_files, self.offers, self.clock
        )
        self.page_cache = PageCache(self.store, self.documents, self.parsed, self.outlines, self.supplements)
        self.rendered = RenderedPages(self.parsed, self.sidecars, self.page_work)
        self.pages = Pages(self.sites, self.page_cache, self.supplements, self.rendered, self.offers)
        self.catalog = Catalog(self.sites, self.store, self.page_cache, self.outlines)
        self.metadata = Metadata(self.store, self.downloads, self.offers, self.clock)
        self.lists = ProjectLists(self.sites, self.downloads)
        self.files = Files(self.store, self.downloads, self.revalidator, self.catalog, self.metadata, self.clock)

    async def close(self) -> None:
        """Break off what is under way."""
        await self.metadata.close()
        await self.rendered.close()
        await self.sidecars.close()
        await self.page_work.close()
        await self.revalidator.close()
        await self.downloads.close()
        await self.documents.close()

    @property
    def site(self) -> Site:
        """The first site."""
        return next(iter(self.sites.values()))

    def publish(self, *links: Link, target: Target = PAGE, etag: str | None = None) -> None:
        """Let upstream's page at `target` have these links."""
        headers = {"content-type": JSON} if etag is None else {"content-type": JSON, "etag": etag}
        self.upstream.on(self.url(target), Scripted(as_json("demo", links), headers=headers))

    def url(self, target: Target) -> str:
        """Upstream's address of a target."""
        return urls.upstream_url(target, self.sites[target.mount])

    async def hold(self, target: Target, body: bytes, validator: Validator | None = None) -> Entry:
        """Have a file kept."""
        blob = await stored(self.store, body)
        now, kind = self.clock.now(), "application/octet-stream"
        entry = Entry(
            file_key(target), self.url(target), blob.digest, blob.size, kind, validator or Validator(), now, now
        )
        await self.store.save(entry)
        return entry

    async def page(self, target: Target = PAGE, project: str = "demo", **fields: Any) -> Representation:
        """A page as a client gets it."""
        query = Query(target, **{"accept": JSON} | fields)
        return await self.pages.page(query, self.sites[target.mount], target, project)

    async def listed(self, target: Target = PAGE, project: str = "demo") -> dict[str, dict[str, Any]]:
        """By file name, what a page says in JSON. Of several files of one name the last."""
        body = (await self.page(target, project)).body
        assert isinstance(body, bytes)
        return {file["filename"]: file for file in json.loads(body)["files"]}

    async def file(self, target: Target, **fields: Any) -> Representation:
        """A file as a client gets it."""
        return await self.files.file(Query(target, **fields), self.sites[target.mount])

    async def read(self, shown: Representation) -> bytes:
        """All of an answer's body, and wait until it is stored."""
        body = shown.body
        if isinstance(body, bytes):
            return body
        if isinstance(body, Blob):
            with self.store.lease(body) as descriptor:
                return os.pread(descriptor, body.size, 0)
        if isinstance(body, Passthrough):
            parts = [piece async for piece in body.chunks()]
            await body.close()
            return b"".join(parts)
        assert isinstance(body, Flight)
        parts = [piece async for piece in follow(body, 0)]
        await self.idle()
        return b"".join(parts)

    async def idle(self) -> None:
        """Wait for the end of all downloads."""
        while self.events[-1] != Flying(0):
            await asyncio.sleep(0)


def content(package: Package) -> bytes:
    """All bytes of a small package."""
    return b"".join(pieces(package.body))


def digest(package: Package) -> Digest:
    """The sha256 of a package."""
    return Digest("sha256", package.sha256)


def volatile(*paths: str) -> Site:
    """The site, some of whose files may be replaced under their names."""
    return structs.replace(SITE, volatile=paths)
