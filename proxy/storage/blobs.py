"""All blobs in memory, in order of use: what is there, how large it is, and who reads it.

Loaded from the index once, a large one behind the answers (`loading`, `unloaded`); the store keeps it in step with the
disk. All are rows of a `BlobTable`, and those that were touched lately are objects, too. It does no I/O. Changed on the
event loop only, but for the counts of leases: a lease may begin and end on any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from proxy.model import Blob, Digest
from proxy.storage.blob_table import ENDS, GAP, BlobTable, footprint, raw_digest
from proxy.storage.digest_set import DigestSet
from proxy.storage.folder import blob_name
from proxy.storage.pins import Pins
from proxy.storage.record import BlobRow, Record, Records, hidden
from proxy.storage.unloaded import Totals, Unloaded

# Places in the order of use are times of use, in seconds since the epoch, made to rise where the clock does not.
# Smaller ones than this are numbers, which an earlier release gave.
_TIMES = 1e9
_STEP = 2**-20  # seconds by which a place rises at least: floats have it until the year 2242
_LOOKED_AT = 1000  # blobs among which one is looked for that was used at a known time
_RECORDS = 32_768  # objects of blobs that are held: more than there are entries in memory


class Blobs:
    """All blobs, the longest unused first."""

    def __init__(
        self,
        folder: str,
        rows: Iterable[BlobRow] = (),
        now: Callable[[], float] = time.time,
        pins: Pins | None = None,
        most: int = _RECORDS,
    ) -> None:
        """`folder`: of the index. `rows`: in order of use. `now`: seconds since the epoch. `pins`: never evicted.

        `most`: objects that are held without being read.
        """
        self._now = now
        self.pins = Pins() if pins is None else pins
        self.kept: list[DigestSet] = []  # sha256 of what stays for now, though it was unused long or has no name
        self.leased = 0  # bytes on disk of those that somebody reads
        self._folder = folder
        self._table = BlobTable()
        self._records = Records(most, self._let_go)
        self._uses: dict[str, Record] = {}  # since `take_uses`
        self._proofs: dict[str, str] = {}  # stamps by sha256, since `take_proofs`
        self._place = 0.0
        self._lock = threading.Lock()  # for the objects, and for whatever `find` of the table looks at
        self._unloaded = Unloaded()
        self.take_in(rows)

    def __len__(self) -> int:
        return self._table.count + self._unloaded.count

    @property
    def size(self) -> int:
        """Bytes of all."""
        return self._table.size + self._unloaded.size

    @property
    def footprint(self) -> int:
        """Bytes on disk of all."""
        return self._table.footprint + self._unloaded.footprint

    def __iter__(self) -> Iterator[Record]:
        """All that are loaded, each as an object: for a store that has few."""
        found = (self.get(self._table.sha256(row)) for row in list(self._table) if row != GAP)
        return (record for record in found if record is not None)

    def __contains__(self, sha256: str) -> bool:
        return (
            self._records.get(sha256) is not None or self._find(sha256) != 0 or self._unloaded.ask(sha256) is not None
        )

    def may_hold(self, sha256: str) -> bool:
        """Whether a blob is here. What is not loaded is not looked for: it counts as here unless it was removed."""
        if self._unloaded.under_way and sha256 not in self._unloaded.gone:
            return True
        return sha256 in self

    def get(self, sha256: str) -> Record | None:
        """The record of a blob, if it is here."""
        record = self._records.get(sha256)
        if record is not None:
            return record
        with self._lock:
            record = self._touch(sha256)
        if record is None and (found := self._unloaded.ask(sha256)) is not None:
            record = Record(*found)
            self._insert(record)
            self._unloaded.loaded(record.size)
            self._unloaded.taken.append(record)  # its place in the order is where the loading meets it
        return record

    def peek(self, sha256: str) -> tuple[int, str | None] | None:
        """Size and stamp of a blob that is loaded, without an object of it. From any thread."""
        with self._lock:
            record = self._records.get(sha256)
            if record is not None:
                return record.size, record.stamp
            row = self._find(sha256)
            return (self._table.size_of(row), self._table.stamp(row)) if row else None

    def prove(self, sha256: str, stamp: str) -> None:
        """The file of a blob has its digest, and this stamp. From any thread."""
        with self._lock:
            self._proofs[sha256] = stamp
            if (record := self._records.get(sha256)) is not None:
                record.stamp = stamp
            elif row := self._find(sha256):
                self._table.set_stamp(row, stamp)

    @property
    def loading(self) -> bool:
        """Whether the index has blobs that are not loaded."""
        return self._unloaded.under_way

    def expect(self, totals: Totals, look: Callable[[str], BlobRow | None]) -> None:
        """The index has this much, which `take_in` is going to bring; `look` finds one by its sha256 meanwhile."""
        self._unloaded.begin(totals, look)
        self._place = max(self._place, totals.place)
        self._table.link(GAP, ENDS)

    def take_in(self, rows: Iterable[BlobRow]) -> list[str]:
        """Load rows, which are later in the order of use than all that were loaded before.

        Gives the sha256 of those that must be checked before they are served.
        """
        table, unloaded = self._table, self._unloaded
        at = GAP if unloaded.under_way else ENDS
        unproved: list[str] = []
        last = self._place
        with self._lock:
            for sha256, size, stamp, last in rows:
                if sha256 in unloaded.gone:
                    continue
                raw = bytes.fromhex(sha256)
                row = table.find(raw)
                if not row:
                    row = table.insert(raw, size, stamp, last)
                    unloaded.loaded(size)
                elif table.linked(row):
                    continue  # it was stored again, or used
                table.link(row, at)  # also what was asked for before, and had no place in the order
                if hidden(size, stamp):
                    unproved.append(sha256)
        self._place = max(self._place, last)
        return unproved

    def all_loaded(self) -> None:
        """There is nothing more in the index."""
        for record in self._unloaded.end():
            if record.row and not self._table.linked(record.row):
                self.demote(record)  # it has no row any more, or one without a place
        self._table.unlink(GAP)

    def _find(self, sha256: str) -> int:
        raw = raw_digest(sha256)
        return self._table.find(raw) if raw is not None else 0

    def _touch(self, sha256: str) -> Record | None:
        """The object of a blob that is loaded, held from now on. Under the lock."""
        record = self._records.get(sha256) or self._records.take_again(sha256)
        if record is None and (row := self._find(sha256)):
            table = self._table
            record = Record(sha256, table.size_of(row), table.stamp(row), table.used(row), row)
            self._records.hold(record)
        return record

    def _let_go(self, record: Record) -> None:
        self._table.set_stamp(record.row, record.stamp)

    def holds(self, record: Record) -> bool:
        """Whether this very record is still here."""
        return record.row != 0

    @property
    def place(self) -> float:
        """The last place in the order of use."""
        return self._place

    def next_place(self) -> float:
        """A place in the order of use that is later than all before."""
        self._place = max(self._now(), self._place + _STEP)
        return self._place

    def longest_unused(self) -> float | None:
        """Seconds since the last use of the blob that was unused the longest; None: there is none of known use.

        What is pinned does not count: it would not be evicted.
        """
        places = map(self._table.used, islice(self._unpinned(), _LOOKED_AT))
        used = next((place for place in places if place > _TIMES), None)
        return None if used is None else max(self._now() - used, 0.0)

    def _unpinned(self) -> Iterator[int]:
        """The rows that are not pinned, in order, as far as they are loaded."""
        table, pins = self._table, self.pins
        for row in table:
            if row == GAP:
                return
            if not pins or table.sha256(row) not in pins:
                yield row

    def needed(self, sha256: str) -> bool:
        """Whether a blob has to stay for now: it is read, kept or pinned."""
        record = self._records.get(sha256)
        leased = record is not None and record.leases > 0
        return leased or sha256 in self.pins or any(sha256 in kept for kept in self.kept)

    def evictable(self) -> Iterator[tuple[str, int]]:
        """What is not `needed`, the longest unused first: sha256, bytes on disk. Of what is loaded."""
        table = self._table
        for row in self._unpinned():
            sha256 = table.sha256(row)
            if not self.needed(sha256):
                yield sha256, footprint(table.size_of(row))

    def in_folder(self, front: str) -> list[str]:
        """The sha256 of the blobs that are loaded and whose files are in the folder of this name."""
        return self._table.folder(int(front, 16))

    def rows(self) -> Iterator[BlobRow]:
        """All that are loaded, in order of use. They may not change meanwhile."""
        for row in self._table:
            if row != GAP:
                sha256 = self._table.sha256(row)
                record = self._records.get(sha256)
                stamp = record.stamp if record is not None else self._table.stamp(row)
                yield sha256, self._table.size_of(row), stamp, self._table.used(row)

    def use(self, record: Record) -> Blob:
        """Note a use of a record that is here, and give what callers see of it."""
        if not record.row:
            raise KeyError(record.sha256)
        if not self._records.touch(record):
            with self._lock:
                self._records.take_again(record.sha256)
        record.used = self.next_place()
        self._table.use(record.row, record.used)
        self._uses[record.sha256] = record
        return self.blob_of(record)

    def blob_of(self, record: Record) -> Blob:
        """What callers see of a record, without noting a use."""
        if record.blob is None:
            record.blob = Blob(Digest("sha256", record.sha256), record.size, self.path_of(record.sha256))
        return record.blob

    def path_of(self, sha256: str) -> str:
        """Where the file of a blob is."""
        return f"{self._folder}/{blob_name(sha256)}"

    def demote(self, record: Record) -> None:
        """Make it the next to be evicted."""
        if record.row and self._table.first() != record.row:
            self._table.link(record.row, self._table.first())

    def add(self, record: Record) -> None:
        """Take a blob in, as the last used. One of the same digest is replaced."""
        before = self.get(record.sha256)
        if before is not None:
            self.remove(before)
        self._insert(record)
        self._table.link(record.row, ENDS)

    def add_found(self, sha256: str, size: int) -> None:
        """Take in a file of which only name and size are known, as the longest unused."""
        if sha256 not in self:
            record = Record(sha256, size, None, 0.0)
            self._insert(record)
            self.demote(record)

    def _insert(self, record: Record) -> None:
        raw = raw_digest(record.sha256)
        assert raw is not None, "blobs are named by sha256"
        with self._lock:
            record.row = self._table.insert(raw, record.size, record.stamp, record.used)
            self._records.hold(record)

    def remove(self, record: Record) -> bool:
        """Forget a record; those who read it are not disturbed. False if it is not here any more."""
        if not record.row:
            return False
        with self._lock:
            self._table.remove(record.row)
            record.row = 0
            self._records.forget(record.sha256)
            if record.leases:
                self.leased -= footprint(record.size)
        self._uses.pop(record.sha256, None)
        self._proofs.pop(record.sha256, None)
        self._unloaded.removed(record.sha256)
        return True

    def acquire(self, sha256: str) -> Record | None:
        """Count a reader in. From any thread: what is not loaded yet has no readers."""
        with self._lock:
            record = self._touch(sha256)
            if record is not None:
                record.leases += 1
                if record.leases == 1:
                    self.leased += footprint(record.size)
            return record

    def release(self, record: Record) -> None:
        """Count a reader out. From any thread."""
        with self._lock:
            record.leases -= 1
            if not record.leases and record.row:
                self.leased -= footprint(record.size)
                self._records.released(record)

    def take_uses(self) -> list[tuple[float, str]]:
        """The uses since the last call, to be written down: (place, sha256)."""
        uses, self._uses = self._uses, {}
        return [(record.used, sha256) for sha256, record in uses.items()]

    def take_proofs(self) -> list[tuple[str, str]]:
        """What was proved since the last call, to be written down, so that no later start has to: (stamp, sha256)."""
        with self._lock:
            proofs, self._proofs = self._proofs, {}
        return [(stamp, sha256) for sha256, stamp in proofs.items()]
