"""What a request for a file of an apt archive would come to, from what is stored. Never asks upstream.

Called by `control.explainer`. The rules are those of `service`, `snapshots` and `files`, which act on them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, assert_never

import msgspec

from proxy.apt import addresses, indexes, paths
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.catalog import Catalog
from proxy.apt.paths import ByHash, Immutable, IndexFile, ReleaseFile, Volatile
from proxy.apt.policy import MOUNT, Policy
from proxy.apt.suites import ReleaseForm, Snapshot
from proxy.cache import freshness
from proxy.cache.forecast import DecidingSetting, Forecast, ListingPage, StoredCopy, Verdict
from proxy.cache.stored_files import is_stored
from proxy.config.field_types import show_duration
from proxy.errors import NotAllowed
from proxy.model import Digest, Entry
from proxy.ports import Clock, Store

Snapshots: TypeAlias = Callable[[ArchiveAddress], Awaitable[Sequence[Snapshot]]]  # the known ones of a suite


class ArchiveForecasts:
    """Looks into the store. It has no state."""

    def __init__(
        self, policy: Policy, store: Store, catalog: Catalog, clock: Clock, known: Snapshots | None = None
    ) -> None:
        """`known`: the states of suites that a running cache has; when it confirmed them is written later."""
        self._known = known
        self._policy = policy
        self._store = store
        self._catalog = catalog
        self._clock = clock

    def takes(self, address: ArchiveAddress) -> bool:
        """Whether the settings admit the address."""
        try:
            self._policy.admit(address)
            self._policy.classify(address)
        except NotAllowed:
            return False
        return True

    def named(self, address: ArchiveAddress) -> bool:
        """Whether the settings name the archive of an address, which may be one of its files."""
        hosts = {address.host, address.host_and_port} & self._policy.hosts
        return bool(hosts or self._policy.archive_of(address)) and self.takes(address)

    async def of(self, address: ArchiveAddress) -> Forecast:
        """What would happen."""
        found = await self._of(address)
        archive = self._policy.archive_of(address)
        why = found.why
        if archive is not None and archive.client_credentials:
            why = (*why, "What a client with credentials asks for passes through, and is not stored.")
        at = addresses.prefix(address)
        return msgspec.structs.replace(found, why=why, address=at, mount=MOUNT, upstream=address.url)

    async def _of(self, address: ArchiveAddress) -> Forecast:
        try:
            self._policy.admit(address)
        except NotAllowed as error:
            return _refused(error, "apt.hosts", sorted(self._policy.hosts))
        try:
            kind = self._policy.classify(address)
        except NotAllowed as error:
            return _refused(error, "apt.paths", self._policy.patterns)
        match kind:
            case ReleaseFile():
                return await self._release(address, kind)
            case IndexFile() | Volatile():
                return self._index(address, kind.suites)
            case ByHash():
                return self._by_hash(address, kind)
            case Immutable():
                return await self._file(address)
            case _:
                assert_never(kind)

    async def _release(self, address: ArchiveAddress, kind: ReleaseFile) -> Forecast:
        suite = address.at(kind.suite)
        form = ReleaseForm.INLINE if kind.name == ReleaseForm.INLINE.value else ReleaseForm.DETACHED
        entry = self._store.find(f"apt:release:{suite.key}:{form.value}")
        for snapshot in await self._known(suite) if self._known is not None else ():
            if snapshot.form is form:
                entry = snapshot.listing.entry
                break
        return self._changing("release", address, entry, "The state of the suite")

    def _index(self, address: ArchiveAddress, folders: Sequence[str]) -> Forecast:
        """What a Release file lists; else what changes under its name on its own."""
        for folder in (*folders, *paths.enclosing(address.path)):
            suite = address.at(folder)
            listed = address.path.removeprefix(folder)
            found = [
                entry
                for key in self._store.keys(f"apt:index:{suite.key}:")
                if key.partition(f"apt:index:{suite.key}:")[2].partition(":")[2] == listed
                and (entry := self._store.find(key)) is not None
            ]
            if found:
                newest = max(found, key=lambda entry: entry.stored)
                return Forecast(
                    kind="index",
                    verdict=Verdict.HIT,
                    why=("It is stored. A client gets the version that its Release file lists, or has it fetched.",),
                    pages=self._release_pages(suite),
                    promised=str(newest.promised or newest.digest),
                    stored=StoredCopy.of(newest),
                )
        entry = self._store.find(indexes.document_key(address))
        if entry is None and folders and (pages := self._release_pages(address.at(folders[0]))):
            why = "No version of it is stored. It is fetched as the suite's Release file lists it."
            return Forecast(kind="index", verdict=Verdict.FETCH, why=(why,), pages=pages)
        return self._changing("document", address, entry, "The stored copy")

    def _by_hash(self, address: ArchiveAddress, kind: ByHash) -> Forecast:
        entry = self._store.find(_file_key(address))
        for suite in map(address.at, (*kind.suites, *paths.enclosing(address.path))):
            front = f"apt:index:{suite.key}:{kind.digest.value}:"
            entry = entry or next(filter(None, map(self._store.find, self._store.keys(front))), None)
        return self._by_digest("index", entry, (kind.digest,), "Its name says its digest.")

    async def _file(self, address: ArchiveAddress) -> Forecast:
        entry = self._store.find(_file_key(address))
        matches = await self._catalog.find(address)
        near = [match for match in matches if match.near] or matches
        digests = tuple(dict.fromkeys(match.listed.digest for match in near))
        pages = tuple(
            ListingPage(
                addresses.prefix(address.at((match.index.suite.path if match.index.suite else "") + match.index.path)),
                max(self._clock.now() - match.index.arrived, 0.0),
                fresh=True,
                lists=True,
            )
            for match in near
        )
        if not digests:
            found = self._changing("file", address, entry, "No stored index lists it. The stored copy")
            promised = None if entry is None or entry.promised is None else str(entry.promised)
            return msgspec.structs.replace(found, promised=promised)
        why = "A stored index lists it." if len(digests) == 1 else "Stored indexes list it with several digests."
        return msgspec.structs.replace(self._by_digest("file", entry, digests, why), pages=pages)

    def _changing(self, kind: str, address: ArchiveAddress, entry: Entry | None, what: str) -> Forecast:
        """What is confirmed with upstream in each window."""
        window = self._policy.site_of(address).ttl
        archive = self._policy.archive_of(address)
        own = archive is not None and archive.window is not None
        name = f"[[archive]] {address.host}, window" if own else "apt.window"
        if entry is None:
            verdict, why = Verdict.FETCH, "No copy is stored."
        elif freshness.is_fresh(entry, self._clock.now(), window):
            verdict, why = Verdict.HIT, f"{what} was confirmed by upstream within the window."
        else:
            verdict = Verdict.REVALIDATE
            why = f"{what} was not confirmed within the window. If upstream fails or is slow, it is sent as stale."
        return Forecast(
            kind=kind,
            verdict=verdict,
            why=(why,),
            settings=(DecidingSetting(name, show_duration(window)),),
            stored=StoredCopy.of(entry),
        )

    def _by_digest(self, kind: str, entry: Entry | None, digests: tuple[Digest, ...], why: str) -> Forecast:
        """Of a file that is told by its digest."""
        known = [entry is not None and entry.known(digest.algorithm) for digest in digests]
        if any(one == digest for one, digest in zip(known, digests, strict=True)):
            verdict, more = Verdict.HIT, "It is stored, and is what is promised."
        elif any(is_stored(digest, self._store) for digest in digests):
            verdict, more = Verdict.HIT, "What is promised is stored under another address."
        elif entry is None:
            verdict, more = Verdict.FETCH, "It is not stored."
        elif None in known:
            verdict, more = Verdict.HIT, "It is stored. It is hashed first, to compare it."
        else:
            verdict, more = Verdict.FETCH, "The stored file is another one."
        promised, copy = str(digests[0]), StoredCopy.of(entry)
        return Forecast(kind=kind, verdict=verdict, why=(more, why), promised=promised, stored=copy)

    def _release_pages(self, suite: ArchiveAddress) -> tuple[ListingPage, ...]:
        """The stored Release files of a suite."""
        found = []
        for form in ReleaseForm:
            entry = self._store.find(f"apt:release:{suite.key}:{form.value}")
            if entry is not None:
                age, window = max(self._clock.now() - entry.checked, 0.0), self._policy.site_of(suite).ttl
                path = addresses.prefix(suite.at(f"{suite.path}{form.value}"))
                found.append(ListingPage(path, age, freshness.is_fresh(entry, self._clock.now(), window), lists=True))
        return tuple(found)


def _refused(error: NotAllowed, name: str, values: Sequence[str]) -> Forecast:
    setting = DecidingSetting(name, ", ".join(values) or "(none)")
    return Forecast(kind="archive", verdict=Verdict.REFUSE, why=(str(error),), settings=(setting,))


def _file_key(address: ArchiveAddress) -> str:
    return f"apt:file:{address.key}"
