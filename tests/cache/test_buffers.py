"""Buffers that are used again."""

from __future__ import annotations

from proxy.cache.buffers import SIZE, Buffers


def test_borrow__used_again() -> None:
    """A buffer that was given back is lent again; one that is lent is nobody else's."""
    buffers = Buffers()
    one, other = buffers.borrow(1), buffers.borrow(SIZE)
    assert SIZE == len(one) == len(other)
    assert one.obj is not other.obj
    buffers.give_back(one)
    assert buffers.borrow(10).obj is one.obj
    assert buffers.borrow(10).obj is not one.obj


def test_borrow__large() -> None:
    """A larger one has its size, and is not kept."""
    buffers = Buffers()
    large = buffers.borrow(SIZE + 1)
    assert SIZE + 1 == len(large)
    buffers.give_back(large)
    assert buffers.borrow(SIZE).obj is not large.obj


def test_give_back__no_more_than_are_worth_it() -> None:
    """A herd's buffers are let go of, but for a few."""
    buffers = Buffers()
    herd = [buffers.borrow(1) for _ in range(100)]
    for buffer in herd:
        buffers.give_back(buffer)
    again = [buffers.borrow(1) for _ in range(100)]
    assert 0 < len({id(buffer.obj) for buffer in again} & {id(buffer.obj) for buffer in herd}) < 50
