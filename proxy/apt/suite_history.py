"""The history of a suite: its present snapshot, former ones whose indexes clients may still want, what upstream had.

`snapshots` changes it. A history is state of one process; of it, only the present snapshot outlives the process, as
entries of the store. Never asks upstream.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from msgspec import structs

from proxy.apt import paths, release, suites
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.indexes import Indexes
from proxy.apt.suites import Away, Received, ReleaseForm, Snapshot
from proxy.cache import freshness
from proxy.cache.workers import Workers
from proxy.errors import NotFound, PullthroughError, StoreError
from proxy.model import Blob, Digest, Entry
from proxy.ports import Clock, Store

_FILES_MOST = 200_000  # files that all lists in memory may name together
_WRITTEN = 600.0  # seconds after which the store is told that a Release file was confirmed again
# What a stored list is: one that has a signature beside it says so, since it is not whole without.
_PLAIN = "text/plain"
_SIGNED = "text/plain; signature=Release.gpg"


@dataclass(slots=True)
class SuiteHistory:
    """One suite in one form. Changed on the event loop only; times are in monotonic seconds unless they say so."""

    suite: ArchiveAddress  # its folder
    form: ReleaseForm
    recent: list[Snapshot] = field(default_factory=list)  # the present one first
    replaced: dict[str, float] = field(default_factory=dict)  # former snapshots by name, and when each was replaced
    used: dict[str, float] = field(default_factory=dict)  # indexes that clients asked for: seconds since the epoch
    checked: float = float("-inf")
    error: PullthroughError | None = None  # why the last look upstream changed nothing
    away: Away | None = None  # since when upstream has something other than the present snapshot
    gone: bool = False  # upstream lacks packages that the present snapshot lists
    missing: NotFound | None = None
    missing_until: float = float("-inf")
    preparing: bool = False

    @property
    def present(self) -> Snapshot | None:
        """The snapshot that is served."""
        return self.recent[0] if self.recent else None

    @property
    def key(self) -> str:
        """Its name among all histories; the store's key of its present list."""
        return f"apt:release:{self.suite.key}:{self.form.value}"

    def signature_key(self, snapshot: str = "") -> str:
        """The store's key of the signature of a snapshot, by its name; without one, what all these keys begin with."""
        return f"apt:signature:{self.suite.key}:{snapshot}"

    @property
    def weight(self) -> int:
        """What it costs in memory, counted in listed files."""
        return 100 + sum(100 + len(snapshot.release.files) for snapshot in self.recent)


