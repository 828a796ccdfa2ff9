"""Which bodies and addresses a wish means, and what they amount to. Pure, and slow for a large cache: for a thread.

A body is removed if all its addresses are meant. Where others name the same bytes, the addresses alone are forgotten.
Called by `caretaker`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from proxy.control.holdings import Holding, holding, place_of
from proxy.control.protocol import Amount, CleanPlan, FoundFiles, NamedFile, Order, StoredFile, Wish
from proxy.model import Kind
from proxy.python.store_keys import made_of
from proxy.storage.inventory import StoredBlob, StoredEntry

_NOBODYS = Holding("-", Kind.OTHER, "(without an address)")
_SHOWN = 10  # of the largest files of a plan
_FLEETING = ("page:", "file:", "apt:file:", "apt:document:")  # of a suite, the window of the archive decides
_LASTING = (Kind.FILE, Kind.METADATA)

Requests: TypeAlias = Mapping[tuple[str, str], int]  # how often clients got a file, by index and name
# Tells that of these files, or of all.
AskRequests: TypeAlias = Callable[[Iterable[tuple[str, str]] | None], Requests]


def _unknown(_: Iterable[tuple[str, str]] | None) -> Requests:
    """Nothing is known."""
    return {}


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
    pinned: bool = False

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
    return [StoredBody(blob.sha256, blob.size, tuple(names.get(blob.sha256, ())), blob.pinned) for blob in blobs]


def choose(stored: Sequence[StoredBody], wish: Wish, now: float, broken_off: int = 0) -> Choice:
    """What of `stored`, which is in the order of use, is to go. `now`: seconds since the epoch.

    What is pinned stays, unless everything is to go.
    """
    going, keys = [], []
    total = sum(body.size for body in stored)
    for body in stored:
        if body.pinned and not wish.everything:
            continue
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
    with_them = beside(stored, going)
    total -= sum(body.size for body in with_them)
    return Choice((*going, *with_them), tuple(keys), total, broken_off if wish.everything else 0)


def beside(stored: Iterable[StoredBody], going: Sequence[StoredBody]) -> list[StoredBody]:
    """What was made of pages that go, and is not among `going` itself."""
    pages = {name.key for body in going for name in body.names if name.key.startswith("page:")}
    already = {body.sha256 for body in going}
    return [
        body
        for body in (stored if pages else ())
        if body.names and body.sha256 not in already and all(made_of(name.key) in pages for name in body.names)
    ]


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
    return _amounts(sums)


def _amounts(sums: Mapping[tuple[str, str], Sequence[int]]) -> tuple[Amount, ...]:
    found = [Amount(index, kind, files, size) for (index, kind), (files, size) in sums.items()]
    return tuple(sorted(found, key=lambda one: (-one.size, one.index, one.kind)))


class Sums:
    """What `amounts` gives, of entries that come in the order of their bodies: memory does not grow with them."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[int]] = {}
        self._sha256 = ""  # of the body whose entries come now
        self._body = 0  # its size in bytes
        self._places: set[tuple[str, str]] = set()
        self._named = self._size = 0  # bodies that were counted, and their bytes

    def add(self, named: Iterable[tuple[str, str, int]]) -> None:
        """The next entries: sha256 of the body, key, size of the body in bytes."""
        for sha256, key, size in named:
            if sha256 != self._sha256:
                self._count()
                self._sha256, self._body = sha256, size
            if (place := place_of(key)) is not None:
                self._places.add((place[0], place[1].value))

    def _count(self) -> None:
        """All entries of a body came. One that has second names alone counts as nobody's."""
        for place in self._places:
            row = self._sums.setdefault(place, [0, 0])
            row[0] += 1
            row[1] += self._body
        self._named += bool(self._places)
        self._size += self._body if self._places else 0
        self._places = set()

    def amounts(self, files: int, size: int) -> tuple[Amount, ...]:
        """All came. `files` and `size` (bytes): of all bodies; those that no entry names are nobody's."""
        self._count()
        if files > self._named:
            row = self._sums.setdefault((_NOBODYS.index, _NOBODYS.kind.value), [0, 0])
            row[0] += files - self._named
            row[1] += max(size - self._size, 0)
        return _amounts(self._sums)


def listing(  # noqa: PLR0913, PLR0917 what is looked for, and in what
    stored: Sequence[StoredBody], text: str, order: Order, start: int, count: int, requests: AskRequests = _unknown
) -> FoundFiles:
    """Those of `stored`, which is in the order of use, that have `text` in a name, a project, an index or a digest.

    `start` and `count`: which of them are shown. `requests`: tells how often files were asked for, given their names.
    """
    wanted = text.lower()
    found = [(place, body) for place, body in enumerate(stored) if not wanted or _has(body, wanted)]
    if order is Order.SIZE:
        found.sort(key=lambda one: (-one[1].size, one[1].sha256))
    elif order is Order.AGE:
        found.sort(key=lambda one: (one[1].named.confirmed or 0.0, one[1].sha256))
    elif order is Order.REQUESTS:
        of_all = requests(None)
        found.sort(key=lambda one: (-(requested(one[1], of_all) or 0), one[1].sha256))
    part = found[start : start + count]
    of_part = requests({name for _, body in part for name in _names(body)})
    shown = tuple(
        StoredFile(body.sha256, body.named, place, body.pinned, requested(body, of_part)) for place, body in part
    )
    return FoundFiles(len(found), sum(body.size for _, body in found), shown)


def requested(body: StoredBody, requests: Requests) -> int | None:
    """How often clients got a body, under all its names; None where nothing is known."""
    counts = [requests[name] for name in _names(body) if name in requests]
    return sum(counts) if counts else None


def _names(body: StoredBody) -> set[tuple[str, str]]:
    return {(one.index, one.name) for one in body.holdings}


def fleeting(body: StoredBody) -> list[str]:
    """The keys under which it may change, and that say themselves when upstream confirmed it."""
    return [name.key for name in body.names if name.key.startswith(_FLEETING)]


def lasting(body: StoredBody) -> bool:
    """Whether it stays what it is under one of its addresses: a distribution, its metadata, a package."""
    return any(held.kind in _LASTING for held in body.holdings)


def _has(body: StoredBody, text: str) -> bool:
    return body.sha256.startswith(text) or any(
        text in held.name.lower() or text in (held.project or "") or text == held.index for held in body.holdings
    )


def largest(stored: Iterable[StoredBody], count: int) -> tuple[NamedFile, ...]:
    """The largest bodies, the largest first."""
    found = heapq.nlargest(count, stored, key=lambda body: (body.size, body.sha256))
    return tuple(body.named for body in found)
