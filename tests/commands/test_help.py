"""`pullthrough help`, as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.commands.help import OVERVIEW

_ROOT = Path(__file__).parents[2]


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=folder,
        env={"PATH": "/nowhere", "HOME": str(folder), "PYTHONPATH": str(_ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help__the_verbs_with_examples(tmp_path: Path) -> None:
    """The golden text; no line is wider than a screen."""
    result = _run(tmp_path, "help")

    assert (0, "") == (result.returncode, result.stderr)
    assert (_ROOT / "tests/golden/help.txt").read_text(encoding="utf-8") == result.stdout
    assert [] == [line for line in result.stdout.splitlines() if len(line) > 120]


def test_help__names_each_verb(tmp_path: Path) -> None:
    """Also those that come later."""
    listed = _run(tmp_path, "--help").stdout.partition("Commands:")[2].partition("EXIT")[0]
    verbs = [line.split()[0] for line in listed.splitlines() if line[:2] == "  " and line[2:3].strip()]

    assert {"build", "setup", "serve"} <= set(verbs)
    assert [] == [verb for verb in verbs if f"\n  {verb} " not in OVERVIEW]


@pytest.mark.parametrize("verb", ["build", "setup", "doctor"])
def test_help__of_a_verb(tmp_path: Path, verb: str) -> None:
    """The same as its own `--help`."""
    assert _run(tmp_path, verb, "--help").stdout == _run(tmp_path, "help", verb).stdout


def test_help__of_no_verb(tmp_path: Path) -> None:
    """Wrong usage."""
    result = _run(tmp_path, "help", "nothing")

    assert (2, "") == (result.returncode, result.stdout)
    assert "pullthrough: there is no verb nothing; all of them: pullthrough help\n" == result.stderr
