"""The members that a manifest has, by path: out of memory, so that a bundle may have a million.

A private database of SQLite, in memory as long as it is short, else in a temporary file that has no name. It belongs to
one reading of one bundle, and may be used by one thread after the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Generator, Iterable, Iterator

import msgspec

from proxy.bundles import layout
from proxy.bundles.manifest import BadBundle, BundleMember
from proxy.errors import StoreBroken

_IN_MEMORY = 16 << 10  # KiB that the database has in memory
_PIECE = 500  # members that are read at once
_EXPECTED, _SEEN, _ELSEWHERE = range(3)
_decoder = msgspec.json.Decoder(BundleMember)


class MemberTable:
    """All members, in the order of the manifest. Raises StoreBroken where the temporary file cannot be written."""

    def __init__(self) -> None:
        with usable():
            self._database = temporary_database(_IN_MEMORY)
            self._database.execute("CREATE TABLE member (number INTEGER PRIMARY KEY, path TEXT UNIQUE, line BLOB)")
            self._database.execute("CREATE TABLE address (hash BLOB PRIMARY KEY) WITHOUT ROWID")
        self._states = bytearray()  # of each member
        self._ahead: list[tuple[int, str, bytes]] = []  # what `find` will probably be asked for, the next at the end
        self._next = 0  # the number behind the one that was found last

    def __len__(self) -> int:
        return len(self._states)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._database.close()

    def add(self, members: Iterable[BundleMember]) -> None:
        """The next members. Raises BadBundle for a path, or an address, that is there already."""
        insert = "INSERT OR IGNORE INTO member VALUES (?, ?, ?)"
        with usable():
            for member in members:
                row = len(self._states), member.path, msgspec.json.encode(member)
                if member.path == layout.MANIFEST or not self._database.execute(insert, row).rowcount:
                    raise BadBundle(f"{layout.MANIFEST} has {member.path!r} twice.")
                self._states.append(_ELSEWHERE if member.elsewhere else _EXPECTED)
                for entry in member.entries:
                    self._add_address(member, entry.key)

    def _add_address(self, member: BundleMember, key: str) -> None:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if not self._database.execute("INSERT OR IGNORE INTO address VALUES (?)", (digest,)).rowcount:
            raise BadBundle(f"{layout.MANIFEST} is wrong of {member.path!r}: another member has its address, too.")

    def find(self, path: str) -> tuple[int, BundleMember] | None:
        """The number of a member, and what the manifest has of it. Quick if it follows the one that was found last."""
        if not self._ahead:
            self._ahead = self._rows(self._next)[::-1]
        if self._ahead and self._ahead[-1][1] == path:
            number, _, line = self._ahead.pop()
        else:
            with usable():
                row = self._database.execute("SELECT number, line FROM member WHERE path = ?", (path,)).fetchone()
            if row is None:
                return None
            (number, line), self._ahead = row, []
        self._next = number + 1
        return number, _decoder.decode(line)

    def _rows(self, start: int) -> list[tuple[int, str, bytes]]:
        """Some members, from this number on: number, path and what the manifest has."""
        with usable():
            return self._database.execute(
                "SELECT number, path, line FROM member WHERE number >= ? ORDER BY number LIMIT ?", (start, _PIECE)
            ).fetchall()

    def see(self, number: int) -> bool:
        """A member is there. False if it was seen before."""
        before, self._states[number] = self._states[number], _SEEN
        return before != _SEEN

    def unseen(self) -> tuple[str, int] | None:
        """The first member that ought to be there and was not seen, and how many there are of these."""
        first = self._states.find(_EXPECTED)
        if first < 0:
            return None
        with usable():
            (path,) = self._database.execute("SELECT path FROM member WHERE number = ?", (first,)).fetchone()
        return path, self._states.count(_EXPECTED)

    def __iter__(self) -> Iterator[BundleMember]:
        """All members, in their order."""
        start = 0
        while rows := self._rows(start):
            start = rows[-1][0] + 1
            for _, _, line in rows:
                yield _decoder.decode(line)


def temporary_database(kibibytes: int) -> sqlite3.Connection:
    """A database that nobody else has, and that is gone when it is closed: in memory up to this size, else in a file.

    Raises sqlite3.Error.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{kibibytes}"):
        database.execute(f"PRAGMA {setting}")
    database.execute("BEGIN")  # to its end: nothing of it is ever committed
    return database


@contextlib.contextmanager
def usable() -> Generator[None]:
    """Work on a temporary database or file. Raises StoreBroken where that cannot be written."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreBroken(f"A temporary file is needed, and cannot be written ({error}). Set TMPDIR.") from error
