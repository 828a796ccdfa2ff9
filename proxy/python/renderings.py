"""Pages as clients get them: parsed once, rendered once per format and coding, kept in bounded memory.

The memo is by the digest of upstream's page, so it never goes stale: another page has another digest. Long pages are
parsed, rendered and compressed in a worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import zlib
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from proxy.cache.documents import Document
from proxy.cache.single_flight import SingleFlight
from proxy.cache.workers import Workers
from proxy.model import Entry, Site, Target
from proxy.python.beside import NOTHING_BESIDE, Beside, is_bare
from proxy.python.filenames import tells
from proxy.python.negotiation import Format
from proxy.python.page import File, Page
from proxy.python.parsing import parse
from proxy.python.rendering import render
from proxy.python.routes import project_of_page

T = TypeVar("T")

_BYTES = 48 << 20  # rendered bodies kept, in bytes
_LINKS = 40_000  # links of parsed pages kept
_LONG = 32 << 10  # bytes from which on work leaves the event loop
_LARGE = 4 << 20  # bytes of a page from which on only one is worked on: it takes several times its size in memory


@dataclass(frozen=True, slots=True)
class Rendering:
    """A rendered page and its strong ETag (RFC 9110 §8.8.3), which differs per format and coding."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed page, its files by name, and whether it gives a hash for each of them.

    `bare`: the origins of the wheels for which it offers no metadata.
    """

    page: Page
    by_name: dict[str, list[File]]
    hashed: bool
    bare: frozenset[str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A page as it is to be shown: upstream's, where the client asks for it, and what is known beside it."""

    document: Document
    here: Target
    site: Site
    beside: Beside = NOTHING_BESIDE


class Renderings:
    """The memo. Mutable state: two tables in order of use, and the work under way."""

    def __init__(self) -> None:
        self._parsed: OrderedDict[tuple[str, str], Parsed] = OrderedDict()
        self._links = 0
        self._rendered: OrderedDict[str, Rendering] = OrderedDict()
        self._bytes = 0
        self._flights: SingleFlight[Rendering] = SingleFlight()
        self._parsing = Workers("parsing")
        self._large = asyncio.Lock()

    async def parsed(self, document: Document) -> Parsed:
        """The parsed page. Raises UpstreamBroken for what is no index page."""
        entry = document.entry
        found = self._known(entry)
        if found is not None:
            return found
        async with self._turn(entry):
            return self._known(entry) or await self._parse(entry, await document.read())

    async def parse(self, entry: Entry, body: bytes) -> Parsed:
        """A page that has just come, before it takes the place of one. Raises UpstreamBroken for what is none."""
        async with self._turn(entry):
            return self._known(entry) or await self._parse(entry, body)

    async def _parse(self, entry: Entry, body: bytes) -> Parsed:
        key = (str(entry.digest), entry.url)
        found = await self._work(len(body), partial(_parse, entry, body))
        if key not in self._parsed:
            self._parsed[key] = found
            self._links += len(found.page.files)
        while self._links > _LINKS and len(self._parsed) > 1:
            _, old = self._parsed.popitem(last=False)
            self._links -= len(old.page.files)
        return found

    def _known(self, entry: Entry) -> Parsed | None:
        key = (str(entry.digest), entry.url)
        found = self._parsed.get(key)
        if found is not None:
            self._parsed.move_to_end(key)
        return found

    async def rendered(self, shown: Shown, fmt: Format, *, gzip: bool) -> Rendering:
        """The page for a client. Raises UpstreamBroken for what is no index page."""
        entry, here = shown.document.entry, shown.here
        key = f"{entry.digest} {entry.url} {here.mount} {here.path} {shown.beside.key} {fmt.name} {gzip}"
        found = self._rendered.get(key)
        if found is not None:
            self._rendered.move_to_end(key)
            return found
        task, _ = self._flights.join(key, lambda: self._render(key, shown, fmt, gzip=gzip))
        return await self._flights.result(task)

    async def close(self) -> None:
        """Break off the work under way."""
        await self._flights.close()
        await self._parsing.close()

    async def _render(self, key: str, shown: Shown, fmt: Format, *, gzip: bool) -> Rendering:
        if gzip:
            plain = await self.rendered(shown, fmt, gzip=False)
            body = await self._work(len(plain.body), partial(_compress, plain.body))
            made = Rendering(body, f'{plain.etag[:-1]}-gzip"')
        else:
            page = (await self.parsed(shown.document)).page
            async with self._turn(shown.document.entry):
                body = await self._work(shown.document.entry.size, partial(_made, shown, page, fmt))
            made = Rendering(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        self._rendered[key] = made
        self._bytes += len(made.body)
        while self._bytes > _BYTES and len(self._rendered) > 1:
            _, old = self._rendered.popitem(last=False)
            self._bytes -= len(old.body)
        return made

    def _turn(self, entry: Entry) -> AbstractAsyncContextManager[object]:
        """Small pages are worked on at once, large ones one after another."""
        return self._large if entry.size >= _LARGE else contextlib.nullcontext()

    async def _work(self, size: int, work: partial[T]) -> T:
        return work() if size < _LONG else await self._parsing.run(work)


def _parse(entry: Entry, body: bytes) -> Parsed:
    page = parse(body, entry.content_type, entry.url)
    project = project_of_page(entry.key)
    files = tuple([_of(file, project) for file in page.files]) if project else page.files
    by_name: dict[str, list[File]] = {}
    for file in files:
        by_name.setdefault(file.filename, []).append(file)
    bare = frozenset(file.origin for file in files if is_bare(file))
    hashed = all(file.digests or not file.fetchable for file in files)
    return Parsed(replace(page, files=files), by_name, hashed, bare)


def _of(file: File, project: str) -> File:
    """A file on a project's page, which says whose it is where its name does not."""
    return file if tells(file.filename, project) else replace(file, project=project)


def _made(shown: Shown, page: Page, fmt: Format) -> bytes:
    return render(shown.beside.complete(page), shown.here, shown.site, fmt)


def _compress(body: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()
