"""The file of the history: SQLite in the data folder; what is written, and what is forgotten. All calls block.

`schema` has its tables, `questions` reads who got what. Days are UTC, counted from the epoch; sizes are bytes.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from proxy.history import schema
from proxy.history.sums import ClientName, DaySum, FileName, ProjectSum, Requests, Totals

NAME = "history.sqlite3"
LOG = f"{NAME}-wal"
DAY = 86_400  # seconds
WAIT = 5.0  # seconds for a lock: a reader may be at work
_PATIENCE = 10.0  # seconds for an answer
_LOOK = 10_000  # steps of SQLite between two looks at the clock
_ROOM = 0.9  # of the bound is left by a cut, so that the next batch needs none
_SLACK = 2 * DAY  # by which a row may be after the clock that tells the time now
_SAMPLE = 10_000  # rows, about, of which the middle is looked for
_AT_ONCE = 500  # files of which rows are deleted in one transaction: SQLite's log takes each changed page once more
_PAGES = 500  # pages that are given back to the file system in one transaction
_ADD_TOTAL = """
INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  requests = requests + excluded.requests, hits = hits + excluded.hits, from_cache = from_cache + excluded.from_cache,
  from_flight = from_flight + excluded.from_flight, from_upstream = from_upstream + excluded.from_upstream,
  fetched = fetched + excluded.fetched
"""
_ADD_REQUESTS = """
INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  requests = requests + excluded.requests, size = size + excluded.size, first = min(first, excluded.first),
  last = max(last, excluded.last)
