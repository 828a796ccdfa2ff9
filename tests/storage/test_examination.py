"""The file of the database before it is used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from proxy.storage import examination
from proxy.storage.examination import Examination
from tests.storage.vfs import FailingVfs


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of two tables."""
    path = tmp_path / "cache.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("a", "b"):
            connection.execute(f"CREATE TABLE {name} (x)")
            connection.execute(f"INSERT INTO {name} VALUES (1)")
    return path


def overwrite_page(database: Path, name: str) -> None:
    """Put nonsense where a table or an index of a database begins."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchall()
    with database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x07" * 100)


def test_run__sound_or_not_there(database: Path) -> None:
    """What is sound, or not there, passes."""
    Examination(database).run()
    Examination(database.with_name("nothing")).run()


def test_run__corrupt(database: Path) -> None:
    """A page that is none of a database is found, wherever it is."""
    overwrite_page(database, "b")

    with pytest.raises(sqlite3.DatabaseError):
        Examination(database).run()


def test_run__disk_that_fails_once(database: Path, failing_disk: FailingVfs) -> None:
    """A page that cannot be read for a moment is not a corrupt one; SQLite gives both as a finding."""
    failing_disk.reads = 1
    Examination(database).run()
    assert 0 == failing_disk.reads

    failing_disk.reads = 2
    with pytest.raises(sqlite3.DatabaseError, match="unable to get the page"):
        Examination(database).run()


def test_stop__before_and_after(database: Path) -> None:
    """What is stopped before it began looks at nothing; stopping what is over does nothing."""
    looked = Examination(database)
    looked.run()
    looked.stop()
    overwrite_page(database, "b")
    stopped = Examination(database)
    stopped.stop()
    stopped.run()


def test_try_lock__another_has_it(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that has it for itself is an error; nothing there is none."""
    monkeypatch.setattr("proxy.storage.examination._TIMEOUT", 0.0)
    examination.try_lock(database)
    examination.try_lock(database.with_name("nothing"))
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            examination.try_lock(database)


def test_is_small__by_its_bytes(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database above the bound is not read whole at the start."""
    small = examination.is_small(database), examination.is_small(database.with_name("nothing"))
    monkeypatch.setattr("proxy.storage.examination._SMALL", 100)

    assert (True, True, False) == (*small, examination.is_small(database))


def test_put_aside__with_its_companions(database: Path) -> None:
    """The database is moved, what SQLite wrote beside it goes."""
    for companion in ("-wal", "-shm"):
        database.with_name(database.name + companion).touch()
    examination.put_aside(database)
    examination.put_aside(database)

    assert ["cache.db.damaged"] == [path.name for path in database.parent.iterdir()]
