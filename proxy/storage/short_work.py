"""Short pieces of blocking work, many at once: what comes while a thread is at work is done by that thread.

To wake a thread takes longer than to write a short file, and each thread that is awake takes turns with the event loop.
So a herd of short files is written by one thread, or by a few when it falls behind, and its results come back together.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

_BEHIND = 8  # pieces of work that wait for each thread before another one helps,
_TOGETHER = 8  # and results that come back together, at most


class _Piece(NamedTuple):
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    result: asyncio.Future[Any]


class _Done(NamedTuple):
    result: asyncio.Future[Any]
    value: Any
    error: BaseException | None


class ShortWork:
    """Does it in threads of `pool`. Mutable state: what waits, and how many threads are at work; behind a lock."""

    def __init__(self, pool: ThreadPoolExecutor, most: int) -> None:
        """`most`: threads, at most."""
        self._pool = pool
        self._most = most
        self._waiting: deque[_Piece] = deque()
        self._working = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Do it, in the order in which it was asked for. If the caller is cancelled, it is done all the same."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._waiting.append(_Piece(work, loop, result))
            begins = self._working < self._most and len(self._waiting) > self._working * _BEHIND
            self._working += begins
        if begins:
            self._pool.submit(self._work)
        return await result

    def _work(self) -> None:
        done: list[_Done] = []
        loop: asyncio.AbstractEventLoop | None = None
        while (piece := self._next()) is not None:
            loop = piece.loop
            try:
                done.append(_Done(piece.result, piece.work(), None))
            except BaseException as error:  # noqa: BLE001 it is the caller's
                done.append(_Done(piece.result, None, error))
            if len(done) >= _TOGETHER or not self._waiting:
                loop.call_soon_threadsafe(_tell, done)
                done = []
        if done and loop is not None:
            loop.call_soon_threadsafe(_tell, done)

    def _next(self) -> _Piece | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._working -= 1
            return None


def _tell(done: list[_Done]) -> None:
    for result, value, error in done:
        if result.cancelled():
            continue
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)
