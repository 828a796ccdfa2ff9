"""Whether a stored file, or the stored metadata of a wheel, is still what index pages promise.

Asked by `files` before it answers from the store. Stored pages are enough, however old. Pages are asked for only if
none of them ever vouched for the file, and are not waited for long. What a page promises is compared in its own
algorithm. Never fetches a file, and never drops one.
"""

from __future__ import annotations

from msgspec import structs

from proxy.cache.freshness import is_fresh
from proxy.cache.revalidation import Revalidator
from proxy.cache.stored_files import StoredFiles
from proxy.model import Digest, Entry, Outcome, Site, Target
from proxy.ports import Clock, Store
from proxy.python.catalog import Catalog, Listing
from proxy.python.page import File
from proxy.python.page_cache import WaitLimit
from proxy.python.routes import is_volatile

_LIMIT = WaitLimit(1.0, 0.0)  # a stored file waits for a page that may promise another one, but not for long


def is_vouched(metadata: Entry) -> bool:
    """Whether a page gave a digest of stored metadata, or of the wheel that it was read out of."""
    return metadata.promised is not None or metadata.validator.etag is not None


class FileValidity:
    """Judges what is stored: HIT, REVALIDATED, STALE if nothing certain is known, MISS if pages promise another file.

    It has no state of its own.
    """

    def __init__(
        self, store: Store, catalog: Catalog, stored_files: StoredFiles, revalidator: Revalidator, clock: Clock
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._stored_files = stored_files
        self._revalidator = revalidator
        self._clock = clock

    async def of_file(self, target: Target, site: Site, entry: Entry) -> tuple[Listing, Outcome]:
        """What pages say of a stored file now, and the judgement."""
        listing = await self._listing(target, site, entry, vouched=entry.promised is not None)
        return listing, await self.judge(target, site, entry, listing)

    async def judge(self, target: Target, site: Site, entry: Entry, listing: Listing) -> Outcome:
        """The judgement on a stored file that pages list so."""
        digest = listing.digest
        if digest is not None:
            if not await self._stored_files.matches(entry, digest):
                return Outcome.MISS
            await self._proved(entry, digest)
            return Outcome.HIT
        if listing.failure is not None:
            return Outcome.STALE
        entry = await self._proved(entry, entry.promised)
        if is_volatile(target, site):
            return await self._revalidated(target, site, entry, listing)
        return Outcome.HIT

    async def _revalidated(self, target: Target, site: Site, entry: Entry, listing: Listing) -> Outcome:
        """Whether upstream still has the file; asked at a new address if the known one has expired."""
        wanted = self._catalog.wanted(target, site, listing)
        outcome = await self._revalidator.outcome(wanted, entry)
        # A host that is down says of no address that it has expired.
        asked = outcome is Outcome.STALE and not self._revalidator.is_left_alone(wanted)
        again = await self._catalog.look_again(listing, target, site, _LIMIT) if asked else None
        if again is None:
            return outcome
        return await self._revalidator.outcome(self._catalog.wanted(target, site, again), entry)

    async def of_metadata(self, wheel: Target, site: Site, entry: Entry) -> tuple[Listing, Outcome]:
        """What pages say now of the wheel of stored metadata, and the judgement on the metadata."""
        listing = await self._listing(wheel, site, entry, vouched=is_vouched(entry))
        if listing.file is None and listing.failure is not None:
            return listing, Outcome.STALE
        if listing.file is not None and not await self._metadata_matches(entry, listing.file):
            return listing, Outcome.MISS
        if is_volatile(wheel, site) and listing.digest is None and not self._fresh(entry, site):
            promised = listing.file.core_metadata if listing.file is not None else None
            if not isinstance(promised, Digest):
                return listing, Outcome.MISS  # the wheel may have been replaced under its name since
        await self._proved(entry, entry.promised)
        return listing, Outcome.HIT

    async def _listing(self, target: Target, site: Site, entry: Entry, *, vouched: bool) -> Listing:
        """What pages say.

        If none ever vouched for the file, upstream is asked for them: now if none could be read before, else whenever
        the entry is not fresh.
        """
        listing = await self._catalog.stored(target, site)
        if listing.file is not None or (entry.proved and (vouched or self._fresh(entry, site))):
            return listing
        listing = await self._catalog.look_up(target, site, _LIMIT, stored=True)
        if listing.file is None and listing.failure is None and not is_volatile(target, site):
            await self._write(entry, structs.replace(entry, checked=self._clock.now(), proved=True))
        return listing

    async def _metadata_matches(self, entry: Entry, listed: File) -> bool:
        """Whether stored metadata is that of the wheel that a page lists now. Where the page has no hash, it is."""
        if isinstance(listed.core_metadata, Digest):
            return await self._stored_files.matches(entry, listed.core_metadata)
        # Metadata that was read out of a wheel has the wheel's digest for a validator, if a page gave it then.
        return listed.best_digest is None or entry.validator.etag == str(listed.best_digest)

    async def _proved(self, entry: Entry, promised: Digest | None) -> Entry:
        """Record that pages were read, and what they promise, where that was in doubt."""
        return (
            entry if entry.proved else await self._write(entry, structs.replace(entry, promised=promised, proved=True))
        )

    async def _write(self, before: Entry, entry: Entry) -> Entry:
        if self._store.find(before.key) == before:  # else another file, or nothing, is there by now
            await self._store.save(entry)
        return entry

    def _fresh(self, entry: Entry, site: Site) -> bool:
        return is_fresh(entry, self._clock.now(), site.ttl)
