"""Threads for one kind of work."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proxy.cache.workers import Workers


async def test_run(workers: Workers) -> None:
    """Work is done in a thread that is named after it, and its result or failure comes back."""
    assert (await workers.run(lambda: threading.current_thread().name)).startswith("hashing")
    assert 255 == await workers.run(int, "ff", base=16)
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 // 0)


async def test_close__waits_for_what_began_and_drops_the_rest() -> None:
    """No thread is left, and what had not begun never does."""
    workers = Workers("one", 1)
    gate, begun, ended = threading.Event(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait(30)
        ended.set()

    running = asyncio.create_task(workers.run(work))
    await begun.wait()
    waiting = asyncio.create_task(workers.run(ended.clear))
    await asyncio.sleep(0)
    closing = asyncio.create_task(workers.close())
    await asyncio.sleep(0)  # by now it dropped what waits
    gate.set()
    await closing
    await running
    assert ended.is_set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_kinds__do_not_wait_for_each_other(workers: Workers) -> None:
    """However much of one kind stands still, another goes on."""
    other, gate = Workers("other", 1), threading.Event()
    standing = [asyncio.create_task(workers.run(gate.wait, 30)) for _ in range(20)]
    assert 3 == await other.run(len, "abc")
    assert not any(task.done() for task in standing)
    gate.set()
    await asyncio.gather(*standing)
    await other.close()
