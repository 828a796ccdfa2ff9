"""Changes of the index as values: what is known in memory already, and has yet to be written down, in this order.

Made by the parts of the store, carried by `backlog`, applied by `index`. Applying one twice is as good as once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

# A blob as it is written down: sha256, size in bytes, stamp, and its place in the order of use, larger is later.
BlobRow: TypeAlias = tuple[str, int, str | None, float]


@dataclass(frozen=True, slots=True, eq=False)
class Adopted:
    """Files are blobs now."""

    rows: tuple[BlobRow, ...]


@dataclass(slots=True, eq=False)
class Saved:
    """An entry. `text` is its JSON, which may be replaced until it is `taken`; `value` the sha256 it names."""

    key: str
    text: bytes
    value: str
    since: float  # the place in the order of use at which it was made
    taken: bool = False  # being written


@dataclass(frozen=True, slots=True, eq=False)
class Forgotten:
    """An entry is gone. `since`: as of `Saved`."""

    key: str
    since: float


@dataclass(frozen=True, slots=True, eq=False)
class Dropped:
    """Blobs are gone, with all entries that name them."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Noted:
    """Uses, (place in the order, sha256), and stamps of files that were checked, (stamp, sha256)."""

    used: tuple[tuple[float, str], ...] = ()
    stamps: tuple[tuple[str, str], ...] = ()


Change: TypeAlias = Adopted | Saved | Forgotten | Dropped | Noted
