"""Files: distributions, what lies beside them, and wheels' metadata.

Called by the service. A kept file is answered as long as no page says that it is another one; where an index may
replace files under their names, it is confirmed first. What is not kept goes through `downloads`, or past it for a
range that would have to wait.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from proxy.cache.access import Access
from proxy.cache.confirming import Confirming
from proxy.cache.downloads import Downloads
from proxy.cache.flight import Flight, Wanted
from proxy.cache.freshness import Verdict, judge
from proxy.cache.passage import Passage
from proxy.cache.representation import Representation
from proxy.errors import NotFound, UpstreamError
from proxy.model import Blob, Digest, Entry, Kind, Outcome, Site, Source, Target
from proxy.ports import Clock, Store
from proxy.python import addresses
from proxy.python.catalog import Catalog
from proxy.python.metadata import Metadata, still_right
from proxy.python.page import File
from proxy.python.question import Question
from proxy.python.routes import file_key, is_binary
from proxy.python.supplements import is_volatile

# What PyPI says of files; uv and pip act on it.
FILE_LIFE = "max-age=365000000, immutable, public"
VOLATILE_LIFE = "max-age=600, public"


class Files:
    """Answers for files. It has no state of its own."""

    def __init__(  # noqa: PLR0913, PLR0917 the parts that a file comes from
        self,
        store: Store,
        downloads: Downloads,
        confirming: Confirming,
        catalog: Catalog,
        metadata: Metadata,
        clock: Clock,
    ) -> None:
        self._store = store
        self._access = Access(downloads)
        self._confirming = confirming
        self._catalog = catalog
        self._metadata = metadata
        self._clock = clock

    async def file(self, question: Question, site: Site) -> Representation:
        """The file at the question's target, or the range of it that is asked for.

        Raises NotFound, NotAllowed, or another UpstreamError.
        """
        target = question.target
        entry = self._store.find(file_key(target))
        blob = self._store.blob(entry.digest) if entry is not None else None
        if entry is None or blob is None:
            return await self._fetched(question, site, await self._catalog.find(target, site))
        listed = await self._catalog.kept(target, site)
        outcome = await self._standing(target, site, entry, listed)
        lasting = _lasting(target, site, listed)
        if outcome is not Outcome.MISS:
            return self._kept(site, blob, outcome, lasting=lasting)
        try:
            return await self._fetched(question, site, listed, renew=not lasting)
        except (NotFound, UpstreamError):
            if lasting:
                raise  # a page promises another file than the kept one
            return self._kept(site, blob, Outcome.STALE, lasting=False)

    async def _standing(self, target: Target, site: Site, entry: Entry, listed: File | None) -> Outcome:
        """Whether a kept file is still the one: MISS if it is another one's now, else how that is known."""
        promised = _sha256(listed)
        if promised is not None:
            return Outcome.HIT if promised == entry.digest else Outcome.MISS
        if _lasting(target, site, listed):
            return Outcome.HIT
        return await self._confirming.outcome(await self._wanted(target, site, listed), entry)

    async def metadata(self, target: Target, site: Site, name: str) -> Representation:
        """The metadata of a wheel, from wherever it can be had; `name` ends in `.metadata`. Raises as `file` does."""
        key = file_key(target)
        wheel = Target(target.mount, target.host, target.path.removesuffix(".metadata"))
        entry = self._store.find(key)
        blob = self._store.blob(entry.digest) if entry is not None else None
        if entry is not None and blob is not None:
            listed = await self._catalog.kept(wheel, site)
            if still_right(entry, listed) and not self._aged(entry, listed, wheel, site):
                return self._metadata_of(site, blob, Source.CACHE, lasting=_lasting(wheel, site, listed))
        file = await self._catalog.find(wheel, site)
        whl = await self._wanted(wheel, site, file)
        held = self._store.find(file_key(wheel))
        if held is not None and await self._standing(wheel, site, held, file) is Outcome.MISS:
            whl = replace(whl, renew=not _lasting(wheel, site, file))  # what is kept would tell of another wheel
        advertised = file.core_metadata if file is not None else None
        body, source = await self._metadata.get(key, whl, name.removesuffix(".metadata"), advertised)
        return self._metadata_of(site, body, source, lasting=_lasting(wheel, site, file))

    def _aged(self, entry: Entry, listed: File | None, wheel: Target, site: Site) -> bool:
        """Whether metadata may be that of a file that was replaced under its name since."""
        if _lasting(wheel, site, listed) or (listed is not None and isinstance(listed.core_metadata, Digest)):
            return False
        return judge(entry, self._clock.now(), site.ttl) is Verdict.STALE

    async def _fetched(
        self, question: Question, site: Site, file: File | None, *, renew: bool = False
    ) -> Representation:
        wanted = replace(await self._wanted(question.target, site, file), renew=renew)
        digest = _sha256(file)
        # RFC 9110 §13.1.5: a range of what the client does not have the rest of is not to be answered as such.
        applies = question.if_range is None or question.if_range.strip() == _etag(digest)
        body, source = await self._access.body(wanted, question.span if applies else None, None, head=question.head)
        if isinstance(body, Blob):
            digest = body.digest
        return _file_of(site, body, digest, source, lasting=_lasting(question.target, site, file))

    def _kept(self, site: Site, blob: Blob, outcome: Outcome, *, lasting: bool) -> Representation:
        """A stored file. One that lasts needs no second look at what pages say for as long as they live."""
        shown = _file_of(site, blob, blob.digest, Source.CACHE, lasting=lasting)
        return replace(shown, outcome=outcome, fresh_until=self._clock.monotonic() + site.ttl if lasting else 0.0)

    def _metadata_of(self, site: Site, body: bytes | Blob, source: Source, *, lasting: bool) -> Representation:
        """Metadata needs no second look at what pages say of its wheel for as long as they live."""
        digest = body.digest if isinstance(body, Blob) else Digest("sha256", hashlib.sha256(body).hexdigest())
        return Representation(
            body=body,
            kind=Kind.METADATA,
            mount=site.mount,
            content_type="text/plain; charset=utf-8",
            cache_control=FILE_LIFE if lasting else VOLATILE_LIFE,
            etag=_etag(digest),
            outcome=_OUTCOMES[source],
            source=source,
            fresh_until=self._clock.monotonic() + site.ttl if lasting else 0.0,
        )

    async def _wanted(self, target: Target, site: Site, file: File | None) -> Wanted:
        binary = is_binary(target.path)
        if file is None:
            return Wanted(file_key(target), addresses.upstream_url(target, site), site, binary=binary)
        others = await self._catalog.elsewhere(file, site)
        return Wanted(file_key(target), file.url, site, file.best_digest, file.size, binary=binary, others=others)


