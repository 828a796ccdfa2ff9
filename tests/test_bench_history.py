"""The bench of the history makes one as a cache leaves it, and asks what can be answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import history
from proxy.history import pulls


def test_fill__rows(tmp_path: Path) -> None:
    """The questions have answers in it; its size is that of the disk."""
    size = history.fill(tmp_path, 20_000)

    assert size >= (tmp_path / "history.sqlite3").stat().st_size > 0
    for _, question in history.questions():
        assert pulls(tmp_path, question)


def test_main__table(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each question."""
    assert 0 == history.main(["--rows", "20000"])

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(list(history.questions())) == len(lines) - 1
