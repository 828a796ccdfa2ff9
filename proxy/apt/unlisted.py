"""Files that no index lists: stored as they arrived, and confirmed with upstream while they are served.

Called by `files` for packages that no index lists, and for all that changes under its name: keys, installer images,
changelogs, indexes without a Release file. Such a file is sent as it arrives, whatever its size. Within the archive's
window it is served from the store; then upstream is asked whether it still has it, and at once if the client says
`no-cache`. Never tells a client that a file lasts.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from msgspec import structs

from proxy.apt.addresses import ArchiveQuery
from proxy.apt.policy import MOUNT
from proxy.bounded import Bounded
from proxy.cache import body_checks, freshness
from proxy.cache.documents import Documents, WantedDocument
from proxy.cache.downloads import Body, Downloads
from proxy.cache.file_opener import FileOpener
from proxy.cache.flight import WantedFile
from proxy.cache.representation import CHANGING, Representation, last_modified_of, sha256_of
from proxy.cache.revalidation import Revalidator
from proxy.errors import Coded, NotFound, UpstreamError, Withheld
from proxy.model import Blob, Digest, Entry, Kind, Outcome, Source
from proxy.ports import Clock, Store

_log = logging.getLogger(__name__)

_MOST = 1000  # addresses remembered as not found, or as coded


class UnlistedFiles:
    """Answers for such files. Mutable state: what was not found lately, and what came in a content coding."""

    def __init__(
        self, store: Store, downloads: Downloads, documents: Documents, revalidator: Revalidator, clock: Clock
    ) -> None:
        self._store = store
        self._opener = FileOpener(downloads)
        self._documents = documents
        self._revalidator = revalidator
        self._clock = clock
        self._coded: Bounded[str, None] = Bounded(_MOST)
        self._negative: Bounded[str, tuple[float, NotFound]] = Bounded(_MOST)

    async def file(self, query: ArchiveQuery, wanted: WantedFile, kind: Kind) -> Representation:
        """The file, or the range of it that is asked for. Of what upstream no longer has, only packages are served.

        Raises NotFound, or another UpstreamError where nothing is stored.
        """
        entry = self._store.find(wanted.key)
        blob = self._store.blob(entry.digest) if entry is not None else None
        if entry is None or blob is None:
            self._refuse_missing(query, wanted)
            return await self._fetched(query, wanted, kind)
        lasts = kind is Kind.FILE
        outcome = await self._revalidator.outcome(wanted, entry, exact=True, gone=not lasts, anew=query.no_cache)
        if outcome is Outcome.MISS:
            try:
                return await self._fetched(query, replace(wanted, renew=True), kind)
            except (NotFound, UpstreamError) as error:
                if isinstance(error, NotFound) and not lasts and not isinstance(error, Withheld):
                    raise
                _log.warning("stale file served", extra={"upstream": wanted.site.mount, "reason": type(error).__name__})
                outcome = Outcome.STALE
        return self._stored(wanted, entry, blob, kind, outcome)

    async def changed(self, wanted: WantedFile, entry: Entry) -> bool:
        """Whether upstream has a file other than the stored one, as far as it says."""
        return await self._revalidator.outcome(wanted, entry, exact=True) is Outcome.MISS

    def _stored(self, wanted: WantedFile, entry: Entry, blob: Blob, kind: Kind, outcome: Outcome) -> Representation:
        age = max(self._clock.now() - entry.checked, 0.0)
        left = wanted.site.ttl - age if outcome is Outcome.HIT else 0.0
        until = self._clock.monotonic() + left if left > 0 else 0.0
        answer = self._answer(blob, kind, Source.CACHE, blob.digest, entry.validator.last_modified)
        return structs.replace(
            answer,
            outcome=outcome,
            fresh_until=until,
            age=None if outcome is Outcome.REVALIDATED else age,
            stands=lambda: self._store.find(entry.key) == entry,
        )

    async def _fetched(self, query: ArchiveQuery, wanted: WantedFile, kind: Kind) -> Representation:
        try:
            if wanted.key not in self._coded:
                return await self._opened(query, wanted, kind)
        except Coded:
            self._coded[wanted.key] = None
        except NotFound as error:
            if kind is not Kind.FILE:
                until = self._clock.monotonic() + min(wanted.site.ttl, freshness.NEGATIVE)
                self._negative[wanted.key] = until, error.again()
            raise
        return await self._decoded(wanted, kind)

    async def _opened(self, query: ArchiveQuery, wanted: WantedFile, kind: Kind) -> Representation:
        body, source = await self._opener.body(wanted, query.span, query.if_range, head=query.head)
        return self._answer(body, kind, source, sha256_of(body), last_modified_of(body, None))

    async def _decoded(self, wanted: WantedFile, kind: Kind) -> Representation:
        """A file that comes in a content coding, though identity was asked for: decoded, whole in memory, bounded."""

        async def refuse_page(_: Entry, body: bytes) -> None:
            body_checks.refuse_page(wanted.name, body)

        wish = WantedDocument(wanted.key, wanted.url, wanted.site, "*/*", check=refuse_page, raw=True, anew=True)
        document = await self._documents.get(wish)
        entry = document.entry
        body = self._store.blob(entry.digest) or await document.read()
        answer = self._answer(body, kind, document.source, entry.digest, entry.validator.last_modified)
        return structs.replace(answer, outcome=document.outcome, age=document.age)

    def _answer(
        self, body: bytes | Body, kind: Kind, source: Source, digest: Digest | None, date: str | None
    ) -> Representation:
        """What an answer says of such a file: it may change, and a settled date stands for these bytes."""
        return Representation.of_file(
            body,
            kind=kind,
            mount=MOUNT,
            source=source,
            digest=digest,
            cache_control=CHANGING,
            last_modified=date,
            dated=freshness.is_settled(date, self._clock.now()),
        )

    def _refuse_missing(self, query: ArchiveQuery, wanted: WantedFile) -> None:
        """Raise NotFound again for what upstream lacked a moment ago, unless the client says `no-cache`."""
        until, error = self._negative.get(wanted.key, (0.0, None))
        if error is None:
            return
        if self._clock.monotonic() < until and not query.no_cache:
            raise error.again()
        del self._negative[wanted.key]
