"""Single flight: many callers that want one thing share one piece of work.

The work belongs to the table, not to the caller that started it: a caller that is cancelled stops only its own waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from proxy.errors import PullthroughError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Failure:
    """Work that failed. The exception was never raised, so it holds no frame of that work."""

    error: PullthroughError


FlightTask: TypeAlias = asyncio.Task[T | _Failure]  # work under way; `SingleFlight.result` waits for it


class SingleFlight(Generic[T]):
    """The work under way, by key."""

    def __init__(self) -> None:
        self._tasks: dict[str, FlightTask[T]] = {}

    def get(self, key: str) -> FlightTask[T] | None:
        """The work under way for `key`, if any."""
        return self._tasks.get(key)

    def join(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[FlightTask[T], bool]:
        """The task for `key`, started with `work` if there is none, and whether this call started it.

        Wait for it with `result`. A failure that no caller waits for is not reported as lost.
        """
        task = self._tasks.get(key)
        if task is not None and not task.done():  # one that just ended is still here until its callback ran
            return task, False
        task = self._tasks[key] = asyncio.create_task(_ended(work), name=f"flight {key}")
        task.add_done_callback(lambda done: self._land(key, done))
        return task, True

    @staticmethod
    async def result(task: FlightTask[T], patience: float | None = None) -> T:
        """The result of the work. Raises TimeoutError after `patience` seconds; the work goes on then.

        Each caller gets an exception of its own: a shared one would gather the frames of all callers.

        Not `asyncio.shield`: from Python 3.14 on, it logs the failure of work whose caller is gone.
        """
        await asyncio.wait((task,), timeout=patience)
        if not task.done():
            raise TimeoutError
        ended = task.result()
        if isinstance(ended, _Failure):
            raise ended.error.again()
        return ended

    def _land(self, key: str, task: FlightTask[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved: the callers have it, or all of them are gone

    async def close(self) -> None:
        """Cancel all work, and wait until it has ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _ended(work: Callable[[], Coroutine[Any, Any, T]]) -> T | _Failure:
    try:
        return await work()
    except PullthroughError as error:
        return _Failure(error.again())
