"""Rendered pages, as clients get them: made once in each form and coding, and kept in memory within bounds.

Called by `pages`. The key of a rendered page names all that it is made of, so it never goes stale. What memory does not
hold is read back from beside the page in the store. Long pages are rendered and compressed in a thread.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import partial

import msgspec

from proxy.cache.documents import Document
from proxy.cache.single_flight import SingleFlight
from proxy.model import Site, Target
from proxy.python.codings import Coding, coded
from proxy.python.negotiation import Format
from proxy.python.page import Page
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.rendering import render
from proxy.python.sidecars import WORTH, Sidecar, Sidecars
from proxy.python.store_keys import form_key
from proxy.python.supplements import NOTHING_KNOWN, Supplement

_BYTES = 48 << 20  # of rendered pages
_INLINE = 256 << 10  # bytes of a stored form that is read on the event loop


class PageView(msgspec.Struct, frozen=True):
    """What a rendered page is made of: upstream's page, the address on the cache, and what is known here of it.

    `base`: scheme, host and port of the cache, with which links in JSON begin; empty for relative ones.
    """

    document: Document
    here: Target
    site: Site
    supplement: Supplement = NOTHING_KNOWN
    base: str = ""

    @property
    def place(self) -> str:
        """A text that tells apart where a page is shown, which its links depend on."""
        return f"{self.base}/{self.here.mount} {self.here.path}"

    def key(self, form: Format, coding: Coding | None) -> str:
        """A text that tells rendered pages apart. It is the same in another process."""
        entry, coded_as = self.document.entry, coding.value if coding else ""
        return f"{entry.digest} {entry.url} {self.place} {self.supplement.key} {form.name} {coded_as}"

    def made_of(self, form: Format, coding: Coding | None) -> str:
        """The same for another process, which may have other settings."""
        entry, key = self.document.entry, self.key(form, coding)
        return f"{key} {entry.content_type} {entry.key} {self.site.base}"

    def stored_key(self, form: Format, coding: Coding | None) -> str:
        """The store's key of a form: one for each place, whatever the page has become."""
        place = hashlib.sha256(self.place.encode()).hexdigest()[:16]
        return form_key(self.document.entry.key, f"{form.name.lower()}{f'-{coding.value}' if coding else ''}-{place}")


class RenderedPage(msgspec.Struct, frozen=True):
    """A rendered page and its strong ETag (RFC 9110 §8.8.3), which differs for each form and coding."""

    body: bytes
    etag: str


class RenderedPages:
    """Renders pages. Mutable state: rendered pages in order of use, and the work under way."""

    def __init__(self, parsed: ParsedPages, sidecars: Sidecars, work: PageWork) -> None:
        self._parsed = parsed
        self._sidecars = sidecars
        self._work = work
        self._pages: OrderedDict[str, RenderedPage] = OrderedDict()
        self._bytes = 0
        self._flights: SingleFlight[RenderedPage] = SingleFlight()

    async def get(self, view: PageView, form: Format, coding: Coding | None) -> RenderedPage:
        """The rendered page. Raises UpstreamBroken if upstream's is no index page, BlobDamaged."""
        key = view.key(form, coding)
        found = self._remembered(key)
        if found is not None:
            return found
        task, _ = self._flights.join(key, lambda: self._provide(key, view, form, coding))
        return await self._flights.result(task)

    async def close(self) -> None:
        """Break off the work under way."""
        await self._flights.close()

    async def _provide(self, key: str, view: PageView, form: Format, coding: Coding | None) -> RenderedPage:
        stored = await self._stored(view, form, coding)
        made = stored or await self._render(view, form, coding)
        entry = view.document.entry
        if stored is None and entry.size >= WORTH:
            what, beside = view.made_of(form, coding), view.stored_key(form, coding)
            self._sidecars.write_soon(entry, beside, what, len(made.body), lambda: (made.etag, made.body))
        self._remember(key, made)
        return made

    async def _stored(self, view: PageView, form: Format, coding: Coding | None) -> RenderedPage | None:
        """The form as it lies beside the page in the store."""
        entry = view.document.entry
        if entry.size < WORTH:
            return None
        blob = self._sidecars.find(entry, view.stored_key(form, coding))
        if blob is None:
            return None
        read = partial(self._sidecars.read, blob, view.made_of(form, coding), str, _read)
        return read() if blob.size <= _INLINE else await self._work.run(blob.size, read)

    async def _render(self, view: PageView, form: Format, coding: Coding | None) -> RenderedPage:
        if coding is not None:
            plain = self._remembered(view.key(form, None)) or await self._stored(view, form, None)
            if plain is not None:
                return await self._work.run(len(plain.body), partial(_coded, plain, coding))
        entry = view.document.entry
        page = (await self._parsed.get(view.document)).page
        async with self._work.turn(entry):
            return await self._work.run(entry.size, partial(_rendered, view, page, form, coding))

    def _remembered(self, key: str) -> RenderedPage | None:
        found = self._pages.get(key)
        if found is not None:
            self._pages.move_to_end(key)
        return found

    def _remember(self, key: str, made: RenderedPage) -> None:
        self._pages[key] = made
        self._bytes += len(made.body)
        while self._bytes > _BYTES and len(self._pages) > 1:
            _, old = self._pages.popitem(last=False)
            self._bytes -= len(old.body)


def _read(sidecar: Sidecar[str]) -> RenderedPage:
    return RenderedPage(sidecar.read(0, sidecar.size), sidecar.facts)


def _rendered(view: PageView, page: Page, form: Format, coding: Coding | None) -> RenderedPage:
    """The page in one go: what is not coded is several times as long, and not kept."""
    body = render(view.supplement.complete(page), view.here, view.site, form, view.base)
    plain = RenderedPage(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return plain if coding is None else _coded(plain, coding)


def _coded(plain: RenderedPage, coding: Coding) -> RenderedPage:
    return RenderedPage(coded(plain.body, coding), f'{plain.etag[:-1]}-{coding.value}"')