_OUTCOMES = {Source.CACHE: Outcome.HIT, Source.SHARED: Outcome.SHARED, Source.UPSTREAM: Outcome.MISS}


def _lasting(target: Target, site: Site, file: File | None) -> bool:
    """Whether the name stands for these bytes for ever: names are not used twice there, or a page gave the hash.

    Another hash than a sha256 does not tell whether the kept file is the one.
    """
    return not is_volatile(target, site) or _sha256(file) is not None


def _sha256(file: File | None) -> Digest | None:
    """The digest that a page gives, if it is the one that names blobs."""
    digest = file.best_digest if file is not None else None
    return digest if digest is not None and digest.algorithm == "sha256" else None


def _etag(digest: Digest | None) -> str | None:
    """The validator of a body whose sha256 is known: the same while it is fetched, and when it is stored."""
    return f'"{digest.algorithm}:{digest.value}"' if digest else None


def _file_of(
    site: Site, body: Blob | Flight | Passage, digest: Digest | None, source: Source, *, lasting: bool
) -> Representation:
    return Representation(
        body=body,
        kind=Kind.FILE,
        mount=site.mount,
        content_type="application/octet-stream",
        cache_control=FILE_LIFE if lasting else VOLATILE_LIFE,
        etag=_etag(digest),
        outcome=_OUTCOMES[source],
        source=source,
    )
