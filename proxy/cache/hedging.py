"""Hedging: several ways to get one thing, the best first, none of which can hold up the others for long.

A way begins when all before it failed, or when they have been silent for a while. The first result counts. So a way
that is tried because it may be cheaper never costs more than that while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from proxy.errors import PullthroughError

T = TypeVar("T")


class Way(NamedTuple, Generic[T]):
    """`begin` starts it. `after`: seconds of silence of the ways before it; None: only when all of them failed."""

    begin: Callable[[], Coroutine[Any, Any, T]]
    after: float | None


async def first(ways: Sequence[Way[T]], *, final: tuple[type[PullthroughError], ...] = (), grace: float = 0.0) -> T:
    """The result of the first way that has one; the other ways are cancelled then.

    After a failure of a type in `final` no further way begins. Ways that began before the one with the result get
    `grace` seconds to end by themselves. Raises the failure of the last way that ended, or a final one.
    """
    waiting = list(ways)
    running: list[asyncio.Task[T]] = []
    failure: PullthroughError | None = None
    try:
        while waiting or running:
            if waiting and (not running or waiting[0].after == 0):
                running.append(asyncio.create_task(waiting.pop(0).begin()))
                continue
            done, _ = await asyncio.wait(
                running, timeout=waiting[0].after if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                running.append(asyncio.create_task(waiting.pop(0).begin()))
            for task in [task for task in running if task in done]:
                failed = task.exception()  # raised here, it would hold this frame, and the frame all results
                if failed is None:
                    await _let_end(running[: running.index(task)], grace)
                    return task.result()
                if not isinstance(failed, PullthroughError):
                    raise failed
                running.remove(task)
                failure = failure if isinstance(failure, final) else failed.again()
                del failed
            if isinstance(failure, final):
                waiting = []
        assert failure is not None, "there is a way, and all failed"
        raise failure.again()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _let_end(tasks: list[asyncio.Task[T]], grace: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=grace)
