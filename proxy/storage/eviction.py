"""The rule of the bound: how many bytes are too many, and what goes to make room. Pure; `space` acts on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Reservation:
    """Bytes that a download may write, and how many of them it did: the disk has yet to take the rest."""

    size: int
    written: int = 0

    @property
    def promised(self) -> int:
        """Bytes that are still to come."""
        return max(self.size - self.written, 0)


@dataclass(slots=True)
class Ledger:
    """Everything that counts against the bound but blobs. All in bytes on disk."""

    limit: int
    reserved: int = 0  # by downloads under way
    promised: int = 0  # the part of it that is not written yet
    left_over: int = 0  # of downloads that broke off and may be resumed
    index: int = 0  # the database

    def shortage(self, blobs: int, need: int, free: int) -> int:
        """How many bytes must go before `need` more may be written. `free`: what the file system has to give."""
        by_bound = blobs + self.reserved + self.left_over + self.index + need - self.limit
        by_disk = need + self.promised - free
        return max(by_bound, by_disk, 0)

    def reserve(self, reservation: Reservation, size: int) -> None:
        """Let a download write `size` bytes more; fewer, if negative."""
        self._change(reservation, size, 0)

    def wrote(self, reservation: Reservation, size: int) -> None:
        """A download wrote `size` bytes of what is its own."""
        self._change(reservation, 0, size)

    def _change(self, reservation: Reservation, size: int, written: int) -> None:
        before = reservation.promised
        reservation.size += size
        reservation.written += written
        self.reserved += size
        self.promised += reservation.promised - before

    def release(self, reservation: Reservation) -> None:
        """A download is over. May be called twice."""
        self.reserved -= reservation.size
        self.promised -= reservation.promised
        reservation.size = reservation.written = 0


def victims(candidates: Iterable[tuple[T, int]], size: int, count: int = 0) -> list[T] | None:
    """The first of `candidates` (with their bytes on disk) that together free `size` bytes and `count` files.

    None when all of them do not: then nothing is to be evicted, since it would not help.
    """
    chosen: list[T] = []
    for candidate, weight in candidates:
        if size <= 0 and len(chosen) >= count:
            return chosen
        chosen.append(candidate)
        size -= weight
    return chosen if size <= 0 and len(chosen) >= count else None
