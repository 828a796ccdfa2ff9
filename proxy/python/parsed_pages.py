"""Parsed pages: each body is parsed once, and kept in memory within bounds.

Called by `page_cache` for a page that arrives, by `rendered_pages` for one that has to be rendered, and by `outlines`
where there is none. A page is known by the digest of its body, so it never goes stale: another page has
another digest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeVar

from msgspec import structs

from proxy.bounded import Bounded
from proxy.cache.documents import Document
from proxy.cache.workers import Workers
from proxy.model import Entry
from proxy.python.file_list import FileList
from proxy.python.parsed_page import ParsedPage, Summary
from proxy.python.parsing import parse
from proxy.python.store_keys import project_of_page

T = TypeVar("T")

_LINKS = 40_000  # of parsed pages
_SUMMARIES = 20_000
_THREADS = 2  # more of them would wait for each other's interpreter lock, and the event loop for all of them
_LONG = 32 << 10  # bytes of a page that is long: the work on it leaves the event loop
_LARGE = 4 << 20  # bytes of a page that is large: one at a time, since it takes several times its size in memory


class PageWork:
    """Where pages are parsed and rendered. Mutable state: the threads, and whose turn it is of the large pages."""

    def __init__(self) -> None:
        self._threads = Workers("parsing", _THREADS)
        self._large = asyncio.Lock()

    def turn(self, entry: Entry) -> AbstractAsyncContextManager[object]:
        """Wait until a page may be worked on: large ones come one after another."""
        return self._large if entry.size >= _LARGE else contextlib.nullcontext()

    async def run(self, size: int, work: partial[T]) -> T:
        """Do work on `size` bytes, in a thread if they are many."""
        return work() if size < _LONG else await self._threads.run(work)

    async def close(self) -> None:
        """Wait for the work under way."""
        await self._threads.close()


class ParsedPages:
    """Parses pages. Mutable state: parsed pages and summaries, in order of use; `count`: pages parsed so far."""

    def __init__(self, work: PageWork) -> None:
        self.count = 0
        self._work = work
        self._pages: OrderedDict[tuple[str, str], ParsedPage] = OrderedDict()
        self._links = 0
        self._summaries: Bounded[tuple[str, str], Summary] = Bounded(_SUMMARIES)

    async def run(self, size: int, work: partial[T]) -> T:
        """Do other work on `size` bytes of a page where pages are parsed."""
        return await self._work.run(size, work)

    async def get(self, document: Document) -> ParsedPage:
        """The parsed page. Raises UpstreamBroken if it is no index page, BlobDamaged."""
        entry = document.entry
        found = self._known(entry)
        if found is not None:
            return found
        async with self._work.turn(entry):
            return self._known(entry) or await self._parse(entry, await document.read())

    def remembered(self, document: Document) -> ParsedPage | None:
        """The parsed page, if it is in memory."""
        return self._known(document.entry)

    async def parse(self, entry: Entry, body: bytes) -> ParsedPage:
        """The same for a page that has just come, and is not stored yet."""
        async with self._work.turn(entry):
            return self._known(entry) or await self._parse(entry, body)

    def summary(self, document: Document) -> Summary | None:
        """The summary of a page, if it is in memory, where it stays longer than the links."""
        key = _key(document.entry)
        found = self._summaries.get(key)
        if found is not None:
            self._summaries.move_to_end(key)
        return found

    def sum_up(self, document: Document, summary: Summary) -> None:
        """Note the summary of a page that need not be parsed."""
        self._summaries[_key(document.entry)] = summary

    async def _parse(self, entry: Entry, body: bytes) -> ParsedPage:
        key = _key(entry)
        self.count += 1
        found = await self._work.run(len(body), partial(parsed, entry, body))
        self._summaries[key] = found.summary
        if key not in self._pages:
            self._pages[key] = found
            self._links += len(found.page.files)
        while self._links > _LINKS and len(self._pages) > 1:
            _, old = self._pages.popitem(last=False)
            self._links -= len(old.page.files)
        return found

    def _known(self, entry: Entry) -> ParsedPage | None:
        key = _key(entry)
        found = self._pages.get(key)
        if found is not None:
            self._pages.move_to_end(key)
        return found


def _key(entry: Entry) -> tuple[str, str]:
    return entry.digest.value, entry.url


def parsed(entry: Entry, body: bytes) -> ParsedPage:
    """Parse the body of a page. Raises UpstreamBroken if it is no index page. Pure."""
    page = parse(body, entry.content_type, entry.url)
    project = project_of_page(entry.key)
    if project and isinstance(page.files, FileList):
        page = structs.replace(page, files=page.files.of(project))
    return ParsedPage.of(page)
