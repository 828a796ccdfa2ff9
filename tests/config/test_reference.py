"""The reference of all settings."""

from __future__ import annotations

from proxy.config.reference import reference


def test_reference__defaults() -> None:
    """Defaults read as one would write them; those that depend on the machine are described."""
    text = reference()

    assert "| `PULLTHROUGH_FETCH_SEGMENT` | `16 MiB` |" in text
    assert "| `PULLTHROUGH_SERVE_THREADS` | the number of CPUs, at most 4 |" in text
    assert "\n| `url` | (required) |" in text
    assert "\n| `hosts` | (none) |" in text


def test_reference__tables_are_whole() -> None:
    """Every row of a table has as many cells as its head."""
    cells = [line.count("|") for line in reference().splitlines() if line.startswith("|")]

    assert {6, 4} == set(cells)
