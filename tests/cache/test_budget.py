"""Memory that is shared by things whose size nobody knows before."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.budget import Budget, Claim, allowed

LIMIT = 6400  # small ones have up to 100


@given(
    sizes=st.lists(st.integers(1, LIMIT), min_size=1, max_size=12),
    choices=st.lists(st.tuples(st.integers(0, 11), st.integers(1, 700)), max_size=200),
)
def test_allowed__never_too_much_and_never_stuck(sizes: list[int], choices: list[tuple[int, int]]) -> None:
    """Whoever grows in whatever order: together never more than twice the limit, and the largest can always go on."""
    held = [0] * len(sizes)

    def may(number: int, more: int) -> bool:
        others = held[:number] + held[number + 1 :]
        return allowed(held[number], max(others, default=0), sum(others), more, LIMIT)

    for choice, step in choices:
        number = choice % len(sizes)
        more = min(step, sizes[number] - held[number])
        if more and may(number, more):
            held[number] += more
        assert sum(held) <= 2 * LIMIT
        largest = held.index(max(held))
        assert may(largest, LIMIT - held[largest])


def test_allowed__small_ones_have_their_part() -> None:
    """However many large ones hold what they may, 32 small ones come in; and no large one takes their part."""
    held = [LIMIT, LIMIT // 2]
    assert not allowed(held[1], held[0], held[0], 1, LIMIT)
    for _ in range(32):
        assert allowed(0, max(held), sum(held), 100, LIMIT)
        held.append(100)
    assert not allowed(0, max(held), sum(held), 100, LIMIT)


@settings(deadline=None)
@given(st.lists(st.integers(1, LIMIT), min_size=2, max_size=15), st.integers(50, 900))
def test_grow__all_come_to_their_end(sizes: list[int], step: int) -> None:
    """All that want to grow at once do, in turn, within the bound; in the end nothing is held."""
    most = asyncio.run(_run(sizes, step))

    assert max(sizes) <= most <= 2 * LIMIT


async def _run(sizes: list[int], step: int) -> int:
    budget = Budget(LIMIT)
    most = 0

    async def one(size: int) -> None:
        nonlocal most
        with budget.claim() as claim:
            for at in range(0, size, step):
                await budget.grow(claim, min(step, size - at))
                most = max(most, budget.held)
                await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await asyncio.gather(*map(one, sizes))
    assert 0 == budget.held
    return most


async def _held(budget: Budget, stack: ExitStack, size: int) -> Claim:
    claim = stack.enter_context(budget.claim())
    await budget.grow(claim, size)
    return claim


async def test_grow__small_one_does_not_wait_for_large_ones() -> None:
    """A small one passes large ones that wait."""
    budget = Budget(LIMIT)
    with ExitStack() as stack, ExitStack() as first:
        await _held(budget, first, LIMIT)
        second = await _held(budget, stack, LIMIT // 2)
        waiting = asyncio.create_task(budget.grow(second, 100))
        await asyncio.sleep(0)
        with budget.claim() as small:
            await budget.grow(small, 100)
        assert not waiting.done()
        first.close()
        await waiting


async def test_grow__in_order_when_there_is_room() -> None:
    """Those who wait are served in order as room is given back."""
    budget = Budget(LIMIT)
    served: list[int] = []

    async def ask(number: int, stack: ExitStack) -> None:
        await _held(budget, stack, 100)
        served.append(number)

    with ExitStack() as all_of_them, ExitStack() as first:
        await _held(budget, all_of_them, LIMIT)
        for _ in range(64):
            await _held(budget, first, 100)
        waiting = [asyncio.create_task(ask(number, all_of_them)) for number in range(3)]
        await asyncio.sleep(0)
        assert [] == served
        first.close()
        await asyncio.gather(*waiting)
    assert [0, 1, 2] == served


@pytest.mark.parametrize("moment", ["while it waits", "as it is served"])
async def test_grow__cancelled(moment: str) -> None:
    """Who goes away holds nothing, and takes no room from the others."""
    budget = Budget(LIMIT)
    with ExitStack() as stack, ExitStack() as first:
        await _held(budget, stack, LIMIT)
        for _ in range(64):
            await _held(budget, first, 100)
        claim = stack.enter_context(budget.claim())
        waiting = asyncio.create_task(budget.grow(claim, 100))
        await asyncio.sleep(0)
        if moment == "as it is served":
            first.close()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert 0 == claim.held
    assert 0 == budget.held
