"""What is to be exported, and `protocol.StoreControl` with bundles (ADR 21), of which verbs pack some and take some in.

`POST /export` takes an ExportWish and gives a tar. `POST /import` takes a tar, with an ImportWish as its query, and
gives Imported. An error is a Refusal, as of all verbs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from proxy.bundles.importing import Imported, ImportWish
from proxy.control.protocol import StoreControl

MOST = 256 << 20  # bytes of a wish: it may say what an earlier bundle has


class LockedFile(msgspec.Struct, frozen=True):
    """A distribution that a lock file names. `hashes`: by algorithm, those that it may be known by."""

    name: str
    hashes: dict[str, str] = {}


class ExportWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle is to have: all for which each given condition holds; everything without any.

    `indexes`: mounts, "apt", hosts of archives. `projects`: of Python or Debian. `newer_than`: seconds since it was
    fetched. `files`: only these distributions. What belongs to a chosen file comes with it: its metadata, the pages
    that list it, the suites of its archive. `before`: path and sha256 of what an earlier bundle has.
    """

    indexes: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    newer_than: float | None = None
    files: tuple[LockedFile, ...] | None = None
    before: tuple[tuple[str, str], ...] = ()

    def wrong(self) -> str | None:
        """Why it cannot be fulfilled; None if it can."""
        if self.files is not None and (self.projects or self.newer_than is not None):
            return "a lock file says which files: no project and no age besides"
        return None


class BundlingStore(StoreControl, Protocol):
    """A store that gives bundles, and takes them in."""

    def export(self, wish: ExportWish, to: int, advanced: Callable[[int, int], None]) -> None:
        """Write a bundle to a descriptor. `advanced` is called with bytes done, and of how many.

        Raises ControlError, StoreError, OSError: then what was written is no bundle.
        """
        ...

    def take_in(self, pieces: Iterable[bytes], wish: ImportWish) -> Imported:
        """Take in a tar that comes in pieces. Raises ControlError, BadBundle, StoreError, and what `pieces` raises.

        Of a `TarFile`, the process that has the store takes long bodies out of the file itself.
        """
        ...
