"""When files that are whole are stored."""

from __future__ import annotations

import asyncio

from proxy.cache import settling
from proxy.cache.settling import Settling


async def steps() -> None:
    """Let whoever can go on do so; less time than a file waits for others."""
    for _ in range(5):
        await asyncio.sleep(0)


async def begun(turns: Settling, *sizes: int) -> list[asyncio.Task[None]]:
    """Files that wait for their turn."""
    tasks = [asyncio.create_task(turns.turn(size)) for size in sizes]
    await steps()
    return tasks


async def test_turn__when_no_further_one_comes() -> None:
    """All that wait have their turn together, by themselves."""
    tasks = await begun(Settling(), 1, 1, 1)
    assert not any(task.done() for task in tasks)
    await asyncio.gather(*tasks)


async def test_hurry() -> None:
    """Somebody wants one of them: it is the turn of all, and not of those that come later."""
    turns = Settling()
    turns.hurry()
    first = await begun(turns, 1, 1)
    turns.hurry()
    await steps()
    later = await begun(turns, 1)
    assert all(task.done() for task in first)
    assert not later[0].done()
    turns.hurry()
    await asyncio.gather(*first, *later)


async def test_turn__many_files() -> None:
    """Not more files wait than there may be."""
    turns = Settling()
    tasks = await begun(turns, *[1] * (settling._FILES - 1))
    assert not any(task.done() for task in tasks)
    tasks += await begun(turns, 1)
    assert all(task.done() for task in tasks)


async def test_turn__much_memory() -> None:
    """Nor do they take more memory than they may."""
    turns = Settling()
    tasks = await begun(turns, settling._BYTES - 1)
    assert not tasks[0].done()
    tasks += await begun(turns, 1)
    assert all(task.done() for task in tasks)


async def test_turn__cancelled() -> None:
    """Who is cancelled leaves the others waiting."""
    turns = Settling()
    one, other = await begun(turns, 1, 1)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    assert not other.done()
    turns.hurry()
    await other
