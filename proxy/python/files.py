"""Files: distributions, what lies beside them, and wheels' metadata.

Called by the service. A kept file is answered as long as it is what pages promise (`standing`). What is not kept goes
through `downloads`, or past it for a range that would have to wait; where that fails, the file's page is asked for
again, once: addresses of files may be good for minutes only.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from proxy.cache.downloads import Body, Downloads
from proxy.cache.file_opener import FileOpener
from proxy.cache.flight import WantedFile
from proxy.cache.representation import LASTING, Representation, etag_of
from proxy.cache.revalidation import Revalidator
from proxy.errors import NotFound, UpstreamBroken, UpstreamDenied, UpstreamError, WrongBytes
from proxy.model import Blob, Digest, Entry, Kind, Outcome, Query, Site, Source, Target
from proxy.ports import Clock, Store
from proxy.python.catalog import Catalog, Said
from proxy.python.metadata import Metadata
from proxy.python.standing import Standing, is_vouched
from proxy.python.store_keys import file_key
from proxy.python.supplements import is_volatile

VOLATILE_LIFE = "max-age=600, public"
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
        self._standing = Standing(store, catalog, downloads.stored_files, revalidator, clock)
        self._clock = clock

    async def file(self, query: Query[Target], site: Site) -> Representation:
        """The file at the query's target, or the range of it that is asked for.

        Raises NotFound, NotAllowed, or another UpstreamError.
        """
        target = query.target
        entry, blob = self._stored(file_key(target))
        if entry is None or blob is None:
            return await self._fetched(query, site, await self._catalog.find(target, site))
        said, outcome = await self._standing.of_file(target, site, entry)
        lasting = outcome is not Outcome.MISS and _lasting(target, site, said, vouched=entry.promised is not None)
        kept = _file_of(site, blob, said.digest or entry.promised or blob.digest, Source.CACHE, lasting=lasting)
        kept = replace(kept, age=self._age(entry))
        if outcome is not Outcome.MISS:
            age = None if outcome is Outcome.REVALIDATED else kept.age
            return self._reusable(replace(kept, outcome=outcome, age=age), site, said, lasting=lasting)
        if said.digest is not None and not entry.proved:
            await self._store.forget(entry.key)  # it was never what the page promises
        try:
            return await self._fetched(query, site, said, renew=said.digest is None)
        except (NotFound, UpstreamError):
            if said.digest is not None:
                raise  # a page promises another file than the kept one
            return replace(kept, outcome=Outcome.STALE)

    async def metadata(self, target: Target, site: Site, name: str) -> Representation:
        """The metadata of a wheel, from wherever it can be had; `name` ends in `.metadata`. Raises as `file` does."""
        key = file_key(target)
        wheel = Target(target.mount, target.host, target.path.removesuffix(".metadata"))
        entry, blob = self._stored(key)
        if entry is not None and blob is not None:
            said, outcome = await self._standing.of_metadata(wheel, site, entry)
            if outcome is not Outcome.MISS:
                lasting = _lasting(wheel, site, said, vouched=is_vouched(entry))
                shown = self._metadata_of(site, blob, Source.CACHE, said, lasting=lasting)
                return replace(shown, outcome=outcome, age=self._age(entry))
        said = await self._catalog.find(wheel, site)
        try:
            return await self._provided(key, wheel, site, name, said)
        except _GONE:
            again = await self._catalog.again(said, wheel, site)
            if again is None:
                raise
            return await self._provided(key, wheel, site, name, again)

    async def _provided(self, key: str, wheel: Target, site: Site, name: str, said: Said) -> Representation:
        """The metadata of a wheel of which pages say this."""
        whl = await self._wanted(wheel, site, said)
        held = self._store.find(file_key(wheel))
        if held is not None and await self._standing.judge(wheel, site, held, said) is Outcome.MISS:
            whl = replace(whl, renew=said.digest is None)  # what is kept would tell of another wheel
        advertised = said.file.core_metadata if said.file is not None else None
        body, source = await self._metadata.get(key, whl, name.removesuffix(".metadata"), advertised)
        return self._metadata_of(site, body, source, said, lasting=_lasting(wheel, site, said))

    async def _fetched(self, query: Query[Target], site: Site, said: Said, *, renew: bool = False) -> Representation:
        """A file that is not here, from where pages say that it is; or from where its page says after a new look."""
        try:
            return await self._opened(query, site, said, renew=renew)
        except _GONE:
            again = await self._catalog.again(said, query.target, site)
            if again is None:
                raise
            return await self._opened(query, site, again, renew=renew)

    async def _opened(self, query: Query[Target], site: Site, said: Said, *, renew: bool) -> Representation:
        target = query.target
        wanted = replace(await self._wanted(target, site, said), renew=renew)
        # RFC 9110 §13.1.5: a range of what the client does not have the rest of is not to be answered as such.
        applies = query.if_range is None or query.if_range.strip() == etag_of(wanted.digest)
        body, source = await self._opener.body(wanted, query.span if applies else None, None, head=query.head)
        digest = wanted.digest or (body.digest if isinstance(body, Blob) else None)
        return _file_of(site, body, digest, source, lasting=_lasting(target, site, said))

    async def _wanted(self, target: Target, site: Site, said: Said) -> WantedFile:
        """The wish for a file. Where else its bytes are is looked for once, for all who want it at the time."""
        wanted = self._catalog.wanted(target, site, said)
        if said.file is None:
            return wanted
        flight = self._running(wanted)
        locations = flight.wanted.locations if flight is not None else await self._catalog.elsewhere(said.file, site)
        return replace(wanted, others=tuple(location for location in locations if location.url != wanted.url))

    def _age(self, entry: Entry) -> float:
        return max(self._clock.now() - entry.checked, 0.0)

    def _stored(self, key: str) -> tuple[Entry | None, Blob | None]:
        entry = self._store.find(key)
        return entry, self._store.blob(entry.digest) if entry is not None else None

    def _metadata_of(
        self, site: Site, body: bytes | Blob, source: Source, said: Said, *, lasting: bool
    ) -> Representation:
        digest = body.digest if isinstance(body, Blob) else Digest("sha256", hashlib.sha256(body).hexdigest())
        shown = Representation.of_file(
            body,
            kind=Kind.METADATA,
            mount=site.mount,
            source=source,
            digest=digest,
            cache_control=LASTING if lasting else VOLATILE_LIFE,
            content_type="text/plain; charset=utf-8",
        )
        return self._reusable(shown, site, said, lasting=lasting)

    def _reusable(self, shown: Representation, site: Site, said: Said, *, lasting: bool) -> Representation:
        """The answer, to be given again without another look for as long as the page that vouches for it is kept."""
        page = said.page
        if page is None or not lasting:
            return shown
        until = self._clock.monotonic() + site.ttl
        return replace(shown, fresh_until=until, stands=lambda: self._catalog.stands(page))


def _lasting(target: Target, site: Site, said: Said, *, vouched: bool = False) -> bool:
    """Whether the name stands for these bytes for ever: a page gives their digest, or names are not used twice there.

    Not while pages cannot be read, and not for what no page lists, unless one `vouched` for it before.
    """
    if said.digest is not None:
        return True
    return said.failure is None and not is_volatile(target, site) and (said.file is not None or vouched)


def _file_of(site: Site, body: Body, digest: Digest | None, source: Source, *, lasting: bool) -> Representation:
    return Representation.of_file(
        body,
        kind=Kind.FILE,
        mount=site.mount,
        source=source,
        digest=digest,
        cache_control=LASTING if lasting else VOLATILE_LIFE,
    )
