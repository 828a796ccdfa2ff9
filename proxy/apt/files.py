"""Files: packages, sources, patches, which last under their names if an index vouches for them; and all others.

What none vouches for goes to `confirmed`. The service asks for one at a time; what a client has asked for behind it on
the same connection is foreseen: its download begins before its turn. So a client that sends ten requests at once waits
for upstream once, not ten times. Never decides whether an address is allowed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from proxy.apt import answers, packages
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.answers import Dated
from proxy.apt.catalog import Catalog
from proxy.apt.policy import Policy
from proxy.apt.release import Listed
from proxy.apt.unlisted import UnlistedFiles
from proxy.apt.vouching import Vouched, Vouching
from proxy.cache.downloads import Downloads
from proxy.cache.file_opener import Body, FileOpener
from proxy.cache.flight import Flight, Wanted
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.cache.single_flight import SingleFlight
from proxy.errors import NotFound, PullthroughError, StoreError, UpstreamError
from proxy.model import Blob, Digest, Kind, Outcome, Query, Source
from proxy.ports import Clock, Store

_REMEMBERED = 60.0  # seconds for which an answer with a package may be given again without a look at the indexes
_READING = 10.0  # seconds for which a file is waited for that has to be whole before it is answered
_FORESEEN = 1000  # downloads that began before their turn, and whose client did not come to its turn yet


class Files:
    """Answers for files. Mutable state: the downloads that began before their turn."""

    def __init__(  # noqa: PLR0913, PLR0917 what it is built on
        self,
        store: Store,
        downloads: Downloads,
        confirmed: UnlistedFiles,
        catalog: Catalog,
        vouching: Vouching,
        gone: Callable[[ArchiveAddress], None],
        clock: Clock,
        policy: Policy,
    ) -> None:
        """`gone` is told of what upstream has not, though an index lists it."""
        self._store = store
        self._downloads = downloads
        self._opener = FileOpener(downloads)
        self._confirmed = confirmed
        self._catalog = catalog
        self._vouching = vouching
        self._gone = gone
        self._clock = clock
        self._policy = policy
        self._beginning: SingleFlight[None] = SingleFlight()
        self._foreseen: OrderedDict[str, None] = OrderedDict()

    async def file(self, query: Query[ArchiveAddress], digest: Digest | None) -> Representation:
        """The file at the query's target, or the range of it that is asked for; `digest` if the name says it.

        Raises NotFound, WrongBytes, or another UpstreamError.
        """
        address, vouched = query.target, Vouched()
        key = _key(address)
        if digest is None:
            vouched = await self._vouching.of(query, self._store.find(key))
        begun = self._beginning.get(key)
        if begun is not None:
            await self._beginning.result(begun)
        if digest is not None:
            shown = await self._promised(query, [self._wanted(address, digest)], Vouched(own=1))
        elif listed := vouched.listed or await self._right(key, vouched.beside):
            promised = [self._wanted(address, one.digest, one.size) for one in listed]
            shown = await self._promised(query, promised, vouched)
        else:
            shown = await self._confirmed.file(query, self._wanted(address), Kind.FILE)
            stands, unchanged = shown.stands, self._catalog.unchanged(address)
            shown = replace(shown, stands=lambda: unchanged() and (stands is None or stands()))
        if key in self._foreseen and not query.head:
            # It was fetched for this client: else nobody would count as the one for whom it came from upstream.
            del self._foreseen[key]
            return replace(shown, outcome=Outcome.MISS, source=Source.UPSTREAM, age=None)
        return shown

    async def document(self, query: Query[ArchiveAddress]) -> Representation:
        """A file that changes under its name by itself. Raises as `file` does."""
        address = query.target
        key = document_key(address)
        shown = await self._confirmed.file(query, replace(self._wanted(address), key=key, kind=Kind.OTHER), Kind.OTHER)
        if packages.readable(address.path) and not isinstance(shown.body, bytes) and not query.head:
            # It says what packages have to be: so it is read before the client can ask for them.
            await self._checked(shown.body)
            self._catalog.served_alone(address, key, shown.body)
        return shown

    async def _promised(self, query: Query[ArchiveAddress], promised: list[Wanted], vouched: Vouched) -> Representation:
        """The file as indexes list it: as those of the client do, else as another does that upstream is right about."""
        address = query.target
        if len(promised) > 1:
            promised = await self._in_order(promised, vouched.own)
        failure: PullthroughError | None = None
        for number, wanted in enumerate(promised, 1):
            try:
                body, source = await self._opener.body(wanted, query.span, query.if_range, head=query.head)
                if number < len(promised):
                    await self._checked(body)
            except (NotFound, UpstreamError) as error:
                failure = failure or error
                continue
            entry = self._store.find(wanted.key)
            dated = Dated(answers.told(body, entry.validator.last_modified if entry else None), only=True)
            # Where indexes disagree the name stands for other bytes tomorrow, and for other clients.
            sure = len(promised) == 1
            until = self._clock.monotonic() + _REMEMBERED if sure else 0.0
            shown = answers.file(body, wanted.digest, dated, Kind.FILE, source, lasting=sure, fresh_until=until)
            stands = self._catalog.unchanged(address)
            if entry is None or not isinstance(body, Blob):
                return replace(shown, stands=stands)
            if entry.checked < vouched.since and entry.promised is not None:
                await self._store.save(replace(entry, checked=self._clock.now()))
            return replace(shown, stands=stands, age=max(self._clock.now() - entry.checked, 0.0))
        assert failure is not None, "an index lists it, and it failed"
        if isinstance(failure, NotFound) and vouched.present:
            self._gone(address)
        raise failure.again()

    async def _in_order(self, promised: list[Wanted], own: int) -> list[Wanted]:
        """What is kept first; where the client's indexes, or others, disagree, only if upstream has it still."""
        asked = promised[: own or None]
        for wanted in asked:
            if await self._downloads.kept(wanted) is None:
                continue
            others = [other for other in promised if other is not wanted]
            entry = self._store.find(wanted.key)
            if len(asked) > 1 and entry is not None and await self._confirmed.changed(wanted, entry):
                return [*others, wanted]
            return [wanted, *others]
        return promised

    @staticmethod
    async def _checked(body: Body) -> None:
        """Wait, not for long, until a download is known to be what an index lists. Raises what it fails with."""
        if isinstance(body, Flight):
            with suppress(TimeoutError, StoreError):
                async with asyncio.timeout(_READING):
                    await body.ended()

    async def _right(self, key: str, listed: tuple[Listed, ...]) -> tuple[Listed, ...]:
        """Those that say what is kept."""
        entry = self._store.find(key)
        with suppress(StoreError):
            for one in listed:
                if entry is not None and await self._downloads.stored_files.matches(entry, one.digest):
                    return (one,)
        return ()

    def foresee(self, address: ArchiveAddress) -> None:
        """Begin the download of a file that is not here; whoever asks for it later finds it under way.

        Not where the archive is known to allow no more connections: the client's own turn comes.
        """
        key = _key(address)
        if key not in self._foreseen and self._store.find(key) is None and self._downloads.room(address.url):
            self._beginning.join(key, lambda: self._begin(address))

    async def close(self) -> None:
        """Break off what is beginning."""
        await self._beginning.close()

    async def _begin(self, address: ArchiveAddress) -> None:
        wanted = self._wanted(address)
        vouched = await self._vouching.of(Query(address))
        if vouched.listed:
            wanted = self._wanted(address, vouched.listed[0].digest, vouched.listed[0].size)
        try:
            body, began = await self._downloads.open(wanted, ahead=True)
        except PullthroughError:
            return  # the client is told when it comes to its turn
        if isinstance(body, Passthrough):
            await body.close()
        elif began:
            self._foreseen[wanted.key] = None
            if len(self._foreseen) > _FORESEEN:
                self._foreseen.popitem(last=False)

    def _wanted(self, address: ArchiveAddress, digest: Digest | None = None, size: int | None = None) -> Wanted:
        site = self._policy.site_of(address)
        return Wanted(_key(address), address.url, site, digest, size, binary=False, signed=True, looked_at=True)


def document_key(address: ArchiveAddress) -> str:
    """The store's key of a file that changes under its name."""
    return f"apt:document:{address.key}"


def _key(address: ArchiveAddress) -> str:
    return f"apt:file:{address.key}"
