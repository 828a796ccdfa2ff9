"""What the store knows beside an index's pages, and how it comes to know it.

When a new page arrives, what it dropped of the files that are kept is written down; when a page is shown, the digests
that were measured here, and what was dropped, are found again. Never asks upstream, and never decides how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from proxy.cache.documents import Documents
from proxy.cache.stored_files import StoredFiles
from proxy.errors import BadTarget, PullthroughError, StoreError
from proxy.model import Digest, Entry, Site, Target, Validator
from proxy.ports import Clock, Store
from proxy.python import addresses
from proxy.python.beside import NOTHING_BESIDE, Beside
from proxy.python.negotiation import Format
from proxy.python.page import NOTHING, File
from proxy.python.rendering import record
from proxy.python.renderings import Parsed, Renderings
from proxy.python.routes import file_key, file_keys, removed_key


def is_volatile(target: Target, site: Site) -> bool:
    """Whether upstream may put another file under this one's name; the settings say where."""
    return bool(site.volatile) and target.path.startswith(site.volatile)


class Supplements:
    """Keeps and finds what is known beside pages. It has no state of its own."""

    def __init__(
        self, store: Store, documents: Documents, renderings: Renderings, stored_files: StoredFiles, clock: Clock
    ) -> None:
        self._store = store
        self._stored_files = stored_files
        self._documents = documents
        self._renderings = renderings
        self._clock = clock

    async def beside(self, key: str, project: str, site: Site, parsed: Parsed) -> Beside:
        """What is known beside the page with this key. `project` is empty for a flat page."""
        digests = {} if parsed.hashed else self._measured(project, site, parsed)
        dropped = [file for file in await self._dropped(key, site) if file.filename not in parsed.by_name]
        removed = await self._held(dropped, site)
        return Beside(digests, tuple(removed)) if digests or removed else NOTHING_BESIDE

    async def withdrawn(self, key: str, site: Site, parsed: Parsed) -> Beside | None:
        """What is left of a page that the index does not have any more; None if no file of it is kept.

        None, too, for a page whose last word was that the project is quarantined: that it is gone now takes nothing
        back.
        """
        if not site.keep_removed or parsed.page.quarantined:
            return None
        dropped = [file for file in await self._dropped(key, site) if file.filename not in parsed.by_name]
        left = await self._held((*parsed.page.files, *dropped), site)
        return Beside(removed=tuple(left), withdrawn=True) if left else None

    async def arrived(self, key: str, site: Site, fresh: Parsed) -> None:
        """A new page is about to take the place of the kept one: write down what it dropped of what is kept."""
        before = self._documents.peek(key, site) if site.keep_removed else None
        if before is None:
            return
        try:
            old = await self._renderings.parsed(before)
        except PullthroughError:  # damaged, or of an older reading: there is nothing to compare with
            return
        earlier = await self._dropped(key, site)
        dropped = [file for file in (*old.page.files, *earlier) if file.filename not in fresh.by_name]
        gone = await self._held(dropped, site)
        if [file.url for file in gone] == [file.url for file in earlier]:
            return
        page = replace(old.page, files=tuple(gone), html=False, meta=NOTHING, extra=NOTHING, versions=None)
        await self._keep(removed_key(key), before.entry.url, record(page))

    async def _keep(self, key: str, url: str, body: bytes) -> None:
        now = self._clock.now()
        blob = await self._store.put(body)
        if blob is not None:
            await self._store.save(Entry(key, url, blob.digest, blob.size, Format.JSON.value, Validator(), now, now))

    async def _dropped(self, key: str, site: Site) -> tuple[File, ...]:
        """What earlier pages had and later ones did not."""
        document = self._documents.peek(removed_key(key), site) if site.keep_removed else None
        if document is None or self._store.blob(document.entry.digest) is None:  # this counts as a use of it
            return ()
        try:
            return (await self._renderings.parsed(document)).page.files
        except PullthroughError:
            return ()

    async def _held(self, files: Iterable[File], site: Site) -> list[File]:
        """Those of the files that the store has, each once, with the digest that it has of those that have none.

        What is kept under a file's address and is not what the page promised is another file.
        """
        held: dict[str, File] = {}
        for file in files:
            target = located(file, site)
            entry = self._store.find(file_key(target)) if target is not None else None
            if target is None or entry is None:
                continue
            if file.best_digest is not None and not await self._is(entry, file.best_digest):
                continue
            known = file.digests or (() if is_volatile(target, site) else (entry.digest,))
            held.setdefault(file.url, replace(file, digests=known, fragment=file.needed_fragment, extra=NOTHING))
        return list(held.values())

    async def _is(self, entry: Entry, promised: Digest) -> bool:
        try:
            return await self._stored_files.matches(entry, promised)
        except StoreError:
            return False

    def _measured(self, project: str, site: Site, parsed: Parsed) -> dict[str, Digest]:
        """The digests of kept files for which the page gives none."""
        found: dict[str, Digest] = {}
        for key in self._store.keys(file_keys(site.mount, project or None)):
            name = key.rpartition("/")[2].rpartition(":")[2]
            for file in parsed.by_name.get(name, ()):
                target = located(file, site) if not file.digests else None
                if target is None or is_volatile(target, site) or file_key(target) != key:
                    continue
                entry = self._store.find(key)
                if entry is not None:
                    found[file.url] = entry.digest
        return found


def located(file: File, site: Site) -> Target | None:
    """Where the cache has a file of a page; None for one that it could not fetch."""
    try:
        return addresses.locate_file(file.url, site, file.filename, file.project)
    except BadTarget:
        return None
