"""The cases of the bench that need no internet, each once and small: all that they announce has figures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cold_page, many_files, spread, tails
from bench.bed import QUICK, Bed
from bench.results import OURS
from bench.targets import targets

_SCALE = replace(QUICK, giant=1 << 16, cold=1 << 16, files=3_000, projects=3, heads=20, links=50)
_PROGRAMS = {"h": ("wrk", "nginx"), "j": ("wrk",)}
_CASES: dict[str, Callable[[Bed], None]] = {
    "h": tails.slowest,
    "i": many_files.start_and_hits,
    "j": spread.many_of_a_kind,
    "l": cold_page.first_answer,
}


def _bed(folder: Path) -> Bed:
    kept = folder / "kept"
    kept.mkdir()
    return Bed(folder, kept, _SCALE, [OURS], {})


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", sorted(_CASES))
def test_case__has_figures(tmp_path: Path, case: str) -> None:
    """Nothing fails, and each target of the case has a figure."""
    if missing := [program for program in _PROGRAMS.get(case, ()) if not shutil.which(program)]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    bed = _bed(tmp_path)

    _CASES[case](bed)

    assert {} == bed.results.failures
    assert [] == [target.what for target in targets(bed.results, case) if target.value is None]


def test_spread__pairs() -> None:
    """Of each kind, what is spread is held against one."""
    assert [("1 a", "5 a"), ("1 b", "7 b")] == spread.pairs(["1 a", "5 a", "1 b", "7 b"])
