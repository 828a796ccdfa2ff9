"""Answers that leave often become files in memory, a bounded number of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import operating_system
from proxy.web.busy_answers import BusyAnswer, BusyAnswers

OFTEN = 9  # the time that an answer gets a file, counted from 1

needs_files = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")


@pytest.fixture
def busy() -> Iterator[BusyAnswers]:
    """None is busy yet."""
    made = BusyAnswers()
    yield made
    made.clear()


def asked(busy: BusyAnswers, answer: BusyAnswer, body: bytes = b"body", times: int = OFTEN, now: float = 0.0) -> bytes:
    """What is in the file of an answer that was asked for as often; empty if it has none."""
    for _ in range(times):
        busy.use(answer, body, now)
    return b"" if answer.descriptor is None else os.pread(answer.descriptor, 1 << 20, 0)


def is_open(descriptor: int) -> bool:
    """Whether a descriptor is open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@needs_files
def test_use__often(busy: BusyAnswers) -> None:
    """An answer gets a file only when it was asked for often, and keeps it."""
    answer = busy.begin(b"head ", b"body", None)
    assert asked(busy, answer, times=OFTEN - 1) == b""
    assert asked(busy, answer, times=1) == b"head body"
    file = answer.descriptor
    assert asked(busy, answer, times=1) == b"head body"
    assert answer.descriptor == file


@needs_files
def test_begin__closes_the_file_of_the_last_head(busy: BusyAnswers) -> None:
    """Its pages are not written again: the kernel may hold them for clients."""
    first = busy.begin(b"1 ", b"body", None)
    assert asked(busy, first) == b"1 body"
    file = first.descriptor
    second = busy.begin(b"2 ", b"body", first)
    assert file is not None
    assert not is_open(file)
    assert asked(busy, second) == b"2 body"


@needs_files
def test_use__bounded(busy: BusyAnswers) -> None:
    """The oldest stay while they may be asked for; when their second is over, they make room."""
    answers = [busy.begin(b"%d " % number, b"body", None) for number in range(300)]
    filed = [bool(asked(busy, answer)) for answer in answers]
    assert filed == [True] * 256 + [False] * 44
    assert asked(busy, answers[0], times=1) == b"0 body"
    assert asked(busy, answers[-1], times=1, now=2.5) == b"299 body"
    assert [answer.descriptor for answer in answers[:256]] == [None] * 256


@needs_files
@pytest.mark.parametrize(("limit", "most"), [(320, 20), (10, 0), (None, 256), (100_000, 256)])
def test_use__few_descriptors(monkeypatch: pytest.MonkeyPatch, limit: int | None, most: int) -> None:
    """A process that may have few descriptors keeps them for connections."""
    monkeypatch.setattr(operating_system, "open_files_limit", lambda: limit)
    busy = BusyAnswers()
    filed = [bool(asked(busy, busy.begin(b"%d" % number, b"body", None))) for number in range(260)]
    busy.clear()
    assert sum(filed) == most


@needs_files
def test_use__bounded_by_bytes(busy: BusyAnswers) -> None:
    """All of them together have 16 MiB, or one answer more."""
    body = bytes(1 << 20)
    answers = [busy.begin(b"", body, None) for _ in range(20)]
    assert [bool(asked(busy, answer, body)) for answer in answers] == [True] * 16 + [False] * 4


@needs_files
def test_clear__closes_all(busy: BusyAnswers) -> None:
    """Nothing is left open, and what is asked for again gets another file."""
    answer = busy.begin(b"head ", b"body", None)
    asked(busy, answer)
    file = answer.descriptor
    assert file is not None
    busy.clear()
    assert not is_open(file)
    assert asked(busy, answer, times=1) == b"head body"


def test_use__none_on_this_system(busy: BusyAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no such files, answers are sent from the program's memory."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert asked(busy, busy.begin(b"head ", b"body", None)) == b""


@pytest.mark.parametrize("full", [True, False], ids=["no descriptor", "no memory"])
def test_use__nothing_left(busy: BusyAnswers, monkeypatch: pytest.MonkeyPatch, full: bool, tmp_path: Path) -> None:
    """Without a descriptor, or memory, an answer has no file; later ones may."""
    opened: list[int] = []

    def create() -> int:
        if full:
            raise OSError(24, "Too many open files")
        (tmp_path / "read-only").touch()
        opened.append(os.open(tmp_path / "read-only", os.O_RDONLY))
        return opened[-1]

    answer = busy.begin(b"head ", b"body", None)
    with monkeypatch.context() as patch:
        patch.setattr(operating_system, "file_in_memory", create)
        assert asked(busy, answer) == b""
    assert not any(map(is_open, opened))
    assert asked(busy, answer, times=1) == (b"head body" if hasattr(os, "memfd_create") else b"")


@needs_files
def test_begin__after_one_that_left_often(busy: BusyAnswers) -> None:
    """It has its file from its first time on; when it does not leave often any more, the next one has none."""
    first = busy.begin(b"1 ", b"body", None)
    asked(busy, first)
    second = busy.begin(b"2 ", b"body", first)
    assert asked(busy, second, times=1) == b"2 body"
    third = busy.begin(b"3 ", b"body", second)
    assert asked(busy, third, times=1) == b""
