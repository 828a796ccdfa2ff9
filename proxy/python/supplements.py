"""Facts that complete an index page: digests that were computed here, files that the index dropped, metadata.

Called by `pages` for each page that a client gets; by `page_cache` for each page that replaces another, to record
which stored files it dropped (ADR 4); and by `imported_pages` for what another cache recorded. What upstream says
always stands. Never asks upstream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from msgspec import structs
from packaging.utils import canonicalize_version

from proxy.cache.documents import Document, Documents
from proxy.cache.stored_files import StoredFiles
from proxy.errors import PullthroughError
from proxy.model import Digest, Entry, Site, Validator
from proxy.ports import Clock, Store
from proxy.python import filenames
from proxy.python.file_list import FileList, file_of, links_of
from proxy.python.metadata_offers import EVERYTHING, MetadataOffers, Offered
from proxy.python.negotiation import Format
from proxy.python.outline import Excerpt
from proxy.python.outlines import Outlines
from proxy.python.page import EMPTY, File, Page, origin_of
from proxy.python.parsed_page import PageChange, ParsedPage
from proxy.python.parsed_pages import ParsedPages
from proxy.python.plain_links import Link, PlainLink
from proxy.python.rendering import record
from proxy.python.routes import is_volatile
from proxy.python.store_keys import PageAddress, file_key, file_keys, located, name_in_key, removed_key

REMOVED = "The index does not list this file any more; the cache still has it."


@dataclass(frozen=True, slots=True)
class Supplement:
    """What is known here of the files of a page. `digests` by the file's address upstream.

    `withdrawn`: the index has the project no more. `lasting`: downloads do not change it. `only`: the addresses of the
    files that can be had while the index cannot be reached, of which those in `stored` are; None: it can be reached.
    """

    digests: Mapping[str, Digest] = field(default_factory=lambda: MappingProxyType({}))
    removed: tuple[File, ...] = ()
    withdrawn: bool = False
    offered: Offered = EVERYTHING
    lasting: bool = False
    only: frozenset[str] | None = None
    stored: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """A short text that tells supplements apart if they complete a page differently."""
        offered = self.offered
        if self is NOTHING_KNOWN:
            return "-"
        facts = self.digests or self.removed or self.withdrawn or offered != EVERYTHING or self.only is not None
        if not facts:
            return "-"
        known = sorted(f"{url} {digest}" for url, digest in self.digests.items())
        # All of a dropped file: the index may list it again, change it, and drop it again.
        kinds = (sorted(kind) for kind in (offered.refusing, offered.urls, offered.unreadable))
        only = [] if self.only is None else ["only", *sorted(self.only), "stored", *sorted(self.stored)]
        text = "\n\n".join("\n".join(lines) for lines in (known, map(repr, self.removed), *kinds, only))
        return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{'-' if self.withdrawn else ''}"

    def complete(self, page: Page) -> Page:
        """The page with what is known here. A quarantined project has no files, whatever is stored."""
        if page.quarantined:
            return structs.replace(page, files=())
        links = () if self.withdrawn else links_of(page.files)
        if self.only is not None:
            links = [link for link in links_of(page.files) if link.url in self.only]
            page = structs.replace(page, versions=_versions_of(page, links))
        usual = self.only is None
        files: list[Link] = [
            link
            if usual and isinstance(link, PlainLink) and (link.core_metadata or not link.filename.endswith(".whl"))
            else self._complete(link, here=link.url in self.stored)
            for link in links
        ]
        files += [as_removed(file_of(self._complete(file, here=True))) for file in self.removed]
        return structs.replace(page, files=FileList(files), versions=_with_versions_of(page.versions, self.removed))

    def _complete(self, link: Link, *, here: bool) -> Link:
        if here and link.core_metadata and not link.filename.endswith(".whl"):
            # Of other distributions only the index itself has metadata, which it may not give any more.
            link = structs.replace(file_of(link), core_metadata=None)
        if isinstance(link, PlainLink):  # it has a digest
            return link.offering() if link.bare and self.offered.covers(link, here=here) else link
        digest = self.digests.get(link.url) if not link.digests else None
        if digest is not None:
            link = structs.replace(link, digests=(digest,), fragment=link.needed_fragment)
        if link.bare and self.offered.covers(link, here=here):
            link = structs.replace(link, core_metadata=True)
        return link


NOTHING_KNOWN = Supplement(lasting=True)


def _versions_of(page: Page, links: Iterable[Link]) -> tuple[str, ...] | None:
    """The versions that a page names (PEP 700) of which it has one of these links."""
    if page.versions is None:
        return None
    there = {str(version) for link in links if (version := filenames.version_of(link.filename)) is not None}
    return tuple(version for version in page.versions if _canonical(version) in there)


def _with_versions_of(versions: tuple[str, ...] | None, files: Sequence[File]) -> tuple[str, ...] | None:
    """The versions that a page names, and those of further files (PEP 700: there is none of another version)."""
    if versions is None or not files:
        return versions  # the usual case: a page may name thousands of them
    known = set(map(_canonical, versions))
    more = {version for file in files if (version := filenames.version_of(file.filename)) is not None}
    return (*versions, *(str(version) for version in sorted(more) if str(version) not in known))


def _canonical(version: str) -> str:
    """A version as it is normally written (PEP 440); what cannot be read, as it is."""
    try:
        return canonicalize_version(version, strip_trailing_zero=False)
    except ValueError:  # more digits than Python reads
        return version


def as_removed(file: File) -> File:
    """A file that the index dropped, listed as yanked: only an exact pin selects it (PEP 592)."""
    return file if isinstance(file.yanked, str) else structs.replace(file, yanked=REMOVED)


class Supplements:
    """Finds what is known of pages, and records what they dropped. It has no state of its own."""

    def __init__(  # noqa: PLR0913, PLR0917 the parts that have the facts
        self,
        store: Store,
        documents: Documents,
        parsed: ParsedPages,
        outlines: Outlines,
        stored_files: StoredFiles,
        offers: MetadataOffers,
        clock: Clock,
    ) -> None:
        self._store = store
        self._documents = documents
        self._parsed = parsed
        self._outlines = outlines
        self._stored_files = stored_files
        self._offers = offers
        self._clock = clock

    async def of(self, address: PageAddress, document: Document) -> Supplement:
        """What is known here of a page. Raises UpstreamBroken if it is no index page, BlobDamaged."""
        summary = await self._outlines.summary(document)
        site, dropped = address.site, await self._dropped(document.entry.key, address.site)
        if not dropped and (not summary.bare or self._offers.everywhere(summary.bare)):
            if summary.hashed:
                return NOTHING_KNOWN  # the usual case: the links need not be parsed
            if not self._store.keys(file_keys(site.mount, address.project or None)):
                return Supplement()
        page = await self._outlines.ask(document, self._names(address) | {file.filename for file in dropped})
        digests = {} if summary.hashed else self._measured(address, page)
        removed = await self._stored((file for file in dropped if not page.by_name.get(file.filename)), site)
        offered = self._offers.offered(address, page)
        lasting = summary.hashed and not removed and offered is EVERYTHING
        return Supplement(digests, tuple(removed), offered=offered, lasting=lasting)

    def _names(self, address: PageAddress) -> set[str]:
        """The names of the files of a page of which something may be known here."""
        stored = self._store.keys(file_keys(address.site.mount, address.project or None))
        names = {name_in_key(key) for key in stored}
        return names | {name.removesuffix(".metadata") for name in names} | self._offers.unreadable_names

    async def limited(self, address: PageAddress, document: Document, supplement: Supplement) -> Supplement:
        """The same for an index that cannot be reached: of its files those can be had that are stored.

        And those on another host that responded just now: the index alone may be away.
        """
        page, site = await self._parsed.get(document), address.site
        named = {name_in_key(key) for key in self._store.keys(file_keys(site.mount, address.project or None))}
        listed = [file for name in sorted(named) for file in page.by_name.get(name, ())]
        stored = frozenset(file.url for file in await self._stored(listed, site))
        links = links_of(page.page.files)
        # What came without an address, or is another index's, is as good: it is found by its digest.
        stored |= {link.url for link in links if link.filename not in named and self._is_here(link)}
        hosts = {link.origin for link in links if link.fetchable} - {origin_of(document.entry.url)}
        heard = {origin for origin in hosts if self._documents.heard(origin)}
        had = frozenset(link.url for link in links if link.origin in heard) if heard else frozenset()
        return replace(supplement, only=stored | had, stored=stored, lasting=False)

    async def withdrawn(self, address: PageAddress, document: Document) -> Supplement | None:
        """What is left of a page that the index has no more; None if no file of it is stored.

        None, too, if the project was quarantined: that the page is gone now does not lift the quarantine.
        """
        page, site = await self._parsed.get(document), address.site
        if not site.keep_removed or page.summary.quarantined:
            return None
        dropped = [file for file in await self._dropped(document.entry.key, site) if file.filename not in page.by_name]
        left = await self._stored((*page.page.files, *dropped), site)
        return Supplement(removed=tuple(left), withdrawn=True) if left else None

    async def replaced(
        self, address: PageAddress, url: str, old: ParsedPage, fresh: ParsedPage, change: PageChange
    ) -> None:
        """Record which stored files a page drops, which is about to replace another one, from `url`."""
        if not address.site.keep_removed:
            return
        key, earlier = address.key, await self._dropped(address.key, address.site)
        dropped = (*change.dropped, *(file for file in earlier if file.filename not in fresh.by_name))
        gone = await self._stored(map(file_of, dropped), address.site)
        if [file.url for file in gone] == [file.url for file in earlier]:
            return
        await self._write(removed_key(key), url, old.page, gone)

    async def join(self, address: PageAddress, entry: Entry) -> None:
        """Record what another cache recorded of a page, in `entry`, beside what was recorded here.

        Raises UpstreamBroken if it is no such record, BlobDamaged.
        """
        theirs = (await self._parsed.get(self._documents.of(entry, address.site))).page
        before, ours = self._store.find(entry.key), await self._dropped(address.key, address.site)
        later = before is None or before.checked < entry.checked
        joined: dict[str, File] = {}
        for file in (*theirs.files, *ours) if later else (*ours, *theirs.files):
            joined.setdefault(file.url, file)
        if joined.keys() != {file.url for file in ours}:
            await self._write(entry.key, entry.url, theirs, joined.values())

    async def recall(self, address: PageAddress, entry: Entry) -> None:
        """Record which stored files an older page than the present one lists, in `entry`, and the present one does not.

        Raises UpstreamBroken if it is no such page, BlobDamaged.
        """
        site, present = address.site, self._documents.peek(address.key, address.site)
        if not site.keep_removed or present is None or not site.owns(entry.url):
            return
        older = (await self._parsed.get(self._documents.of(entry, site))).page
        fresh, ours = await self._parsed.get(present), await self._dropped(address.key, site)
        gone = await self._stored((file for file in older.files if file.filename not in fresh.by_name), site)
        joined = {file.url: file for file in (*gone, *ours)}  # what was recorded here stands
        if joined.keys() != {file.url for file in ours}:
            await self._write(removed_key(address.key), entry.url, older, joined.values())

    async def _write(self, key: str, url: str, page: Page, dropped: Iterable[File]) -> None:
        """Save as dropped these files of a page."""
        page = structs.replace(page, files=tuple(dropped), html=False, meta=EMPTY, extra=EMPTY, versions=None)
        body, now = record(page), self._clock.now()
        blob = await self._store.put(body)
        if blob is not None:
            await self._store.save(Entry(key, url, blob.digest, blob.size, Format.JSON.value, Validator(), now, now))

    async def _dropped(self, page: str, site: Site) -> Sequence[File]:
        """The files that earlier copies of the page with this key had, and later ones did not."""
        key = removed_key(page)
        if not site.keep_removed or self._store.find(key) is None:
            return ()
        document = self._documents.peek(key, site)
        if document is None or self._store.blob(document.entry.digest) is None:  # this counts as a use
            return ()
        try:
            return (await self._parsed.get(document)).page.files
        except PullthroughError:
            return ()

    async def _stored(self, files: Iterable[File], site: Site) -> list[File]:
        """The stored ones of these files, each once, with the digest of the stored file where the page gives none.

        A stored file without the promised digest is another file.
        """
        found: dict[str, File] = {}
        for file in files:
            target = located(file, site)
            entry = self._store.find(file_key(target)) if target is not None else None
            if target is None or entry is None:
                continue
            if file.best_digest is not None and not await self._stored_files.matches(entry, file.best_digest):
                continue
            known = file.digests or (() if is_volatile(target, site) else (entry.digest,))
            found.setdefault(file.url, structs.replace(file, digests=known, fragment=file.needed_fragment, extra=EMPTY))
        return list(found.values())

    def _is_here(self, link: Link) -> bool:
        """Whether the file that a page promises is stored, under whatever address."""
        digest = link.best_digest
        return digest is not None and link.fetchable and self._store.blob(digest) is not None

    def _measured(self, address: PageAddress, page: Excerpt) -> dict[str, Digest]:
        """The digests of stored files, where the page gives none."""
        site, found = address.site, dict[str, Digest]()
        for key in self._store.keys(file_keys(site.mount, address.project or None)):
            for file in page.by_name.get(name_in_key(key), ()):
                target = located(file, site) if not file.digests else None
                if target is None or is_volatile(target, site) or file_key(target) != key:
                    continue
                entry = self._store.find(key)
                if entry is not None:
                    found[file.url] = entry.digest
        return found
