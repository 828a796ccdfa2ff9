"""The store of a data folder on which no cache runs: the verb opens it itself, and has its lock meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from proxy.control.caretaker import Caretaker
from proxy.control.protocol import DEFAULT_LARGEST, CleanPlan, ControlError, Message, Stats, Wish
from proxy.storage.opening import open_disk_store
from proxy.storage.store import DiskStore

T = TypeVar("T")


class MachineClock:
    """`ports.Clock` on the machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class OpenedFolder:
    """`protocol.StoreControl` of a folder. Its event loop runs during calls only."""

    def __init__(self, runner: asyncio.Runner, store: DiskStore, caretaker: Caretaker) -> None:
        self._runner = runner
        self._store = store
        self._caretaker = caretaker
        self._open = True

    @classmethod
    def open(cls, path: Path, limit: int) -> Self:
        """Open a data folder that is there. `limit`: bytes that it may hold.

        Raises StoreError: it is in use, cannot be written, has a later format. Raises ControlError if there is none.
        """
        if not is_data_folder(path):
            raise ControlError(f"There is no cache in {path} yet. Start one with: pullthrough setup")
        runner = asyncio.Runner()
        try:
            clock = MachineClock()
            store = runner.run(open_disk_store(path, limit, lambda _: None, clock))
        except BaseException:
            runner.close()
            raise
        return cls(runner, store, Caretaker(store.inventory, store.folder, clock))

    def close(self) -> None:
        """Write what is not written, and let go of the folder. May be called twice."""
        if self._open:
            self._open = False
            try:
                self._runner.run(self._caretaker.close())
                self._runner.run(self._store.close())
            finally:
                self._runner.close()

    def stats(self, largest: int = DEFAULT_LARGEST) -> Stats:
        return self._run(self._caretaker.stats(largest))

    def plan(self, wish: Wish) -> CleanPlan:
        return self._run(self._caretaker.plan(wish))

    def clean(self, wish: Wish) -> Iterator[Message]:
        return self._each(self._caretaker.clean(wish))

    def verify(self) -> Iterator[Message]:
        return self._each(self._caretaker.verify())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def _each(self, messages: AsyncGenerator[Message]) -> Iterator[Message]:
        async def following() -> Message | None:
            return await anext(messages, None)

        try:
            while (message := self._runner.run(following())) is not None:
                yield message
        finally:
            self._runner.run(messages.aclose())


def is_data_folder(path: Path) -> bool:
    """Whether a cache was here, or may have been: opening it tells why nobody can see that."""
    try:
        (path / "format").lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
