"""Rows of the history, and whether their files are still stored."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.control.holdings import holding
from proxy.control.protocol import ControlError, PullWish
from proxy.control.pulled_files import pulled
from proxy.control.selection import Named, StoredBody
from proxy.history import database, schema
from proxy.history.database import NAME, HistoryFile
from proxy.history.sums import ClientName, ClientSum, FileName
from proxy.user_agent import UserAgent

_WHEEL = "six-1.17.0-py2.py3-none-any.whl"
_KEY = f"file:pypi:six::a/{_WHEEL}"
_FIRST, _SECOND = "11" * 32, "22" * 32


def _stored(sha256: str, key: str = _KEY) -> list[StoredBody]:
    return [StoredBody(sha256, 5, (Named(key, holding(key), 1.0),))]


def _history(folder: Path, *digests: str) -> None:
    with contextlib.closing(HistoryFile.open(folder)) as file:
        for number, digest in enumerate(digests):
            client = ClientName("10.0.0.1", UserAgent("pip", "24.0", "job 7"))
            sums = ClientSum(1, 5, 1.0, 9.0 - number)
            file.add({}, {(0, FileName("pypi", _WHEEL, "six", "1.17.0", digest), client): sums})


@pytest.mark.parametrize(
    ("stored", "wanted", "expected"),
    [
        (_stored(_FIRST), "six", [(_FIRST, True), (_SECOND, False), (None, True)]),
        ([], "six", [(_FIRST, False), (_SECOND, False), (None, False)]),
        (_stored(_FIRST), _FIRST, [(_FIRST, True), (None, True)]),
        (_stored(_FIRST), f"SHA256:{_SECOND}", [(_SECOND, False)]),
        ([], f"sha256={_SECOND}", [(_SECOND, False)]),
        (_stored(_FIRST), "33" * 32, []),
        (_stored(_FIRST), "33" * 31, []),
    ],
)
def test_pulled__digests(
    tmp_path: Path, stored: Sequence[StoredBody], wanted: str, expected: list[tuple[str | None, bool]]
) -> None:
    """A file is stored if it is the very body; one whose digest is not known counts by its name."""
    _history(tmp_path, _FIRST, _SECOND, "")

    found = pulled(tmp_path, stored, PullWish(wanted))

    assert expected == [(row.sha256, row.kept) for row in found.rows]


def test_pulled__what_is_not_known(tmp_path: Path) -> None:
    """Empty texts of the history are nothing."""
    with contextlib.closing(HistoryFile.open(tmp_path)) as file:
        file.add({}, {(0, FileName("pypi", "x"), ClientName("10.0.0.1")): ClientSum(1, 5, 1.0, 2.0)})

    (row,) = pulled(tmp_path, [], PullWish("x")).rows

    known = (row.project, row.version, row.sha256, row.client_name, row.client_version, row.build)
    assert (None,) * 6 == known


def test_pulled__more(tmp_path: Path) -> None:
    """One row is left off, and that is said."""
    _history(tmp_path, _FIRST, _SECOND)

    assert [(1, True), (2, False)] == [
        (len(found.rows), found.more) for found in (pulled(tmp_path, [], PullWish("six", most=most)) for most in (1, 2))
    ]


def test_pulled__cannot_be_read(tmp_path: Path) -> None:
    """Damage, and what a later version wrote, are said."""
    (tmp_path / NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(ControlError, match="cannot be read"):
        pulled(tmp_path, [], PullWish("six"))
    (tmp_path / NAME).unlink()
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(ControlError, match="later version"):
        pulled(tmp_path, [], PullWish("six"))


def test_pulled__too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be added up in time says what narrows it."""
    _history(tmp_path, _FIRST)
    monkeypatch.setattr(database, "_PATIENCE", -1.0)
    monkeypatch.setattr(database, "_LOOK", 1)
    with pytest.raises(ControlError, match="Name a project"):
        pulled(tmp_path, [], PullWish("*"))
