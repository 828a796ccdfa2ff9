"""apt archives: what is answered at each address of an archive, whichever form the address came in.

A query goes through `AptArchives` from top to bottom: `answer` admits and classifies the address, then the method for
its class gets the snapshot of its suite and opens the file. Release files come from `snapshots`, indexes from
`indexes`, all else from `files`. Speaks no HTTP: gets a query, gives a representation.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import assert_never

from proxy.apt import paths, suites
from proxy.apt.addresses import ArchiveAddress, ArchiveQuery
from proxy.apt.catalog import Catalog
from proxy.apt.files import Files
from proxy.apt.forecasts import ArchiveForecasts
from proxy.apt.handed_out import HandedOut
from proxy.apt.indexes import Indexes, document_key
from proxy.apt.paths import ByHash, Immutable, IndexFile, PathClass, ReleaseFile, Volatile
from proxy.apt.policy import MOUNT, Policy
from proxy.apt.private import PrivateArchives
from proxy.apt.retries import Retries
from proxy.apt.snapshots import Snapshots
from proxy.apt.suites import ReleaseForm, Snapshot
from proxy.apt.unlisted import UnlistedFiles
from proxy.apt.vouching import Vouching
from proxy.cache.bodies import Bodies
from proxy.cache.documents import Documents
from proxy.cache.downloads import Downloads
from proxy.cache.freshness import Patience
from proxy.cache.representation import CHANGING, LASTING, Representation, last_modified_of, sha256_of
from proxy.cache.revalidation import Revalidator
from proxy.errors import (
    BlobDamaged,
    NotAllowed,
    NotFound,
    Offline,
    ParentOffline,
    SnapshotForgotten,
    Unsettled,
    UpstreamDenied,
    UpstreamError,
    UpstreamTimeout,
    WrongBytes,
)
from proxy.events import UpstreamFailed
from proxy.model import Entry, Kind, Outcome, Site
from proxy.ports import Clock, Observer, Store, Upstream

_CONFIRMED = frozenset({Outcome.MISS, Outcome.SHARED, Outcome.REVALIDATED})  # by upstream, just now
# Seconds for which an index by hash may be replayed. It lasts, but a replay does not say that the index is in use.
_REPLAYED = 3600.0


class AptArchives:
    """Answers for all archives. It has no state of its own."""

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
        self._handed_out = HandedOut(self._snapshots.known, clock)
        self._files = Files(
            store,
            downloads,
            UnlistedFiles(store, downloads, documents, revalidator, clock),
            self._catalog,
            Vouching(self._catalog, self._snapshots, self._handed_out),
            self._snapshots.gone,
            clock,
            policy,
        )
        self._private = PrivateArchives(policy, downloads)
        self._revalidator = revalidator
        self._patience = patience
        self._retries = Retries(upstream, clock, policy.retries, patience)

    def forecasts(self) -> ArchiveForecasts:
        """What tells a person what a request would come to."""
        return ArchiveForecasts(self._policy, self._store, self._catalog, self._clock, self._snapshots.known)

    def is_private(self, address: ArchiveAddress) -> bool:
        """Whether credentials of the cache or of clients go to the archive: not everybody may read what is there."""
        return self._policy.site_of(address).authenticated or self._private.passes(address)

    def is_list(self, address: ArchiveAddress) -> bool:
        """Whether clients keep what is there as a list: an update must not go on without it."""
        try:
            return paths.is_of_lists(self._policy.classify(address))
        except NotAllowed:
            return False

    def prefetch(self, addresses: Iterable[ArchiveAddress]) -> None:
        """A client has asked for these behind others: begin the downloads of packages before their turn."""
        for address in addresses:
            if self._files.prefetches(address):
                continue  # with each of its requests a client shows all that are behind it
            with suppress(NotAllowed):
                self._policy.admit(address)
                kind = self._policy.classify(address)
                if isinstance(kind, Immutable) and not self._private.passes(address):
                    self._files.prefetch(address)

    def imported(self) -> None:
        """An import may have put indexes into the store: look at them."""
        self._catalog.imported()

    async def close(self) -> None:
        """Cancel the work under way."""
        await self._retries.close()
        await self._files.close()
        await self._snapshots.close()
        await self._catalog.close()

    async def answer(self, query: ArchiveQuery) -> Representation:
        """Answer a query. Raises NotAllowed, NotFound, or another UpstreamError."""
        self._policy.admit(query.target)
        kind = self._policy.classify(query.target)
        try:
            if paths.is_of_lists(kind):
                return await self._retries.run(query.target.url, partial(self._answer, query, kind))
            return await self._answer(query, kind)
        except UpstreamDenied as error:
            raise self._private.explained(query, error) from None

    async def _answer(self, query: ArchiveQuery, kind: PathClass) -> Representation:
        if self._private.concerns(query):
            return await self._private.answer(query)
        match kind:
            case ReleaseFile():
                return await self._release_file(query, kind)
            case IndexFile():
                return await self._index(query, kind.suites, fetch_release=True)
            case Volatile():
                return await self._index(query, kind.suites, fetch_release=False)
            case ByHash():
                return await self._by_hash(query, kind)
            case Immutable():
                return await self._file(query)
            case _:
                assert_never(kind)

    async def _file(self, query: ArchiveQuery) -> Representation:
        try:
            return await self._files.file(query)
        except Offline as error:
            raise _not_here(query.target.url, error) from error

    async def _release_file(self, query: ArchiveQuery, kind: ReleaseFile) -> Representation:
        """The Release file of the present snapshot. A list and its signature are of one snapshot, in either order."""
        suite = query.target.at(kind.suite)
        form = ReleaseForm.INLINE if kind.name == ReleaseForm.INLINE.value else ReleaseForm.DETACHED
        signature = kind.name == paths.SIGNATURE
        site = self._policy.site_of(suite)
        snapshot = await (
            self._given(query, suite, site) if signature else self._handed_out.for_list(query.client, suite)
        )
        outcome = Outcome.HIT
        if snapshot is None or snapshot.form is not form:
            snapshot, outcome = await self._snapshots.present(suite, form, site, revalidate=query.no_cache)
        received = snapshot.signature if signature else snapshot.listing
        if received is None:
            raise NotFound("Upstream has no signature beside this Release file.")
        body = self._snapshots.body(received)
        if body is None:
            raise BlobDamaged("The stored Release file is gone.")
        if not query.head:
            self._handed_out.note(query.client, suite, snapshot, signature=signature)
        others = [one for one in await self._snapshots.known(suite) if one.form is form]
        return Representation.of_file(
            body,
            kind=Kind.RELEASE,
            mount=MOUNT,
            source=outcome.source,
            outcome=outcome,
            digest=received.entry.digest,
            cache_control=CHANGING,
            content_type="text/plain; charset=utf-8",
            last_modified=received.entry.validator.last_modified,
            dated=suites.dated(snapshot, others, signature=signature),
            age=None if outcome in _CONFIRMED else max(self._clock.now() - snapshot.listing.entry.checked, 0.0),
        )

    async def _given(self, query: ArchiveQuery, suite: ArchiveAddress, site: Site) -> Snapshot | None:
        """The snapshot whose list the client was given, and whose signature it asks for; None if it has no list yet."""
        try:
            return await self._handed_out.for_signature(query.client, suite)
        except SnapshotForgotten:
            with suppress(NotFound):  # perhaps the disk lost the signature, and upstream has the pair
                await self._snapshots.present(suite, ReleaseForm.DETACHED, site)
            return await self._handed_out.for_signature(query.client, suite)

    async def _index(self, query: ArchiveQuery, folders: Sequence[str], *, fetch_release: bool) -> Representation:
        """What a Release file lists, as it lists it; what none lists, as upstream has it.

        `folders`: where that Release file may be. `fetch_release`: if it is not known yet, it is fetched.
        """
        path = query.target.path
        if path.rpartition("/")[2] in paths.RELEASES:
            # The Release file of a component. Tools list it before they write it, and no client compares its digest.
            return await self._files.document(query)
        likely = [query.target.at(folder) for folder in folders]
        for suite in (*likely, *map(query.target.at, paths.enclosing(path))):
            snapshot = await self._handed_out.snapshot_or_present(query.client, suite)
            if snapshot is not None and (listed := path.removeprefix(suite.path)) in snapshot.release.files:
                return await self._listed(query, suite, snapshot, listed)
        kept = self._store.find(document_key(query.target))
        for suite in likely if fetch_release else ():
            try:
                snapshot = await self._handed_out.snapshot_or_present(query.client, suite)
                snapshot = snapshot or await self._first(suite, kept)
            except UpstreamError:
                if kept is None:
                    raise
                break
            if snapshot is not None and (listed := path.removeprefix(suite.path)) in snapshot.release.files:
                return await self._listed(query, suite, snapshot, listed)
            if snapshot is not None:
                break
        return await self._files.document(query)

    async def _by_hash(self, query: ArchiveQuery, kind: ByHash) -> Representation:
        """The file of any known snapshot that lists this digest; of none, what upstream has, checked by its name."""
        for suite in map(query.target.at, (*kind.suites, *paths.enclosing(query.target.path))):
            for snapshot in await self._snapshots.known(suite):
                listed = suites.listed_by_hash(snapshot, kind.folder.removeprefix(suite.path), kind.digest)
                if listed is not None:
                    return await self._listed(query, suite, snapshot, listed, by_hash=True)
        return await self._files.file(query, kind.digest)

    async def _listed(
        self, query: ArchiveQuery, suite: ArchiveAddress, snapshot: Snapshot, path: str, *, by_hash: bool = False
    ) -> Representation:
        """The index at `path` of `snapshot`."""
        first, site = query.target.url if by_hash else None, self._policy.site_of(suite)
        try:
            body, source = await self._indexes.open(suite, snapshot, path, site, first)
        except Offline as error:
            # By its name: it is listed by that, and found by its digest then.
            raise _not_here(suite.at(f"{suite.path}{path}").url, error) from error
        except WrongBytes as wrong:
            # Upstream has it as another snapshot lists it: the next one must not be adopted without it.
            await self._snapshots.used(suite, snapshot, path)
            if by_hash:  # another snapshot's index has another name
                raise self._between() from wrong
            with suppress(UpstreamError, NotFound):
                await self._snapshots.present(suite, snapshot.form, site, revalidate=True)
            snapshot = await self._handed_out.snapshot_or_present(query.client, suite) or snapshot
            try:
                body, source = await self._indexes.open(suite, snapshot, path, site, first)
            except (WrongBytes, KeyError) as error:
                raise self._between() from error
        await self._snapshots.used(suite, snapshot, path)
        listed = snapshot.release.files[path]
        self._catalog.served(suite, path, listed.digest, body)
        known = await self._snapshots.known(suite)
        return Representation.of_file(
            body,
            kind=Kind.INDEX,
            mount=MOUNT,
            source=source,
            digest=sha256_of(body, listed.digest),
            cache_control=LASTING if by_hash else CHANGING,
            fresh_until=self._clock.monotonic() + _REPLAYED if by_hash else 0.0,
            last_modified=last_modified_of(body, self._indexes.last_modified(suite, path, listed)),
            dated=self._indexes.dated(suite, path, listed, known, self._clock.now()),
        )

    def _between(self) -> Unsettled:
        """That upstream has another version of an index than a snapshot lists; counted."""
        self._observer(UpstreamFailed(MOUNT, Unsettled.reason))
        return Unsettled(
            "Upstream is between two states: this index is not the one that the Release file lists. Try again."
        )

    async def _first(self, suite: ArchiveAddress, kept: Entry | None) -> Snapshot | None:
        """The snapshot of a suite that nobody asked for yet; None where upstream has no Release file there.

        Where the index is `kept` on its own, a client waits no longer than for that. Raises an UpstreamError.
        """
        seconds = self._revalidator.patience(suite.url, kept, exact=True) if kept is not None else None
        try:
            async with asyncio.timeout(seconds):
                for form in ReleaseForm:
                    with suppress(NotFound):
                        return (await self._snapshots.present(suite, form, self._policy.site_of(suite)))[0]
                return None
        except TimeoutError:
            self._patience.ran_out(suite.url)
            raise UpstreamTimeout("The archive is slow to say whether it has a Release file.") from None


def _not_here(url: str, error: Offline) -> Offline:
    """That a file is not here, in place of an error that says less: which file, and the command that gets it."""
    which = "its parent" if isinstance(error, ParentOffline) else "this cache"
    return type(error)(
        f"{url.rpartition('/')[2]} is not here, and {which} is offline. Get it while it is online, with: "
        f"pullthrough warm {shlex.quote(url)}"
    )
