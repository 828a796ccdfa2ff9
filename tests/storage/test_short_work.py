"""Many short pieces of work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.storage.short_work import ShortWork

MOST = 3


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads enough."""
    with ThreadPoolExecutor(2 * MOST) as threads:
        yield threads


async def test_run__each_has_its_own(pool: ThreadPoolExecutor) -> None:
    """Each caller has the result of its own work, or its own failure, however many there are."""
    short = ShortWork(pool, MOST)

    def work(number: int) -> int:
        if number % 7 == 0:
            raise OSError(number, "no")
        return number

    def doing(number: int) -> asyncio.Future[int]:
        return asyncio.ensure_future(short.run(lambda: work(number)))

    got = await asyncio.gather(*map(doing, range(500)), return_exceptions=True)
    assert [one.errno if isinstance(one, OSError) else one for one in got] == list(range(500))


async def test_run__in_one_thread_until_it_falls_behind(pool: ThreadPoolExecutor) -> None:
    """What comes while a thread works waits for it; a herd gets a few more, and no more than allowed."""
    short = ShortWork(pool, MOST)
    gate, ran = threading.Event(), list[int]()

    def work() -> None:
        ran.append(threading.get_ident())
        gate.wait()

    waiting = [asyncio.ensure_future(short.run(work)) for _ in range(3)]
    await asyncio.sleep(0)
    while not ran:
        await asyncio.sleep(0.001)
    assert 1 == short._working
    waiting += [asyncio.ensure_future(short.run(work)) for _ in range(200)]
    await asyncio.sleep(0)
    assert MOST == short._working
    gate.set()
    await asyncio.gather(*waiting)
    assert len(set(ran)) <= MOST
    while short._working:
        await asyncio.sleep(0.001)
    assert await short.run(lambda: "again") == "again"


async def test_run__caller_is_gone(pool: ThreadPoolExecutor) -> None:
    """Work whose caller was cancelled is done, and concerns nobody else."""
    short = ShortWork(pool, 1)
    gate, done = threading.Event(), list[str]()
    first = asyncio.ensure_future(short.run(gate.wait))
    gone = asyncio.ensure_future(short.run(lambda: done.append("gone")))
    last = asyncio.ensure_future(short.run(lambda: done.append("last")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, last)
    assert gone.cancelled()
    assert ["gone", "last"] == done
