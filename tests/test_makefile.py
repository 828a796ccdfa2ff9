"""macOS has GNU make 3.81, of 2006: the Makefile uses nothing that came later."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# By the NEWS file of GNU make: what each later version brought and an older one reads as something else.
_LATER = {
    "3.82": r"^\s*(private|undefine)\s|^\s*\.(ONESHELL|RECIPEPREFIX)\b|^define\s+\S+\s*[:+?]?=",
    "4.0": r"::=|^[^#\t]*!=|\$\(file\s|\$\(guile\s",
    "4.3": r"&:",
    "4.4": r":::=|\$\((let|intcmp)\s|^\s*\.(WAIT|NOTINTERMEDIATE)\b",
}


@pytest.mark.parametrize("version", _LATER)
def test_makefile__of_macos(version: str) -> None:
    """No line needs a make that macOS does not have."""
    text = (Path(__file__).parents[1] / "Makefile").read_text("utf-8")

    assert [] == [line for line in text.splitlines() if re.search(_LATER[version], line)]


@pytest.mark.parametrize(
    ("version", "line"),
    [("3.82", ".ONESHELL:"), ("4.0", "X != date"), ("4.0", "X ::= 1"), ("4.3", "a b &: c"), ("4.4", "$(let x,1,$x)")],
)
def test_later__is_found(version: str, line: str) -> None:
    """The patterns find what they are for."""
    assert re.search(_LATER[version], line)
