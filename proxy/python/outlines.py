"""What is asked of a page by name, looked up in its outline, so that no page is parsed for one link (ADR 26).

Called by `catalog` for a single link, and by `supplements` for what is known beside a page. A page that is in memory is
asked itself, and so is a short one. Others have an outline beside them, which is made when the page has come, or
when it is missed. Who asks for a page asks for its files next: short outlines that were read lately stay in memory.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Collection
from functools import partial
from weakref import ref

import msgspec

from proxy.bounded import Bounded
from proxy.cache.documents import Document
from proxy.model import Entry
from proxy.python import outline
from proxy.python.outline import Excerpt, OutlineFacts
from proxy.python.parsed_page import ParsedPage, Summary
from proxy.python.parsed_pages import ParsedPages, parsed
from proxy.python.sidecars import WORTH, Made, Sidecar, Sidecars
from proxy.python.store_keys import outline_key

_NAMES = 200  # that are looked up one by one: for more the page is parsed
_SHORT = 64 << 10  # bytes of an outline that is read as a whole, and stays in memory
_LATELY = 128  # of them


class Outlines:
    """Answers from outlines. Mutable state: short ones that were read lately, by what they were made of."""

    def __init__(self, parsed: ParsedPages, sidecars: Sidecars) -> None:
        self._parsed = parsed
        self._sidecars = sidecars
        self._lately: Bounded[str, _Outline] = Bounded(_LATELY)

    async def summary(self, document: Document) -> Summary:
        """The summary of a page. Raises UpstreamBroken if it is no index page, BlobDamaged."""
        known = self._parsed.summary(document)
        return known if known is not None else (await self.ask(document, ())).summary

    async def ask(self, document: Document, names: Collection[str]) -> Excerpt:
        """The page's summary, and its files of these names; maybe those of others, too. Raises as `summary` does."""
        page = self._parsed.remembered(document)
        if page is None:
            found = self._looked_up(document.entry, names)
            if found is not None:
                self._parsed.sum_up(document, found.summary)
                return found
            page = await self._parsed.get(document)
            self._write_soon(document.entry, page)
        return Excerpt(page.summary, page.by_name)

    def came(self, document: Document) -> None:
        """Have an outline written of a page that has just come, and is in memory; unless the same one came before."""
        page = self._parsed.remembered(document)
        if page is not None and self._looked_up(document.entry, ()) is None:
            self._write_soon(document.entry, page)

    def _looked_up(self, entry: Entry, names: Collection[str]) -> Excerpt | None:
        if entry.size < WORTH or len(names) > _NAMES:
            return None
        made_of = _made_of(entry)
        known = self._lately.get(made_of)
        if known is not None:
            with contextlib.suppress(struct.error, msgspec.DecodeError):  # its file was damaged when it was read
                self._lately.move_to_end(made_of)
                return known.excerpt(names)
            del self._lately[made_of]
        blob = self._sidecars.find(entry, outline_key(entry.key))
        use = partial(self._read, made_of, names)
        return self._sidecars.read(blob, made_of, OutlineFacts, use) if blob is not None else None

    def _read(self, made_of: str, names: Collection[str], sidecar: Sidecar[OutlineFacts]) -> Excerpt | None:
        if sidecar.size > _SHORT:
            return _Outline(sidecar.facts, sidecar.read).excerpt(names)
        body = sidecar.read(0, sidecar.size)
        known = self._lately[made_of] = _Outline(sidecar.facts, lambda offset, size: body[offset : offset + size])
        return known.excerpt(names)

    def _write_soon(self, entry: Entry, page: ParsedPage) -> None:
        if entry.size >= WORTH:
            # The page is not kept in memory for this. A resolver asks for hundreds of them, one after another.
            make = partial(_made, ref(page), entry, self._sidecars.body_of(entry))
            self._sidecars.write_soon(entry, outline_key(entry.key), _made_of(entry), entry.size, make, held=0)


def _made(page: ref[ParsedPage], entry: Entry, body: Callable[[], bytes]) -> Made:
    """The outline of a page: of the one in memory, or of the one on disk, which is parsed once more."""
    return outline.encode(page() or parsed(entry, body()))


def _made_of(entry: Entry) -> str:
    """All that a parsed page depends on."""
    return f"{entry.digest} {entry.content_type} {entry.url} {entry.key}"


class _Outline:
    """One that can be read."""

    def __init__(self, facts: OutlineFacts, read: outline.Read) -> None:
        self._facts = facts
        self._summary = facts.summary
        self._read = read

    def excerpt(self, names: Collection[str]) -> Excerpt | None:
        """What `ask` gives. None if its links could not be written."""
        if names and not self._facts.groups:
            return None
        return Excerpt(self._summary, outline.look_up(self._read, self._facts, names))
