"""The event loop of a server: for a client that asks back to back it stays awake for a moment, before it sleeps.

To be woken costs about 30 of the 80 µs that a short answer takes from one request to the next. Where the last wait was
shorter than a moment, the next one probably is, and the loop looks again and again instead (ADR 32). Other threads and
programs get the processor in between. Nothing else of asyncio's loop is changed.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable

from proxy import operating_system

MOMENT = 50e-6  # seconds


class WakefulSelector(selectors.DefaultSelector):
    """Mutable state: whether a request may come at once, and whether the last one that might have did."""

    def __init__(self, now: Callable[[], float] = time.monotonic, *, alone: bool | None = None) -> None:
        """`now`: monotonic seconds. `alone`: whether there is one processor, which the client needs; None: look."""
        super().__init__()
        self._now = now
        self._alone = operating_system.cpus() == 1 if alone is None else alone
        self._expecting = False
        self._brief = False

    def expect(self) -> None:
        """A client has its answer. Its next request, or that of another one, may come within a moment."""
        self._expecting = not self._alone

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, as the library's does. `timeout`: seconds, None for any number."""
        if not self._expecting or (timeout is not None and timeout <= 0):
            return super().select(timeout)
        self._expecting = False
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
    """asyncio's own loop, on a `WakefulSelector`. `expect`: see there."""

    def __init__(self) -> None:
        selector = WakefulSelector()
        super().__init__(selector)
        self.expect = selector.expect


def expected() -> Callable[[], None]:
    """What is to be called when a client has its answer; on another loop than this one it does nothing."""
    loop = asyncio.get_running_loop()
    return loop.expect if isinstance(loop, WakefulLoop) else lambda: None
