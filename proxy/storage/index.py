"""The database of what is stored: diskcache, held to rows of JSON text and files that were renamed in.

Rows are `e:<key>`, an entry as JSON with its blob's sha256 as the tag, and `b:sha256=<hex>`, a blob: its file, size
and stamp (see `proof`). `access_time` holds a counter, not a time: wall clocks jump, the order of use does not.

Called by the store, in its index thread; `peek` and `keys` also on the event loop. It never pickles: values are bytes
or finished files, keys are text, and rows that are anything else are not read. diskcache's own eviction is off.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from diskcache import Cache
from diskcache.core import MODE_BINARY, MODE_RAW

from proxy.storage.adopting_disk import BLOB, AdoptingDisk, Finished
from proxy.storage.failures import is_damage
from proxy.storage.folder import blob_name
from proxy.storage.proof import stamp_of

_LAST = chr(0x10FFFF)
_ENTRY = "e:"
_KEY = re.compile(r"b:sha256=[0-9a-f]{64}\Z")
_DATABASE = "cache.db"
_COMPANIONS = ("", "-wal", "-shm")
_TIMEOUT = 5.0  # seconds to wait for another process that has the database locked
_PAGE = 4096  # bytes
_LOG_PAGES = (16, 1000)  # of the write-ahead log, before it is worked into the database: for small bounds, and large
_SETTINGS = {
    "cull_limit": 0,
    "eviction_policy": "none",
    "statistics": 0,
    "tag_index": 1,
    "sqlite_cache_size": 2048,  # pages, for each of the two connections
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 0,  # a mapped file that is cut short kills the process
    "sqlite_synchronous": 1,  # NORMAL: a power cut may take the last rows, never the order of them
}


# A blob as it is written down: sha256, size in bytes, stamp, and its place in the order of use, larger is later.
BlobRow = tuple[str, int, str | None, float]


class Index(Cache):  # type: ignore[misc]
    """The rows. Every method that changes something is one transaction."""

    @classmethod
    def open(cls, directory: Path, limit: int) -> tuple[Self, list[BlobRow], bool]:
        """The index, its blobs in order of use, and whether it had to be begun anew because it was damaged.

        `limit` is the bound of the store in bytes: the smaller, the less the database may take of it.

        A damaged database is moved aside (`cache.db.damaged`). Raises sqlite3.Error, OSError or diskcache.Timeout.
        """
        path = directory / _DATABASE
        try:
            _examine(path)
            return *cls._attempt(directory, limit), False
        except (sqlite3.Error, TypeError, ValueError, KeyError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
        _put_aside(path)
        return *cls._attempt(directory, limit), True

    @classmethod
    def _attempt(cls, directory: Path, limit: int) -> tuple[Self, list[BlobRow]]:
        index = cls(str(directory), limit)
        try:
            return index, index._blobs()
        except BaseException:
            index.close()
            raise

    def __init__(self, directory: str, limit: int) -> None:
        self._limit = limit
        least, most = _LOG_PAGES
        self._log = pages = max(least, min(limit // (64 * _PAGE), most))
        try:
            super().__init__(
                directory, timeout=_TIMEOUT, disk=AdoptingDisk, sqlite_wal_autocheckpoint=pages, **_SETTINGS
            )
            # All that the start needs, in the order in which it needs it: no other page of the table is read.
            self._sql(
                "CREATE INDEX IF NOT EXISTS Cache_blobs ON Cache(access_time, key, size, value)"
                " WHERE mode = 2 AND raw = 1"  # MODE_BINARY: rows that name a file
            )
        except BaseException:
            self.close()
            raise

    def renew(self, blobs: Iterable[BlobRow], entries: Iterable[tuple[str, bytes, str]]) -> None:
        """Put the database aside and begin a new one with these blobs and entries (key, JSON, sha256).

        No other thread may have a connection.
        """
        directory: str = self._directory
        self.close()
        _put_aside(Path(directory, _DATABASE))
        self.__init__(directory, self._limit)  # type: ignore[misc]
        with self.transact():
            self._con.executemany(
                "INSERT INTO Cache(key, raw, store_time, access_time, size, mode, filename, value)"
                " VALUES (?, 1, 0, ?, ?, ?, ?, ?)",
                (
                    (BLOB + value, used, size, MODE_BINARY, blob_name(value), stamp)
                    for value, size, stamp, used in blobs
                ),
            )
            self._con.executemany(
                "INSERT INTO Cache(key, raw, store_time, access_time, size, mode, value, tag)"
                " VALUES (?, 1, 0, 0, 0, ?, ?, ?)",
                ((_ENTRY + key, MODE_RAW, text, value) for key, text, value in entries),
            )

    def _blobs(self) -> list[BlobRow]:
        rows = self._sql(
            "SELECT key, size, value, access_time FROM Cache WHERE mode = 2 AND raw = 1 ORDER BY access_time"
        ).fetchall()
        good: list[BlobRow] = []
        bad: list[str] = []
        for key, size, stamp, used in rows:
            if isinstance(key, str) and _KEY.match(key) and type(size) is int and size >= 0 and isinstance(used, float):
                good.append((key[len(BLOB) :], size, stamp if isinstance(stamp, str) else None, used))
            else:
                bad.append(key)
        if bad:
            with self.transact():
                self._con.executemany("DELETE FROM Cache WHERE key = ? AND raw = 1", ((key,) for key in bad))
        return good

    def peek(self, key: str) -> bytes | None:
        """The JSON of an entry. A row that is no entry's, such as a pickled one, counts as none."""
        for mode, value in self._sql("SELECT mode, value FROM Cache WHERE key = ? AND raw = 1", (_ENTRY + key,)):
            return value if mode == MODE_RAW and isinstance(value, bytes) else b""
        return None

    def keys(self, prefix: str) -> list[str]:
        """The keys of the entries that begin with `prefix`, sorted."""
        low = _ENTRY + prefix
        found = self._sql(
            "SELECT key FROM Cache WHERE key >= ? AND key < ? AND raw = 1 AND mode = 1 ORDER BY key", (low, low + _LAST)
        )
        return [key[len(_ENTRY) :] for (key,) in found]

    def be_patient(self, seconds: float) -> None:
        """How long this thread's connection waits for a lock."""
        self._sql(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def save(self, key: str, value: bytes, tag: str) -> str | None:
        """Write an entry. Gives the sha256 that the replaced one named, if no entry names it any more."""
        with self.transact():
            before = self._tag(key)
            self.set(_ENTRY + key, value, tag=tag)
            return before if before != tag and self._unnamed(before) else None

    def forget(self, key: str) -> str | None:
        """Delete an entry. Gives the sha256 that it named, if no entry names it any more."""
        with self.transact():
            before = self._tag(key)
            self._sql("DELETE FROM Cache WHERE key = ? AND raw = 1", (_ENTRY + key,))
            return before if self._unnamed(before) else None

    def _tag(self, key: str) -> str | None:
        for (tag,) in self._sql("SELECT tag FROM Cache WHERE key = ? AND raw = 1", (_ENTRY + key,)):
            return tag if isinstance(tag, str) else None
        return None

    def _unnamed(self, value: str | None) -> bool:
        return value is not None and not self._sql("SELECT 1 FROM Cache WHERE tag = ? LIMIT 1", (value,)).fetchall()

    def adopt(self, value: str, finished: Finished, used: float) -> str:
        """Rename a finished file in and write its row. A row and a file of that name are replaced. Gives its stamp."""
        key = BLOB + value
        try:
            with self.transact():
                # diskcache deletes the file of a row that is set again: here that name is the new file's.
                self._sql("DELETE FROM Cache WHERE key = ? AND raw = 1", (key,))
                self.set(key, finished)
                self._sql("UPDATE Cache SET access_time = ? WHERE key = ? AND raw = 1", (used, key))
        except BaseException:
            self._disk.remove(blob_name(value))
            raise
        return stamp_of(Path(self._directory, blob_name(value)).stat())

    def take_in(self, values: Iterable[str]) -> list[tuple[str, int]]:
        """Write rows for files that are in place, by the sha256 that their names say; gives those, with their sizes.

        Looked at here, in the thread that deletes files too: one that was in place a moment ago may be deleted by now.
        """
        found: list[tuple[str, int]] = []
        for value in values:
            with contextlib.suppress(FileNotFoundError):
                status = Path(self._directory, blob_name(value)).lstat()
                if stat.S_ISREG(status.st_mode):
                    found.append((value, status.st_size))
        with self.transact():
            self._con.executemany(
                "INSERT OR IGNORE INTO Cache(key, raw, store_time, access_time, size, mode, filename)"
                " VALUES (?, 1, 0, 0, ?, ?, ?)",
                ((BLOB + value, size, MODE_BINARY, blob_name(value)) for value, size in found),
            )
        return found

    def drop(self, values: Sequence[str]) -> None:
        """Delete blobs with their files and all entries that name them."""
        self._drop(values)

    def _drop(self, values: Sequence[str]) -> None:
        transaction: Any = self._transact()
        with transaction as (sql, remove_later):
            for value in values:
                sql("DELETE FROM Cache WHERE tag = ?", (value,))
                sql("DELETE FROM Cache WHERE key = ? AND raw = 1", (BLOB + value,))
                remove_later(blob_name(value))

    def note(self, used: Sequence[tuple[float, str]], stamps: Sequence[tuple[str, str]] = ()) -> None:
        """Write down uses, (place in the order, sha256), and stamps of files that were checked, (stamp, sha256)."""
        with self.transact():
            self._con.executemany(
                "UPDATE Cache SET access_time = ? WHERE key = ? AND raw = 1",
                ((place, BLOB + value) for place, value in used),
            )
            self._con.executemany(
                "UPDATE Cache SET value = ? WHERE key = ? AND raw = 1",
                ((stamp, BLOB + value) for stamp, value in stamps),
            )

    def probe(self) -> None:
        """Write something, to see whether that works."""
        with self.transact():
            self.set("probe", b"")
            self._sql("DELETE FROM Cache WHERE key = 'probe'")

    def bytes_on_disk(self) -> int:
        """What the database takes itself, and what it may grow by until somebody asks again."""
        taken = dict.fromkeys((*_COMPANIONS, ".damaged"), 0)
        for companion in taken:
            with contextlib.suppress(OSError):
                path = os.path.join(self._directory, _DATABASE + companion)  # noqa: PTH118 called often
                taken[companion] = os.stat(path).st_size  # noqa: PTH116
        log = self._log * _PAGE
        taken["-wal"] = max(taken["-wal"], log * 5 // 4)
        return sum(taken.values()) + log


def _put_aside(path: Path) -> None:
    """Keep one damaged database, for whoever wants to know what happened to it."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(f"{_DATABASE}.damaged"))
    for companion in _COMPANIONS[1:]:
        path.with_name(_DATABASE + companion).unlink(missing_ok=True)


def _examine(path: Path) -> None:
    """Raise sqlite3.Error if the database is damaged, or another process has it."""
    if not path.exists():
        return
    with contextlib.closing(sqlite3.connect(path, timeout=_TIMEOUT, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
