"""How diskcache keeps the values of the index: JSON text in the row. It never pickles, and never touches a file."""

from __future__ import annotations

import sqlite3

from diskcache import Disk
from diskcache.core import MODE_RAW


class IndexDisk(Disk):  # type: ignore[misc]
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
        if not isinstance(value, bytes):
            raise TypeError("values of the index are bytes")
        return 0, MODE_RAW, None, value

    def fetch(self, mode: int, filename: object, value: object, read: object) -> bytes:  # noqa: ARG002
        if mode != MODE_RAW or not isinstance(value, bytes):
            raise sqlite3.DatabaseError("a row of the index is not one of this program")
        return value

    def remove(self, file_path: str) -> None:
        """Nothing: the files of blobs are the store's to delete, in its own order."""
