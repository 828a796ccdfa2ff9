"""Buffers that are used again."""

from __future__ import annotations

import pytest

from proxy.cache.buffers import LEAST, MOST, Buffers


@pytest.mark.parametrize(
    ("size", "length"), [(1, LEAST), (LEAST, LEAST), (LEAST + 1, 2 * LEAST), (MOST, MOST), (MOST + 1, MOST)]
)
def test_borrow__used_again(size: int, length: int) -> None:
    """A buffer that was given back is lent again; one that is lent is nobody else's."""
    buffers = Buffers()
    one, other = buffers.borrow(size), buffers.borrow(size)
    assert length == len(one) == len(other)
    assert one.obj is not other.obj
    buffers.give_back(one)
    assert buffers.borrow(size).obj is one.obj
    assert buffers.borrow(size).obj is not one.obj


def test_give_back__no_more_than_are_worth_it() -> None:
    """A herd's buffers are let go of, but for a few; and nothing is no buffer."""
    buffers = Buffers()
    for buffer in [memoryview(b""), *(buffers.borrow(MOST) for _ in range(100))]:
        buffers.give_back(buffer)
    assert MOST < buffers.kept < 20 * MOST
    lent = buffers.kept // MOST
    for _ in range(100):
        buffers.borrow(MOST)
    assert 0 == buffers.kept < lent
