"""Data folders of many files, as a cache would have left them: what case (i) serves.

A thousand wheels of 4 KiB on a hundred pages are real, and only those are asked for. All other files are rows of the
index like theirs, and names that are hard links to a few empty files: a start looks at rows and names, not into files.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.content import KIB
from proxy.model import Digest, Entry, Target, Validator
from proxy.operating_system import boot_id
from proxy.python.store_keys import file_key, page_key
from proxy.storage.folder import FORMAT, DataFolder, blob_name
from proxy.storage.index import DATABASE, IndexDatabase
from proxy.storage.record import passing_stamp
from proxy.storage.verification import stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PAGES, _OF_PAGE, WHEEL = 100, 10, 4 * KIB
FEW = _PAGES * (_OF_PAGE + 1)
PLENTY = 1 << 50  # bytes that such a folder may hold
UPSTREAM = "http://127.0.0.1:9"  # nobody is asked
_LINKS = 50_000  # names of one file: ext4 takes 65,000
_BEGAN = 1.76e9  # seconds since the epoch: the first use
_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True, slots=True)
class Stored:
    """A body with its address: as rows of the index have it."""

    key: str
    url: str
    sha256: str
    size: int
    kind: str = "application/octet-stream"
    stamp: str = "1760000000000000000:7"

    @property
    def entry(self) -> bytes:
        """The JSON of its entry."""
        validator, digest = Validator('"1"'), Digest("sha256", self.sha256)
        return msgspec.json.encode(Entry(self.key, self.url, digest, self.size, self.kind, validator, _BEGAN, _BEGAN))


def paths() -> list[str]:
    """What is asked for: the paths of the wheels on the cache."""
    return [f"/pypi/{_wheel(number)}" for number in range(_PAGES * _OF_PAGE)]


def _wheel(number: int) -> str:
    return f"packages/{number:04}/p{number // _OF_PAGE}-{number % _OF_PAGE}.0-py3-none-any.whl"


def kept(folder: Path, count: int) -> Path:
    """A data folder with about so many files below `folder`: that of an earlier run, or a new one. Raises OSError.

    An earlier one is of use as long as this module, and the tables of the index, are the same.
    """
    own = f"{count}-{_state(folder)}"
    made = folder / own
    if made.is_dir():
        return made
    for outdated in folder.glob(f"{count}-*"):
        shutil.rmtree(outdated)
    being_made = folder / f"{count}-part"
    fill(being_made, count)
    being_made.rename(made)
    return made


def _state(folder: Path) -> str:
    """A text that is another one when stores are made in another way."""
    fresh = folder / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    opened = DataFolder.open(fresh)
    try:
        index, _, _ = IndexDatabase.open(opened.index, PLENTY)
        index.close()
        with closing(sqlite3.connect(opened.index / DATABASE)) as connection:
            tables = sorted(str(sql) for (sql,) in connection.execute("SELECT sql FROM sqlite_master"))
    finally:
        opened.lock.release()
        shutil.rmtree(fresh, ignore_errors=True)
    return hashlib.sha256(repr((Path(__file__).read_bytes(), tables, FORMAT)).encode()).hexdigest()[:12]


def fill(folder: Path, count: int) -> None:
    """Make a data folder with about so many files. Raises OSError."""
    opened = DataFolder.open(folder)
    try:
        index, _, _ = IndexDatabase.open(opened.index, PLENTY)
        index.close()
        rows = list(_real(opened))
        with closing(sqlite3.connect(opened.index / DATABASE, isolation_level=None)) as connection:
            for setting in ("cache_size = -1000000", "journal_mode = MEMORY", "synchronous = OFF"):
                connection.execute(f"PRAGMA {setting}")
            connection.execute("BEGIN")
            _insert(connection, rows)
            _insert(connection, _others(opened, count - len(rows)))
            connection.execute("COMMIT")
    finally:
        opened.lock.release()


def _real(folder: DataFolder) -> Iterator[Stored]:
    for page in range(_PAGES):
        files = []
        for number in range(page * _OF_PAGE, (page + 1) * _OF_PAGE):
            path, body = _wheel(number), random.Random(number).randbytes(WHEEL)
            wheel = _write(folder, file_key(Target("pypi", None, path)), path, body)
            yield wheel
            name = path.rpartition("/")[2]
            files.append({"filename": name, "url": wheel.url, "hashes": {"sha256": wheel.sha256}, "size": wheel.size})
        listed = {"meta": {"api-version": "1.1"}, "name": f"p{page}", "files": files, "versions": []}
        path = f"simple/p{page}/"
        yield _write(folder, page_key("pypi", f"p{page}", path), path, msgspec.json.encode(listed), _JSON)


def _write(folder: DataFolder, key: str, path: str, body: bytes, kind: str = "application/octet-stream") -> Stored:
    sha256 = hashlib.sha256(body).hexdigest()
    file = folder.blob(sha256)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    return Stored(key, f"{UPSTREAM}/{path}", sha256, len(body), kind, stamp_of(file.stat()))


def _others(folder: DataFolder, count: int) -> Iterator[Stored]:
    chance = random.Random(7)
    for front in range(256):
        (folder.index / "sha256" / f"{front:02x}").mkdir(parents=True, exist_ok=True)
    source = folder.spool / "0.tmp"
    for number in range(count):
        if number % _LINKS == 0:
            source = folder.spool / f"{number}.tmp"
            source.touch()
        sha256 = chance.randbytes(32).hex()
        os.link(source, folder.index / blob_name(sha256))
        path = f"packages/{number:07}/other{number // 100}-{number % 100}.0-py3-none-any.whl"
        stamp = f"{1760000000000000000 + number}:{1_000_000 + number}"
        size = chance.randrange(1, 200_000)
        yield Stored(file_key(Target("pypi", None, path)), f"{UPSTREAM}/{path}", sha256, size, stamp=stamp)


def _insert(connection: sqlite3.Connection, rows: Sequence[Stored] | Iterator[Stored]) -> None:
    chance, boot = random.Random(8), boot_id()
    for row in rows:
        used = _BEGAN + chance.random() * 1e6
        connection.execute(
            "INSERT INTO Cache(key, raw, store_time, access_time, size, mode, filename, value)"
            " VALUES (?, 1, 0, ?, ?, 2, ?, ?)",
            (f"b:sha256={row.sha256}", used, row.size, blob_name(row.sha256), passing_stamp(row.stamp, boot)),
        )
        connection.execute(
            "INSERT INTO Cache(key, raw, store_time, access_time, size, mode, value, tag)"
            " VALUES (?, 1, 0, 0, 0, 1, ?, ?)",
            (f"e:{row.key}", row.entry, row.sha256),
        )
