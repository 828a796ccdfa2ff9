"""Work that no client waits for: bounded in number. Its failure shows nowhere but in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from proxy.errors import PullthroughError

_log = logging.getLogger(__name__)

_TASKS = 1024  # at once


class Background:
    """Mutable state: the work under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> bool:
        """Begin something. False: too much is under way, and nothing becomes of it."""
        if len(self._tasks) >= _TASKS:
            work.close()
            return False
        task = asyncio.create_task(_harmless(work), name="foresight")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Break it off."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _harmless(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except PullthroughError as error:
        _log.debug("not foreseen", extra={"reason": str(error)})
    except Exception:  # noqa: BLE001 a defect here must not show anywhere but in the log
        _log.exception("look-ahead failed unexpectedly")
