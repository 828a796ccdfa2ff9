"""Python indexes: what is answered at each address below a mount.

Pages go through `documents` and are rendered for the client; files and their metadata go through `downloads`. Never
talks HTTP: it is given a target and what the client accepts, and gives back a representation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import assert_never

from proxy.cache.documents import Document, Documents
from proxy.cache.downloads import Downloads
from proxy.cache.flight import Flight, Wanted
from proxy.cache.passage import Passage
from proxy.cache.representation import Representation
from proxy.errors import UpstreamBroken
from proxy.model import Blob, Digest, Kind, Outcome, Site, Source, Span, Target
from proxy.ports import Clock, Store
from proxy.python import addresses, negotiation
from proxy.python.catalog import Catalog
from proxy.python.metadata import Metadata
from proxy.python.negotiation import Format
from proxy.python.page import File
from proxy.python.projects import ProjectListRewriter
from proxy.python.renderings import Renderings
from proxy.python.routes import Elsewhere, PackageFile, ProjectList, ProjectPage, classify, file_key, is_binary

# What PyPI says of pages and files; uv and pip act on both.
PAGE_LIFE = "max-age=600, public"
FILE_LIFE = "max-age=365000000, immutable, public"

_SMALL_SPAN = 1 << 20  # a range of a cold file up to this many bytes does not start a download
_AHEAD = 32 << 20  # a range that begins further than this behind what is here goes upstream by itself


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks at a target. `revalidate`: its Cache-Control says no-cache."""

    target: Target
    accept: str | None = None
    accept_encoding: str | None = None
    format: str | None = None  # the value of ?format= (PEP 691)
    span: Span | None = None
    if_range: str | None = None
    revalidate: bool = False
    head: bool = False  # only the head of the answer is wanted


@dataclass(frozen=True, slots=True)
class ProjectStream:
    """The list of all projects, passed through: tens of megabytes, never parsed. The edge closes the passage."""

    passage: Passage
    rewriter: ProjectListRewriter | None
    content_type: str
    mount: str


Answer = Representation | Elsewhere | ProjectStream


