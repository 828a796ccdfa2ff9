"""Files: distributions, files that belong to them, such as signatures, and wheels' metadata.

Called by the service. A stored file is served as long as it is what pages promise; `file_validity` decides that. What
is not stored goes through `downloads`, or past it for a range that would have to wait. When that fails, the file's page
is asked for again, once: addresses of files may be good for minutes only.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial

from msgspec import structs

from proxy.cache.downloads import Body, Downloads
from proxy.cache.file_opener import FileOpener
from proxy.cache.flight import WantedFile
from proxy.cache.representation import LASTING, Representation, etag_of
from proxy.cache.revalidation import Revalidator
from proxy.errors import NotFound, UpstreamBroken, UpstreamDenied, UpstreamError, WrongBytes
from proxy.model import Blob, Digest, Entry, Kind, Outcome, Query, Site, Source, Target
from proxy.ports import Clock, Store
from proxy.python.attachments import METADATA
from proxy.python.catalog import Catalog, Listing
from proxy.python.file_validity import FileValidity, is_vouched
from proxy.python.metadata import Metadata
from proxy.python.routes import is_volatile
from proxy.python.store_keys import file_key

REPLACEABLE = "max-age=600, public"  # `Cache-Control` of files that may be replaced under their names
_GONE = (NotFound, UpstreamDenied, UpstreamBroken, WrongBytes)  # what an address that has expired may answer


class Files:
    """Answers for files. It has no state of its own."""

    def __init__(  # noqa: PLR0913, PLR0917 the parts that a file comes from
        self,
        store: Store,
        downloads: Downloads,
        revalidator: Revalidator,
        catalog: Catalog,
        metadata: Metadata,
        clock: Clock,
    ) -> None:
        self._store = store
        self._running = downloads.running
        self._opener = FileOpener(downloads)
        self._catalog = catalog
        self._metadata = metadata
        self._validity = FileValidity(store, catalog, downloads.stored_files, revalidator, clock)
        self._clock = clock

    async def file(self, query: Query[Target], site: Site) -> Representation:
        """The file at the query's target, or the range of it that is asked for.

        Raises NotFound, NotAllowed, or another UpstreamError.
        """
        target = query.target
        entry, blob = self._stored(file_key(target))
        if entry is None or blob is None:
            return await self._fetched(query, site, await self._catalog.find(target, site))
        listing, outcome = await self._validity.of_file(target, site, entry)
        immutable = outcome is not Outcome.MISS and _is_immutable(
            target, site, listing, vouched=entry.promised is not None
        )
        digest = listing.digest or entry.promised or blob.digest
        shown = Outcome.STALE if outcome is Outcome.MISS else outcome
        age = None if outcome is Outcome.REVALIDATED else self._age(entry)
        stored = _file_answer(site, blob, digest, Source.CACHE, immutable=immutable, outcome=shown, age=age)
        if outcome is not Outcome.MISS:
            return self._reusable(stored, site, listing, immutable=immutable)
        if listing.digest is not None and not entry.proved:
            await self._store.forget(entry.key)  # it was never what the page promises
        try:
            return await self._fetched(query, site, listing, renew=listing.digest is None)
        except (NotFound, UpstreamError):
            if listing.digest is not None:
                raise  # a page promises another file than the stored one
            return stored

    async def metadata(self, target: Target, site: Site, name: str, *, ahead: bool = False) -> Representation:
        """The metadata of a wheel, from wherever it can be had; `name` ends in `.metadata`. Raises as `file` does.

        `ahead`: no client waits for it yet.
        """
        key = file_key(target)
        wheel = Target(target.mount, target.host, target.path.removesuffix(METADATA))
        entry, blob = self._stored(key)
        if entry is not None and blob is not None:
            listing, outcome = await self._validity.of_metadata(wheel, site, entry)
            if outcome is not Outcome.MISS:
                immutable = _is_immutable(wheel, site, listing, vouched=is_vouched(entry))
                answer = self._metadata_answer(site, blob, Source.CACHE, listing, immutable=immutable)
                return structs.replace(answer, outcome=outcome, age=self._age(entry))
        listing = await self._listing_of_wheel(wheel, site)
        try:
            return await self._fetched_metadata(key, wheel, site, name, listing, ahead=ahead)
        except _GONE:
            again = await self._catalog.look_again(listing, wheel, site)
            if again is None:
                raise
            return await self._fetched_metadata(key, wheel, site, name, again, ahead=ahead)

    async def _listing_of_wheel(self, wheel: Target, site: Site) -> Listing:
        """What pages say of a wheel whose metadata is asked for. Of a stored one none has to: it is given, too."""
        entry, blob = self._stored(file_key(wheel))
        if entry is not None and blob is not None:
            listing, outcome = await self._validity.of_file(wheel, site, entry)
            if outcome is not Outcome.MISS:
                return listing
        return await self._catalog.find(wheel, site)

    async def _fetched_metadata(  # noqa: PLR0913 the wheel, and what is known of it
        self, key: str, wheel: Target, site: Site, name: str, listing: Listing, *, ahead: bool
    ) -> Representation:
        """The metadata of a wheel that is listed so."""
        wanted = await self._wanted(wheel, site, listing)
        stored = self._store.find(file_key(wheel))
        if stored is not None and await self._validity.judge(wheel, site, stored, listing) is Outcome.MISS:
            wanted = replace(wanted, renew=listing.digest is None)  # the stored wheel is another one
        advertised = listing.file.core_metadata if listing.file is not None else None
        name = name.removesuffix(METADATA)
        body, source = await self._metadata.get(key, wanted, name, advertised, ahead=ahead)
        immutable = _is_immutable(wheel, site, listing)
        return self._metadata_answer(site, body, source, listing, immutable=immutable)

    async def _fetched(
        self, query: Query[Target], site: Site, listing: Listing, *, renew: bool = False
    ) -> Representation:
        """A file that is not stored, from where it is listed; or from where its page lists it after a new look."""
        try:
            return await self._opened(query, site, listing, renew=renew)
        except _GONE:
            again = await self._catalog.look_again(listing, query.target, site)
            if again is None:
                raise
            return await self._opened(query, site, again, renew=renew)

    async def _opened(self, query: Query[Target], site: Site, listing: Listing, *, renew: bool) -> Representation:
        target = query.target
        wanted = replace(await self._wanted(target, site, listing), renew=renew)
        # RFC 9110 §13.1.5: the range counts only if the client has a part of this very file.
        applies = query.if_range is None or query.if_range.strip() == etag_of(wanted.digest)
        span = query.span if applies else None
        body, source = await self._opener.body(wanted, span, None, head=query.head, ahead=query.ahead)
        digest = wanted.digest or (body.digest if isinstance(body, Blob) else None)
        immutable = _is_immutable(target, site, listing)
        return _file_answer(site, body, digest, source, immutable=immutable)

    async def _wanted(self, target: Target, site: Site, listing: Listing) -> WantedFile:
        """What is to be fetched. Other locations are looked for once, for all who want the file at the time."""
        wanted = self._catalog.wanted(target, site, listing)
        if listing.file is None:
            return wanted
        flight = self._running(wanted)
        locations = flight.wanted.locations if flight is not None else await self._catalog.elsewhere(listing.file, site)
        return replace(wanted, others=tuple(location for location in locations if location.url != wanted.url))

    def _age(self, entry: Entry) -> float:
        return max(self._clock.now() - entry.checked, 0.0)

    def _stored(self, key: str) -> tuple[Entry | None, Blob | None]:
        entry = self._store.find(key)
        return entry, self._store.blob(entry.digest) if entry is not None else None

    def _metadata_answer(
        self, site: Site, body: bytes | Blob, source: Source, listing: Listing, *, immutable: bool
    ) -> Representation:
        digest = body.digest if isinstance(body, Blob) else Digest("sha256", hashlib.sha256(body).hexdigest())
        answer = Representation.of_file(
            body,
            kind=Kind.METADATA,
            mount=site.mount,
            source=source,
            digest=digest,
            cache_control=_cache_control(immutable=immutable),
            content_type="text/plain; charset=utf-8",
        )
        return self._reusable(answer, site, listing, immutable=immutable)

    def _reusable(self, answer: Representation, site: Site, listing: Listing, *, immutable: bool) -> Representation:
        """The answer, which may be given again for as long as the page that vouches for it is stored."""
        page = listing.page
        if page is None or not immutable:
            return answer
        until = self._clock.monotonic() + site.ttl
        return structs.replace(answer, fresh_until=until, stands=partial(self._store.stands, page))


def _is_immutable(target: Target, site: Site, listing: Listing, *, vouched: bool = False) -> bool:
    """Whether the name stands for these bytes for ever: a page gives their digest, or no name is used twice there.

    It does not while pages cannot be read, nor for a file that no page lists, unless one `vouched` for it before.
    """
    if listing.digest is not None:
        return True
    return listing.failure is None and not is_volatile(target, site) and (listing.file is not None or vouched)


def _file_answer(  # noqa: PLR0913 what an answer says of a file
    site: Site,
    body: Body,
    digest: Digest | None,
    source: Source,
    *,
    immutable: bool,
    outcome: Outcome | None = None,
    age: float | None = None,
) -> Representation:
    return Representation.of_file(
        body,
        kind=Kind.FILE,
        mount=site.mount,
        source=source,
        digest=digest,
        cache_control=_cache_control(immutable=immutable),
        outcome=outcome,
        age=age,
    )


def _cache_control(*, immutable: bool) -> str:
    return LASTING if immutable else REPLACEABLE
