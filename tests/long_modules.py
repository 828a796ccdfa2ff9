"""Modules so long that one asks whether each still holds one noun. A test run that looks at them prints them."""

from __future__ import annotations

from pathlib import Path

QUESTIONABLE = 300  # lines

_ROOT = Path(__file__).parent.parent


def long_modules(lines: int = QUESTIONABLE) -> dict[str, int]:
    """The modules of the program that have more than so many lines, and how many they have."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (_ROOT / "proxy").rglob("*.py")}
    return {path.relative_to(_ROOT).as_posix(): length for path, length in lengths.items() if length > lines}
