"""What the index pages say of a file: its address upstream, its digest, its size.

The pages are the authority for what may be fetched from a foreign host. Kept pages are looked at first, however old:
a digest does not age. Only a file that they do not list makes the page be asked for.
"""

from __future__ import annotations

from proxy.cache.documents import Document, Documents, Wish
from proxy.errors import BadTarget, NotAllowed, NotFound, UpstreamError
from proxy.model import Site, Target
from proxy.ports import Store
from proxy.python import addresses
from proxy.python.negotiation import UPSTREAM_ACCEPT
from proxy.python.page import File
from proxy.python.renderings import Renderings
from proxy.python.routes import page_key, page_keys


class Catalog:
    """Finds files on pages. Mutable state: the foreign hosts that pages of each mount linked to."""

    def __init__(self, store: Store, documents: Documents, renderings: Renderings) -> None:
        self._store = store
        self._documents = documents
        self._renderings = renderings
        self._hosts: dict[str, set[str]] = {}

    def wish(self, site: Site, target: Target, project: str, *, revalidate: bool = False) -> Wish:
        """The wish for a project's page at `target`."""
        key = page_key(site.mount, project, target.path)
        url = addresses.upstream_url(target, site)
        return Wish(key, url, site, UPSTREAM_ACCEPT, revalidate, self._renderings.check)

    async def find(self, target: Target, site: Site) -> File | None:
        """What a page says of the file at `target`. None where no page lists it, but it lies below the mount's base.

        Raises NotAllowed for a file on a foreign host that no page links to, and what getting the page raises then.
        """
        name = target.path.rpartition("/")[2]
        project = addresses.project_of(name)
        if project is None:
            self._check_host(target, site)
            return None
        for key in self._store.keys(page_keys(site.mount, project)):
            document = self._documents.peek(key, site)
            if document is not None and (file := await self._listed(document, name, target, site)) is not None:
                return file
        page = Target(site.mount, None, f"{site.index}{project}/")
        try:
            document = await self._documents.get(self.wish(site, page, project))
            file = await self._listed(document, name, target, site)
        except NotFound:
            file = None
        except UpstreamError:
            if target.host is not None and not self._known(target, site):
                raise
            return None
        if file is None:
            self._check_host(target, site)
        return file

    async def _listed(self, document: Document, name: str, target: Target, site: Site) -> File | None:
        parsed = await self._renderings.parsed(document)
        for file in parsed.by_name.get(name, ()):
            try:
                found = addresses.locate(file.url, site)
            except BadTarget:
                continue
            if found.host is not None:
                self._hosts.setdefault(site.mount, set()).add(found.host)
            if found == target:
                return file
        return None

    def _known(self, target: Target, site: Site) -> bool:
        return target.host in self._hosts.get(site.mount, ()) or target.host in site.hosts

    def _check_host(self, target: Target, site: Site) -> None:
        if target.host is not None and not self._known(target, site):
            raise NotAllowed(
                "No page of this index links to a file of this name on this host. Ask for the project's page first, or "
                "name the host under hosts of the [[upstream]]."
            )
