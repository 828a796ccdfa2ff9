"""Which bodies and addresses a wish means, and what they amount to. Pure, and slow for a large cache: for a thread.

A body is removed if all its addresses are meant. Where others name the same bytes, the addresses alone are forgotten.
Called by `caretaker`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from proxy.control.holdings import Holding, holding
from proxy.control.protocol import Amount, CleanPlan, NamedFile, Wish
from proxy.model import Kind
from proxy.storage.inventory import StoredBlob, StoredEntry

_NOBODYS = Holding("-", Kind.OTHER, "(without an address)")
_SHOWN = 10  # of the largest files of a plan


@dataclass(frozen=True, slots=True)
class Named:
    """An address of a body. `holding` is None for a second name of a file, which goes with the file."""

    key: str
    holding: Holding | None
    confirmed: float


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A body on the disk, with all its addresses. `size` in bytes."""

    sha256: str
    size: int
    names: tuple[Named, ...]

    @property
    def holdings(self) -> list[Holding]:
        """What it is, at each of its addresses."""
        return [name.holding for name in self.names if name.holding is not None] or [_NOBODYS]

    @property
    def named(self) -> NamedFile:
        """As a person sees it: by its first address."""
        first = self.holdings[0]
        confirmed = max((name.confirmed for name in self.names), default=None)
        return NamedFile(first.name, first.index, first.kind.value, self.size, first.project, first.version, confirmed)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a wish means now. `keys`: addresses that are forgotten alone; `left`: bytes that stay."""

    bodies: tuple[StoredBody, ...]
    keys: tuple[str, ...]
    left: int
    broken_off: int

    @property
    def plan(self) -> CleanPlan:
        """What a person is shown of it."""
        return CleanPlan(
            files=len(self.bodies),
            size=sum(body.size for body in self.bodies),
            addresses=len(self.keys),
            broken_off=self.broken_off,
            left=self.left,
            amounts=amounts(self.bodies),
            largest=largest(self.bodies, _SHOWN),
        )


def bodies(blobs: Iterable[StoredBlob], entries: Iterable[StoredEntry]) -> list[StoredBody]:
    """All bodies, the longest unused first, with their addresses."""
    names: dict[str, list[Named]] = {}
    for entry in entries:
        names.setdefault(entry.sha256, []).append(Named(entry.key, holding(entry.key), entry.confirmed))
    return [StoredBody(blob.sha256, blob.size, tuple(names.get(blob.sha256, ()))) for blob in blobs]


def choose(stored: Sequence[StoredBody], wish: Wish, now: float, broken_off: int = 0) -> Choice:
    """What of `stored`, which is in the order of use, is to go. `now`: seconds since the epoch."""
    going, keys = [], []
    total = sum(body.size for body in stored)
    for body in stored:
        if wish.larger_than is not None and body.size <= wish.larger_than:
            continue
        if wish.down_to is not None and total <= wish.down_to:
            break
        meant = list(_meant(body, wish, now))
        if meant == [name.key for name in _own(body)] and (meant or _nobodys(wish)):
            going.append(body)
            total -= body.size
        elif wish.down_to is None:  # to forget an address frees nothing
            keys += meant
    return Choice(tuple(going), tuple(keys), total, broken_off if wish.everything else 0)


def _own(body: StoredBody) -> Sequence[Named]:
    """The addresses that decide; second names alone only where there are no others."""
    return [name for name in body.names if name.holding is not None] or body.names


def _meant(body: StoredBody, wish: Wish, now: float) -> Iterator[str]:
    for name in _own(body):
        found = name.holding or _NOBODYS
        if (
            (wish.index is None or found.of_index(wish.index))
            and (wish.project is None or found.of_project(wish.project))
            and (wish.version is None or found.of_version(wish.version))
            and (wish.older_than is None or name.confirmed <= now - wish.older_than)
        ):
            yield name.key


def _nobodys(wish: Wish) -> bool:
    """Whether it means bodies without any address, of which only the size is known."""
    return (wish.index, wish.project, wish.version, wish.older_than) == (None,) * 4


def amounts(stored: Iterable[StoredBody]) -> tuple[Amount, ...]:
    """How many files and bytes of each index and kind, the most bytes first."""
    sums: dict[tuple[str, str], list[int]] = {}
    for body in stored:
        for place in {(found.index, found.kind.value) for found in body.holdings}:
            row = sums.setdefault(place, [0, 0])
            row[0] += 1
            row[1] += body.size
    found = [Amount(index, kind, files, size) for (index, kind), (files, size) in sums.items()]
    return tuple(sorted(found, key=lambda one: (-one.size, one.index, one.kind)))


def largest(stored: Iterable[StoredBody], count: int) -> tuple[NamedFile, ...]:
    """The largest bodies, the largest first."""
    found = heapq.nlargest(count, stored, key=lambda body: (body.size, body.sha256))
    return tuple(body.named for body in found)