class PythonIndexes:
    """Answers for all mounts. `sites` is by mount."""

    def __init__(
        self, sites: dict[str, Site], store: Store, documents: Documents, downloads: Downloads, clock: Clock
    ) -> None:
        self.mounts = frozenset(sites)
        self._sites = sites
        self._documents = documents
        self._downloads = downloads
        self._renderings = Renderings()
        self._catalog = Catalog(store, documents, self._renderings)
        self._metadata = Metadata(store, downloads, clock)
        self._store = store

    async def answer(self, question: Question) -> Answer:
        """Answer a question. Raises NotFound, NotAllowed, or another UpstreamError."""
        target = question.target
        site = self._sites[target.mount]
        route = classify(target, site)
        match route:
            case Elsewhere():
                return route
            case ProjectPage():
                return await self._page(question, site, route.project)
            case ProjectList():
                return await self._projects(question, site)
            case PackageFile():
                if route.name.endswith(".whl.metadata"):
                    return await self._wheel_metadata(target, site, route.name)
                return await self._file(question, site)
            case _:
                assert_never(route)

    async def close(self) -> None:
        """Break off the work under way."""
        await self._metadata.close()
        await self._renderings.close()

    async def _page(self, question: Question, site: Site, project: str) -> Representation:
        target = question.target
        fmt = negotiation.choose(question.accept, question.format)
        document = await self._documents.get(self._catalog.wish(site, target, project, revalidate=question.revalidate))
        gzip = negotiation.gzip_accepted(question.accept_encoding)
        rendering = await self._renderings.rendered(document, target, site, fmt, gzip=gzip)
        return Representation(
            body=rendering.body,
            kind=Kind.PAGE,
            mount=site.mount,
            content_type=fmt.content_type,
            cache_control=PAGE_LIFE,
            etag=rendering.etag,
            outcome=document.outcome,
            source=_source(document),
            # Who asks for a revalidation is not to be answered from what is remembered of this answer.
            fresh_until=0.0 if question.revalidate else document.fresh_until,
            encoding="gzip" if gzip else None,
            vary="Accept, Accept-Encoding",
        )

    async def _projects(self, question: Question, site: Site) -> ProjectStream:
        fmt = negotiation.choose(question.accept, question.format)
        address = addresses.upstream_url(question.target, site)
        passage = await self._downloads.past(Wanted("", address, site, binary=False), 0, None, {"Accept": fmt.value})
        media_type = passage.content_type.partition(";")[0].strip().lower()
        if media_type.endswith(("+json", "/json")):
            return ProjectStream(passage, None, Format.JSON.content_type, site.mount)
        if media_type.endswith(("+html", "/html")):
            form = Format.HTML if media_type.endswith("+html") else Format.TEXT
            return ProjectStream(passage, ProjectListRewriter(address), form.content_type, site.mount)
        await passage.close()
        raise UpstreamBroken("Upstream sent something other than a list of projects.")

    async def _wheel_metadata(self, target: Target, site: Site, name: str) -> Representation:
        key = file_key(target)
        wheel_target = Target(target.mount, target.host, target.path.removesuffix(".metadata"))
        entry = self._store.find(key)
        blob = self._store.blob(entry.digest) if entry is not None else None
        if blob is not None:
            return _metadata_of(site, blob, Source.CACHE)
        file = await self._catalog.find(wheel_target, site)
        whl = self._wanted(wheel_target, site, file)
        advertised = file.core_metadata if file is not None else None
        body, source = await self._metadata.get(key, whl, name.removesuffix(".metadata"), advertised)
        return _metadata_of(site, body, source)

    async def _file(self, question: Question, site: Site) -> Representation:
        target = question.target
        entry = self._store.find(file_key(target))
        blob = self._store.blob(entry.digest) if entry is not None else None
        if blob is not None:
            return _file_of(site, blob, blob.digest, Source.CACHE)
        file = await self._catalog.find(target, site)
        wanted = self._wanted(target, site, file)
        digest = wanted.digest if wanted.digest is not None and wanted.digest.algorithm == "sha256" else None
        # RFC 9110 §13.1.5: a range of what the client does not have the rest of is not to be answered as such.
        applies = question.if_range is None or question.if_range.strip() == _etag(digest)
        body, source = await self._body(wanted, question.span if applies else None, head=question.head)
        if isinstance(body, Blob):
            digest = body.digest
        return _file_of(site, body, digest, source)

    async def _body(self, wanted: Wanted, span: Span | None, *, head: bool) -> tuple[Blob | Flight | Passage, Source]:
        """The stored file, its flight, or, for a range that would have to wait, a request of its own."""
        blob = await self._downloads.kept(wanted)
        if blob is not None:
            return blob, Source.CACHE
        flight = self._downloads.running(wanted)
        if head and flight is None:
            return await self._look(wanted), Source.UPSTREAM
        if span is not None and self._own_request(flight, span, wanted.size):
            part = await self._part(wanted, span)
            if part is not None:
                return part, Source.UPSTREAM
        body, began = await self._downloads.open(wanted)
        return body, Source.UPSTREAM if began else Source.CACHE if isinstance(body, Blob) else Source.SHARED

    @staticmethod
    def _own_request(flight: Flight | None, span: Span, size: int | None) -> bool:
        """Whether a range should not wait for the file: it is a look at a part, or far behind what is here."""
        size = size if flight is None or flight.size is None else flight.size
        if size is not None and span.within(size) == (0, size):
            return False  # all of it
        if flight is None or flight.size is None:
            return (span.length is not None and span.length <= _SMALL_SPAN) or span.start > _AHEAD
        meant = span.within(flight.size)
        if meant is None:
            return False
        start, end = meant
        return flight.readable(start) < end and (end - start <= _SMALL_SPAN or start > flight.readable(0) + _AHEAD)

    async def _look(self, wanted: Wanted) -> Passage:
        """The head of a cold file: its size, without fetching it."""
        try:
            passage = await self._downloads.probe(wanted)
        except UpstreamBroken:
            passage = await self._downloads.past(wanted, 0, None)
            await passage.close()
        passage.start, passage.end = 0, passage.size
        return passage

    async def _part(self, wanted: Wanted, span: Span) -> Passage | None:
        """A range from upstream; None where upstream gives no parts."""
        try:
            size = wanted.size
            if span.suffix is not None and size is None:
                size = (await self._downloads.probe(wanted)).size
            if size is None:
                return await self._downloads.past(wanted, span.start, span.end)
            meant = span.within(size)
            return await self._downloads.past(wanted, *meant) if meant is not None else None
        except UpstreamBroken:
            return None

    def _wanted(self, target: Target, site: Site, file: File | None) -> Wanted:
        name = target.path.rpartition("/")[2]
        if file is None:
            return Wanted(file_key(target), addresses.upstream_url(target, site), site, binary=is_binary(name))
        return Wanted(file_key(target), file.url, site, file.best_digest, file.size, binary=is_binary(name))


def _source(document: Document) -> Source:
    if document.fetched:
        return Source.UPSTREAM
    return Source.SHARED if document.outcome is Outcome.SHARED else Source.CACHE


_OUTCOMES = {Source.CACHE: Outcome.HIT, Source.SHARED: Outcome.SHARED, Source.UPSTREAM: Outcome.MISS}


def _etag(digest: Digest | None) -> str | None:
    """The validator of a body whose sha256 is known: the same while it is fetched, and when it is stored."""
    return f'"{digest.algorithm}:{digest.value}"' if digest else None


def _file_of(site: Site, body: Blob | Flight | Passage, digest: Digest | None, source: Source) -> Representation:
    return Representation(
        body=body,
        kind=Kind.FILE,
        mount=site.mount,
        content_type="application/octet-stream",
        cache_control=FILE_LIFE,
        etag=_etag(digest),
        outcome=_OUTCOMES[source],
        source=source,
        fresh_until=float("inf"),
    )


def _metadata_of(site: Site, body: bytes | Blob, source: Source) -> Representation:
    digest = body.digest if isinstance(body, Blob) else Digest("sha256", hashlib.sha256(body).hexdigest())
    return Representation(
        body=body,
        kind=Kind.METADATA,
        mount=site.mount,
        content_type="text/plain; charset=utf-8",
        cache_control=FILE_LIFE,
        etag=_etag(digest),
        outcome=_OUTCOMES[source],
        source=source,
        fresh_until=float("inf"),
    )
