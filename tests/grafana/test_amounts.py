"""Numbers with their units."""

from __future__ import annotations

import pytest

from grafana.amounts import written


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "expected"),
    [
        (0, "decbytes", None, "0 B"),
        (1500, "decbytes", None, "1.5 kB"),
        (-2.5e9, "decbytes", 1, "-2.5 GB"),
        (3e6, "Bps", None, "3 MB/s"),
        (0.4567, "percentunit", 1, "45.7 %"),
        (0, "s", None, "0 s"),
        (0.0025, "s", None, "2.5 ms"),
        (90, "s", None, "1.5 min"),
        (172_800, "s", None, "2 days"),
        (0.25, "short", 2, "0.25"),
        (12_345, "short", None, "12,345"),
    ],
)
def test_written(value: float, unit: str, decimals: int | None, expected: str) -> None:
    """In the size that fits, with the digits that are asked for."""
    assert expected == written(value, unit, decimals)
