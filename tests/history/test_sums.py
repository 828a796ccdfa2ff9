"""What the history adds up."""

from __future__ import annotations

from proxy.history.sums import Total


def test_total__add() -> None:
    """Each number is added to its own."""
    total = Total(1, 2, 3, 4, 5, 6)

    total.add(Total(10, 20, 30, 40, 50, 60))

    assert Total(11, 22, 33, 44, 55, 66) == total
