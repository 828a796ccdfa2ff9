"""What index pages say of a file: its address upstream, its digests, its size.

The pages decide what may be fetched from a foreign host. Stored pages are read first, however old, since a digest does
not age. Pages are asked for when no stored one lists the file, and when its address does not work any more, since some
addresses are good for minutes only. Looks single links up, and neither parses nor renders a page for one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Self

import msgspec
from msgspec import structs

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
from proxy.model import Digest, Entry, Outcome, Site, Target
from proxy.ports import Store
from proxy.python import addresses, attachments, filenames
from proxy.python.filenames import is_binary
from proxy.python.layouts import FileHosts, likely_pages, same_place
from proxy.python.outlines import Outlines
from proxy.python.page import File, trust
from proxy.python.page_cache import PageCache, WaitLimit
from proxy.python.store_keys import PageAddress, file_key, located

# For a file that is not stored: without a new page it cannot be had at all.
_NEEDED = WaitLimit(10.0, 10.0)
# For a file that may be fetched without its page, which then has to prove it later.
_OPTIONAL = WaitLimit(5.0, 1.0)


class Listing(msgspec.Struct, frozen=True):
    """What pages say of a file. `page`: the stored page that lists it.

    `failure`: why nothing certain is known: a page that may list the file could not be read.
    """

    file: File | None = None
    page: Entry | None = None
    failure: PullthroughError | None = None

    @property
    def digest(self) -> Digest | None:
        """The digest that the file must have."""
        return self.file.best_digest if self.file is not None else None

    def differs(self, later: Self) -> bool:
        """Whether a later listing has the file at another address, or another file."""
        if self.file is None or later.file is None:
            return later.file is not None
        return (self.file.url, self.file.digests) != (later.file.url, later.file.digests)


class Catalog:
    """Finds files on pages. Its only state is which hosts pages link to: `hosts`."""

    def __init__(self, sites: Mapping[str, Site], store: Store, pages: PageCache, outlines: Outlines) -> None:
        """`sites` is by mount."""
        self._sites = sites
        self._store = store
        self._pages = pages
        self._outlines = outlines
        self.hosts = FileHosts(sites)

    async def stored(self, target: Target, site: Site, *, failed: bool = False) -> Listing:
        """What stored pages say of the file at `target`, without asking upstream: the newest that gives a digest.

        `failed`: the file could not be had at its own address. Raises NotFound if the project is quarantined.
        """
        listing = Listing()
        quarantined: set[str] = set()  # folders: no older copy of their pages, however spelt, lifts that
        for document in self._pages.stored_of(site, addresses.project_of(target)):
            if quarantined and PageAddress.of_key(document.entry.key, site).folder in quarantined:
                continue
            with contextlib.suppress(BlobDamaged, UpstreamError):  # another page may do
                file = await self._listed(document, target, site, failed=failed)
                if file is not None and (listing.file is None or file.digests):
                    listing = Listing(file, document.entry)
                    if file.digests:
                        break
                if file is None and (await self._outlines.summary(document)).quarantined:
                    quarantined.add(PageAddress.of_key(document.entry.key, site).folder)
        if listing.page is None:
            await self._refuse_quarantined(addresses.project_of(target), site)
        else:
            # This counts as a use of the page. So it is not evicted before the file whose digest it gives.
            self._store.blob(listing.page.digest)
        return listing

    async def look_up(
        self, target: Target, site: Site, limit: WaitLimit | None = None, *, stored: bool = False
    ) -> Listing:
        """What pages say of the file at `target`. Those that may list it are asked for if no stored one does.

        `stored`: the file is. The listing has what failed. Raises NotFound if the project is quarantined.
        """
        listing = await self.stored(target, site)
        project = addresses.project_of(target) or ("" if site.flat else None)
        if listing.file is not None or project is None:
            return listing
        listing = await self._fetched(target, site, project, limit, stored=stored)
        if listing.file is None:
            await self._refuse_quarantined(project, site)
        return listing

    async def _fetched(
        self, target: Target, site: Site, project: str, limit: WaitLimit | None, *, stored: bool
    ) -> Listing:
        failure: PullthroughError | None = None
        for page in likely_pages(target, site, project, self._pages.folders(site)):
            # A fresh page may be older than the file, and would not list it. A stored file may be wrong, so for it a
            # page is asked for again, too, that was not there a moment ago.
            again = stored or self._store.find(page.key) is not None
            try:
                document = await self._pages.get(page, revalidate=again, limit=limit)
                file = await self._listed(document, target, site)
            except Withheld as error:
                # S3-like stores answer 403 for missing keys: only for the page that must be there does it say more.
                meant = not site.forbidden_is_missing or isinstance(error, Forwarded)
                if failure is None and meant and page.path == f"{site.index}{project}/":
                    failure = error.again()
            except NotFound:
                continue
            except (NotAllowed, UpstreamError, BlobDamaged) as error:
                failure = failure or error.again()
                if isinstance(error, UpstreamUnreachable | UpstreamTimeout | UpstreamThrottled):
                    break  # the other pages are on the same host
            else:
                if file is not None:
                    return Listing(file, document.entry)
                if document.outcome is Outcome.STALE:
                    failure = failure or UpstreamUnreachable("The page that may list this file could not be renewed.")
        return Listing(failure=failure)

    async def find(self, target: Target, site: Site) -> Listing:
        """What a page says of a file that is to be fetched. Below the mount's base, no page need list it.

        Raises NotFound if the project is quarantined, and for a file whose address only a page knows; NotAllowed for a
        file on a foreign host that no page links to; UpstreamDenied if its page redirects to a login; and what else
        getting the page raises then.
        """
        optional = self.hosts.knows(target, site) and not addresses.is_named(target)
        listing = await self.look_up(target, site, _OPTIONAL if optional else None)
        if isinstance(listing.failure, Forwarded):  # the file's address may redirect to the same login
            raise UpstreamDenied(str(listing.failure)) from listing.failure
        if listing.file is None and addresses.is_named(target):
            raise listing.failure or NotFound("No page of this index lists a file of this name at this address.")
        if listing.file is None and not self.hosts.knows(target, site):
            raise listing.failure or NotAllowed(
                "No page of this index links to a file of this name on this host. Ask for the project's page first, or "
                "name the host under hosts of the [[upstream]]."
            )
        return listing

    async def look_again(
        self, listing: Listing, target: Target, site: Site, limit: WaitLimit = _NEEDED
    ) -> Listing | None:
        """What the page says after a new look, if a file could not be had as `listing` says; None if nothing changed.

        Signed addresses are good for a while only, and a file may have been replaced.
        """
        with contextlib.suppress(NotFound, NotAllowed, UpstreamError, BlobDamaged):
            fresh = await self.stored(target, site, failed=True)  # another request may have looked meanwhile
            if listing.page is not None and not listing.differs(fresh):
                page = PageAddress.of_key(listing.page.key, site)
                document = await self._pages.get(page, anew=True, limit=limit)
                fresh = Listing(await self._listed(document, target, site, failed=True), document.entry)
            return fresh if listing.differs(fresh) else None
        return None

    def wanted(self, target: Target, site: Site, listing: Listing) -> WantedFile:
        """What is to be fetched, by what pages say of the file. `elsewhere` gives further locations."""
        key, binary, file = file_key(target), is_binary(target.path), listing.file
        if file is None:
            first, *others = self.hosts.locations(target, site)
            name, proved = addresses.name_of(target), listing.failure is None
            return WantedFile(key, first.url, site, binary=binary, others=tuple(others), proved=proved, called=name)

        async def again(expired: str) -> Location | None:
            tried = structs.replace(listing, file=structs.replace(file, url=expired))
            now = await self.look_again(tried, target, site)
            same = now is not None and now.digest == listing.digest
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

    async def elsewhere(self, file: File, site: Site) -> tuple[Location, ...]:
        """Where else the bytes of a file are: on hosts with the same paths, and by the pages of other mounts."""
        if file.best_digest is None:
            return ()
        bases = (site.base, *site.siblings)
        here = next((base for base in bases if file.url.startswith(base)), None)
        path = file.url.removeprefix(here) if here is not None else ""
        locations = [Location(base + path, site) for base in bases if here not in (None, base)]
        # Two files can be made that have one md5. The other one may be on an index of whoever made them.
        strong = {digest for digest in file.digests if digest.strong}
        for other in self._sites.values() if strong else ():
            if other.mount != site.mount:
                locations += await self._same(file, strong, other)
        return tuple(locations)

    async def _same(self, file: File, digests: set[Digest], site: Site) -> list[Location]:
        """Where stored pages of a mount have a file of this name with one of these digests."""
        found: list[Location] = []
        for document in self._pages.stored_of(site, filenames.project_of(file.filename)):
            try:
                listed = (await self._outlines.ask(document, (file.filename,))).by_name.get(file.filename, ())
            except (BlobDamaged, UpstreamError):
                continue
            found += [Location(it.url, site) for it in listed if it.fetchable and not digests.isdisjoint(it.digests)]
        return found

    async def _listed(self, document: Document, target: Target, site: Site, *, failed: bool = False) -> File | None:
        """The file at `target` as a page lists it, or promises it beside a distribution that it lists."""
        file = await self._linked(document, target, site, failed=failed)
        owner = attachments.owner_of(target) if file is None else None
        if owner is None:
            return file
        distribution = await self._linked(document, owner.target, site, failed=failed)
        return attachments.promised(distribution, owner.ending) if distribution is not None else None

    async def _linked(self, document: Document, target: Target, site: Site, *, failed: bool) -> File | None:
        """The file at `target` as a page links to it; of several links to it, that with the most trusted digest.

        A file that an earlier copy of the page had at `target` is found where it is now; see `moved`.
        """
        name = addresses.name_of(target)
        page = await self._outlines.ask(document, (name,))
        named = () if page.summary.quarantined else page.by_name.get(name, ())
        found: list[File] = []
        for file in named:
            at = located(file, site)
            if at is not None and at.host is not None:
                self.hosts.linked(site, at.host, file.url)
            if at is not None and (at == target or same_place(at, target, site)):
                found.append(file)
        if not found:
            earlier = self._pages.earlier(document.entry, name)
            before = next((file for file in earlier if located(file, site) == target), None)
            found = moved(before, named, failed=failed) if before is not None else []
        return min(found, key=lambda file: trust(file.best_digest), default=None)

    async def _refuse_quarantined(self, project: str | None, site: Site) -> None:
        """Raise NotFound if a stored page says that the project is quarantined (PEP 792)."""
        for document in self._pages.stored_of(site, project) if project else ():
            with contextlib.suppress(BlobDamaged, UpstreamError):
                if (await self._outlines.summary(document)).quarantined:
                    raise NotFound("The index has quarantined this project: its files may be dangerous.")


def moved(before: File, now: Sequence[File], *, failed: bool) -> list[File]:
    """Which of the files that a page lists `now` under a name are the file that it listed elsewhere `before`.

    The digest tells. Without digests the name does, if the earlier address does not work any more (`failed`).
    """
    if failed and len(now) == 1 and not before.digests and not now[0].digests:
        return list(now)
    return [file for file in now if not set(before.digests).isdisjoint(file.digests)]
