"""One blob: as a row of the index, and as the object that the store works with; and the objects that there are."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias
from weakref import WeakValueDictionary

from proxy.model import Blob

# Up to this size the digest of a file is checked while the caller waits, on the event loop: 6 ms.
INLINE = 8 << 20

# A blob as the index has it: sha256, size in bytes, stamp, and its place in the order of use, larger is later.
BlobRow: TypeAlias = tuple[str, int, str | None, float]

_IN = "@"  # between a stamp and the run of the machine in which it holds,
_DIGITS = 8  # of a hash of the name that the system gives it

_TRIES = 2  # that are let go for one that is taken, at most: what is read by many at once is passed over


class Record:
    """One blob. The object is its identity: a body that is dropped and stored again gets another."""

    __slots__ = ("__weakref__", "blob", "leases", "row", "sha256", "size", "stamp", "used")

    def __init__(self, sha256: str, size: int, stamp: str | None, used: float, row: int = 0) -> None:
        self.sha256 = sha256
        self.size = size  # bytes
        self.stamp = stamp  # see `verification.stamp_of`; None: unknown, the digest must be checked first
        self.used = used  # its place in the order of use
        self.row = row  # of the table of blobs; 0: it is not there
        self.leases = 0
        self.blob: Blob | None = None

    @property
    def hidden(self) -> bool:
        """Whether it must not be served until its digest was checked in the background."""
        return self.stamp is None and self.size > INLINE  # as below: every hit asks


def hidden(size: int, stamp: str | None) -> bool:
    """Whether a file of `size` bytes with this stamp must not be served until it was checked in the background."""
    return stamp is None and size > INLINE


def passing_stamp(stamp: str | None, boot: str) -> str | None:
    """A stamp as the index has it of a file that was not fsynced: with the run of the machine in which it holds.

    `boot`: as of `operating_system.boot_id`. None where the system does not say which run it is.
    """
    return f"{stamp}{_IN}{_run(boot)}" if stamp is not None and boot else None


def held_stamp(text: object, boot: str) -> str | None:
    """The stamp that the index has, if it holds: a power cut may have taken of a file what was not fsynced."""
    if not isinstance(text, str):
        return None
    stamp, passing, run = text.partition(_IN)
    return stamp if not passing or (boot and run == _run(boot)) else None


@lru_cache(maxsize=1)
def _run(boot: str) -> str:
    return hashlib.sha256(boot.encode()).hexdigest()[:_DIGITS]


class Records:
    """The objects of blobs that were touched lately, and of all that are read. Not locked: `blobs` is."""

    def __init__(self, most: int, let_go: Callable[[Record], None]) -> None:
        """`most`: how many are held without being read. `let_go` is called with one that is held no more."""
        self._most = most
        self._let_go = let_go
        self._held: OrderedDict[str, Record] = OrderedDict()  # the last touched at the end
        self._others: WeakValueDictionary[str, Record] = WeakValueDictionary()  # not held, but somebody has them

    def __len__(self) -> int:
        return len(self._held)

    def get(self, sha256: str) -> Record | None:
        """One that is held."""
        return self._held.get(sha256)

    def take_again(self, sha256: str) -> Record | None:
        """One that was let go and that somebody has all the same, held from now on."""
        record = self._others.pop(sha256, None)
        if record is not None:
            self.hold(record)
        return record

    def hold(self, record: Record) -> None:
        """Hold one, and let go of what was touched the longest ago."""
        held = self._held
        held[record.sha256] = record
        for _ in range(min(len(held) - self._most, _TRIES)):
            _, last = held.popitem(last=False)
            if last.leases or last is record:
                held[last.sha256] = last
            else:
                self._leave(last)

    def released(self, record: Record) -> None:
        """Nobody reads it any more: let go of it, if more are held than shall be."""
        if len(self._held) > self._most and self._held.pop(record.sha256, None) is not None:
            self._leave(record)

    def _leave(self, record: Record) -> None:
        self._others[record.sha256] = record
        self._let_go(record)

    def touch(self, record: Record) -> bool:
        """Have it be held longest. False if it is not held. Without the lock: another thread may let go of it."""
        try:
            self._held.move_to_end(record.sha256)
        except KeyError:
            return False
        return True

    def forget(self, sha256: str) -> None:
        """The blob is gone."""
        self._held.pop(sha256, None)
        self._others.pop(sha256, None)
