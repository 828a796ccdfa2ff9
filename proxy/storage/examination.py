"""The file of the database before it is used: whether another process has it, and whether it is corrupt.

Called by `index` at the start, and by `loading` for a database that is too large to be read whole before the first
answer. It never changes the database.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

COMPANIONS = ("", "-wal", "-shm")  # what SQLite adds to the name of the database

_TIMEOUT = 5.0  # seconds that a start waits for another process that has the database locked
_SMALL = 32 << 20  # bytes of a database that is examined before the first answer
_SOUND = "ok"  # SQLite's word for it
_UNREAD = "unable to get the page"  # what SQLite says of one where reading fails, for whatever reason


def try_lock(path: Path) -> None:
    """Raise sqlite3.Error if another process has the database, OSError if it cannot be opened. Blocks."""
    if not path.exists():
        return
    os.close(os.open(path, os.O_RDWR | os.O_NOFOLLOW))  # SQLite's own error does not give the reason
    with contextlib.closing(sqlite3.connect(path, timeout=_TIMEOUT, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def is_small(path: Path) -> bool:
    """Whether a database is examined before the first answer."""
    with contextlib.suppress(OSError):
        return path.stat().st_size <= _SMALL
    return True


def put_aside(path: Path) -> None:
    """Keep the last corrupt database, for those who want to know what happened to it. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(f"{path.name}.damaged"))
    for companion in COMPANIONS[1:]:
        path.with_name(path.name + companion).unlink(missing_ok=True)


class Examination:
    """Reads a whole database, to see whether it is corrupt."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._stopped = False

    def run(self) -> None:
        """Raise sqlite3.Error if the database is corrupt, or if this was stopped. Blocks.

        Where a page cannot be read it is tried again: a disk that failed once does not make a database corrupt.
        """
        if not self._path.exists():
            return
        verdict = self._verdict()
        if _UNREAD in verdict:
            verdict = self._verdict()
        if verdict != _SOUND:
            raise sqlite3.DatabaseError(verdict)

    def _verdict(self) -> str:
        with contextlib.closing(sqlite3.connect(self._path, timeout=_TIMEOUT, isolation_level=None)) as connection:
            self._connection = connection
            if self._stopped:
                return _SOUND
            ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
            return str(verdict)

    def stop(self) -> None:
        """Have `run` end soon. From any thread."""
        self._stopped = True
        if self._connection is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it is closed
                self._connection.interrupt()
