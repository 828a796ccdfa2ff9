"""Files: packages, sources, patches, which last under their names if an index vouches for them; and all others.

What none vouches for goes to `confirmed`. The service asks for one at a time; what a client has asked for behind it on
the same connection is foreseen: its download begins before its turn. So a client that sends ten requests at once waits
for upstream once, not ten times. Never decides whether an address is allowed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from proxy.apt import answers
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.answers import Dated
from proxy.apt.catalog import Catalog
from proxy.apt.confirmed import Confirmed
from proxy.apt.paths import is_package
from proxy.apt.policy import Policy
from proxy.apt.request import Request
from proxy.cache.access import Access
from proxy.cache.downloads import Downloads
from proxy.cache.flight import Wanted
from proxy.cache.flights import Flights
from proxy.cache.passage import Passage
from proxy.cache.representation import Representation
from proxy.errors import PullthroughError
from proxy.model import Blob, Digest, Kind, Outcome, Source
from proxy.ports import Clock, Store

_REMEMBERED = 60.0  # seconds for which an answer with a package may be given again without a look at the indexes
_FORESEEN = 1000  # downloads that began before their turn, and whose client did not come to its turn yet


class Files:
    """Answers for files. Mutable state: the downloads that began before their turn."""

    def __init__(  # noqa: PLR0913, PLR0917 what it is built on
        self,
        store: Store,
        downloads: Downloads,
        confirmed: Confirmed,
        catalog: Catalog,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._store = store
        self._downloads = downloads
        self._access = Access(downloads)
        self._confirmed = confirmed
        self._catalog = catalog
        self._clock = clock
        self._policy = policy
        self._beginning: Flights[None] = Flights()
        self._foreseen: OrderedDict[str, None] = OrderedDict()

    async def file(self, request: Request, digest: Digest | None) -> Representation:
        """The file at the request's address, or the range of it that is asked for; `digest` if the name says it.

        Raises NotFound, WrongBytes, or another UpstreamError.
        """
        wanted = await self._wanted(request.address, digest)
        begun = self._beginning.get(wanted.key)
        if begun is not None:
            await self._beginning.result(begun)
        shown = await (self._vouched(request, wanted) if wanted.digest else self._unvouched(request, wanted))
        if wanted.key in self._foreseen and not request.head:
            # It was fetched for this client: else nobody would count as the one for whom it came from upstream.
            del self._foreseen[wanted.key]
            return replace(shown, outcome=Outcome.MISS, source=Source.UPSTREAM, age=None)
        return shown

    async def document(self, request: Request) -> Representation:
        """A file that changes under its name by itself. Raises as `file` does."""
        address = request.address
        wanted = Wanted(
            document_key(address),
            address.url,
            self._policy.site_of(address),
            binary=False,
            kind=Kind.OTHER,
            looked_at=True,
        )
        return await self._confirmed.file(request, wanted, Kind.OTHER)

    async def _vouched(self, request: Request, wanted: Wanted) -> Representation:
        body, source = await self._access.body(wanted, request.span, request.if_range, head=request.head)
        entry = self._store.find(wanted.key)
        dated = Dated(answers.told(body, entry.validator.last_modified if entry else None), only=True)
        until = self._clock.monotonic() + _REMEMBERED
        shown = answers.file(body, wanted.digest, dated, Kind.FILE, source, lasting=True, fresh_until=until)
        if entry is not None and isinstance(body, Blob):
            return replace(shown, age=max(self._clock.now() - entry.checked, 0.0))
        return shown

    async def _unvouched(self, request: Request, wanted: Wanted) -> Representation:
        return await self._confirmed.file(request, wanted, Kind.FILE)

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
        wanted = await self._wanted(address, None)
        try:
            body, began = await self._downloads.open(wanted, ahead=True)
        except PullthroughError:
            return  # the client is told when it comes to its turn
        if isinstance(body, Passage):
            await body.close()
        elif began:
            self._foreseen[wanted.key] = None
            if len(self._foreseen) > _FORESEEN:
                self._foreseen.popitem(last=False)

    async def _wanted(self, address: ArchiveAddress, digest: Digest | None) -> Wanted:
        key = _key(address)
        size = None
        if digest is None and is_package(address.path):
            listed = await self._catalog.find(address, wait=self._store.find(key) is None)
            digest, size = (listed.digest, listed.size) if listed is not None else (None, None)
        return Wanted(
            key, address.url, self._policy.site_of(address), digest, size, binary=False, signed=True, looked_at=True
        )


def document_key(address: ArchiveAddress) -> str:
    """The store's key of a file that changes under its name."""
    return f"apt:document:{address.key}"


def _key(address: ArchiveAddress) -> str:
    return f"apt:file:{address.key}"
