"""Which bodies a person pinned: they are never evicted. A text file of the data folder has their digests.

It is read when the store is opened, and replaced whole, and synced, by each change: unlike the index it cannot be made
anew from anything else. Called by `inventory`; `space` and `opening` spare what is pinned.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from proxy import operating_system
from proxy.errors import StoreFull

_NAME = "pins"
_MOST = 100_000  # bodies; their digests are in memory
_LONGEST = 65 * _MOST  # bytes that are read
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Pins:
    """The sha256 of what is pinned. Mutable state: the set, changed on the event loop only."""

    def __init__(self, pinned: Iterable[str] = ()) -> None:
        self._pinned = frozenset(pinned)

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._pinned

    def __len__(self) -> int:
        return len(self._pinned)

    def __iter__(self) -> Iterator[str]:
        return iter(self._pinned)

    @classmethod
    def read(cls, folder: Path) -> Pins:
        """Those of a data folder; none where there is no such file. Lines that are no digest do not count.

        Blocks. Raises OSError.
        """
        try:
            with open(folder / _NAME, encoding="ascii", errors="replace", opener=_opener) as file:
                lines = file.read(_LONGEST).splitlines()
        except FileNotFoundError:
            lines = []
        return cls(line for line in lines if _SHA256.fullmatch(line))

    def changed(self, add: Iterable[str], remove: Iterable[str]) -> frozenset[str]:
        """What would be pinned with these and without those. Raises StoreFull where that is too much."""
        pinned = self._pinned.union(add).difference(remove)
        if len(pinned) > max(_MOST, len(self._pinned)):
            raise StoreFull(f"No more than {_MOST} files can be pinned. Unpin some first.")
        return pinned

    def become(self, pinned: frozenset[str]) -> None:
        """These are pinned from now on."""
        self._pinned = pinned


def write(folder: Path, pinned: Iterable[str]) -> None:
    """Have the data folder name these. After a power cut it names them, or those before. Blocks. Raises OSError."""
    fresh = folder / f"{_NAME}.new"
    try:
        with fresh.open("wb") as file:
            file.write("".join(f"{sha256}\n" for sha256 in sorted(pinned)).encode())
            file.flush()
            operating_system.sync_data(file.fileno())
        os.replace(fresh, folder / _NAME)  # noqa: PTH105 the atomic one, by its name
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
