"""How the index keeps values: JSON text in the row, and finished files, renamed in under the name of their digest.

diskcache calls it, in the index thread. It never pickles and never copies a file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from diskcache import Disk
from diskcache.core import MODE_BINARY, MODE_RAW

from proxy.storage.folder import blob_name
from proxy.storage.proof import stamp_of

BLOB = "b:sha256="  # how the key of a blob begins


@dataclass(frozen=True, slots=True)
class Finished:
    """A file to become a blob's, on the same file system. `synced`: its bytes are known to be on the platter."""

    path: Path
    size: int
    synced: bool


class AdoptingDisk(Disk):  # type: ignore[misc]
    """diskcache's serialisation, reduced to what is stored here."""

    def put(self, key: object) -> tuple[str, bool]:
        if not isinstance(key, str):
            raise TypeError("keys of the index are text")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or not isinstance(key, str):
            raise sqlite3.DatabaseError("a key in the index is not text")
        return key

    def store(self, value: object, read: object, key: object = None) -> tuple[int, int, str | None, object]:  # noqa: ARG002
        """Bytes stay in the row; a finished file is renamed in under the name that its digest gives it."""
        if isinstance(value, bytes):
            return 0, MODE_RAW, None, value
        if isinstance(value, Finished) and isinstance(key, str):
            name = blob_name(key.removeprefix(BLOB))
            target = Path(self._directory, name)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            os.replace(value.path, target)  # noqa: PTH105 the atomic one, by its name
            # What a power cut may take is written down without a stamp: it is proved after the next start.
            return value.size, MODE_BINARY, name, stamp_of(target.stat()) if value.synced else None
        raise TypeError("values of the index are bytes or finished files")

    def fetch(self, mode: int, filename: object, value: object, read: object) -> bytes:  # noqa: ARG002
        if mode != MODE_RAW or not isinstance(value, bytes):
            raise sqlite3.DatabaseError("a row of the index is not one of this program")
        return value

    def remove(self, file_path: str) -> None:
        """Delete a blob's file, or whatever has its name, and its folder if that is empty now."""
        target = Path(self._directory, file_path)
        with contextlib.suppress(OSError):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()
        with contextlib.suppress(OSError):
            target.parent.rmdir()
