"""Rendered pages, as clients get them: made once in each form and coding, and kept in memory within bounds.

Called by `pages`. The key of a rendered page names all that it is made of, so it never goes stale. Long pages are
rendered and compressed in a thread.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

from proxy.cache.documents import Document
from proxy.cache.single_flight import SingleFlight
from proxy.model import Site, Target
from proxy.python.negotiation import Format
from proxy.python.page import Page
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.rendering import render
from proxy.python.supplements import NOTHING_KNOWN, Supplement

try:
    from isal import isal_zlib as library

    _LEVEL = 1  # as small as zlib's level 6
except ImportError:  # there is no wheel of it for this kind of machine
    import zlib as library  # type: ignore[no-redef]

    _LEVEL = 6

_BYTES = 48 << 20  # of rendered pages
_GZIP = 31  # zlib's window of 32 KiB, and a header of gzip


@dataclass(frozen=True, slots=True)
class PageView:
    """What a rendered page is made of: upstream's page, the address on the cache, and what is known here of it.

    `base`: scheme, host and port of the cache, with which links in JSON begin; empty for relative ones.
    """

    document: Document
    here: Target
    site: Site
    supplement: Supplement = NOTHING_KNOWN
    base: str = ""

    def key(self, form: Format, *, gzip: bool) -> str:
        """A text that tells rendered pages apart. It is the same in another process."""
        entry, here = self.document.entry, self.here
        return (
            f"{entry.digest} {entry.url} {self.base}/{here.mount} {here.path} {self.supplement.key} {form.name} {gzip}"
        )


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A rendered page and its strong ETag (RFC 9110 §8.8.3), which differs for each form and coding."""

    body: bytes
    etag: str


class RenderedPages:
    """Renders pages. Mutable state: rendered pages in order of use, and the work under way."""

    def __init__(self, parsed: ParsedPages, work: PageWork) -> None:
        self._parsed = parsed
        self._work = work
        self._pages: OrderedDict[str, RenderedPage] = OrderedDict()
        self._bytes = 0
        self._flights: SingleFlight[RenderedPage] = SingleFlight()

    async def get(self, view: PageView, form: Format, *, gzip: bool) -> RenderedPage:
        """The rendered page. Raises UpstreamBroken if upstream's is no index page, BlobDamaged."""
        key = view.key(form, gzip=gzip)
        found = self._pages.get(key)
        if found is not None:
            self._pages.move_to_end(key)
            return found
        task, _ = self._flights.join(key, lambda: self._render(key, view, form, gzip=gzip))
        return await self._flights.result(task)

    async def close(self) -> None:
        """Break off the work under way."""
        await self._flights.close()

    async def _render(self, key: str, view: PageView, form: Format, *, gzip: bool) -> RenderedPage:
        if gzip:
            plain = await self.get(view, form, gzip=False)
            body = await self._work.run(len(plain.body), partial(compressed, plain.body))
            made = RenderedPage(body, f'{plain.etag[:-1]}-gzip"')
        else:
            entry = view.document.entry
            page = (await self._parsed.get(view.document)).page
            async with self._work.turn(entry):
                made = await self._work.run(entry.size, partial(_rendered, view, page, form))
        self._pages[key] = made
        self._bytes += len(made.body)
        while self._bytes > _BYTES and len(self._pages) > 1:
            _, old = self._pages.popitem(last=False)
            self._bytes -= len(old.body)
        return made


def _rendered(view: PageView, page: Page, form: Format) -> RenderedPage:
    body = render(view.supplement.complete(page), view.here, view.site, form, view.base)
    return RenderedPage(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def compressed(body: bytes) -> bytes:
    """The body as one member of gzip (RFC 1952)."""
    return library.compress(body, _LEVEL, _GZIP)
