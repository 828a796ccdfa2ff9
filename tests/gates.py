"""How tests wait for a moment without measuring time: gates that hold an answer, and watches over a state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Watch:
    """Lets somebody wait for a condition over plain state that others change; they call `changed` after each change."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def changed(self) -> None:
        """Let everybody who waits look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is looked at now and after each change."""
        while not condition():
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future


class Gate:
    """Holds answers back until the test opens it.

    `await gate.reached.wait()` waits for the first answer to come to it, `await gate.until_arrived(n)` for `n` of them.
    """

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.arrived = 0
        self._open = asyncio.Event()
        self._watch = Watch()

    def open(self) -> None:
        """Let those who wait go on, and all who come later."""
        self._open.set()

    async def until_arrived(self, count: int) -> None:
        """Wait until `count` answers in all have come to the gate."""
        await self._watch.until(lambda: self.arrived >= count)

    async def passing(self) -> None:
        """What the origin does: arrive, and wait until the gate is open."""
        self.arrived += 1
        self.reached.set()
        self._watch.changed()
        await self._open.wait()
