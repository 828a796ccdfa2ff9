"""What the index has and memory does not have yet, while a large store is loaded behind the answers.

Between the start and the last piece that `loading` brings, `blobs` asks here. Each blob counts once: here, or as a row
of the table. It does no I/O: `look` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.storage.blob_table import footprint
from proxy.storage.record import BlobRow, Record


@dataclass(frozen=True, slots=True)
class Totals:
    """What the rows of the index come to: how many, bytes, bytes on disk, and the last place in the order of use."""

    count: int = 0
    size: int = 0
    footprint: int = 0
    place: float = 0.0


def _nothing(_: str) -> BlobRow | None:
    return None


@dataclass(slots=True)
class Unloaded:
    """`count`, and `size` and `footprint` in bytes, are of what is not loaded. `look` finds a row by its digest."""

    count: int = 0
    size: int = 0
    footprint: int = 0
    look: Callable[[str], BlobRow | None] = _nothing
    under_way: bool = False
    gone: set[str] = field(default_factory=set)  # removed since the start: their rows may still be there
    taken: list[Record] = field(default_factory=list)  # that were asked for before the loading met them

    def begin(self, totals: Totals, look: Callable[[str], BlobRow | None]) -> None:
        """The index has this much, and nothing of it is loaded."""
        self.count, self.size, self.footprint = totals.count, totals.size, totals.footprint
        self.look, self.under_way = look, True

    def ask(self, sha256: str) -> BlobRow | None:
        """The row of a blob that the table does not have."""
        return None if not self.under_way or sha256 in self.gone else self.look(sha256)

    def loaded(self, size: int) -> None:
        """One of `size` bytes is in the table now."""
        if not self.under_way:
            return
        self.count -= 1
        self.size -= size
        self.footprint -= footprint(size)

    def removed(self, sha256: str) -> None:
        """A blob was removed from the table: its row is not to be loaded again."""
        if self.under_way:
            self.gone.add(sha256)

    def end(self) -> list[Record]:
        """All is loaded. Gives those that were asked for before."""
        taken = self.taken
        self.count = self.size = self.footprint = 0
        self.look, self.under_way, self.gone, self.taken = _nothing, False, set(), []
        return taken
