"""What the index pages say of a file: its address upstream, its digest, its size.

The pages are the authority for what may be fetched from a foreign host. Kept pages are looked at first, however old:
a digest does not age. Only a file that they do not list makes the page be asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from proxy.cache.documents import Document, Documents, Wish
from proxy.cache.flight import Place
from proxy.errors import BadTarget, BlobDamaged, NotAllowed, NotFound, UpstreamError
from proxy.model import Digest, Entry, Site, Target
from proxy.ports import Store
from proxy.python import addresses
from proxy.python.negotiation import UPSTREAM_ACCEPT
from proxy.python.page import File
from proxy.python.renderings import Renderings
from proxy.python.routes import page_key, page_keys
from proxy.python.supplements import Supplements


class Catalog:
    """Finds files on pages. Mutable state: the foreign hosts that pages of each mount linked to."""

    def __init__(  # noqa: PLR0913, PLR0917 what pages are found with
        self,
        sites: Mapping[str, Site],
        store: Store,
        documents: Documents,
        renderings: Renderings,
        supplements: Supplements,
        quarantined: Callable[[], None] = lambda: None,
    ) -> None:
        """`quarantined` is called when a page has arrived that says so: nothing remembered of files counts any more."""
        self._sites = sites
        self._store = store
        self._documents = documents
        self._renderings = renderings
        self._supplements = supplements
        self._quarantined = quarantined
        self._hosts: dict[str, set[str]] = {}

    def wish(self, site: Site, target: Target, project: str, *, revalidate: bool = False) -> Wish:
        """The wish for a project's page at `target`; for a flat page, of the project ''."""
        key = page_key(site.mount, project, target.path)
        url = addresses.upstream_url(target, site)

        quarantined = False

        async def check(entry: Entry, body: bytes) -> None:
            nonlocal quarantined
            parsed = await self._renderings.parse(entry, body)
            quarantined = parsed.page.quarantined
            await self._supplements.arrived(key, site, parsed)

        def kept() -> None:
            if quarantined:
                self._quarantined()

        return Wish(key, url, site, UPSTREAM_ACCEPT, revalidate, check, kept)

    async def kept(self, target: Target, site: Site) -> File | None:
        """What the kept pages say of the file at `target`, without asking upstream.

        Raises NotFound for a file of a project that is quarantined.
        """
        name = target.path.rpartition("/")[2]
        for document in self._pages(site, addresses.project_of(name)):
            with contextlib.suppress(BlobDamaged, UpstreamError):  # dropped, or of no use: another page may do
                file = await self._listed(document, name, target, site)
                if file is not None:
                    return file
        await self._refuse_quarantined(addresses.project_of(name), site)
        return None

    async def find(self, target: Target, site: Site) -> File | None:
        """What a page says of the file at `target`. None where no page lists it, but it lies below the mount's base.

        Raises NotFound for a file of a quarantined project, NotAllowed for one on a foreign host that no page links to,
        and what getting the page raises then.
        """
        name = target.path.rpartition("/")[2]
        project = addresses.project_of(name)
        file = await self.kept(target, site)
        for page, named in () if file is not None or project is None else _likely_pages(target, site, project):
            try:
                document = await self._documents.get(self.wish(site, page, named))
                file = await self._listed(document, name, target, site)
            except NotFound:
                continue
            except UpstreamError:
                if target.host is not None and not self._known(target, site):
                    raise
                return None
            if file is not None:
                break
        if file is None:
            await self._refuse_quarantined(project, site)
            self._check_host(target, site)
        return file

    async def elsewhere(self, file: File, site: Site) -> tuple[Place, ...]:
        """Where else the bytes of a file are: on hosts with the same paths, and where pages of other mounts say so."""
        digest = file.best_digest
        if digest is None:
            return ()
        bases = (site.base, *site.siblings)
        here = next((base for base in bases if file.url.startswith(base)), None)
        path = file.url.removeprefix(here) if here is not None else ""
        places = [Place(base + path, site) for base in bases if here not in (None, base)]
        for other in self._sites.values():
            if other.mount != site.mount:
                places += await self._same(file, digest, other)
        return tuple(places)

    async def _same(self, file: File, digest: Digest, site: Site) -> list[Place]:
        """Places on kept pages of a mount that have a file of this name and digest."""
        found: list[Place] = []
        for document in self._pages(site, addresses.project_of(file.filename)):
            try:
                parsed = await self._renderings.parsed(document)
            except (BlobDamaged, UpstreamError):
                continue
            found += [Place(same.url, site) for same in parsed.by_name.get(file.filename, ()) if digest in same.digests]
        return found

    def _pages(self, site: Site, project: str | None) -> Iterator[Document]:
        """The kept pages that may list files of a project, the flat ones too."""
        for front in (project, "") if project else ("",):
            for key in self._store.keys(page_keys(site.mount, front)):
                document = self._documents.peek(key, site)
                if document is not None:
                    yield document

    async def _listed(self, document: Document, name: str, target: Target, site: Site) -> File | None:
        parsed = await self._renderings.parsed(document)
        for file in () if parsed.page.quarantined else parsed.by_name.get(name, ()):
            try:
                found = addresses.locate(file.url, site)
            except BadTarget:
                continue
            if found.host is not None:
                self._hosts.setdefault(site.mount, set()).add(found.host)
            if found == target:
                return file
        return None

    async def _refuse_quarantined(self, project: str | None, site: Site) -> None:
        """Raise NotFound if a kept page says that the project is quarantined (PEP 792): nothing of it is given."""
        for document in self._pages(site, project) if project else ():
            with contextlib.suppress(BlobDamaged, UpstreamError):
                if (await self._renderings.parsed(document)).page.quarantined:
                    raise NotFound("The index has quarantined this project: its files may be dangerous.")

    def _known(self, target: Target, site: Site) -> bool:
        return target.host in self._hosts.get(site.mount, ()) or target.host in site.hosts

    def _check_host(self, target: Target, site: Site) -> None:
        if target.host is not None and not self._known(target, site):
            raise NotAllowed(
                "No page of this index links to a file of this name on this host. Ask for the project's page first, or "
                "name the host under hosts of the [[upstream]]."
            )


def _likely_pages(target: Target, site: Site, project: str) -> list[tuple[Target, str]]:
    """The pages that may list a file, the likeliest first, and the project that each is of ('' for a flat one).

    NVIDIA's files lie beside their page, those of PyTorch's channels beside the folder of the page.
    """
    folder = target.path[: target.path.rfind("/") + 1]
    if site.flat:
        return [(Target(site.mount, None, folder), "")] if target.host is None else []
    beside = folder if f"/{folder}".endswith(f"/{project}/") else f"{folder}{project}/"
    paths = dict.fromkeys((beside, f"{site.index}{project}/"))
    return [(Target(site.mount, None, path), project) for path in paths if path.startswith(site.index)]
