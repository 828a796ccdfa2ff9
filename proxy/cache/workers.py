"""Threads for one kind of work that would block the event loop: hashing, parsing, reading.

Each kind has a few threads of its own, so that many tasks of one kind, or a disk that does not respond, never hold up
another kind. Nothing uses the event loop's default executor, which all kinds would share. Who owns the work owns its
threads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_MOST = 8  # threads of one kind


class Workers:
    """The threads of one kind of work, named after it. No thread starts before there is work."""

    def __init__(self, kind: str, most: int | None = None) -> None:
        """`most`: threads, at most; by default one for each CPU that the process may use."""
        self._pool = ThreadPoolExecutor(most or min(_cpus(), _MOST), kind)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread. If the caller is cancelled, work that has begun goes on without it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))

    async def close(self) -> None:
        """Drop work that has not begun, and wait for the rest."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await ended(self._pool)


async def ended(pool: Executor) -> None:
    """Shut a pool down, and wait until its work has ended."""
    with ThreadPoolExecutor(1, "closing") as closing:
        await asyncio.get_running_loop().run_in_executor(closing, pool.shutdown)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
