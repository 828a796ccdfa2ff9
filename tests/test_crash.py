"""The store is killed between any two steps, and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a kill loses nothing that was written, on whatever disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


@pytest.mark.timeout(300)
def test_store__killed_at_every_step(folder: Path) -> None:
    """Whatever the step: nothing wrong is found afterwards, the download goes on, and nothing is left over."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crashing", str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert [turn["step"] for turn in rounds if turn["checked"] != 0] == [], done.stderr[-5000:]
    assert rounds[-1]["ended"] == 0, done.stderr[-5000:]
    assert len(rounds) > 50
    assert all(turn["ended"] == -signal.SIGKILL for turn in rounds[:-1])
