"""The history's tables: made once, and brought up from those of earlier versions."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from proxy.history import PullQuestion, pulls, schema
from proxy.history.database import NAME, HistoryFile
from proxy.history.questions import Pull
from proxy.history.schema import LaterVersion, is_present, prepare

_VERSION_1 = """
CREATE TABLE totals (
  day INTEGER, upstream TEXT, kind TEXT, requests INTEGER, hits INTEGER, from_cache INTEGER, from_flight INTEGER,
  from_upstream INTEGER, fetched INTEGER, PRIMARY KEY (day, upstream, kind)
) WITHOUT ROWID;
CREATE TABLE files (
  id INTEGER PRIMARY KEY, upstream TEXT, project TEXT, version TEXT, name TEXT, UNIQUE (upstream, name)
);
CREATE INDEX files_project ON files (project);
CREATE INDEX files_name ON files (name);
CREATE TABLE clients (id INTEGER PRIMARY KEY, address TEXT UNIQUE);
CREATE TABLE requests (
  file INTEGER, day INTEGER, client INTEGER, requests INTEGER, size INTEGER, first REAL, last REAL,
  PRIMARY KEY (file, day, client)
) WITHOUT ROWID;
INSERT INTO totals VALUES (1, 'pypi', 'file', 3, 2, 10, 0, 5, 5);
INSERT INTO files VALUES (7, 'pypi', 'six', '1.17.0', 'six-1.17.0-py2.py3-none-any.whl');
INSERT INTO clients VALUES (4, '10.0.0.1');
INSERT INTO requests VALUES (7, 1, 4, 2, 10, 86401.0, 86402.0), (7, 2, 4, 1, 5, 172801.0, 172801.0);
PRAGMA user_version = 1;
"""


def _of_version_1(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / NAME)) as connection:
        connection.executescript(_VERSION_1)


@pytest.mark.parametrize("opened", [True, False])
def test_prepare__from_version_1(tmp_path: Path, opened: bool) -> None:
    """Nothing is lost, whether the cache or a verb opens the file first; a further opening changes nothing."""
    _of_version_1(tmp_path)
    if opened:
        for _ in range(2):
            HistoryFile.open(tmp_path).close()

    found = pulls(tmp_path, PullQuestion("six", "1.17.0"))

    name = "six-1.17.0-py2.py3-none-any.whl"
    assert [Pull("pypi", "six", "1.17.0", name, "10.0.0.1", 3, 15, 86401.0, 172801.0)] == found
    with contextlib.closing(HistoryFile.open(tmp_path)) as file:
        assert [(1, 15, 5)] == [(one.day, one.sent, one.fetched) for one in file.days()]


def test_prepare__same_tables_by_either_way(tmp_path: Path) -> None:
    """A file that was brought up is like a new one."""
    _of_version_1(tmp_path)
    (tmp_path / "new").mkdir()
    shapes = []
    for folder in (tmp_path, tmp_path / "new"):
        HistoryFile.open(folder).close()
        with contextlib.closing(sqlite3.connect(folder / NAME)) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE name <> 'totals' ORDER BY name")
            shapes.append(rows.fetchall())

    assert shapes[0] == shapes[1]


def test_prepare__all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that fails on its way leaves the file as it was."""
    _of_version_1(tmp_path)
    monkeypatch.setattr(schema, "_STEPS", {1: ("DROP TABLE requests; SELECT nothing FROM nowhere",)})
    with pytest.raises(sqlite3.Error):
        HistoryFile.open(tmp_path)
    monkeypatch.undo()

    assert [3] == [one.requests for one in pulls(tmp_path, PullQuestion("six"))]


def test_is_present__later_version() -> None:
    """What a later version wrote is left alone."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        for look in (is_present, prepare):
            with pytest.raises(LaterVersion):
                look(connection)
