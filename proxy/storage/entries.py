"""Entries: what is known of addresses. They are rows of the index; those used lately or not written yet are in memory.

An entry lives and dies with its blob: it is not saved without one, and goes with it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import msgspec

from proxy.bounded import Bounded
from proxy.model import Digest, Entry
from proxy.storage.backlog import Backlog, Change, Dropped, Forgotten, Saved
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import DISK_ERRORS, Component
from proxy.storage.index import IndexDatabase
from proxy.storage.record import Record
from proxy.storage.threads import Threads

_REMEMBERED = 20_000
_ABSENT = 20_000  # keys that the index does not have
_FAMILIES, _FEW = 10_000, 4  # beginnings of keys of which the rows are remembered, where they are so few
_decoder = msgspec.json.Decoder(Entry)
Rows: TypeAlias = Sequence[tuple[str, object]]


def decode(key: str, text: bytes) -> Entry | None:
    """The entry of a row. None where the text is damaged, or is another key's: bytes of A never answer for B."""
    try:
        entry = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    promised = entry.promised
    sound = promised is None or Digest.parse(str(promised)) == promised  # it gets into answers, as a validator
    return entry if sound and entry.key == key and entry.digest.algorithm == "sha256" else None


class Entries:
    """The entries. Changed on the event loop only."""

    def __init__(
        self,
        index: IndexDatabase,
        blobs: Blobs,
        backlog: Backlog,
        threads: Threads,
        drop: Callable[[Record], None],
    ) -> None:
        """`drop` is called with a blob that no entry names any more."""
        self._index = index
        self._blobs = blobs
        self._threads = threads
        self._backlog = backlog
        self._backlog.on_written = self._written
        self._drop = drop
        self._remembered = _REMEMBERED
        # With the record that each one's blob had: another record is another blob, even of the same digest.
        self._memory: OrderedDict[str, tuple[Entry, Record]] = OrderedDict()
        # The last change of each that is not in the index yet; None: forgotten.
        self._unwritten: dict[str, tuple[Saved, Entry, Record] | tuple[Forgotten, None, None]] = {}
        # What the index does not have: clients and look-ahead ask several times for what is not here.
        self._absent: Bounded[str, None] = Bounded(_ABSENT)
        # The rows of the index below beginnings of keys, which end in a colon; until one of them is written. Each hit
        # of a file asks which pages its project has.
        self._families: Bounded[str, Rows] = Bounded(_FAMILIES)
        self._named: Counter[str] = Counter()  # by sha256: entries on their way to the index
        self._readable = True

    def find(self, key: str) -> Entry | None:
        """See `ports.Store`."""
        known = self._memory.get(key)
        if known is not None:
            entry, record = known
            if self._blobs.holds(record):
                self._memory.move_to_end(key)
                return None if record.hidden else entry
            del self._memory[key]
        if key in self._unwritten:
            return self._find_unwritten(key)
        return self._read(key) if self._readable and key not in self._absent else None

    def stands(self, entry: Entry) -> bool:
        """See `ports.Store`."""
        known = self._memory.get(entry.key)
        # Asked before each answer that is given again. Then it is mostly the same object, and is not made the newest.
        if known is not None and known[0] is entry and self._blobs.holds(known[1]):
            return not known[1].hidden
        now = self.find(entry.key)
        return now is not None and (now.digest, now.url) == (entry.digest, entry.url)

    def _find_unwritten(self, key: str) -> Entry | None:
        _, entry, record = self._unwritten[key]
        if entry is None or record is None or not self._blobs.holds(record):
            return None
        self._remember(entry, record)
        return None if record.hidden else entry

    def _read(self, key: str) -> Entry | None:
        try:
            text = self._index.entry(key)
        except DISK_ERRORS as error:
            self._threads.failed(error, Component.INDEX)
            return None
        if text is None:
            self._absent[key] = None
            return None
        entry = decode(key, text)
        record = self._blobs.get(entry.digest.value) if entry else None
        if entry is None or (record is not None and record.size != entry.size):
            self.forget(key)
            return None
        if record is None:
            return None
        self._remember(entry, record)
        return None if record.hidden else entry

    def _remember(self, entry: Entry, record: Record) -> None:
        self._memory[entry.key] = entry, record
        self._memory.move_to_end(entry.key)
        if len(self._memory) > self._remembered:
            self._memory.popitem(last=False)

    @contextmanager
    def in_memory_only(self) -> Generator[None]:
        """Do not read the index meanwhile: it is being rebuilt."""
        self._readable = False
        try:
            yield
        finally:
            self._families.clear()
            self._readable = True

    def in_memory(self) -> list[tuple[str, bytes, str]]:
        """The entries in memory whose blobs are here: key, JSON, sha256."""
        return [
            (entry.key, msgspec.json.encode(entry), record.sha256)
            for entry, record in self._memory.values()
            if self._blobs.holds(record)
        ]

    def keys(self, prefix: str) -> Sequence[str]:
        """See `ports.Store`."""
        unwritten = [key for key in self._unwritten if key.startswith(prefix)]
        if not self._readable:
            found = {key for key in self._memory if key.startswith(prefix)}
        else:
            # A row whose blob is gone is about to be deleted.
            found = {
                key for key, sha256 in self._rows(prefix) if isinstance(sha256, str) and self._blobs.may_hold(sha256)
            }
        for key in unwritten:
            (found.add if self._find_unwritten(key) is not None else found.discard)(key)
        return sorted(found)

    def _rows(self, prefix: str) -> Rows:
        """The rows of the index: keys, and the sha256 that each names. None where it cannot be read."""
        rows: Rows | None = self._families.get(prefix)
        if rows is not None:
            return rows
        try:
            rows = self._index.keys(prefix)
        except DISK_ERRORS as error:
            self._threads.failed(error, Component.INDEX)
            return ()
        if len(rows) <= _FEW and prefix.endswith(":"):
            self._families[prefix] = rows
        return rows

    def save(self, entry: Entry) -> bool:
        """See `ports.Store`. Raises StoreBroken."""
        record = self._blobs.get(entry.digest.value)
        if record is None:
            return False  # evicted since: the entry would name nothing
        text = msgspec.json.encode(entry)
        change, _, before = self._unwritten.get(entry.key, (None, None, None))
        if isinstance(change, Saved) and before is record and not change.taken:
            change.text = text  # saved again before it was written
        else:
            self._backlog.refuse_if_full()
            change = Saved(entry.key, text, record.sha256, self._blobs.place)
            self._named[record.sha256] += 1
            self._backlog.add(change)
        self._unwritten[entry.key] = change, entry, record
        self._absent.pop(entry.key, None)
        self._remember(entry, record)
        return True

    def forget(self, key: str) -> None:
        """See `ports.Store`."""
        self._memory.pop(key, None)
        change = Forgotten(key, self._blobs.place)
        self._unwritten[key] = change, None, None
        self._backlog.add(change)

    def _rows_changed(self, key: str) -> None:
        """The index has another row with this key, or none any more. Until now it was looked for here."""
        end = key.find(":")
        while end >= 0:
            self._families.pop(key[: end + 1], None)
            end = key.find(":", end + 1)

    def _written(self, changes: Sequence[Change], unnamed: Mapping[str, float]) -> None:
        """These are in the index now. Drop the blobs that no entry names, unless one is about to."""
        for change in changes:
            if isinstance(change, Saved):
                self._named[change.sha256] -= 1
                if not self._named[change.sha256]:
                    del self._named[change.sha256]
            if isinstance(change, Saved | Forgotten):
                self._rows_changed(change.key)
                if self._unwritten[change.key][0] is change:
                    del self._unwritten[change.key]
            elif isinstance(change, Dropped):
                self._families.clear()  # nobody knows which keys named what was dropped
        for sha256, since in unnamed.items():
            record = self._blobs.get(sha256)
            if record is None or sha256 in self._named:
                continue
            if record.used > since or self._blobs.needed(sha256):
                self._blobs.demote(record)  # somebody has just put it, or needs it
            else:
                self._drop(record)
