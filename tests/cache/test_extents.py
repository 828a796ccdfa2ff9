"""Which parts of a file are there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.extents import Extents

_PIECES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=20)


@given(_PIECES)
def test_add__any_pieces_in_any_order(pieces: list[tuple[int, int]]) -> None:
    """The extents cover exactly the bytes that were added, sorted, disjoint and merged."""
    extents = Extents()
    covered: set[int] = set()
    for start, length in pieces:
        extents = extents.add(start, start + length)
        covered |= set(range(start, start + length))

    assert covered == {byte for start, end in extents.ranges for byte in range(start, end)}
    assert len(covered) == extents.total
    for (_, before), (after, _) in zip(extents.ranges, extents.ranges[1:], strict=False):
        assert before < after


@given(_PIECES, st.integers(0, 90))
def test_gaps__and_extents_make_the_whole(pieces: list[tuple[int, int]], size: int) -> None:
    """What is missing and what is there together are the file, without overlap."""
    extents = Extents()
    for start, length in pieces:
        extents = extents.add(start, start + length)
    covered = {byte for start, end in extents.ranges for byte in range(start, end)}

    missing = [byte for start, end in extents.gaps(size) for byte in range(start, end)]

    assert sorted(set(range(size)) - covered) == missing


def test_end_from__position_inside_before_and_behind() -> None:
    """Only bytes that follow without a gap count."""
    extents = Extents().add(0, 10).add(20, 30)

    assert 10 == extents.end_from(0)
    assert 10 == extents.end_from(9)
    assert 10 == extents.end_from(10)
    assert 15 == extents.end_from(15)
    assert 30 == extents.end_from(20)
    assert 31 == extents.end_from(31)
