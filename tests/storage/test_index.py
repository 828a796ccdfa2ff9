"""The rows of the index."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Generator
from pathlib import Path

import pytest

from proxy.storage.adopting_disk import Finished
from proxy.storage.index import Index

VALUE = "ab" + "0" * 62


@pytest.fixture
def index(tmp_path: Path) -> Generator[Index]:
    """An empty index."""
    opened, _, _ = Index.open(tmp_path / "index", 1 << 30)
    yield opened
    opened.close()


def _finished(tmp_path: Path, body: bytes) -> Finished:
    path = tmp_path / "finished"
    path.write_bytes(body)
    return Finished(path, len(body), synced=True)


def test_adopt__moves_the_file(index: Index, tmp_path: Path) -> None:
    """A finished file is renamed, not copied, and counted."""
    finished = _finished(tmp_path, b"body")
    inode = finished.path.stat().st_ino

    stamp = index.adopt(VALUE, finished, 5.0)

    assert (tmp_path / "index" / "sha256" / "ab" / VALUE[2:]).stat().st_ino == inode
    assert index._blobs() == [(VALUE, 4, stamp, 5.0)]
    assert not finished.path.exists()


def test_adopt__twice(index: Index, tmp_path: Path) -> None:
    """A second file of the digest replaces the first; the new file stays (diskcache would delete it)."""
    index.adopt(VALUE, _finished(tmp_path, b"body"), 5.0)
    stamp = index.adopt(VALUE, _finished(tmp_path, b"body again"), 6.0)

    assert (tmp_path / "index" / "sha256" / "ab" / VALUE[2:]).read_bytes() == b"body again"
    assert index._blobs() == [(VALUE, 10, stamp, 6.0)]


def test_adopt__row_cannot_be_written(index: Index, tmp_path: Path) -> None:
    """Without its row the file is not left behind."""
    index._sql("PRAGMA query_only = ON")
    with pytest.raises(Exception, match=r".*"):
        index.adopt(VALUE, _finished(tmp_path, b"body"), 5.0)

    assert [path for path in (tmp_path / "index").rglob("*") if path.name == VALUE[2:]] == []


def test_drop__with_its_entries(index: Index, tmp_path: Path) -> None:
    """A blob goes with its file and every entry that names it, and no other."""
    index.adopt(VALUE, _finished(tmp_path, b"body"), 5.0)
    index.save("a", b"{}", VALUE)
    index.save("b", b"{}", VALUE)
    index.save("c", b"{}", "another")

    index.drop([VALUE])

    assert index.keys("") == ["c"]
    assert index._blobs() == []
    assert not (tmp_path / "index" / "sha256" / "ab").exists()


def test_save__says_what_is_not_named_any_more(index: Index) -> None:
    """The digest of the replaced entry is given when it was the last to name it."""
    assert index.save("a", b"1", "old") is None
    assert index.save("b", b"1", "old") is None
    assert index.save("a", b"2", "new") is None
    assert index.save("b", b"2", "new") == "old"
    assert index.save("b", b"3", "new") is None
    assert index.forget("a") is None
    assert index.forget("b") == "new"
    assert index.forget("b") is None


def test_store__no_pickle(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert index.peek("a") == b""


def test_take_in__what_is_known_stays(index: Index, tmp_path: Path) -> None:
    """Files that have a row keep it."""
    stamp = index.adopt(VALUE, _finished(tmp_path, b"body"), 5.0)
    left = tmp_path / "index" / "sha256" / "cd" / ("cd" * 31)
    left.parent.mkdir()
    left.write_bytes(b"7 bytes")

    assert [(VALUE, 4), ("cd" * 32, 7)] == index.take_in([VALUE, "cd" * 32, "ef" * 32])

    assert index._blobs() == [("cd" * 32, 7, None, 0.0), (VALUE, 4, stamp, 5.0)]


def test_renew__keeps_what_it_is_given(index: Index, tmp_path: Path) -> None:
    """The new database has these blobs and entries; the old one lies beside it."""
    stamp = index.adopt(VALUE, _finished(tmp_path, b"body"), 5.0)
    index.save("a", b"{}", VALUE)
    index.save("b", b"{}", VALUE)

    index.renew(index._blobs(), [("a", b"{}", VALUE)])

    assert index._blobs() == [(VALUE, 4, stamp, 5.0)]
    assert index.keys("") == ["a"]
    assert (tmp_path / "index" / "cache.db.damaged").exists()
    assert index.forget("a") == VALUE


def test_settings__nothing_is_culled(index: Index) -> None:
    """diskcache's own eviction is off: thousands of rows stay."""
    with index.transact():
        for number in range(3000):
            index.save(f"{number:05}", b"x" * 1000, f"tag {number}")

    assert len(index.keys("")) == 3000
