"""What the history answers: by project, version, file, pattern, digest, client and time."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.history import database
from proxy.history.database import NAME, HistoryFile
from proxy.history.questions import Pull, PullQuestion, days, pulls
from proxy.history.sums import ClientName, ClientSum, DaySum, FileName, Total
from proxy.user_agent import UserAgent

_DIGEST = "ab" * 32
_OLD = FileName("pypi", "litellm-1.82.8-py3-none-any.whl", "litellm", "1.82.8", _DIGEST)
_LOCAL = FileName("torch", "torch-2.7.1+cu126-cp312-cp312-linux_x86_64.whl", "torch", "2.7.1+cu126")
_DEB = FileName("apt", "libstdc++6_14.2.0-19_amd64.deb", "libstdc++6", "14.2.0-19")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[HistoryFile]:
    """An open file."""
    with contextlib.closing(HistoryFile.open(tmp_path)) as opened:
        yield opened


def _add(
    file: HistoryFile,
    day: int,
    name: FileName,
    client: str = "10.0.0.1",
    size: int = 5,
    agent: UserAgent = UserAgent("pip", "24.0"),  # noqa: B008 - frozen
) -> None:
    at = day * 86_400.0
    file.add({}, {(day, name, ClientName(client, agent)): ClientSum(1, size, at + 1, at + 2)})


def _found(folder: Path, question: PullQuestion) -> list[tuple[str, str]]:
    return [(one.name, one.client) for one in pulls(folder, question)]


def test_pulls__sums_of_all_days(tmp_path: Path, file: HistoryFile) -> None:
    """A client has one row for each file, with the first and the last time."""
    _add(file, 10, _OLD)
    _add(file, 10, _OLD)
    _add(file, 12, _OLD, size=7)

    first, last = 10 * 86_400.0 + 1, 12 * 86_400.0 + 2
    expected = Pull("pypi", "litellm", "1.82.8", _OLD.name, "10.0.0.1", 3, 17, first, last, _DIGEST, "pip", "24.0")
    assert [expected] == pulls(tmp_path, PullQuestion("LiteLLM"))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (PullQuestion("litellm", "1.82.8"), [_OLD]),
        (PullQuestion("litellm", "1.82.9"), []),
        (PullQuestion("litellm", "9" * 5000), []),
        (PullQuestion("litellm", "1.82.*"), [_OLD]),
        (PullQuestion("torch", "2.7.1"), [_LOCAL]),
        (PullQuestion("torch", "2.7.1+cpu"), []),
        (PullQuestion("libstdc++6"), [_DEB]),
        (PullQuestion("libstdc++6", "14.2.0-19"), [_DEB]),
        (PullQuestion("libstdc++6", "1:14.2.0-19"), [_DEB]),  # as apt shows an epoch
        (PullQuestion("lit*"), [_OLD]),
        (PullQuestion(_DEB.name), [_DEB]),
        (PullQuestion("*.deb"), [_DEB]),
        (PullQuestion("six"), []),
        (PullQuestion("litellm", client="10.0.0.2"), []),
        (PullQuestion("*", client="10.0.0.2"), []),
        (PullQuestion("litellm", client="10.0.0.1"), [_OLD]),
        (PullQuestion("litellm", since=10 * 86_400.0 + 3), []),
        (PullQuestion("litellm", since=10 * 86_400.0 + 2), [_OLD]),
        (PullQuestion("", sha256=_DIGEST), [_OLD]),
        (PullQuestion("", sha256="cd" * 32), []),
        (PullQuestion(_DEB.name, sha256="cd" * 32), [_DEB]),
        (PullQuestion(_OLD.name, sha256="cd" * 32), []),
    ],
)
def test_pulls__what_is_asked_for(
    tmp_path: Path, file: HistoryFile, question: PullQuestion, expected: list[FileName]
) -> None:
    """By project, version, file, pattern, digest, client and time; a name counts where no digest is known."""
    for name in (_OLD, _LOCAL, _DEB):
        _add(file, 10, name)

    assert [(name.name, "10.0.0.1") for name in expected] == _found(tmp_path, question)


def test_pulls__programs_and_builds(tmp_path: Path, file: HistoryFile) -> None:
    """Two programs at one address have a row each, and so have two builds."""
    agents = [UserAgent("pip", "24.0"), UserAgent("pip", "24.0", "job 7"), UserAgent("uv", "0.9.1")]
    for agent in agents:
        _add(file, 10, _OLD, agent=agent)

    found = [UserAgent(one.client_name, one.client_version, one.build) for one in pulls(tmp_path, PullQuestion("*"))]
    assert agents == found


def test_pulls__client_of_many_builds(tmp_path: Path, file: HistoryFile) -> None:
    """All that one address calls itself is one client, however much that is."""
    for number in range(120):
        _add(file, 10, _OLD, agent=UserAgent("pip", "24.0", f"job {number}"))
    _add(file, 10, _OLD, "10.0.0.2")

    assert 120 == len(pulls(tmp_path, PullQuestion("*", client="10.0.0.1")))


def test_pulls__the_last_first_and_no_more(tmp_path: Path, file: HistoryFile) -> None:
    """A bound leaves off who came first."""
    for day in (1, 2, 3):
        _add(file, day, _OLD, f"10.0.0.{day}")

    assert [(_OLD.name, "10.0.0.3"), (_OLD.name, "10.0.0.2")] == _found(tmp_path, PullQuestion("litellm", most=2))


@pytest.mark.parametrize("most", [1, 2, 3, 5, 29, 30, 31, 100])
def test_pulls__first_rows_of_many_files(tmp_path: Path, file: HistoryFile, most: int) -> None:
    """The first rows are those of all that are meant, though not all files are looked at."""
    for number in range(30):
        for day in {number % 7 + 1, number * 5 % 11 + 1}:
            _add(file, day, FileName("pypi", f"p{number % 6}.whl", f"p{number % 6}"), f"10.0.0.{number % 4}")
    every = pulls(tmp_path, PullQuestion("*", most=10**6))

    found = pulls(tmp_path, PullQuestion("p*", most=most))

    assert [one.last for one in every[:most]] == [one.last for one in found]
    assert set(found) <= set(every)


def test_pulls__more_than_can_be_added_up(tmp_path: Path, file: HistoryFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that takes too long is given up: others wait behind it."""
    _add(file, 10, _OLD)
    monkeypatch.setattr(database, "_PATIENCE", -1.0)
    monkeypatch.setattr(database, "_LOOK", 1)

    with pytest.raises(sqlite3.OperationalError) as raised:
        pulls(tmp_path, PullQuestion("*"))
    assert "SQLITE_INTERRUPT" == raised.value.sqlite_errorname


def test_days(tmp_path: Path, file: HistoryFile) -> None:
    """As those who write it tell them; of no history, and of an empty file, none."""
    file.add({(11, "pypi", "page"): Total(from_upstream=1), (12, "apt", ""): Total(fetched=4)}, {})

    assert [DaySum(11, 1, 0), DaySum(12, 0, 4)] == days(tmp_path) == file.days()
    (tmp_path / "other").mkdir()
    assert [] == days(tmp_path / "other")
    (tmp_path / "other" / NAME).touch()
    assert [] == days(tmp_path / "other")


def test_pulls__no_history(tmp_path: Path) -> None:
    """A folder without a history has nobody, and gets no file."""
    assert [] == pulls(tmp_path, PullQuestion("six"))
    assert [] == list(tmp_path.iterdir())


def test_pulls__file_without_tables(tmp_path: Path) -> None:
    """A file that a kill left empty has nobody."""
    (tmp_path / NAME).touch()

    assert [] == pulls(tmp_path, PullQuestion("six"))