class SuiteHistories:
    """All histories in memory, longest unused first. The present snapshot of a dropped one is read from the store."""

    def __init__(self, store: Store, clock: Clock, indexes: Indexes, workers: Workers) -> None:
        """`workers`: the threads that read and parse Release files."""
        self._workers = workers
        self._store = store
        self._clock = clock
        self._indexes = indexes
        self._histories: OrderedDict[str, SuiteHistory] = OrderedDict()

    async def get(self, suite: ArchiveAddress, form: ReleaseForm) -> SuiteHistory:
        """The history of a suite, read from the store if it is not in memory."""
        history = SuiteHistory(suite, form)
        known = self._histories.get(history.key)
        if known is None:
            await self._load(history)
            known = self._histories.setdefault(history.key, history)
            self._histories.move_to_end(known.key)
            self._drop_unused()
        self._histories.move_to_end(known.key)
        if self._taken_in(known):
            await self._take_over(known)
        present = known.present
        if present is not None and not self._is_cached(present):
            known.recent.clear()  # evicted: its indexes may be cached, but it cannot be served
            if self._taken_in(known):
                await self._load(known)
        return known

    async def adopt(self, history: SuiteHistory, snapshot: Snapshot) -> None:
        """Make `snapshot` the present one, and drop what no known snapshot lists."""
        self._put_first(history, snapshot)
        await self._save(history)
        known = [*history.recent]
        for form in ReleaseForm:
            other = self._histories.get(SuiteHistory(history.suite, form).key)
            known += other.recent if other is not None and other is not history else []
        await self._indexes.prune(history.suite, known)
        if history.form is ReleaseForm.DETACHED:
            signed = {history.signature_key(one.name) for one in history.recent}
            await self._forget(key for key in self._store.keys(history.signature_key()) if key not in signed)

    async def confirm(self, history: SuiteHistory, found: Snapshot | None) -> None:
        """Upstream has the present snapshot. `found` is how upstream describes it now, if it did."""
        present, now = history.present, self._clock.now()
        if present is None:  # evicted meanwhile
            return
        signature = present.signature
        listing = _confirmed(present.listing, found.listing if found else None, now)
        if signature is not None:
            signature = _confirmed(signature, found.signature if found else None, now)
        history.recent[0] = replace(present, listing=listing, signature=signature)
        # The time of the confirmation is written now and then only: after a restart it says how old the copy is.
        before = self._store.find(history.key)
        late = before is None or now - before.checked >= _WRITTEN
        if late or any(
            old.entry.validator != new.entry.validator
            for old, new in ((present.listing, listing), (present.signature, signature))
            if old is not None and new is not None
        ):
            await self._save(history)

    async def withdraw(self, history: SuiteHistory) -> None:
        """Forget the present snapshot: upstream took this form of the suite away."""
        history.recent.clear()
        history.replaced.clear()
        signatures = self._store.keys(history.signature_key()) if history.form is ReleaseForm.DETACHED else ()
        await self._forget((history.key, *signatures))

    def of_archive(self, address: ArchiveAddress) -> list[SuiteHistory]:
        """The histories in memory of the suites of the archive that a package belongs to."""
        return [
            history
            for history in self._histories.values()
            if (history.suite.scheme, history.suite.host) == (address.scheme, address.host)
            and paths.names_in(address.path, history.suite.path)
        ]

    def body(self, received: Received) -> Blob | bytes | None:
        """The body of a Release file; None if it was evicted."""
        return received.body if received.body is not None else self._store.blob(received.entry.digest)

    def _taken_in(self, history: SuiteHistory) -> bool:
        """Whether the store has a newer list than the present one, which came in a bundle."""
        entry, present = self._store.find(history.key), history.present
        if entry is None or present is None:
            return entry is not None
        # A list that could not be saved has an older one in the store.
        return entry.digest.value != present.name and entry.checked > present.listing.entry.stored

    async def _take_over(self, history: SuiteHistory) -> None:
        """Make the list in the store the present one. Clients in the middle of an update still want the former's."""
        former, used = list(history.recent), history.used
        await self._load(history)
        present = history.present
        if present is not None and former and present.name != former[0].name:
            history.recent, history.used = former, used | history.used
            self._put_first(history, present)
            history.away, history.gone = None, False

    def _put_first(self, history: SuiteHistory, snapshot: Snapshot) -> None:
        """Note that `snapshot` is the present one, and which former ones stay known."""
        now = self._clock.monotonic()
        if history.present is not None:
            history.replaced[history.present.name] = now
        others = [known for known in history.recent if known.name != snapshot.name]
        history.recent = [snapshot, *suites.retained(others, history.replaced, now)]
        history.replaced = {
            one.name: history.replaced[one.name] for one in history.recent[1:] if one.name in history.replaced
        }
        self._drop_unused()

    def _is_cached(self, snapshot: Snapshot) -> bool:
        parts = (snapshot.listing, snapshot.signature)
        return all(self.body(received) is not None for received in parts if received is not None)

    async def _save(self, history: SuiteHistory) -> None:
        """Save the present snapshot. The signature comes first, so that a list is never found without it."""
        present = history.present
        assert present is not None, "there is something to save"
        if present.listing.body is not None:
            return
        if present.signature is not None:
            signature = structs.replace(present.signature.entry, key=history.signature_key(present.name))
            if not await self._store.save(signature):
                return
        kind = _PLAIN if present.signature is None else _SIGNED
        await self._store.save(structs.replace(present.listing.entry, content_type=kind))

    async def _forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            await self._store.forget(key)

    async def _load(self, history: SuiteHistory) -> None:
        """Find the present snapshot that an earlier run left, if any."""
        entry = self._store.find(history.key)
        if entry is None:
            return
        signature = self._store.find(history.signature_key(entry.digest.value))
        if signature is None and entry.content_type == _SIGNED:
            return  # the disk lost the signature: clients would take the suite for one that is not signed
        try:
            body = await self._read(entry.digest)
            found = await self._workers.run(release.parse, body, clearsigned=history.form is ReleaseForm.INLINE)
        except PullthroughError:
            return
        snapshot = Snapshot(history.form, _stored(entry), found, _stored(signature) if signature else None)
        history.recent = [snapshot]
        history.used = dict.fromkeys(self._indexes.cached(history.suite, snapshot), self._clock.now())

    async def _read(self, digest: Digest) -> bytes:
        blob = self._store.blob(digest)
        if blob is None:
            raise StoreError("The Release file was evicted.")
        with self._store.lease(blob) as descriptor:
            return await self._workers.run(os.pread, descriptor, blob.size, 0)

    def _drop_unused(self) -> None:
        weight = sum(history.weight for history in self._histories.values())
        while weight > _FILES_MOST and len(self._histories) > 1:
            _, history = self._histories.popitem(last=False)
            weight -= history.weight
        for history in self._histories.values():
            while history.weight > _FILES_MOST and len(history.recent) > 1:  # it alone is too heavy
                history.replaced.pop(history.recent.pop().name, None)


def _confirmed(received: Received, found: Received | None, now: float) -> Received:
    """The same file, confirmed `now`, as upstream describes it by now."""
    if found is None:
        return replace(received, entry=structs.replace(received.entry, checked=now))
    entry = structs.replace(received.entry, validator=found.entry.validator, checked=now)
    return replace(received, entry=entry, settled=found.settled)


def _stored(entry: Entry) -> Received:
    """What an earlier run stored."""
    return Received(entry, settled=freshness.is_settled(entry.validator.last_modified, entry.stored))
