"""The history's file: what is added up, what is found, what is forgotten."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.history import PullQuestion, database, pulls
from proxy.history.database import NAME, HistoryFile, is_damage, set_aside
from proxy.history.sums import ClientName, ClientSum, DaySum, FileName, ProjectSum, Total
from proxy.user_agent import UserAgent

_OLD = FileName("pypi", "litellm-1.82.8-py3-none-any.whl", "litellm", "1.82.8")
_DEB = FileName("apt", "libstdc++6_14.2.0-19_amd64.deb", "libstdc++6", "14.2.0-19")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[HistoryFile]:
    """An open file."""
    with contextlib.closing(HistoryFile.open(tmp_path)) as opened:
        yield opened


def _add(file: HistoryFile, day: int, name: FileName, client: str = "10.0.0.1", size: int = 5) -> None:
    at = day * 86_400.0
    file.add({}, {(day, name, ClientName(client)): ClientSum(1, size, at + 1, at + 2)})


def _found(folder: Path, question: PullQuestion) -> list[tuple[str, str]]:
    return [(one.name, one.client) for one in pulls(folder, question)]


def test_days__sums_of_all_upstreams(file: HistoryFile) -> None:
    """What was sent, whatever it came from, and what was fetched; the first day first."""
    file.add(
        {(12, "pypi", "file"): Total(from_cache=5, from_flight=2, from_upstream=3), (12, "apt", ""): Total(fetched=4)},
        {},
    )
    file.add({(11, "pypi", "page"): Total(from_upstream=1)}, {})

    assert [DaySum(11, 1, 0), DaySum(12, 10, 4)] == file.days()


def test_add__totals(tmp_path: Path, file: HistoryFile) -> None:
    """Totals of one day are added up."""
    for _ in range(2):
        file.add({(1, "pypi", "file"): Total(3, 2, 100, 10, 50, 60)}, {})

    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as connection:
        assert [(1, "pypi", "file", 6, 4, 200, 20, 100, 120)] == connection.execute("SELECT * FROM totals").fetchall()


def test_open__how_it_is_synced(file: HistoryFile) -> None:
    """As the index; on macOS to the disk itself."""
    found = [
        file._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "checkpoint_fullfsync")
    ]

    assert [1, 1] == found


def test_open__only_its_user_reads_it(tmp_path: Path, file: HistoryFile) -> None:
    """It has addresses of clients."""
    assert 0o600 == stat.S_IMODE((tmp_path / NAME).stat().st_mode)


def test_trim__by_days(tmp_path: Path, file: HistoryFile) -> None:
    """What is older goes, with the names that nothing else has; totals stay."""
    file.add({(1, "pypi", "file"): Total(1)}, {})
    _add(file, 1, _OLD, "10.0.0.1")
    _add(file, 2, _DEB, "10.0.0.2")

    file.trim(2, 10**9)

    assert [(_DEB.name, "10.0.0.2")] == _found(tmp_path, PullQuestion("*"))
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("totals", "files", "clients", "requests")
        ]
    assert [1, 1, 1, 1] == counts


def _many(file: HistoryFile, day: int, clients: int = 4000) -> None:
    at = day * 86_400.0
    names = [FileName("pypi", f"p{number}.whl", f"p{number}") for number in range(10)]
    file.add(
        {},
        {
            (day, names[number % 10], ClientName(f"10.{day}.0.{number}")): ClientSum(1, 1, at, at + number)
            for number in range(clients)
        },
    )


def test_trim__by_size(tmp_path: Path, file: HistoryFile) -> None:
    """The oldest days make room; what is on the disk gets smaller, SQLite's log included."""
    for day in range(4):
        _many(file, day)
    before = file.size()
    assert before == sum(path.stat().st_size for path in tmp_path.iterdir() if not path.name.endswith("-shm"))

    file.trim(0, before // 2)

    assert file.size() <= before // 2
    assert file.size() == (tmp_path / NAME).stat().st_size
    left = {one.client.split(".")[1] for one in pulls(tmp_path, PullQuestion("*", most=10**6))}
    assert "0" not in left
    assert "3" in left


def test_trim__of_one_day(tmp_path: Path, file: HistoryFile) -> None:
    """Where one day is too much, those who asked last stay."""
    _many(file, 1)
    file.trim(0, 10**9)

    file.trim(0, file.size() - 1)

    left = {int(one.client.rpartition(".")[2]) for one in pulls(tmp_path, PullQuestion("*", most=10**6))}
    assert set(range(4000 - len(left), 4000)) == left
    assert 0 < len(left) < 4000


@pytest.mark.parametrize("told", [True, False])
def test_trim__by_size_after_a_clock_was_ahead(tmp_path: Path, file: HistoryFile, told: bool) -> None:
    """Rows of a clock that was years ahead do not push out what is current; they go first where the time is told."""
    for day in range(100, 130):
        _many(file, day, 400)
    for number in range(5):
        _add(file, 4100, _OLD, f"10.9.9.{number}")
    file.trim(0, 10**9)

    if told:
        file.trim(0, int(file.size() * 0.95), now=130 * 86_400.0)
    else:
        file.trim(0, int(file.size() * 0.95))

    left = [one.client for one in pulls(tmp_path, PullQuestion("*", most=10**6))]
    assert (0 if told else 5) == sum(client.startswith("10.9.9.") for client in left)
    assert 5000 <= len(left) < 12_000
    assert 400 == sum(client.startswith("10.129.") for client in left)


def test_trim__by_size_most_at_one_moment(tmp_path: Path, file: HistoryFile) -> None:
    """Where most rows are of the first moment, they go, and the later ones stay."""
    rows = {(1, _DEB, ClientName(f"10.1.0.{number}")): ClientSum(1, 1, 90_000.0, 90_000.0) for number in range(4000)}
    file.add({}, rows)
    _add(file, 2, _OLD)
    file.trim(0, 10**9)

    file.trim(0, file.size() - 1)

    assert [_OLD.name] == [one.name for one in pulls(tmp_path, PullQuestion("*", most=10**6))]


def test_latest__of_all_files(file: HistoryFile) -> None:
    """The last time that anybody asked; none in a new file."""
    assert file.latest() is None
    _add(file, 2, _OLD)
    _add(file, 1, _DEB)
    assert 2 * 86_400.0 + 2 == file.latest()


def test_trim__while_somebody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes its time costs nobody their rows: what it keeps in SQLite's log is no reason to forget."""
    monkeypatch.setattr(database, "WAIT", 0.01)
    with contextlib.closing(HistoryFile.open(tmp_path)) as file:
        _many(file, 1)
        with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM requests").fetchone()
            _many(file, 2)
            file.trim(0, 1)
            assert 8000 == len(pulls(tmp_path, PullQuestion("*", most=10**6)))
        file.trim(0, 1)
        assert [] == pulls(tmp_path, PullQuestion("*"))


def test_trim__all_at_one_moment(tmp_path: Path, file: HistoryFile) -> None:
    """Where nothing tells who came first, all of them go: the bound holds."""
    _add(file, 1, _OLD)

    file.trim(0, 1)

    assert [] == pulls(tmp_path, PullQuestion("*"))


def test_size__no_file(tmp_path: Path, file: HistoryFile) -> None:
    """A file that somebody removed takes nothing."""
    for path in tmp_path.iterdir():
        path.unlink()

    assert 0 == file.size()


def test_add__digests_and_programs(tmp_path: Path, file: HistoryFile) -> None:
    """One name with two digests is two files; one address with two programs is two clients."""
    at = ClientSum(1, 5, 1.0, 2.0)
    pip, uv = (ClientName("10.0.0.1", UserAgent(name, "1")) for name in ("pip", "uv"))
    files = [FileName("pypi", "a.whl", "a", "1", sha256) for sha256 in ("", "aa" * 32, "bb" * 32)]
    for _ in range(2):
        file.add({}, {(1, one, client): at for one in files for client in (pip, uv)})

    found = {(one.sha256, one.client_name, one.requests) for one in pulls(tmp_path, PullQuestion("a"))}
    assert {(one.sha256, name, 2) for one in files for name in ("pip", "uv")} == found


def test_set_aside__damage(tmp_path: Path) -> None:
    """A file that is no database tells so, and makes room for a new one."""
    (tmp_path / NAME).write_bytes(b"no database, whatever its name says" * 100)
    with pytest.raises(sqlite3.Error) as raised:
        HistoryFile.open(tmp_path)

    assert is_damage(raised.value)
    set_aside(tmp_path)
    HistoryFile.open(tmp_path).close()
    assert (tmp_path / f"{NAME}.damaged").is_file()


def test_is_damage__not_of_the_disk() -> None:
    """A lock, or a full disk, is no damage."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.Error) as raised:
        connection.execute("SELECT nothing FROM nowhere")

    assert not is_damage(raised.value)


def test_projects__that_saved_most(file: HistoryFile) -> None:
    """Added up over files, clients and days; a project that saved nothing is not there; no more than are wanted."""
    other = replace(_OLD, name="litellm-1.82.9-py3-none-any.whl", version="1.82.9")
    nothing, unnamed = FileName("pypi", "six-1.whl", "six"), FileName("pypi", "odd")
    for day, name, client, saved in (
        (1, _OLD, "10.0.0.1", 5),
        (1, _OLD, "10.0.0.2", 6),
        (2, other, "10.0.0.1", 7),
        (2, _DEB, "10.0.0.1", 30),
        (2, nothing, "10.0.0.1", 0),
        (2, unnamed, "10.0.0.1", 99),
    ):
        file.add({}, {(day, name, ClientName(client)): ClientSum(1, 100, 1.0, 2.0, saved)})
    assert [ProjectSum("libstdc++6", 30), ProjectSum("litellm", 18)] == file.projects(10)
    assert [ProjectSum("libstdc++6", 30)] == file.projects(1)
