"""The rule of the bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.storage.eviction import Ledger, Reservation, victims

_SIZES = st.lists(st.integers(0, 50), max_size=12)


@given(_SIZES, st.integers(-5, 300), st.integers(0, 5))
def test_victims__the_shortest_beginning_that_is_enough(sizes: list[int], size: int, count: int) -> None:
    """The longest unused go, in order, no more of them than needed; none at all where all were too few."""
    chosen = victims(enumerate(sizes), size, count)

    def enough(number: int) -> bool:
        return sum(sizes[:number]) >= size and number >= count

    if chosen is None:
        assert not enough(len(sizes))
    else:
        assert chosen == list(range(len(chosen)))
        assert enough(len(chosen))
        assert not chosen or not enough(len(chosen) - 1)


def test_shortage__of_the_bound() -> None:
    """Everything counts: blobs, downloads, what they left, and the index."""
    ledger = Ledger(limit=100, left_over=10, index=5)
    ledger.reserve(Reservation(0), 20)

    assert ledger.shortage(blobs=60, need=5, free=1000) == 0
    assert ledger.shortage(blobs=60, need=6, free=1000) == 1


def test_shortage__of_the_file_system() -> None:
    """What is promised and not written yet will be taken from what is free."""
    ledger = Ledger(limit=1000)
    download = Reservation(0)
    ledger.reserve(download, 50)

    assert ledger.shortage(blobs=0, need=60, free=100) == 10
    ledger.wrote(download, 30)
    assert ledger.shortage(blobs=0, need=60, free=70) == 10


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100), st.integers(0, 150)), max_size=30))
def test_ledger__comes_out_even(steps: list[tuple[int, int, int]]) -> None:
    """Whatever downloads reserve and write, even more than they reserved: when all are over nothing is left."""
    ledger = Ledger(limit=1000)
    downloads = [Reservation(0) for _ in range(4)]
    for which, size, written in steps:
        ledger.reserve(downloads[which], size)
        ledger.wrote(downloads[which], written)
        assert ledger.reserved == sum(download.size for download in downloads)
        assert ledger.promised == sum(download.promised for download in downloads)
    for download in [*downloads, *downloads]:
        ledger.release(download)

    assert (ledger.reserved, ledger.promised) == (0, 0)
