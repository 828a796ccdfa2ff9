"""Files: packages, sources and patches, which last under their names if an index lists them; and all others.

The service asks for one at a time. What no index lists goes to `unlisted`. What a client has asked for behind it on the
same connection is prefetched: its download begins before its turn. So a client that sends ten requests at once waits
for upstream once, not ten times. Never decides whether an address is allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from msgspec import structs

from proxy.apt import packages
from proxy.apt.addresses import ArchiveAddress, ArchiveQuery
from proxy.apt.catalog import Catalog
from proxy.apt.indexes import document_key
from proxy.apt.policy import MOUNT, Policy
from proxy.apt.release import Listed
from proxy.apt.unlisted import UnlistedFiles
from proxy.apt.vouching import Vouched, Vouching
from proxy.bounded import Bounded
from proxy.cache.downloads import Body, Downloads
from proxy.cache.file_opener import FileOpener
from proxy.cache.flight import Flight, WantedFile
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import CHANGING, LASTING, Representation, last_modified_of, sha256_of
from proxy.cache.single_flight import SingleFlight
from proxy.errors import NotFound, PullthroughError, StoreError, UpstreamError
from proxy.model import Blob, Digest, Kind, Outcome, Query, Source
from proxy.ports import Clock, Store

_REUSED = 60.0  # seconds for which an answer with a package may be replayed without a look at the indexes
_CHECKING = 10.0  # seconds to wait for a file that has to be whole before it is answered
_PREFETCHED = 1000  # downloads remembered that began before their turn, and whose turn has not come


class Files:
    """Answers for files. Mutable state: the downloads that began before their turn."""

    def __init__(  # noqa: PLR0913, PLR0917 what it is built on
        self,
        store: Store,
        downloads: Downloads,
        unlisted: UnlistedFiles,
        catalog: Catalog,
        vouching: Vouching,
        gone: Callable[[ArchiveAddress], None],
        clock: Clock,
        policy: Policy,
    ) -> None:
        """`gone` is called with addresses that upstream lacks although an index lists them."""
        self._store = store
        self._downloads = downloads
        self._opener = FileOpener(downloads)
        self._unlisted = unlisted
        self._catalog = catalog
        self._vouching = vouching
        self._gone = gone
        self._clock = clock
        self._policy = policy
        self._starting: SingleFlight[None] = SingleFlight()
        # Those whose turn at the host has not come, and whether one is still to begin ahead of its clients.
        self._queued: dict[str, bool] = {}
        self._prefetched: Bounded[str, None] = Bounded(_PREFETCHED)

    async def file(self, query: ArchiveQuery, digest: Digest | None = None) -> Representation:
        """The file at the query's target, or the range of it that is asked for; `digest` if the name says it.

        Raises NotFound, WrongBytes, or another UpstreamError.
        """
        address, key = query.target, _key(query.target)
        vouched = Vouched(own=1) if digest is not None else await self._vouching.of(query, self._store.find(key))
        starting = self._starting.get(key)
        if key in self._queued:
            self._queued[key] = False
        elif starting is not None:
            await self._starting.result(starting)
        if digest is not None:
            candidates = [self._wanted(address, digest)]
        else:
            listed = vouched.listed or await self._matching(key, vouched.beside)
            candidates = [self._wanted(address, one.digest, one.size) for one in listed]
        if candidates:
            answer = await self._listed(query, candidates, vouched)
        else:
            answer = await self._unlisted.file(query, self._wanted(address), Kind.FILE)
            stands, unchanged = answer.stands, self._catalog.unchanged(address)
            answer = structs.replace(answer, stands=lambda: unchanged() and (stands is None or stands()))
        if key in self._prefetched and not query.head:
            # It was fetched for this client: without this, no client would count as the one that caused the download.
            del self._prefetched[key]
            return structs.replace(answer, outcome=Outcome.MISS, source=Source.UPSTREAM, age=None)
        return answer

    async def document(self, query: ArchiveQuery) -> Representation:
        """A file that changes under its name on its own. Raises as `file` does."""
        address = query.target
        key = document_key(address)
        answer = await self._unlisted.file(query, replace(self._wanted(address), key=key, kind=Kind.OTHER), Kind.OTHER)
        if packages.readable(address.path) and not isinstance(answer.body, bytes) and not query.head:
            # It is an index: it is read before the client can ask for the packages that it lists.
            await self._whole(answer.body)
            self._catalog.served_alone(address, key, answer.body)
        return answer

    def prefetch(self, address: ArchiveAddress) -> None:
        """Begin the download of a file that is not stored, for a client whose turn comes later.

        If the archive is known to allow no further connection, nothing is done before the client's turn.
        """
        key = _key(address)
        if key not in self._prefetched and self._store.find(key) is None and self._downloads.room(address.url):
            _, begins = self._starting.join(key, lambda: self._start(address))
            if begins:
                self._queued[key] = True

    def prefetches(self, address: ArchiveAddress) -> bool:
        """Whether the download of a file has begun before its turn, or is about to."""
        key = _key(address)
        return key in self._prefetched or self._starting.get(key) is not None

    async def close(self) -> None:
        """Cancel the downloads that are about to begin."""
        await self._starting.close()

    async def _listed(self, query: ArchiveQuery, candidates: list[WantedFile], vouched: Vouched) -> Representation:
        """The file as the client's indexes list it, else as another one lists what upstream has."""
        address = query.target
        if len(candidates) > 1:
            candidates = await self._in_order(candidates, vouched.own)
        failure: PullthroughError | None = None
        for number, wanted in enumerate(candidates, 1):
            try:
                body, source = await self._opener.body(wanted, query.span, query.if_range, head=query.head)
                if number < len(candidates):
                    await self._whole(body)
            except (NotFound, UpstreamError) as error:
                failure = failure or error
                continue
            entry = self._store.find(wanted.key)
            # Where indexes disagree, the name stands for other bytes tomorrow, and for other clients.
            sure = len(candidates) == 1
            answer = Representation.of_file(
                body,
                kind=Kind.FILE,
                mount=MOUNT,
                source=source,
                digest=sha256_of(body, wanted.digest),
                cache_control=LASTING if sure else CHANGING,
                fresh_until=self._clock.monotonic() + _REUSED if sure else 0.0,
                last_modified=last_modified_of(body, entry.validator.last_modified if entry else None),
                dated=True,
            )
            stands = self._catalog.unchanged(address)
            if entry is None or not isinstance(body, Blob):
                return structs.replace(answer, stands=stands)
            if entry.checked < vouched.since and entry.promised is not None:
                await self._store.save(structs.replace(entry, checked=self._clock.now()))
            return structs.replace(answer, stands=stands, age=max(self._clock.now() - entry.checked, 0.0))
        assert failure is not None, "an index lists it, and it failed"
        if isinstance(failure, NotFound) and vouched.present:
            self._gone(address)
        raise failure.again()

    async def _in_order(self, candidates: list[WantedFile], own: int) -> list[WantedFile]:
        """What is stored comes first; where the client's indexes, or all, disagree, only if upstream still has it."""
        eligible = candidates[: own or None]
        for wanted in eligible:
            if await self._downloads.stored(wanted) is None:
                continue
            others = [other for other in candidates if other is not wanted]
            entry = self._store.find(wanted.key)
            if len(eligible) > 1 and entry is not None and await self._unlisted.changed(wanted, entry):
                return [*others, wanted]
            return [wanted, *others]
        return candidates

    @staticmethod
    async def _whole(body: Body) -> None:
        """Wait, not for long, until a download is whole and checked. Raises what it fails with."""
        if isinstance(body, Flight):
            with suppress(TimeoutError, StoreError):
                async with asyncio.timeout(_CHECKING):
                    await body.ended()

    async def _matching(self, key: str, listed: tuple[Listed, ...]) -> tuple[Listed, ...]:
        """The one of `listed` that says what is stored, if any does."""
        entry = self._store.find(key)
        for one in listed:
            if entry is not None and await self._downloads.stored_files.matches(entry, one.digest):
                return (one,)
        return ()

    async def _start(self, address: ArchiveAddress) -> None:
        wanted = self._wanted(address)
        try:
            vouched = await self._vouching.of(Query(address))
            if vouched.listed:
                wanted = self._wanted(address, vouched.listed[0].digest, vouched.listed[0].size)
            await self._downloads.ahead_turns.turn(address.url)
            if not self._queued[wanted.key]:
                return
        finally:
            self._queued.pop(wanted.key, None)
        try:
            body, source = await self._downloads.open(wanted, ahead=True)
        except PullthroughError:
            return  # the client gets the error at its turn
        if isinstance(body, Passthrough):
            await body.close()
        elif source is Source.UPSTREAM:
            self._prefetched[wanted.key] = None

    def _wanted(self, address: ArchiveAddress, digest: Digest | None = None, size: int | None = None) -> WantedFile:
        site = self._policy.site_of(address)
        deferred = size is not None
        return WantedFile(
            _key(address), address.url, site, digest, size, binary=False, signed=True, looked_at=True, deferred=deferred
        )


def _key(address: ArchiveAddress) -> str:
    return f"apt:file:{address.key}"