"""
_ADD_FILE = (
    "INSERT OR IGNORE INTO files (upstream, project, version, name, sha256, last, saved) VALUES (?, ?, ?, ?, ?, 0, 0)"
)
_FILE = "SELECT id FROM files WHERE upstream = ? AND name = ? AND sha256 = ?"
_ADD_CLIENT = "INSERT OR IGNORE INTO clients (address, name, version, build) VALUES (?, ?, ?, ?)"
_CLIENT = "SELECT id FROM clients WHERE address = ? AND name = ? AND version = ? AND build = ?"
_PROJECTS = """
SELECT project, sum(saved) FROM files WHERE project IS NOT NULL GROUP BY project HAVING sum(saved) > 0
ORDER BY sum(saved) DESC, project LIMIT ?
"""
DAYS = "SELECT day, sum(from_cache + from_flight + from_upstream), sum(fetched) FROM totals GROUP BY day ORDER BY day"


class HistoryFile:
    """The open file, for one thread at a time. Every call may raise sqlite3.Error or OSError."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open or make the file, with mode 0600: it has clients' addresses."""
        path = folder / NAME
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA checkpoint_fullfsync = 1")  # on macOS, where an fsync does not reach the disk
            schema.prepare(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection, folder)

    def add(self, totals: Totals, requests: Requests) -> None:
        """Add to what is there, all or nothing."""
        latest: dict[FileName, tuple[float, int]] = {}  # when it was last asked for, and what that saved
        for (_, file, _), one in requests.items():
            last, saved = latest.get(file, (0.0, 0))
            latest[file] = max(one.last, last), saved + one.saved
        with self._transaction() as connection:
            connection.executemany(
                _ADD_TOTAL,
                [
                    (*key, one.requests, one.hits, one.from_cache, one.from_flight, one.from_upstream, one.fetched)
                    for key, one in totals.items()
                ],
            )
            files = {file: self._file(file) for file in latest}
            clients = {client: self._client(client) for client in {client for _, _, client in requests}}
            connection.executemany(
                _ADD_REQUESTS,
                [
                    (files[file], clients[client], day, one.requests, one.size, one.first, one.last)
                    for (day, file, client), one in requests.items()
                ],
            )
            connection.executemany(
                "UPDATE files SET last = max(last, ?), saved = saved + ? WHERE id = ?",
                [(last, saved, files[file]) for file, (last, saved) in latest.items()],
            )

    def days(self) -> list[DaySum]:
        """All days on which something was sent or fetched, the first one first."""
        return [DaySum(*row) for row in self._connection.execute(DAYS)]

    def projects(self, most: int) -> list[ProjectSum]:
        """The projects of which clients got most without a download of their own, as far as the history goes back."""
        return [ProjectSum(*row) for row in self._connection.execute(_PROJECTS, (most,))]

    def size(self) -> int:
        """What it takes on the disk: the file, and SQLite's log beside it."""
        found = 0
        for name in (NAME, LOG):
            with contextlib.suppress(FileNotFoundError):
                found += (self._folder / name).stat().st_size
        return found

    def latest(self) -> float | None:
        """When somebody last asked for a file, in seconds since the epoch; None if nobody did."""
        (found,) = self._connection.execute("SELECT max(last) FROM files").fetchone()
        return None if found is None else float(found)

    def trim(self, oldest: int, most: int, now: float = math.inf) -> None:
        """Forget who asked before the day `oldest`; where all takes more than `most` bytes, the older half, and so on.

        Half of the rows, not of the time: one row of a clock that was years ahead must not push all others out. Rows
        that are dated well after `now`, in seconds since the epoch, count as the oldest.

        The totals stay: they are a few rows a day. While a reader keeps SQLite's log from shrinking, nothing tells what
        all takes without it: then no more is forgotten than has to be, and the next call goes on.
        """
        self._forget("last < ?", (oldest * DAY,))
        size, room = self._shrunk(), most
        while size is not None and size > room:
            room = int(most * _ROOM)
            cut = self._middle(now + _SLACK)
            if cut is None:
                break
            values = now + _SLACK, *cut
            if not self._forget("(last <= ?, last) < (?, ?)", values):
                self._forget("(last <= ?, last) <= (?, ?)", values)
            size = self._shrunk()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _file(self, file: FileName) -> int:
        digest = bytes.fromhex(file.sha256)
        values = (file.upstream, file.project, file.version, file.name, digest)
        self._connection.execute(_ADD_FILE, values)
        return int(self._connection.execute(_FILE, (file.upstream, file.name, digest)).fetchone()[0])

    def _client(self, client: ClientName) -> int:
        values = (client.address, *client.agent)
        self._connection.execute(_ADD_CLIENT, values)
        return int(self._connection.execute(_CLIENT, values).fetchone()[0])

    def _middle(self, until: float) -> tuple[bool, float] | None:
        """The row in the middle, of some of them where there are many: whether it is of `until` or before, its time."""
        (count,) = self._connection.execute("SELECT count(*) FROM requests").fetchone()
        some = "SELECT last FROM requests WHERE abs(random() / 2) % ? = 0"
        found = sorted((last <= until, last) for (last,) in self._connection.execute(some, (count // _SAMPLE + 1,)))
        return found[len(found) // 2] if found else None

    def _forget(self, condition: str, values: tuple[float, ...]) -> int:
        """Delete the rows that are so, and names that nothing else has, in pieces. Returns how many rows went."""
        (most,) = self._connection.execute("SELECT max(file) FROM requests").fetchone()
        statement = f"DELETE FROM requests WHERE file >= ? AND file < ? AND {condition}"  # noqa: S608 - our own text
        gone = 0
        for first in range(0, (most or 0) + 1, _AT_ONCE):
            with self._transaction() as connection:
                gone += connection.execute(statement, (first, first + _AT_ONCE, *values)).rowcount
        if gone:
            with self._transaction() as connection:
                connection.execute(
                    "DELETE FROM files WHERE NOT EXISTS (SELECT 1 FROM requests WHERE requests.file = files.id)"
                )
                connection.execute("DELETE FROM clients WHERE id NOT IN (SELECT client FROM requests)")
        return gone

    def _shrunk(self) -> int | None:
        """Give back what is free; then the size on the disk. None while a reader keeps the log as it is."""
        connection = self._connection
        while free := connection.execute("PRAGMA freelist_count").fetchone()[0]:
            connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")  # `execute` would free one page only
            if connection.execute("PRAGMA freelist_count").fetchone()[0] == free:
                break  # the file was made without this, by other means
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return None if busy else self.size()


def reading(path: Path) -> sqlite3.Connection:
    """Open a file to read only, for one question. One that takes too long ends with SQLITE_INTERRUPT."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=WAIT, uri=True)
    until = time.monotonic() + _PATIENCE
    connection.set_progress_handler(lambda: time.monotonic() > until, _LOOK)
    return connection


def set_aside(folder: Path) -> None:
    """Rename a file that is damaged, so that a new one can begin. The last one that was set aside is kept."""
    (folder / NAME).replace(folder / f"{NAME}.damaged")
    for ending in ("-wal", "-shm"):
        (folder / f"{NAME}{ending}").unlink(missing_ok=True)


def is_damage(error: Exception) -> bool:
    """Whether the file itself is wrong, and not the disk, or another process that has it."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))
