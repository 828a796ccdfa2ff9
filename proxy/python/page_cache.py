"""Upstream's index pages: fetched once for all who ask, checked on arrival, compared with the page that they replace.

Called by `pages` for the page that a client wants, by `catalog` for the pages that may list a file, and by
`imported_pages` for pages that came another way. While a page arrives, `cache/documents.py` calls back: only an index
page may replace an index page. Never renders.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from msgspec import structs

from proxy.bounded import Bounded
from proxy.cache.documents import Document, Documents, WantedDocument
from proxy.errors import PullthroughError, UpstreamBroken
from proxy.model import Entry, Site, Validator
from proxy.ports import Store
from proxy.python.file_list import file_of
from proxy.python.negotiation import UPSTREAM_ACCEPT
from proxy.python.outlines import Outlines
from proxy.python.page import File
from proxy.python.parent_pages import in_upstream_terms
from proxy.python.parsed_page import PageChange, ParsedPage
from proxy.python.parsed_pages import ParsedPages
from proxy.python.plain_links import Link
from proxy.python.store_keys import PageAddress, newest_copies, page_keys
from proxy.python.supplements import Supplements

_MOVES = 10_000  # files whose earlier addresses are remembered
_EACH = 4  # earlier addresses of one file: clients keep a page for minutes
_FOLDERS = 16  # of pages, remembered of a mount


class WaitLimit(NamedTuple):
    """How many seconds a page is waited for. `silent`: the same for a host that was silent lately."""

    seconds: float
    silent: float


class PageCache:
    """Gets pages. Mutable state: what was learnt from pages on arrival, and which of them quarantine their project."""

    def __init__(  # noqa: PLR0913, PLR0917 what learns of a page that comes
        self,
        store: Store,
        documents: Documents,
        parsed: ParsedPages,
        outlines: Outlines,
        supplements: Supplements,
        quarantined: Callable[[], None] = lambda: None,
    ) -> None:
        """`quarantined` is called when a page says that its project is: no remembered answer counts any more."""
        self._store = store
        self.stands = store.stands  # whether a page is still the one that is stored at its address
        self._documents = documents
        self._parsed = parsed
        self._outlines = outlines
        self._supplements = supplements
        self._quarantined = quarantined
        self._quarantining: set[str] = set()  # by key
        self._moves = Moves()
        self._folders: dict[str, Bounded[str, None]] = {}  # by mount

    async def get(  # noqa: PLR0913 how it is asked for
        self,
        address: PageAddress,
        *,
        revalidate: bool = False,
        anew: bool = False,
        limit: WaitLimit | None = None,
        ahead: bool = False,
        contended: bool = False,
    ) -> Document:
        """The page. Raises what `Documents.get` raises. `anew`: upstream sends all of it, even if a copy is fresh."""
        key = address.key
        wanted = WantedDocument(
            key,
            address.url,
            address.site,
            UPSTREAM_ACCEPT,
            revalidate,
            partial(self._check, address),
            partial(self._arrived, key),
            received=partial(self._received, address) if address.site.parent else None,
            anew=anew,
            ahead=ahead,
            contended=contended,
        )
        if anew:
            await self._forget_validator(key)
        seconds = limit and (limit.silent if self._documents.lost(wanted) else limit.seconds)
        document = await self._documents.get(wanted, seconds)
        if document.fetched and document.body is None:
            self._outlines.came(document)
        return document

    def reaches(self, page: Document) -> bool:
        """Whether the index of a page can be reached, as far as is known."""
        return self._documents.reaches(page)

    def stored(self, address: PageAddress) -> Document | None:
        """The stored copy of a page, however old."""
        return self._documents.peek(address.key, address.site)

    def stored_of(self, site: Site, project: str | None) -> list[Document]:
        """The stored pages that may list files of a project, the flat ones too; see `newest_copies`."""
        keys = [
            key
            for front in ((project, "") if project else ("",))
            for key in self._store.keys(page_keys(site.mount, front))
        ]
        found = {key: document for key in keys if (document := self._documents.peek(key, site)) is not None}
        return [found[entry.key] for entry in newest_copies(document.entry for document in found.values())]

    def earlier(self, page: Entry, name: str) -> tuple[File, ...]:
        """The file of this name as earlier copies of a page had it, at addresses that it has no more."""
        return self._moves.earlier(page.key, name)

    def folders(self, site: Site) -> list[str]:
        """The folders in which pages of projects were found, the last one first."""
        return list(reversed(self._known(site)))

    async def learn(self, address: PageAddress, entry: Entry) -> None:
        """Learn from a page that an import is about to put in place of another one, as from one that has come.

        Raises UpstreamBroken if it is no index page, or not the index's own, BlobDamaged.
        """
        if not address.site.owns(entry.url):
            raise UpstreamBroken("The page is not the index's own.")
        fresh = await self._parsed.get(self._documents.of(entry, address.site))
        await self._compare(address, entry, fresh)

    def imported(self) -> None:
        """An import may have put pages into the store: look anew where they are."""
        self._folders.clear()

    async def _check(self, address: PageAddress, entry: Entry, body: bytes) -> None:
        """Learn from a page that has come, before it is stored. Raises UpstreamBroken if it is no index page."""
        await self._compare(address, entry, await self._parsed.parse(entry, body))

    async def _compare(self, address: PageAddress, entry: Entry, fresh: ParsedPage) -> None:
        """Learn from a page what it says, and what the stored one said that it is about to replace."""
        (self._quarantining.add if fresh.summary.quarantined else self._quarantining.discard)(entry.key)
        before = self.stored(address)
        old = await self._readable(before)
        if fresh.page.root and old is not None and old.page.files:
            raise UpstreamBroken("Upstream sent a list of projects in place of a page of files.")
        if before is not None and old is not None:
            change = await self._parsed.run(entry.size, partial(PageChange.between, old, fresh))
            await self._supplements.replaced(address, before.entry.url, old, fresh, change)
            self._moves.arrived(entry.key, change.moved)
        self._found(address)

    async def _received(self, address: PageAddress, content_type: str, body: bytes) -> bytes:
        """The body of a page that a parent cache sent, as it is stored."""
        made = partial(in_upstream_terms, body, content_type, address.url, address.site)
        return await self._parsed.run(len(body), made)

    def _arrived(self, key: str) -> None:
        """The page with this key is stored."""
        if key in self._quarantining:
            self._quarantined()

    async def _readable(self, document: Document | None) -> ParsedPage | None:
        """A stored page, unless it is damaged, or this version takes it for no index page."""
        with contextlib.suppress(PullthroughError):
            return await self._parsed.get(document) if document is not None else None
        return None

    async def _forget_validator(self, key: str) -> None:
        """Make upstream send the whole page: a 304 would not renew links that expire."""
        entry = self._store.find(key)
        if entry is not None and entry.validator != Validator():
            await self._store.save(structs.replace(entry, validator=Validator()))

    def _found(self, address: PageAddress) -> None:
        folder = _folder(address)
        if folder is not None:
            self._known(address.site)[folder] = None

    def _known(self, site: Site) -> Bounded[str, None]:
        """The folders of pages. Those of an earlier run are found by the stored pages."""
        folders = self._folders.get(site.mount)
        if folders is None:
            folders = self._folders[site.mount] = Bounded(_FOLDERS)
            for key in self._store.keys(f"page:{site.mount}:"):
                folder = _folder(PageAddress.of_key(key, site))
                if folder is not None:
                    folders[folder] = None
        return folders


def _folder(address: PageAddress) -> str | None:
    """The folder that has a project's page, where other projects may have theirs."""
    project, path = address.project, address.path
    return path.removesuffix(f"{project}/") if project and f"/{path}".endswith(f"/{project}/") else None


class Moves:
    """The addresses that files had on earlier copies of a page.

    Some indexes sign the path itself, as `/s/<token>/demo-1.0.tar.gz`, and anew on each page. A client with an earlier
    copy asks for an address that no page has any more.

    Mutable state: by page and name, files as earlier copies had them, the last one first.
    """

    def __init__(self) -> None:
        self._earlier: Bounded[tuple[str, str], tuple[File, ...]] = Bounded(_MOVES)

    def arrived(self, page: str, moved: Iterable[Link]) -> None:
        """Note that the page with this key had these files where it does not have them any more."""
        for link in moved:
            key = (page, link.filename)
            self._earlier[key] = (file_of(link), *self._earlier.pop(key, ()))[:_EACH]

    def earlier(self, page: str, name: str) -> tuple[File, ...]:
        """The file of this name as earlier copies of a page had it, at addresses that it has no more."""
        return self._earlier.get((page, name), ())
