"""The rows of the index."""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import operating_system
from proxy.storage.backlog import Adopted, Change, Dropped, Forgotten, Proved, Saved, Used, Verified
from proxy.storage.disk_health import is_damage
from proxy.storage.index import IndexDatabase
from tests.storage.vfs import FailingVfs

VALUE = "ab" + "0" * 62


@pytest.fixture
def index(tmp_path: Path) -> Generator[IndexDatabase]:
    """An empty index."""
    opened, _, _ = IndexDatabase.open(tmp_path / "index", 1 << 30)
    yield opened
    opened.close()


def _adopt(index: IndexDatabase, value: str = VALUE, size: int = 4, used: float = 5.0) -> None:
    index.write([Adopted(((value, size, "stamp", used),), fsynced=True)])


def test_write__blob_twice(index: IndexDatabase) -> None:
    """A second row of a digest replaces the first."""
    _adopt(index)
    _adopt(index, size=10, used=6.0)

    assert index.blobs().rows == [(VALUE, 10, "stamp", 6.0)]


@pytest.mark.parametrize(("fsynced", "held"), [(True, "stamp"), (False, None)])
def test_blobs__machine_started_anew(
    index: IndexDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsynced: bool, held: str | None
) -> None:
    """The stamp of a file that was not fsynced holds until the machine starts anew: only a power cut takes bytes."""
    index.write([Adopted(((VALUE, 4, "stamp", 5.0),), fsynced=fsynced)])
    before = index.blob(VALUE), index.blobs().rows
    index.close()
    (tmp_path / "boot").write_text("another run of the machine", encoding="ascii")
    monkeypatch.setattr(operating_system, "_BOOT_ID", tmp_path / "boot")

    again, _, _ = IndexDatabase.open(tmp_path / "index", 1 << 30)

    with closing(again):
        assert ((VALUE, 4, "stamp", 5.0), [(VALUE, 4, "stamp", 5.0)]) == before
        assert ((VALUE, 4, held, 5.0), [(VALUE, 4, held, 5.0)]) == (again.blob(VALUE), again.blobs().rows)


