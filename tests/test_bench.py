"""The table of the README comes from the bench and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results import DIRECT, OURS, Results, Row
from bench.summary import BEGIN, END, placed, summary

_README = Path(__file__).parent.parent / "README.md"


def test_summary__medians_in_their_cells() -> None:
    """A row has the median of each server that was measured, with its unit, and a dash for the others."""
    results = Results()
    for speed in (4.0, 5.0, 9.0):
        results.add(Row("a", "8 clients", OURS), speed=speed)
    results.add(Row("a", "8 clients", "nginx"), speed=4.5)

    assert "| hits of a 1 GiB wheel, 8 clients | 5 GB/s | 4.50 GB/s | - | - |\n" in summary(results)


@pytest.mark.parametrize(
    ("cold", "said"),
    [(1.5, "The first install is faster too: "), (2.5, "The first install, not yet faster with uv: ")],
)
def test_summary__first_install(cold: float, said: str) -> None:
    """The sentence claims what the figures say, and is left out where they are missing."""
    results = Results()
    for client, direct, first, warm in (("pip", 20.0, 8.0, 3.0), ("uv", 2.0, cold, 0.5)):
        results.add(Row("g", f"{client}, cold", DIRECT), seconds=direct, count=91)
        results.add(Row("g", f"{client}, cold", OURS), seconds=first)
        results.add(Row("g", f"{client}, warm", OURS), seconds=warm)

    assert f"{said}jupyterlab, 91 wheels, " in summary(results)
    assert "pip 20 s without the cache, 8 s with an empty one, 3 s with a warm one; uv 2 s" in summary(results)
    assert "first install" not in summary(Results())


def test_placed__between_the_markers() -> None:
    """Only what stands between the markers is replaced."""
    assert f"a\n{BEGIN}new\n{END}b\n" == placed(f"a\n{BEGIN}old\n{END}b\n", "new\n")


def test_placed__no_markers() -> None:
    """A document without a place for the table is left alone."""
    with pytest.raises(ValueError, match="no place"):
        placed(f"a\n{BEGIN}b\n", "new\n")


def test_readme__has_a_place() -> None:
    """The README can be written anew, and nothing but the table changes then."""
    text = _README.read_text(encoding="utf-8")
    written = placed(text, "new\n")

    assert (text.partition(BEGIN)[0], text.partition(END)[2]) == (
        written.partition(BEGIN)[0],
        written.partition(END)[2],
    )
