"""The index: a database of what is stored. It is diskcache, held to rows of JSON text and rows that name files.

Rows are `e:<key>`, an entry as JSON with its blob's sha256 as the tag, and `b:sha256=<hex>`, a blob: its file, size
and stamp (see `verification`). `access_time` holds a counter, not a time: wall clocks jump, the order of use does not.

Called by the store, in its index thread; `entry` and `keys` also on the event loop. It never pickles: values are bytes,
keys are text, and rows that are anything else are not read. It never touches a blob's file: the store does. diskcache's
own eviction is off.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self, assert_never

from diskcache import Cache, Disk
from diskcache.core import MODE_BINARY, MODE_RAW

from proxy import operating_system
from proxy.storage import examination
from proxy.storage.backlog import Adopted, Change, Dropped, Forgotten, Proved, Saved, Used, Verified
from proxy.storage.blob_table import BLOCK
from proxy.storage.disk_health import is_damage
from proxy.storage.examination import Examination
from proxy.storage.folder import blob_name
from proxy.storage.record import BlobRow, held_stamp, passing_stamp
from proxy.storage.unloaded import Totals

_LAST = chr(0x10FFFF)
_ENTRY = "e:"
_BLOB = "b:sha256="
_KEY = re.compile(r"b:sha256=[0-9a-f]{64}\Z")
DATABASE = "cache.db"  # its name
_PATIENCE = 1.0  # seconds that a change waits for it, before it is tried again
_PAGE = 4096  # bytes
_LOG_PAGES = (16, 1000)  # of the write-ahead log, before it is worked into the database: for small bounds, and large
_SETTINGS = {
    "cull_limit": 0,
    "eviction_policy": "none",
    "statistics": 0,
    "tag_index": 1,
    "sqlite_cache_size": 2048,  # pages, for each of the two connections
    "sqlite_checkpoint_fullfsync": 1,  # on macOS, as bodies: an fsync leaves the bytes in the drive's own cache there
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 0,  # a mapped file that is cut short kills the process
    "sqlite_synchronous": 1,  # NORMAL: a power cut may take the last rows, never the order of them
}

_BEFORE_ALL = (-math.inf, "")  # place and key

_SAVE = (
    "INSERT INTO Cache(key, raw, store_time, access_time, size, mode, value, tag) VALUES (?, 1, 0, 0, 0, ?, ?, ?)"
    " ON CONFLICT(key, raw) DO UPDATE SET mode = excluded.mode, value = excluded.value, tag = excluded.tag"
)
_ADOPT = (
    "INSERT INTO Cache(key, raw, store_time, access_time, size, mode, filename, value) VALUES (?, 1, 0, ?, ?, ?, ?, ?)"
    " ON CONFLICT(key, raw) DO UPDATE SET access_time = excluded.access_time, size = excluded.size,"
    " mode = excluded.mode, filename = excluded.filename, value = excluded.value"
)


class TextDisk(Disk):  # type: ignore[misc]
    """How diskcache keeps values: JSON text in the row. It never pickles, and never touches a file."""

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


class BlobPiece(NamedTuple):
    """Blobs in order of use, and the place and key of the last row that was looked at; None: there was none."""

    rows: list[BlobRow]
    last: tuple[float, str] | None


class IndexDatabase(Cache):  # type: ignore[misc]
    """The rows. Every method that changes something is one transaction."""

    @classmethod
    def open(cls, directory: Path, limit: int) -> tuple[Self, Totals, bool]:
        """The index, what its blobs come to, and whether it was corrupt, so that a new one was begun.

        `limit` is the bound of the store in bytes: the smaller it is, the less the database may take of it.

        A corrupt database is moved aside (`cache.db.damaged`). A large one is not read whole for that: `Examination`
        does it later. Raises sqlite3.Error or OSError.
        """
        path = directory / DATABASE
        try:
            examination.try_lock(path)
            if examination.is_small(path):
                Examination(path).run()
            return *cls._attempt(directory, limit), False
        except (sqlite3.Error, TypeError, ValueError, KeyError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
        examination.put_aside(path)
        return *cls._attempt(directory, limit), True

    @classmethod
    def _attempt(cls, directory: Path, limit: int) -> tuple[Self, Totals]:
        index = cls(str(directory), limit)
        try:
            return index, index.totals()
        except BaseException:
            index.close()
            raise

    def __init__(self, directory: str, limit: int) -> None:
        self._limit = limit
        self.boot = operating_system.boot_id()
        least, most = _LOG_PAGES
        self._log = pages = max(least, min(limit // (64 * _PAGE), most))
        try:
            super().__init__(directory, timeout=_PATIENCE, disk=TextDisk, sqlite_wal_autocheckpoint=pages, **_SETTINGS)
            # All that the start needs, in the order in which it needs it: no other page of the table is read.
            self._sql(
                "CREATE INDEX IF NOT EXISTS Cache_blobs ON Cache(access_time, key, size, value)"
                " WHERE mode = 2 AND raw = 1"  # MODE_BINARY: rows that name a file
            )
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def transact(self) -> Generator[None]:
        """Write all that is done in the block, or none of it. One transaction is never inside another.

        It takes the place of diskcache's. After an error of the disk SQLite has rolled back by itself; diskcache does
        it once more, which fails. That error hides the one of the disk, and looks like a corrupt database.
        """
        connection = self._con
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def rebuild(self, blobs: Iterable[BlobRow], entries: Iterable[tuple[str, bytes, str]]) -> None:
        """Move the database aside and begin a new one with these blobs and entries (key, JSON, sha256).

        No other thread may have a connection.
        """
        directory: str = self._directory
        self.close()
        examination.put_aside(Path(directory, DATABASE))
        self.__init__(directory, self._limit)  # type: ignore[misc]
        with self.transact():
            self._adopt(blobs, fsynced=True)
            self._con.executemany(_SAVE, ((_ENTRY + key, MODE_RAW, text, sha256) for key, text, sha256 in entries))

    def totals(self) -> Totals:
        """What all blobs come to. Reads the index `Cache_blobs` alone. Rows that have no place are deleted."""
        for placeless in ("access_time IS NULL", "access_time > 9e999"):  # text is more than any number
            where = f"FROM Cache WHERE mode = 2 AND raw = 1 AND {placeless}"
            if self._sql(f"SELECT 1 {where} LIMIT 1").fetchall():
                with self.transact():
                    self._sql(f"DELETE {where}")
        ((count, size, blocks, place),) = self._sql(
            "SELECT count(*), sum(size), sum((size + 4095) / 4096), max(access_time) FROM Cache"
            " WHERE mode = 2 AND raw = 1 AND typeof(size) = 'integer' AND size >= 0"
        )
        return Totals(count, size or 0, (blocks or 0) * BLOCK, place or 0.0)

    def blobs(self, after: tuple[float, str] = _BEFORE_ALL, last: float = math.inf, most: int = -1) -> BlobPiece:
        """The blobs in order of use: `most` (-1: all) that come after the place and key `after`, up to place `last`.

        Rows that are not of this program are deleted.
        """
        rows = self._sql(
            "SELECT key, size, value, access_time FROM Cache WHERE mode = 2 AND raw = 1"
            " AND (access_time, key) > (?, ?) AND access_time <= ? ORDER BY access_time, key LIMIT ?",
            (*after, last, most),
        ).fetchall()
        good: list[BlobRow] = []
        bad: list[str] = []
        for key, size, stamp, used in rows:
            if isinstance(key, str) and _KEY.match(key) and type(size) is int and size >= 0:
                good.append((key[len(_BLOB) :], size, held_stamp(stamp, self.boot), used))
            else:
                bad.append(key)
        if bad:
            with self.transact():
                self._con.executemany("DELETE FROM Cache WHERE key = ? AND raw = 1", ((key,) for key in bad))
        return BlobPiece(good, (rows[-1][3], rows[-1][0]) if rows else None)

    def blob(self, sha256: str) -> BlobRow | None:
        """The row of a blob. None also where it is not one of this program."""
        for size, stamp, used in self._sql(
            "SELECT size, value, access_time FROM Cache WHERE key = ? AND raw = 1 AND mode = 2", (_BLOB + sha256,)
        ):
            if type(size) is int and size >= 0 and isinstance(used, float):
                return sha256, size, held_stamp(stamp, self.boot), used
        return None

    def entry(self, key: str) -> bytes | None:
        """The JSON of an entry. Empty for a row that is no entry's, such as a pickled one."""
        for mode, value in self._sql("SELECT mode, value FROM Cache WHERE key = ? AND raw = 1", (_ENTRY + key,)):
            return value if mode == MODE_RAW and isinstance(value, bytes) else b""
        return None

    def keys(self, prefix: str) -> list[tuple[str, object]]:
        """The keys of the entries that begin with `prefix`, and the sha256 that each names; unsorted."""
        low = _ENTRY + prefix
        found = self._sql(
            "SELECT key, tag FROM Cache WHERE key >= ? AND key < ? AND raw = 1 AND mode = 1", (low, low + _LAST)
        )
        return [(key[len(_ENTRY) :], tag) for key, tag in found]

    def listed(self, after: str, most: int, prefix: str = "") -> list[tuple[str, str, bytes]]:
        """Entries in the order of their keys: key, sha256, JSON. At most `most`, those with keys after `after`.

        `prefix`: with which their keys begin, and `after` too.
        """
        found = self._sql(
            "SELECT key, tag, value FROM Cache WHERE key > ? AND key < ? AND raw = 1 AND mode = 1 ORDER BY key LIMIT ?",
            (_ENTRY + after, _ENTRY + prefix + _LAST, most),
        ).fetchall()
        return [
            (key[len(_ENTRY) :], tag if isinstance(tag, str) else "", value if isinstance(value, bytes) else b"")
            for key, tag, value in found
        ]

    def named(self, after: tuple[str, int], most: int) -> list[tuple[str, int, str, int]]:
        """Entries in the order of their bodies: sha256, number of the row, key, size of the body in bytes.

        At most `most`, those that come after the sha256 and number `after`; only those whose bodies have a row.
        """
        return self._sql(  # type: ignore[no-any-return]
            "SELECT entry.tag, entry.rowid, substr(entry.key, 3), body.size FROM Cache AS entry"
            " JOIN Cache AS body ON body.key = 'b:sha256=' || entry.tag AND body.raw = 1 AND body.mode = 2"
            " WHERE (entry.tag, entry.rowid) > (?, ?) AND entry.raw = 1 AND entry.mode = 1"
            " ORDER BY entry.tag, entry.rowid LIMIT ?",
            (*after, most),
        ).fetchall()

    def largest(self, count: int) -> list[tuple[str, int, list[tuple[str, bytes]]]]:
        """The largest bodies: sha256, size in bytes, and the key and JSON of each entry that names it."""
        found = self._sql(
            "SELECT substr(key, 10), size FROM Cache WHERE raw = 1 AND mode = 2 ORDER BY size DESC, key DESC LIMIT ?",
            (count,),
        ).fetchall()
        entries = "SELECT substr(key, 3), value FROM Cache WHERE tag = ? AND raw = 1 AND mode = 1 ORDER BY key"
        return [(sha256, size, self._sql(entries, (sha256,)).fetchall()) for sha256, size in found]

    def set_busy_timeout(self, seconds: float) -> None:
        """How long this thread's connection waits for a lock."""
        self._sql(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    @property
    def batch(self) -> int:
        """How many changes may be written at once, so that the log stays near the length that it is to have."""
        return max(self._log // 4, 4)

    def write(self, changes: Sequence[Change]) -> dict[str, float]:
        """See `backlog.Write`."""
        replaced: dict[str, float] = {}
        with self.transact():
            for change in changes:
                match change:
                    case Adopted(rows, fsynced):
                        self._adopt(rows, fsynced=fsynced)
                    case Saved(key=key, text=text, sha256=sha256):
                        replaced |= dict.fromkeys(self._tags(key), change.since)
                        self._sql(_SAVE, (_ENTRY + key, MODE_RAW, text, sha256))
                    case Forgotten(key=key):
                        replaced |= dict.fromkeys(self._tags(key), change.since)
                        self._sql("DELETE FROM Cache WHERE key = ? AND raw = 1", (_ENTRY + key,))
                    case Dropped(sha256s):
                        for sha256 in sha256s:
                            self._sql("DELETE FROM Cache WHERE tag = ?", (sha256,))
                            self._sql("DELETE FROM Cache WHERE key = ? AND raw = 1", (_BLOB + sha256,))
                    case Used(uses):
                        self._con.executemany(
                            "UPDATE Cache SET access_time = ? WHERE key = ? AND raw = 1",
                            ((place, _BLOB + sha256) for place, sha256 in uses),
                        )
                    case Verified(sha256, stamp):
                        self._sql("UPDATE Cache SET value = ? WHERE key = ? AND raw = 1", (stamp, _BLOB + sha256))
                    case Proved(proofs):
                        self._con.executemany(
                            "UPDATE Cache SET value = ? WHERE key = ? AND raw = 1",
                            ((passing_stamp(stamp, self.boot), _BLOB + sha256) for stamp, sha256 in proofs),
                        )
                    case _:
                        assert_never(change)
            return {sha256: since for sha256, since in replaced.items() if self._unnamed(sha256)}

    def _adopt(self, rows: Iterable[BlobRow], *, fsynced: bool) -> None:
        boot = self.boot
        self._con.executemany(
            _ADOPT,
            (
                (
                    _BLOB + sha256,
                    used,
                    size,
                    MODE_BINARY,
                    blob_name(sha256),
                    stamp if fsynced else passing_stamp(stamp, boot),
                )
                for sha256, size, stamp, used in rows
            ),
        )

    def _tags(self, key: str) -> list[str]:
        """The sha256 that an entry names, if it is there."""
        found = self._sql("SELECT tag FROM Cache WHERE key = ? AND raw = 1", (_ENTRY + key,)).fetchall()
        return [tag for (tag,) in found if isinstance(tag, str)]

    def _unnamed(self, sha256: str) -> bool:
        return not self._sql("SELECT 1 FROM Cache WHERE tag = ? LIMIT 1", (sha256,)).fetchall()

    def probe(self) -> None:
        """Write something, to see whether that works."""
        with self.transact():
            self._sql(_SAVE, ("probe", MODE_RAW, b"", None))
            self._sql("DELETE FROM Cache WHERE key = 'probe'")

    def bytes_on_disk(self) -> int:
        """What the database takes, and what it may grow by until somebody asks again."""
        taken = dict.fromkeys((*examination.COMPANIONS, ".damaged"), 0)
        for companion in taken:
            with contextlib.suppress(OSError):
                path = os.path.join(self._directory, DATABASE + companion)  # noqa: PTH118 called often
                taken[companion] = os.stat(path).st_size  # noqa: PTH116
        log = self._log * _PAGE
        taken["-wal"] = max(taken["-wal"], log * 5 // 4)
        return sum(taken.values()) + log
