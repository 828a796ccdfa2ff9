"""The event loop of a server: for a client that asks back to back it stays awake for a moment, before it sleeps.

To be woken costs about 30 of the 80 µs that a short answer takes from one request to the next. Where the last wait was
shorter than a moment, the next one probably is, and the loop looks again and again instead (ADR 32). Other threads and
programs get the processor in between. It also says with how many sockets a turn began, for `answer_batch`. Nothing else
of asyncio's loop is changed.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable

from proxy import operating_system

MOMENT = 50e-6  # seconds


class Turn:
    """A turn of the event loop, as those see it who work in it. Mutable state, which the loop's selector reads, too."""

    __slots__ = ("expecting", "ready")

    def __init__(self) -> None:
        self.ready = 0  # sockets, with which it began
        self.expecting = False  # a client has its answer: its next request, or another's, may come within a moment


class WakefulSelector(selectors.DefaultSelector):
    """Mutable state: the turn, and whether the last request that might have come within a moment did."""

    def __init__(self, now: Callable[[], float] = time.monotonic, *, alone: bool | None = None) -> None:
        """`now`: monotonic seconds. `alone`: whether there is one processor, which the client needs; None: look."""
        super().__init__()
        self.turn = Turn()
        self._now = now
        self._alone = operating_system.cpus() == 1 if alone is None else alone
        self._brief = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, as the library's does; with it a turn begins. `timeout`: seconds, None for any number."""
        ready = self._select(timeout)
        self.turn.ready = len(ready)
        return ready

    def _select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._alone or not self.turn.expecting or (timeout is not None and timeout <= 0):
            return super().select(timeout)
        self.turn.expecting = False
        if self._brief:
            if ready := self._watch(timeout):
                return ready
            self._brief = False
            return super().select(timeout)
        began = self._now()
        ready = super().select(timeout)
        self._brief = bool(ready) and self._now() - began < MOMENT
        return ready

    def _watch(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, or becomes so within a moment."""
        if ready := super().select(0):
            return ready
        end = self._now() + (MOMENT if timeout is None else min(MOMENT, timeout))
        while self._now() < end:
            operating_system.yield_processor()
            if ready := super().select(0):
                break
        return ready


class WakefulLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, on a `WakefulSelector`; `turn`: its turns, one after the other."""

    def __init__(self) -> None:
        selector = WakefulSelector()
        super().__init__(selector)
        self.turn = selector.turn


def current_turn() -> Turn:
    """The turn of the running loop, the same object each time. Of another loop than this one nothing is known."""
    loop = asyncio.get_running_loop()
    return loop.turn if isinstance(loop, WakefulLoop) else Turn()
