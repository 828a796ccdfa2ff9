"""All blobs in memory, in order of use: what is there, how large it is, and who reads it.

Loaded from the index once; the store keeps it in step with the disk. It does no I/O. Changed on the event loop only,
but for the counts of leases: a lease may begin and end on any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from proxy.model import Blob, Digest
from proxy.storage.folder import blob_name

_BLOCK = 4096
# Up to this size the digest of a file is checked while the caller waits, on the event loop: 6 ms.
INLINE = 8 << 20

# A blob as the index has it: sha256, size in bytes, stamp, and its place in the order of use, larger is later.
BlobRow: TypeAlias = tuple[str, int, str | None, float]


def footprint(size: int) -> int:
    """The bytes that a file of `size` bytes takes on disk: whole blocks."""
    return -(-size // _BLOCK) * _BLOCK


class Record:
    """One blob. The object is its identity: a body that is dropped and stored again gets another."""

    __slots__ = ("blob", "leases", "sha256", "size", "stamp", "used")

    def __init__(self, sha256: str, size: int, stamp: str | None, used: float) -> None:
        self.sha256 = sha256
        self.size = size  # bytes
        self.stamp = stamp  # see `verification.stamp_of`; None: unknown, the digest must be checked first
        self.used = used  # its place in the order of use
        self.leases = 0
        self.blob: Blob | None = None

    @property
    def hidden(self) -> bool:
        """Whether it must not be served until its digest was checked in the background."""
        return self.stamp is None and self.size > INLINE


class Blobs:
    """All records, the longest unused first. `size` is their bytes; `footprint` and `leased` are bytes on disk."""

    def __init__(self, folder: str, rows: Iterable[BlobRow]) -> None:
        """`folder`: of the index. `rows`: in order of use."""
        self.size = 0
        self.footprint = 0
        self.leased = 0  # of those that somebody reads
        self._folder = folder
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._uses: dict[str, Record] = {}  # since `take_uses`
        self._place = 0.0
        self._lock = threading.Lock()
        for sha256, size, stamp, used in rows:
            self._insert(Record(sha256, size, stamp, used))
            self._place = used

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def get(self, sha256: str) -> Record | None:
        """The record of a blob, if it is here."""
        return self._records.get(sha256)

    def holds(self, record: Record) -> bool:
        """Whether this very record is still here."""
        return self._records.get(record.sha256) is record

    @property
    def place(self) -> float:
        """The last place in the order of use."""
        return self._place

    def next_place(self) -> float:
        """A place in the order of use that is later than all before."""
        self._place += 1
        return self._place

    def use(self, record: Record) -> Blob:
        """Note a use of a record that is here, and give what callers see of it."""
        self._records.move_to_end(record.sha256)
        record.used = self.next_place()
        self._uses[record.sha256] = record
        if record.blob is None:
            path = f"{self._folder}/{blob_name(record.sha256)}"
            record.blob = Blob(Digest("sha256", record.sha256), record.size, path)
        return record.blob

    def demote(self, record: Record) -> None:
        """Make it the next to be evicted."""
        if self.holds(record):
            self._records.move_to_end(record.sha256, last=False)

    def add(self, record: Record) -> None:
        """Take a blob in, as the last used. One of the same digest is replaced."""
        before = self._records.get(record.sha256)
        if before is not None:
            self.remove(before)
        self._insert(record)

    def add_found(self, sha256: str, size: int) -> None:
        """Take in a file of which only name and size are known, as the longest unused."""
        if sha256 not in self._records:
            self._insert(Record(sha256, size, None, 0.0))
            self._records.move_to_end(sha256, last=False)

    def _insert(self, record: Record) -> None:
        self._records[record.sha256] = record
        self.size += record.size
        self.footprint += footprint(record.size)

    def remove(self, record: Record) -> bool:
        """Forget a record; those who read it are not disturbed. False if it is not here any more."""
        if not self.holds(record):
            return False
        with self._lock:
            del self._records[record.sha256]
            if record.leases:
                self.leased -= footprint(record.size)
        self._uses.pop(record.sha256, None)
        self.size -= record.size
        self.footprint -= footprint(record.size)
        return True

    def acquire(self, sha256: str) -> Record | None:
        """Count a reader in. From any thread."""
        with self._lock:
            record = self._records.get(sha256)
            if record is not None:
                record.leases += 1
                if record.leases == 1:
                    self.leased += footprint(record.size)
            return record

    def release(self, record: Record) -> None:
        """Count a reader out. From any thread."""
        with self._lock:
            record.leases -= 1
            if not record.leases and self._records.get(record.sha256) is record:
                self.leased -= footprint(record.size)

    def take_uses(self) -> list[tuple[float, str]]:
        """The uses since the last call, to be written down: (place, sha256)."""
        uses, self._uses = self._uses, {}
        return [(record.used, sha256) for sha256, record in uses.items()]
