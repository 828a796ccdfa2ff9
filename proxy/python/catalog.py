"""What the index pages say of a file: its address upstream, its digest, its size.

The pages are the authority for what may be fetched from a foreign host. Stored pages are looked at first, however old:
a digest does not age. Only a file that they do not list makes pages be asked for; and one whose address does not
work any more, since some addresses are good for minutes only. Looks single links up, and never renders a page.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from proxy.cache.documents import Document
from proxy.cache.flight import Location, WantedFile
from proxy.errors import (
    BlobDamaged,
    Forwarded,
    NotAllowed,
    NotFound,
    PullthroughError,
    UpstreamDenied,
    UpstreamError,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from proxy.model import ALGORITHMS, Digest, Entry, Outcome, Site, Target
from proxy.ports import Store
from proxy.python import addresses, filenames
from proxy.python.filenames import is_binary
from proxy.python.layouts import FileHosts, likely_pages
from proxy.python.page import File
from proxy.python.page_cache import Limit, PageCache
from proxy.python.parsed_pages import ParsedPages
from proxy.python.store_keys import PageAddress, file_key, located

_NEEDED = Limit(10.0, 10.0)  # for a file that is not here: without a new look there is none
_PATIENT = Limit(5.0, 1.0)  # for a file that may be fetched without its page, which then has to prove it later


@dataclass(frozen=True, slots=True)
class Said:
    """What pages say of a file. `page`: the kept page that lists it.

    `failure`: why nothing certain can be said: a page that may list the file could not be read.
    """

    file: File | None = None
    page: Entry | None = None
    failure: PullthroughError | None = None

    @property
    def digest(self) -> Digest | None:
        """What the file is to be compared with."""
        return self.file.best_digest if self.file is not None else None

    def differs(self, later: Self) -> bool:
        """Whether a later word says where the file is, and it is somewhere else than was known, or another one."""
        if self.file is None or later.file is None:
            return later.file is not None
        return (self.file.url, self.file.digests) != (later.file.url, later.file.digests)


class Catalog:
    """Finds files on pages. Its only state is what pages told of the hosts that have files: `hosts`."""

    def __init__(self, sites: Mapping[str, Site], store: Store, pages: PageCache, parsed: ParsedPages) -> None:
        """`sites` is by mount."""
        self._sites = sites
        self._store = store
        self._pages = pages
        self._parsed = parsed
        self.hosts = FileHosts(sites)

    async def kept(self, target: Target, site: Site, *, failed: bool = False) -> Said:
        """What the kept pages say of the file at `target`, without asking upstream: the newest that gives a digest.

        `failed`: it could not be had at its own address. Raises NotFound for a file of a project that is quarantined.
        """
        name = addresses.name_of(target)
        said = Said()
        for document in self._pages.stored_of(site, addresses.project_of(target)):
            with contextlib.suppress(BlobDamaged, UpstreamError):  # dropped, or of no use: another page may do
                file = await self._listed(document, name, target, site, failed=failed)
                if file is not None and (said.file is None or file.digests):
                    said = Said(file, document.entry)
                    if file.digests:
                        break
        if said.page is None:
            await self._refuse_quarantined(addresses.project_of(target), site)
        else:
            self._store.blob(said.page.digest)  # a use: what tells which bytes are right stays as long as they do
        return said

    async def look(self, target: Target, site: Site, limit: Limit | None = None, *, kept: bool = False) -> Said:
        """What pages say of the file at `target`; those that may list it are asked for, if no kept one does.

        `kept`: the file is. What failed is in the answer. Raises NotFound for a file of a project that is quarantined.
        """
        said = await self.kept(target, site)
        project = addresses.project_of(target) or ("" if site.flat else None)
        if said.file is not None or project is None:
            return said
        said = await self._look(target, site, project, limit, kept=kept)
        if said.file is None:
            await self._refuse_quarantined(project, site)
        return said

    async def _look(self, target: Target, site: Site, project: str, limit: Limit | None, *, kept: bool) -> Said:
        failure: PullthroughError | None = None
        for page in likely_pages(target, site, project, self._pages.folders(site)):
            # A page that was read before the file was published would not list it for as long as it is fresh.
            # For a kept file that may be wrong, a page that was missing a moment ago may be there now, too.
            again = kept or self._store.find(page.key) is not None
            try:
                document = await self._pages.get(page, revalidate=again, limit=limit)
                file = await self._listed(document, addresses.name_of(target), target, site)
            except Withheld as error:
                # Stores refuse what they do not have. Of a page that was only guessed, it says no more than that.
                meant = not site.forbidden_is_missing or isinstance(error, Forwarded)
                if failure is None and meant and page.path == f"{site.index}{project}/":
                    failure = error.again()
            except NotFound:
                continue
            except (NotAllowed, UpstreamError, BlobDamaged) as error:
                failure = failure or error.again()
                if isinstance(error, UpstreamUnreachable | UpstreamTimeout | UpstreamThrottled):
                    break  # the other pages are there, too
            else:
                if file is not None:
                    return Said(file, document.entry)
                if document.outcome is Outcome.STALE:
                    failure = failure or UpstreamUnreachable("The page that may list this file could not be renewed.")
        return Said(failure=failure)

    async def find(self, target: Target, site: Site) -> Said:
        """What a page says of a file that is to be fetched. No page need list what lies below the mount's base.

        Raises NotFound for a file of a quarantined project and for one whose address only a page knows, NotAllowed for
        one on a foreign host that no page links to, UpstreamDenied if its page's redirect says that the index does not
        know us, and what else getting the page raises then.
        """
        free = self.hosts.knows(target, site) and not addresses.is_named(target)
        said = await self.look(target, site, _PATIENT if free else None)
        if isinstance(said.failure, Forwarded):  # who does not know us may send us on for its files, too
            raise UpstreamDenied(str(said.failure)) from said.failure
        if said.file is None and addresses.is_named(target):
            raise said.failure or NotFound("No page of this index lists a file of this name at this address.")
        if said.file is None and not self.hosts.knows(target, site):
            raise said.failure or NotAllowed(
                "No page of this index links to a file of this name on this host. Ask for the project's page first, or "
                "name the host under hosts of the [[upstream]]."
            )
        return said

    async def again(self, said: Said, target: Target, site: Site, limit: Limit = _NEEDED) -> Said | None:
        """What the page of a file says after a new look, when it could not be had as it said; None if it says the same.

        Addresses that are signed are good for a while only, and a file may have been replaced.
        """
        with contextlib.suppress(NotFound, NotAllowed, UpstreamError, BlobDamaged):
            fresh = await self.kept(target, site, failed=True)  # somebody else may have looked meanwhile
            if said.page is not None and not said.differs(fresh):
                page = PageAddress.of_key(said.page.key, site)
                document = await self._pages.get(page, anew=True, limit=limit)
                name = addresses.name_of(target)
                fresh = Said(await self._listed(document, name, target, site, failed=True), document.entry)
            return fresh if said.differs(fresh) else None
        return None

    def wanted(self, target: Target, site: Site, said: Said) -> WantedFile:
        """The wish for a file, by what pages say of it; see `elsewhere` for further locations."""
        key, binary, file = file_key(target), is_binary(target.path), said.file
        if file is None:
            first, *others = self.hosts.locations(target, site)
            called, proved = addresses.name_of(target), said.failure is None
            return WantedFile(key, first.url, site, binary=binary, others=tuple(others), proved=proved, called=called)

        async def again() -> Location | None:
            now = await self.again(said, target, site)
            same = now is not None and now.digest == said.digest
            return Location(now.file.url, site) if same and now is not None and now.file is not None else None

        return WantedFile(
            key,
            file.url,
            site,
            file.best_digest,
            file.size,
            binary=binary,
            called=file.filename,
            again=again,
        )

    def stands(self, page: Entry) -> bool:
        """Whether a page is still the one that is kept at its address."""
        now = self._store.find(page.key)
        # Asked before each answer that is given again: it mostly is the very same.
        return now is page or (now is not None and now.digest == page.digest)

    async def elsewhere(self, file: File, site: Site) -> tuple[Location, ...]:
        """Where else the bytes of a file are: on hosts with the same paths, and where pages of other mounts say so."""
        if file.best_digest is None:
            return ()
        bases = (site.base, *site.siblings)
        here = next((base for base in bases if file.url.startswith(base)), None)
        path = file.url.removeprefix(here) if here is not None else ""
        locations = [Location(base + path, site) for base in bases if here not in (None, base)]
        # Whoever made two files of one md5 may have put the other one on an index of his own.
        strong = {digest for digest in file.digests if digest.strong}
        for other in self._sites.values() if strong else ():
            if other.mount != site.mount:
                locations += await self._same(file, strong, other)
        return tuple(locations)

    async def _same(self, file: File, digests: set[Digest], site: Site) -> list[Location]:
        """Places on kept pages of a mount that have a file of this name and one of these digests."""
        found: list[Location] = []
        for document in self._pages.stored_of(site, filenames.project_of(file.filename)):
            try:
                parsed = await self._parsed.get(document)
            except (BlobDamaged, UpstreamError):
                continue
            listed = parsed.by_name.get(file.filename, ())
            found += [Location(it.url, site) for it in listed if it.fetchable and not digests.isdisjoint(it.digests)]
        return found

    async def _listed(
        self, document: Document, name: str, target: Target, site: Site, *, failed: bool = False
    ) -> File | None:
        """The file at `target` as a page lists it; of several links to it, that with the most trusted digest.

        Elsewhere, too, if an earlier copy of the page had it at `target`; see `moved`.
        """
        parsed = await self._parsed.get(document)
        there = [] if parsed.page.quarantined else parsed.by_name.get(name, [])
        for file in there:
            at = located(file, site)
            if at is not None and at.host is not None:
                self.hosts.linked(site, at.host, file.url)
        found = [file for file in there if located(file, site) == target]
        if not found:
            earlier = self._pages.earlier(document.entry, name)
            before = next((file for file in earlier if located(file, site) == target), None)
            found = moved(before, there, failed=failed) if before is not None else []
        return min(found, key=trust, default=None)

    async def _refuse_quarantined(self, project: str | None, site: Site) -> None:
        """Raise NotFound if a kept page says that the project is quarantined (PEP 792): nothing of it is given."""
        for document in self._pages.stored_of(site, project) if project else ():
            with contextlib.suppress(BlobDamaged, UpstreamError):
                if (await self._parsed.summary(document)).quarantined:
                    raise NotFound("The index has quarantined this project: its files may be dangerous.")


def trust(file: File) -> int:
    """The place of a file's best digest in the order of trust; a file without any comes last."""
    best = file.best_digest
    return ALGORITHMS.index(best.algorithm) if best is not None else len(ALGORITHMS)


def moved(before: File, now: list[File], *, failed: bool) -> list[File]:
    """Which of the files of its name a page has `now` are the one that it had elsewhere `before`.

    The digest tells. Where there is none, and nothing is at the earlier address (`failed`), the name does.
    """
    if failed and len(now) == 1 and not before.digests and not now[0].digests:
        return now
    return [file for file in now if not set(before.digests).isdisjoint(file.digests)]
