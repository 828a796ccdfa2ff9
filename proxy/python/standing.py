"""Standing: whether a kept file, or kept metadata of a wheel, is still what pages promise.

Asked by `files` before it answers from the store. Pages are looked at as they are kept; only where none of them ever
vouched for a file are they asked for, and not waited for long. What a page promises is compared in its own algorithm.
Never fetches a file, and never drops one.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from proxy.cache.freshness import is_fresh
from proxy.cache.revalidation import Revalidator
from proxy.cache.stored_files import StoredFiles
from proxy.errors import StoreError
from proxy.model import Digest, Entry, Outcome, Site, Target
from proxy.ports import Clock, Store
from proxy.python.catalog import Catalog, Said
from proxy.python.page import File
from proxy.python.page_cache import Limit
from proxy.python.supplements import is_volatile

_log = logging.getLogger(__name__)

_LIMIT = Limit(1.0, 0.0)  # a kept file waits for a page which may say that it is another one, but not for long


def is_vouched(metadata: Entry) -> bool:
    """Whether a page gave a digest of kept metadata, or of the wheel that it was read out of."""
    return metadata.promised is not None or metadata.validator.etag is not None


class Standing:
    """Judges what is kept: HIT, REVALIDATED, STALE if nothing certain can be said, MISS if it is another file's.

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

    async def of_file(self, target: Target, site: Site, entry: Entry) -> tuple[Said, Outcome]:
        """What pages say of a kept file now, and how it stands."""
        said = await self._said(target, site, entry, vouched=entry.promised is not None)
        return said, await self.judge(target, site, entry, said)

    async def judge(self, target: Target, site: Site, entry: Entry, said: Said) -> Outcome:
        """How a kept file stands, after what pages say of it."""
        digest = said.digest
        if digest is not None:
            if not await self._right(entry, digest):
                return Outcome.MISS
            await self._proved(entry, digest)
            return Outcome.HIT
        if said.failure is not None:
            return Outcome.STALE
        entry = await self._proved(entry, entry.promised)
        if is_volatile(target, site):
            return await self._confirmed(target, site, entry, said)
        return Outcome.HIT

    async def _confirmed(self, target: Target, site: Site, entry: Entry, said: Said) -> Outcome:
        """Whether upstream still has the file; asked at a new address if the one that is known has expired."""
        outcome = await self._revalidator.outcome(self._catalog.wanted(target, site, said), entry)
        again = await self._catalog.again(said, target, site, _LIMIT) if outcome is Outcome.STALE else None
        if again is None:
            return outcome
        return await self._revalidator.outcome(self._catalog.wanted(target, site, again), entry)

    async def of_metadata(self, wheel: Target, site: Site, entry: Entry) -> tuple[Said, Outcome]:
        """What pages say now of the wheel of kept metadata, and how the metadata stands."""
        said = await self._said(wheel, site, entry, vouched=is_vouched(entry))
        if said.file is None and said.failure is not None:
            return said, Outcome.STALE
        if said.file is not None and not await self._metadata_right(entry, said.file):
            return said, Outcome.MISS
        if is_volatile(wheel, site) and said.digest is None and self._aged(entry, site):
            promised = said.file.core_metadata if said.file is not None else None
            if not isinstance(promised, Digest):
                return said, Outcome.MISS  # it may be that of a wheel which was replaced under its name since
        await self._proved(entry, entry.promised)
        return said, Outcome.HIT

    async def _said(self, target: Target, site: Site, entry: Entry, *, vouched: bool) -> Said:
        """What pages say. They are asked for what none vouched for: now if none could be read, else at times."""
        said = await self._catalog.kept(target, site)
        if said.file is not None or (entry.proved and (vouched or not self._aged(entry, site))):
            return said
        said = await self._catalog.look(target, site, _LIMIT, kept=True)
        if said.file is None and said.failure is None and not is_volatile(target, site):
            await self._write(entry, replace(entry, checked=self._clock.now(), proved=True))
        return said

    async def _metadata_right(self, entry: Entry, listed: File) -> bool:
        """Whether kept metadata is that of the wheel which a page lists now. Where the page has no hash, it is."""
        if isinstance(listed.core_metadata, Digest):
            return await self._right(entry, listed.core_metadata)
        # What was read out of a wheel has that wheel's digest in the place of a validator, if a page gave it then.
        return listed.best_digest is None or entry.validator.etag == str(listed.best_digest)

    async def _right(self, entry: Entry, digest: Digest) -> bool:
        try:
            return await self._stored_files.matches(entry, digest)
        except StoreError as error:
            _log.warning("kept file not compared", extra={"reason": str(error)})
            return False

    async def _proved(self, entry: Entry, promised: Digest | None) -> Entry:
        """Write down, where it was in doubt, that pages were read and what they promise."""
        return entry if entry.proved else await self._write(entry, replace(entry, promised=promised, proved=True))

    async def _write(self, before: Entry, entry: Entry) -> Entry:
        if self._store.find(before.key) == before:  # else another file, or nothing, is there by now
            await self._store.save(entry)
        return entry

    def _aged(self, entry: Entry, site: Site) -> bool:
        return not is_fresh(entry, self._clock.now(), site.ttl)
