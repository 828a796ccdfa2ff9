"""How often clients got which files."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.history.database import NAME, HistoryFile
from proxy.history.demand import demand
from proxy.history.sums import ClientName, ClientSum, FileName

_SIX = FileName("pypi", "six-1.0.whl", "six", "1.0")
_CURL = FileName("apt", "curl_7_amd64.deb", "curl", "7")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A history of three days and two clients."""
    first, second = ClientName("10.0.0.1"), ClientName("10.0.0.2")
    with contextlib.closing(HistoryFile.open(tmp_path)) as file:
        for day in (1, 2):
            file.add({}, {(day, _SIX, first): ClientSum(2, 10, 0.0, 1.0)})
        file.add({}, {(3, replace(_SIX, sha256="ab" * 32), first): ClientSum(2, 10, 0.0, 1.0)})
        file.add({}, {(3, _SIX, second): ClientSum(1, 10, 0.0, 1.0), (3, _CURL, second): ClientSum(4, 1, 0.0, 1.0)})
    return tmp_path


def test_demand__of_all(folder: Path) -> None:
    """The requests of all days and all clients, whatever digest the file had."""
    assert {("pypi", "six-1.0.whl"): 7, ("apt", "curl_7_amd64.deb"): 4} == demand(folder)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([("pypi", "six-1.0.whl"), ("pypi", "other")], {("pypi", "six-1.0.whl"): 7}),
        ([("apt", "six-1.0.whl"), ("apt", "' OR 1 --")], {}),
        ([], {}),
    ],
)
def test_demand__of_some(folder: Path, names: list[tuple[str, str]], expected: dict[tuple[str, str], int]) -> None:
    """Only those that are asked for, by index and name."""
    assert expected == demand(folder, names)


def test_demand__no_history(tmp_path: Path) -> None:
    """Nothing is known, and no file is made."""
    assert {} == demand(tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_demand__damaged(tmp_path: Path) -> None:
    """A damaged file is an error for those who call."""
    (tmp_path / NAME).write_bytes(b"no database, no database, no database" * 100)

    with pytest.raises(sqlite3.DatabaseError):
        demand(tmp_path)
