"""Reading all blobs again, slowly, to find what rotted: the stamp cannot tell what the disk itself did to a file."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.storage.store import DiskStore


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a pass found. `checked` and `damaged` are numbers of blobs; the damaged ones were dropped."""

    checked: int
    damaged: int


async def scrub(store: DiskStore, rate: float | None) -> Scrubbed:
    """Compare every blob with its digest, at most `rate` bytes a second (None: as fast as it goes).

    Blobs that come or go meanwhile are left out. May be cancelled at any point. Raises StoreBroken.
    """
    checked = damaged = 0
    for digest in store.digests():
        right = await store.verify(digest, rate)
        checked += right is not None
        damaged += right is False
    return Scrubbed(checked, damaged)