def test_blobs__machine_that_does_not_say_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody knows whether the machine started anew, a file that was not fsynced has no stamp."""
    monkeypatch.setattr(operating_system, "boot_id", lambda: "")
    index, _, _ = IndexDatabase.open(tmp_path / "index", 1 << 30)
    with closing(index):
        index.write([Adopted(((VALUE, 4, "stamp", 5.0),), fsynced=False)])

        assert index.blob(VALUE) == (VALUE, 4, None, 5.0)


def test_write__all_or_none(index: IndexDatabase) -> None:
    """Of changes of which one cannot be written, none is."""
    with pytest.raises(UnicodeEncodeError):
        index.write([Saved("a", b"{}", VALUE, 0.0), Saved("b", b"{}", "\ud800", 0.0)])

    assert index.keys("") == []


@pytest.mark.parametrize(
    ("failure", "cached", "code"), [("reads", 2048, 266), ("writes", 2048, sqlite3.SQLITE_FULL), ("writes", 10, 13)]
)
def test_write__disk_that_fails(tmp_path: Path, failing_disk: FailingVfs, failure: str, cached: int, code: int) -> None:
    """Where SQLite rolls back by itself the error is that of the disk, and no sign of damage.

    It may run out of room at the end, or in the middle, where memory does not hold what changes.
    """
    index, _, _ = IndexDatabase.open(tmp_path / "index", 1 << 30)
    with closing(index):
        index.write([Saved(f"{number}", b"x" * 300, f"{number:064x}", 0.0) for number in range(500)])
    index, _, _ = IndexDatabase.open(tmp_path / "index", 1 << 30)
    changes = [Dropped(tuple(f"{number:064x}" for number in range(0, 500, 2)))]
    with closing(index):
        index._sql(f"PRAGMA cache_size = {cached}")
        index._sql("PRAGMA shrink_memory")
        setattr(failing_disk, failure, 1)
        with pytest.raises(sqlite3.OperationalError) as raised:
            index.write(changes)

        assert (0, code) == (getattr(failing_disk, failure), raised.value.sqlite_errorcode)
        assert not is_damage(raised.value)
        assert 500 == len(index.keys(""))
        index.write(changes)
        assert 250 == len(index.keys(""))


def test_write__dropped_with_its_entries(index: IndexDatabase) -> None:
    """A blob goes with every entry that names it, and no other."""
    _adopt(index)
    index.write([Saved("a", b"{}", VALUE, 0.0), Saved("b", b"{}", VALUE, 0.0), Saved("c", b"{}", "another", 0.0)])

    index.write([Dropped((VALUE,))])

    assert (index.keys(""), index.blobs().rows) == ([("c", "another")], [])


def test_write__in_order(index: IndexDatabase) -> None:
    """The last change of a key or a blob is what stays, whatever was before it in the same list."""
    index.write(
        [
            Adopted(((VALUE, 4, None, 1.0),), fsynced=True),
            Saved("a", b"1", VALUE, 0.0),
            Dropped((VALUE,)),
            Saved("a", b"2", "new", 0.0),
        ]
    )
    index.write([Saved("b", b"1", "new", 0.0), Forgotten("b", 0.0), Adopted(((VALUE, 5, None, 2.0),), fsynced=True)])
    index.write([Used(((9.0, VALUE), (9.0, "unknown"))), Verified(VALUE, "stamp")])

    assert (index.entry("a"), index.keys("")) == (b"2", [("a", "new")])
    assert index.blobs().rows == [(VALUE, 5, "stamp", 9.0)]

    index.write([Proved((("newer", VALUE), ("newer", "unknown")))])

    assert index.blobs().rows == [(VALUE, 5, "newer", 9.0)]


def test_write__says_what_is_not_named_any_more(index: IndexDatabase) -> None:
    """The digest of a replaced entry is given when it was the last to name it, all changes taken together."""
    assert index.write([Saved("a", b"1", "old", 1), Saved("b", b"1", "old", 2)]) == {}
    assert index.write([Saved("a", b"2", "new", 3)]) == {}
    assert index.write([Saved("b", b"2", "new", 4)]) == {"old": 4}
    assert index.write([Saved("b", b"3", "new", 5), Forgotten("a", 6)]) == {}
    assert index.write([Forgotten("b", 7)]) == {"new": 7}
    assert index.write([Forgotten("b", 8)]) == {}
    assert index.write([Saved("a", b"1", "old", 9), Saved("a", b"2", "new", 10), Saved("c", b"1", "old", 11)]) == {}
    assert index.write([Forgotten("c", 12), Saved("a", b"3", "newer", 13)]) == {"old": 12, "new": 13}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*"xyz", None])), max_size=30), st.data())
def test_write__however_it_is_cut(steps: list[tuple[str, str | None]], data: st.DataObject) -> None:
    """Changes written one by one, or several at once, end the same; what is repeated changes nothing."""
    changes: list[Change] = [
        Forgotten(key, 0.0) if value is None else Saved(key, b"{}", value, 0.0) for key, value in steps
    ]
    ended: dict[int, list[tuple[str, object]]] = {}
    for number in range(2):
        with tempfile.TemporaryDirectory() as folder:
            index, _, _ = IndexDatabase.open(Path(folder), 1 << 30)
            with contextlib.closing(index):  # a draw may end the example
                rest = changes
                while rest:
                    size = 1 if number == 0 else data.draw(st.integers(1, len(rest)))
                    index.write(rest[:size])
                    if number:
                        index.write(rest[:size])
                    rest = rest[size:]
                ended[number] = sorted(index.keys(""), key=str)

    assert ended[0] == ended[1]


def test_store__no_pickle(index: IndexDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither key nor value is ever pickled or unpickled."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("dumps", "loads", "dump", "load"):
        monkeypatch.setattr(pickle, name, refuse)
    for key, value in (("key", {"a": 1}), ("key", 1), ("key", "text"), (("tuple",), b"x"), (1, b"x"), (b"b", b"x")):
        with pytest.raises(TypeError):
            index.set(key, value)
    index._sql("INSERT INTO Cache(key, raw, mode, value) VALUES ('e:a', 1, 4, ?)", (b"cos\nsystem\n(S'x'\ntR.",))
    with pytest.raises(sqlite3.DatabaseError):
        index.get("e:a")
    assert index.entry("a") == b""


def test_rebuild__keeps_what_it_is_given(index: IndexDatabase, tmp_path: Path) -> None:
    """The new database has these blobs and entries; the old one lies beside it."""
    _adopt(index)
    index.write([Saved("a", b"{}", VALUE, 0.0), Saved("b", b"{}", VALUE, 0.0)])

    index.rebuild(index.blobs().rows, [("a", b"{}", VALUE)])

    assert index.blobs().rows == [(VALUE, 4, "stamp", 5.0)]
    assert index.keys("") == [("a", VALUE)]
    assert (tmp_path / "index" / "cache.db.damaged").exists()
    assert index.write([Forgotten("a", 0.0)]) == {VALUE: 0.0}


def test_settings__nothing_is_culled(index: IndexDatabase) -> None:
    """diskcache's own eviction is off: thousands of rows stay."""
    index.write([Saved(f"{number:05}", b"x" * 1000, f"tag {number}", 0.0) for number in range(3000)])

    assert len(index.keys("")) == 3000


def test_settings__of_each_connection(index: IndexDatabase) -> None:
    """SQLite has those that it takes: that of the event loop, and that of the thread which writes."""

    def found(name: str) -> object:
        return index._sql(f"PRAGMA {name}").fetchall()[0][0]

    names = ("cache_size", "checkpoint_fullfsync", "journal_mode", "mmap_size", "synchronous")
    with ThreadPoolExecutor(1) as other:
        assert [2048, 1, "wal", 0, 1] == list(map(found, names)) == list(other.map(found, names))
        other.submit(index.close).result()
