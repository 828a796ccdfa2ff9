"""Lines of suites: the snapshots that are known of a suite in one form, kept in the store and found there again.

`snapshots` changes them. A line is state of one process; what must outlive it is the present snapshot, as entries of
the store. Never asks upstream.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from proxy.apt import paths, release, suites
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.fetching import Sent
from proxy.apt.indexes import Indexes
from proxy.apt.suites import Away, Form, Held, Snapshot
from proxy.cache import dates
from proxy.cache.workers import Workers
from proxy.errors import NotFound, PullthroughError, StoreError
from proxy.model import Blob, Digest, Entry
from proxy.ports import Clock, Store

_FILES_MOST = 200_000  # files that all lists in memory may name together
_WRITTEN = 600.0  # seconds after which it is written that a Release file was confirmed again


@dataclass(slots=True)
class Line:
    """One suite in one form. Changed on the event loop only; `checked` and `missing_until` in monotonic seconds."""

    suite: ArchiveAddress  # its folder
    form: Form
    recent: list[Snapshot] = field(default_factory=list)  # the present one first
    left: dict[str, float] = field(default_factory=dict)  # when former snapshots were given up: monotonic seconds
    used: dict[str, float] = field(default_factory=dict)  # indexes that clients asked for: seconds since the epoch
    checked: float = float("-inf")
    error: PullthroughError | None = None  # why the last look upstream changed nothing
    away: Away | None = None  # since when upstream has something else than the present snapshot
    gone: bool = False  # packages that the present snapshot lists were not there any more
    missing: NotFound | None = None
    missing_until: float = float("-inf")
    preparing: bool = False

    @property
    def present(self) -> Snapshot | None:
        """The snapshot that is served."""
        return self.recent[0] if self.recent else None

    @property
    def key(self) -> str:
        """Its name among all lines."""
        return f"apt:release:{self.suite.key}:{self.form.value}"

    @property
    def weight(self) -> int:
        """What it costs in memory, counted in listed files."""
        return 100 + sum(100 + len(snapshot.release.files) for snapshot in self.recent)


class Lines:
    """All lines in memory, longest unused first; of those that are dropped, the present snapshot is read again."""

    def __init__(self, store: Store, clock: Clock, indexes: Indexes, workers: Workers) -> None:
        """`workers`: the threads that read and parse Release files."""
        self._workers = workers
        self._store = store
        self._clock = clock
        self._indexes = indexes
        self._lines: OrderedDict[str, Line] = OrderedDict()

    async def get(self, suite: ArchiveAddress, form: Form) -> Line:
        """The line of a suite, read from the store if it is new here."""
        line = Line(suite, form)
        known = self._lines.get(line.key)
        if known is None:
            await self._load(line)
            known = self._lines.setdefault(line.key, line)
            self._lines.move_to_end(known.key)
            self._bound()
        self._lines.move_to_end(known.key)
        present = known.present
        if present is not None and not self._here(present):
            known.recent.clear()  # evicted: what it lists may be kept, but it cannot be served
        return known

    async def adopt(self, line: Line, snapshot: Snapshot) -> None:
        """Make `snapshot` the present one, and drop what no known one lists."""
        now = self._clock.monotonic()
        if line.present is not None:
            line.left[line.present.name] = now
        others = [known for known in line.recent if known.name != snapshot.name]
        line.recent = [snapshot, *suites.retained(others, line.left, now)]
        line.left = {one.name: line.left[one.name] for one in line.recent[1:] if one.name in line.left}
        self._bound()
        await self._save(line)
        known = [*line.recent]
        for form in Form:
            other = self._lines.get(Line(line.suite, form).key)
            known += other.recent if other is not None and other is not line else []
        await self._indexes.prune(line.suite, known)
        signed = {f"{_signatures(line)}{one.name}" for one in line.recent}
        for key in self._store.keys(_signatures(line)):
            if line.form is Form.DETACHED and key not in signed:
                with contextlib.suppress(StoreError):
                    await self._store.forget(key)

    async def confirm(self, line: Line, found: Snapshot | None) -> None:
        """The present snapshot is what upstream has, described by `found` anew, if it is."""
        present, now = line.present, self._clock.now()
        if present is None:  # evicted meanwhile
            return
        signature = present.signature
        listing = _confirmed(present.listing, found.listing if found else None, now)
        if signature is not None:
            signature = _confirmed(signature, found.signature if found else None, now)
        line.recent[0] = replace(present, listing=listing, signature=signature)
        # That it was confirmed is written now and then only: after a restart it says how old the copy is.
        before = self._store.find(line.key)
        late = before is None or now - before.checked >= _WRITTEN
        if late or any(
            old.entry.validator != new.entry.validator
            for old, new in ((present.listing, listing), (present.signature, signature))
            if old is not None and new is not None
        ):
            await self._save(line)

    async def hold(self, line: Line, name: str, sent: Sent) -> Held:
        """Put a Release file into the store; into memory, where the disk does not take it."""
        now = self._clock.now()
        blob: Blob | None = None
        with contextlib.suppress(StoreError):
            blob = await self._store.put(sent.body)
        digest = blob.digest if blob is not None else release.digest(sent.body)
        key = line.key if name == line.form.value else f"{_signatures(line)}new"
        entry = Entry(key, sent.url, digest, len(sent.body), "text/plain", sent.validator, now, now)
        settled = suites.settled(sent.validator, sent.date, now)
        return Held(entry, None if blob is not None else sent.body, settled)

    def of(self, address: ArchiveAddress) -> list[Line]:
        """The lines in memory of the suites of the archive that a package belongs to."""
        return [
            line
            for line in self._lines.values()
            if (line.suite.scheme, line.suite.host) == (address.scheme, address.host)
            and paths.names_in(address.path, line.suite.path)
        ]

    async def withdraw(self, line: Line) -> None:
        """Forget the present snapshot: upstream took this form of the suite away."""
        line.recent.clear()
        line.left.clear()
        signatures = self._store.keys(_signatures(line)) if line.form is Form.DETACHED else ()
        for key in (line.key, *signatures):
            with contextlib.suppress(StoreError):
                await self._store.forget(key)

    def blob(self, held: Held) -> Blob | bytes | None:
        """The body of a Release file; None if it was evicted."""
        return held.body if held.body is not None else self._store.blob(held.entry.digest)

    def _here(self, snapshot: Snapshot) -> bool:
        return all(self.blob(held) is not None for held in (snapshot.listing, snapshot.signature) if held is not None)

    async def _save(self, line: Line) -> None:
        """The signature first: a list is never found without it."""
        present = line.present
        assert present is not None, "there is something to save"
        if present.listing.body is not None:
            return
        with contextlib.suppress(StoreError):
            if present.signature is not None:
                await self._store.save(replace(present.signature.entry, key=f"{_signatures(line)}{present.name}"))
            await self._store.save(present.listing.entry)

    async def _load(self, line: Line) -> None:
        """Find the present snapshot that an earlier run left, if any."""
        entry = self._store.find(line.key)
        if entry is None:
            return
        signature = self._store.find(f"{_signatures(line)}{entry.digest.value}")
        try:
            body = await self._read(entry.digest)
            found = await self._workers.run(release.parse, body, clearsigned=line.form is Form.INLINE)
        except PullthroughError:
            return
        line.recent = [Snapshot(line.form, _left(entry), found, _left(signature) if signature else None)]
        snapshot = line.recent[0]
        line.used = dict.fromkeys(self._indexes.kept(line.suite, snapshot), self._clock.now())

    async def _read(self, digest: Digest) -> bytes:
        blob = self._store.blob(digest)
        if blob is None:
            raise StoreError("The Release file was evicted.")
        with self._store.lease(blob) as descriptor:
            return await self._workers.run(os.pread, descriptor, blob.size, 0)

    def _bound(self) -> None:
        weight = sum(line.weight for line in self._lines.values())
        while weight > _FILES_MOST and len(self._lines) > 1:
            _, line = self._lines.popitem(last=False)
            weight -= line.weight


def _confirmed(held: Held, found: Held | None, now: float) -> Held:
    """The same file, confirmed `now`, as upstream describes it by now."""
    if found is None:
        return replace(held, entry=replace(held.entry, checked=now))
    return replace(held, entry=replace(held.entry, validator=found.entry.validator, checked=now), settled=found.settled)


def _left(entry: Entry) -> Held:
    """What an earlier run left."""
    return Held(entry, settled=dates.settled(entry.validator.last_modified, entry.stored))


def _signatures(line: Line) -> str:
    return f"apt:signature:{line.suite.key}:"
