"""apt archives: what is answered at each address of an archive, whatever host it came with.

Release files and indexes come from `snapshots`, all else from `files`. Never talks HTTP: it is given an address and
what the client asks of it, and gives a representation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import assert_never

from proxy.apt import answers, paths, suites
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.answers import Dated
from proxy.apt.catalog import Catalog
from proxy.apt.files import Files, document_key
from proxy.apt.handed_out import HandedOut
from proxy.apt.indexes import Indexes
from proxy.apt.paths import ByHash, Immutable, IndexFile, PathClass, ReleaseFile, Volatile
from proxy.apt.policy import MOUNT, Policy
from proxy.apt.private import Private
from proxy.apt.retries import Retries
from proxy.apt.snapshots import Snapshots
from proxy.apt.suites import Form, Snapshot
from proxy.apt.unlisted import UnlistedFiles
from proxy.apt.vouching import Vouching
from proxy.cache.bodies import Bodies
from proxy.cache.documents import Documents
from proxy.cache.downloads import Downloads
from proxy.cache.freshness import Patience
from proxy.cache.representation import Representation
from proxy.cache.revalidation import Revalidator
from proxy.errors import BlobDamaged, NotAllowed, NotFound, Unsettled, UpstreamDenied, UpstreamError, WrongBytes
from proxy.events import UpstreamFailed
from proxy.model import Blob, Kind, Outcome, Query, Source
from proxy.ports import Clock, Observer, Store, Upstream

_SOURCES = {Outcome.MISS: Source.UPSTREAM, Outcome.SHARED: Source.SHARED}


class AptArchives:
    """Answers for all archives. Mutable state: which snapshots clients were given."""

    def __init__(  # noqa: PLR0913, PLR0917 the ports and what it is built on
        self,
        policy: Policy,
        store: Store,
        upstream: Upstream,
        clock: Clock,
        observer: Observer,
        documents: Documents,
        downloads: Downloads,
        revalidator: Revalidator,
        bodies: Bodies,
        patience: Patience,
    ) -> None:
        self._policy = policy
        self._store = store
        self._observer = observer
        self._clock = clock
        self._indexes = Indexes(downloads, store)
        self._snapshots = Snapshots(
            store,
            upstream,
            clock,
            observer,
            self._indexes,
            bodies,
            patience,
            serve_expired=policy.serve_expired,
        )
        self._catalog = Catalog(store, clock)
        self._given = HandedOut()
        self._files = Files(
            store,
            downloads,
            UnlistedFiles(store, downloads, documents, revalidator, clock),
            self._catalog,
            Vouching(self._catalog, self._snapshots, self._given, clock),
            self._snapshots.gone,
            clock,
            policy,
        )
        self._private = Private(policy, downloads)
        self._retries = Retries(upstream, clock, policy.retries)

    async def answer(self, query: Query[ArchiveAddress]) -> Representation:
        """Answer a query. Raises NotAllowed, NotFound, or another UpstreamError."""
        self._policy.admit(query.target)
        kind = self._policy.classify(query.target)
        try:
            if paths.is_of_lists(kind):
                return await self._retries.run(query.target.url, partial(self._answer, query, kind))
            return await self._answer(query, kind)
        except UpstreamDenied as error:
            raise self._private.explained(query, error) from None

    async def _answer(self, query: Query[ArchiveAddress], kind: PathClass) -> Representation:
        if self._private.meant(query):
            return await self._private.answer(query)
        match kind:
            case ReleaseFile():
                return await self._release(query, kind)
            case IndexFile():
                return await self._index(query, kind.suites, ask=True)
            case Volatile():
                return await self._index(query, kind.suites, ask=False)
            case ByHash():
                return await self._by_hash(query, kind)
            case Immutable():
                return await self._files.file(query, None)
            case _:
                assert_never(kind)

    def secret(self, address: ArchiveAddress) -> bool:
        """Whether what is there is given to those alone whom the cache, or the client, names."""
        return self._policy.site_of(address).authenticated or self._private.passes(address)

    def final(self, address: ArchiveAddress) -> bool:
        """Whether a client is not to go on without what is there: lists of packages, and what they need."""
        try:
            return paths.is_of_lists(self._policy.classify(address))
        except NotAllowed:
            return False

    def foresee(self, addresses: Iterable[ArchiveAddress]) -> None:
        """A client has asked for these behind others: let the downloads of packages begin before their turn."""
        for address in addresses:
            with suppress(NotAllowed):
                self._policy.admit(address)
                kind = self._policy.classify(address)
                if isinstance(kind, Immutable) and not self._private.passes(address):
                    self._files.foresee(address)

    async def close(self) -> None:
        """Break off the work under way."""
        await self._retries.close()
        await self._files.close()
        await self._snapshots.close()
        await self._catalog.close()

    async def _release(self, query: Query[ArchiveAddress], kind: ReleaseFile) -> Representation:
        suite = query.target.at(kind.suite)
        form = Form.INLINE if kind.name == Form.INLINE.value else Form.DETACHED
        signature = kind.name not in {one.value for one in Form}
        snapshot, outcome = await self._given_to(query, suite) if signature else None, Outcome.HIT
        if snapshot is None or snapshot.form is not form:
            snapshot, outcome = await self._snapshots.present(
                suite, form, self._policy.site_of(suite), revalidate=query.no_cache
            )
        held = snapshot.signature if signature else snapshot.listing
        if held is None:
            raise NotFound("Upstream has no signature beside this Release file.")
        body = self._snapshots.body(held)
        if body is None:
            raise BlobDamaged("The stored Release file is gone.")
        if not query.head:
            self._given.note(query.client, suite.key, snapshot.name, self._clock.monotonic())
        others = [one for one in await self._snapshots.known(suite) if one.form is form]
        dated = Dated(held.entry.validator.last_modified, suites.dated(snapshot, others, signature=signature))
        source = _SOURCES.get(outcome, Source.CACHE)
        return answers.whole(body, held.entry.digest, dated, Kind.RELEASE, outcome, source)

    async def _index(self, query: Query[ArchiveAddress], folders: Sequence[str], *, ask: bool) -> Representation:
        """What a Release file lists, as it lists it; what none lists, as upstream has it. `ask` for that file."""
        path = query.target.path
        if path.rpartition("/")[2] in paths.RELEASES:
            # The Release file of a component: tools list it before they write it, and no client compares the sums.
            return await self._files.document(query)
        found = [query.target.at(folder) for folder in folders]
        for suite in (*found, *map(query.target.at, paths.enclosing(path))):
            snapshot = await self._snapshot_for(query, suite)
            if snapshot is not None and path.removeprefix(suite.path) in snapshot.release.files:
                return await self._listed(query, suite, snapshot, path.removeprefix(suite.path))
        for suite in found if ask else ():
            try:
                snapshot = await self._snapshot_for(query, suite) or await self._asked_for(suite)
            except UpstreamError:
                if self._store.find(document_key(query.target)) is None:
                    raise
                break
            if snapshot is not None and path.removeprefix(suite.path) in snapshot.release.files:
                return await self._listed(query, suite, snapshot, path.removeprefix(suite.path))
            if snapshot is not None:
                break
        return await self._files.document(query)

    async def _listed(
        self,
        query: Query[ArchiveAddress],
        suite: ArchiveAddress,
        snapshot: Snapshot,
        path: str,
        *,
        by_hash: bool = False,
    ) -> Representation:
        """The index at `path` of `snapshot`."""
        first, site = query.target.url if by_hash else None, self._policy.site_of(suite)
        try:
            body, began = await self._indexes.open(suite, snapshot, path, site, first)
        except WrongBytes:
            if by_hash:
                raise  # another snapshot's index has another name
            # Upstream has it, as another snapshot lists it: the next one is not to be adopted without it.
            await self._snapshots.used(suite, snapshot, path)
            with suppress(UpstreamError, NotFound):
                await self._snapshots.present(suite, snapshot.form, site, revalidate=True)
            snapshot = await self._snapshot_for(query, suite) or snapshot
            try:
                body, began = await self._indexes.open(suite, snapshot, path, site, first)
            except (WrongBytes, KeyError) as error:
                self._observer(UpstreamFailed(MOUNT, Unsettled.reason))
                raise Unsettled(
                    "Upstream is between two states: this index is not the one that the Release file lists. Try again."
                ) from error
        await self._snapshots.used(suite, snapshot, path)
        listed = snapshot.release.files[path]
        self._catalog.served(suite, path, listed.digest, body)
        source = Source.UPSTREAM if began else Source.CACHE if isinstance(body, Blob) else Source.SHARED
        dated = Dated(
            answers.told(body, self._indexes.last_modified(suite, path, listed)),
            self._indexes.dated(suite, path, listed, await self._snapshots.known(suite), self._clock.now()),
        )
        until = float("inf") if by_hash else 0.0
        return answers.file(body, listed.digest, dated, Kind.INDEX, source, lasting=by_hash, fresh_until=until)

    async def _by_hash(self, query: Query[ArchiveAddress], kind: ByHash) -> Representation:
        for suite in map(query.target.at, (*kind.suites, *paths.enclosing(query.target.path))):
            for snapshot in await self._snapshots.known(suite):
                listed = suites.listed_by_hash(snapshot, kind.folder.removeprefix(suite.path), kind.digest)
                if listed is not None:
                    return await self._listed(query, suite, snapshot, listed, by_hash=True)
        return await self._files.file(query, kind.digest)

    async def _given_to(self, query: Query[ArchiveAddress], suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot that the client was given. Raises Unsettled if it is known no more."""
        now = self._clock.monotonic()
        name = self._given.recall(query.client, suite.key, now)
        if name is None:
            return None
        for snapshot in await self._snapshots.known(suite):
            if snapshot.name == name:
                return snapshot
        if (
            query.client.shared or suite.key not in query.client.handed_out
        ):  # it may be another client that was given it
            return None
        raise Unsettled("The Release file that this client was given is known no more. Ask for it again.")

    async def _snapshot_for(self, query: Query[ArchiveAddress], suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot whose indexes the client is to have: the one it was given, else the present one."""
        given = await self._given_to(query, suite)
        if given is not None:
            return given
        return next(iter(await self._snapshots.known(suite)), None)

    async def _asked_for(self, suite: ArchiveAddress) -> Snapshot | None:
        """The snapshot of a suite that nobody asked for yet; None where upstream has no Release file there."""
        for form in Form:
            with suppress(NotFound):
                return (await self._snapshots.present(suite, form, self._policy.site_of(suite)))[0]
        return None
