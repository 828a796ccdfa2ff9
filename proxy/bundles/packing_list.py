"""What is in a bundle that is about to be written: each member with its entries, in a table that is not in memory.

Two entries with the same body and path are one member. Where another body has the path already, or a path would be a
file and a folder at once, the body is named by its digest. Bodies that are made for the bundle lie in a temporary file.
Called by `contents`. It may be used by one thread after the other.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from proxy.bundles import layout
from proxy.bundles.member_table import temporary_database, usable
from proxy.model import Entry

_IN_MEMORY = 16 << 10  # KiB that the table has in memory
_MADE_IN_MEMORY = 4 << 20  # bytes of bodies that were made
_entries = msgspec.json.Decoder(list[Entry])
_PIECE = 1 << 18  # bytes that are read at once
_FRONT = (layout.SUMS, layout.APPLY, layout.README)  # before all others
_FOLDERS = (layout.SIMPLE, layout.PAGES, layout.FILES, layout.APT, layout.OTHER)  # in this order, behind files
_MEMBERS = (
    "CREATE TABLE member (number INTEGER PRIMARY KEY, place INT, path TEXT, sha256 TEXT, size INT, stored REAL,"
    " entries BLOB, elsewhere INT DEFAULT 0, start INT, UNIQUE (place, path))"
)
_NAMELESS = "CREATE TABLE nameless (entry BLOB, sha256 TEXT, size INT, stored REAL, alone INT)"
_ADD = "INSERT OR IGNORE INTO member (place, path, sha256, size, stored, entries, start) VALUES (?, ?, ?, ?, ?, ?, ?)"
_MORE = "UPDATE member SET entries = entries || ',' || ?, stored = min(stored, ?) WHERE number = ?"


class PackedMember(NamedTuple):
    """A member. `entries`: JSON of its entries, with commas between. `stored`: when the first was, if there are some.

    `start`: where its body begins among those that were made for the bundle.
    """

    path: str
    sha256: str
    size: int
    stored: float | None
    entries: bytes
    elsewhere: bool
    start: int | None

    def decoded(self) -> list[Entry]:
        """Its entries."""
        return _entries.decode(b"[%b]" % self.entries)

    @property
    def line(self) -> bytes:
        """What the manifest has of it, as `manifest.encode` writes it."""
        path, size, sha256 = msgspec.json.encode(self.path), self.size, self.sha256.encode()
        entries = b',"entries":[%b]' % self.entries if self.entries else b""
        elsewhere = b',"elsewhere":true' if self.elsewhere else b""
        return b'{"path":%b,"size":%d,"sha256":"%b"%b%b}' % (path, size, sha256, entries, elsewhere)


class PackingList:
    """The members of one bundle; close it. Raises StoreBroken where temporary files cannot be written."""

    def __init__(self) -> None:
        with usable():
            self.database = temporary_database(_IN_MEMORY)
            self.database.execute(_MEMBERS)
            self.database.execute(_NAMELESS)
        self._made = tempfile.SpooledTemporaryFile(_MADE_IN_MEMORY)  # noqa: SIM115 - `close` closes it

    def close(self) -> None:
        """Let go of the temporary files. May be called twice."""
        self.database.close()
        self._made.close()

    def add(self, entry: Entry) -> int | None:
        """An entry, at the path that its key gives, if that is free. Gives its member's number; None: see `settle`."""
        path = layout.path_of(entry.key)
        if path is None:
            self.add_aside(entry)
            return None
        return self._add(path, entry.digest.value, entry.size, entry.stored, msgspec.json.encode(entry))

    def add_aside(self, entry: Entry) -> None:
        """An entry that leaves its path to another one: its body is named by its digest. See `settle`."""
        self._add_nameless(entry, alone=True)

    def add_name(self, entry: Entry) -> None:
        """A second name of a body, which counts only if the body is a member's."""
        self._add_nameless(entry, alone=False)

    def _add_nameless(self, entry: Entry, *, alone: bool) -> None:
        row = msgspec.json.encode(entry), entry.digest.value, entry.size, entry.stored, alone
        self.database.execute("INSERT INTO nameless VALUES (?, ?, ?, ?, ?)", row)

    def _add(self, path: str, sha256: str, size: int, stored: float, entries: bytes) -> int:
        place = _place(path)
        added = self.database.execute(_ADD, (place, path, sha256, size, stored, entries, None))
        if added.rowcount:
            assert added.lastrowid is not None, "a row was added"
            return added.lastrowid
        found: tuple[int, str] = self.database.execute(
            "SELECT number, sha256 FROM member WHERE place = ? AND path = ?", (place, path)
        ).fetchone()
        if found[1] != sha256:
            return self._add(layout.spare(sha256), sha256, size, stored, entries)
        self.database.execute(_MORE, (entries, stored, found[0]))
        return found[0]

    def settle(self) -> dict[int, int]:
        """All entries are there: names go to their bodies, and no file is a folder, too.

        Gives the numbers of members that are parts of others now.
        """
        with usable():
            moved = dict(self._moved())
            self.database.execute("CREATE INDEX member_body ON member (sha256)")
            rows = self.database.execute("SELECT entry, sha256, size, stored, alone FROM nameless ORDER BY rowid")
            while nameless := rows.fetchmany(1000):
                for entry, sha256, size, stored, alone in nameless:
                    self._name(entry, sha256, size, stored, alone=bool(alone))
        return moved

    def _name(self, entry: bytes, sha256: str, size: int, stored: float, *, alone: bool) -> None:
        found = self.database.execute("SELECT min(number) FROM member WHERE sha256 = ?", (sha256,)).fetchone()[0]
        if found is not None:
            self.database.execute(_MORE, (entry, stored, found))
        elif alone:
            self._add(layout.spare(sha256), sha256, size, stored, entry)

    def _moved(self) -> Iterator[tuple[int, int]]:
        """Members in a folder that is a file of the bundle, and what they are parts of now."""
        inside = self.database.execute(
            "SELECT inner.number FROM member AS outer JOIN member AS inner ON inner.place = outer.place"
            " AND inner.path > outer.path || '/' AND inner.path < outer.path || '0'"
        ).fetchall()
        for (number,) in inside:
            row = self.database.execute(
                "SELECT sha256, size, stored, entries FROM member WHERE number = ?", (number,)
            ).fetchone()
            if row is not None:
                self.database.execute("DELETE FROM member WHERE number = ?", (number,))
                yield number, self._add(layout.spare(row[0]), *row)

    def make(self, path: str, body: Iterable[bytes]) -> None:
        """A member that is made for the bundle, with this body in pieces."""
        with usable():
            hashes, start, size = hashlib.sha256(), self._made.seek(0, 2), 0
            for piece in body:
                hashes.update(piece)
                size += self._made.write(piece)
            row = _place(path), path, hashes.hexdigest(), size, None, b"", start
            self.database.execute(_ADD.replace("IGNORE", "REPLACE"), row)

    def leave_out(self, before: Iterable[tuple[str, str]]) -> None:
        """What an earlier bundle has (path and sha256) is elsewhere."""
        with usable():
            self.database.executemany(
                "UPDATE member SET elsewhere = 1 WHERE place = ? AND path = ? AND sha256 = ?",
                ((_place(path), path, sha256) for path, sha256 in before if path not in _FRONT),
            )

    def members(self, folder: str | None = None) -> Iterator[PackedMember]:
        """All members, in their order, or those of one of the folders at the top."""
        first, last = (-len(_FRONT) - 1, len(_FOLDERS)) if folder is None else (_FOLDERS.index(folder),) * 2
        rows = self.database.execute(
            "SELECT path, sha256, size, stored, entries, elsewhere, start FROM member"
            " WHERE place BETWEEN ? AND ? ORDER BY place, path",
            (first, last),
        )
        for path, sha256, size, stored, entries, elsewhere, start in rows:
            text = entries.encode() if isinstance(entries, str) else entries
            yield PackedMember(path, sha256, size, stored, text, bool(elsewhere), start)

    def bodies(self) -> Iterator[str]:
        """The sha256 of each stored body that is to be written."""
        rows = self.database.execute("SELECT DISTINCT sha256 FROM member WHERE start IS NULL AND NOT elsewhere")
        return (one for (one,) in rows)

    def made(self, member: PackedMember) -> Iterator[bytes]:
        """The body of a member that was made."""
        assert member.start is not None, "it was made"
        self._made.seek(member.start)
        left = member.size
        while left:
            piece = self._made.read(min(left, _PIECE))
            left -= len(piece)
            yield piece


def _place(path: str) -> int:
    """The place of a member's kind in a bundle."""
    folder, slash, _ = path.partition("/")
    if slash and folder in _FOLDERS:
        return _FOLDERS.index(folder)
    return _FRONT.index(path) - len(_FRONT) - 1 if path in _FRONT else -1
