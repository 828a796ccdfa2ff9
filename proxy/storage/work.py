"""Work that is finished even if whoever asked for it goes away: memory and disk must agree."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from proxy.errors import StoreError

T = TypeVar("T")


class Work:
    """The tasks under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, and wait for it as long as the caller is not cancelled."""
        return await asyncio.shield(self.begin(work))

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` to its end; a StoreError is only for the health, which has it already."""

        async def quietly() -> None:
            with contextlib.suppress(StoreError):
                await work

        self.begin(quietly())

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start `work`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: the caller has it, or went away

    async def settled(self) -> None:
        """Wait until what is under way now is over."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def done(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)
