"""The limits of a download's connections, and the part of the work that one connection has.

`parallel_fetch` and `filling` use them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Lanes:
    """How large files are fetched: at most `connections` at once, each taking `segment` bytes at a time.

    A download that brings less than `least` bytes a second, over `window` seconds, is given up. At most `downloads` are
    under way at once; one more waits `turn` seconds for its turn.
    """

    connections: int = 6
    segment: int = 16 << 20
    least: int = 1024
    window: float = 60.0
    downloads: int = 256
    turn: float = 5.0


@dataclass(eq=False, slots=True)
class Job:
    """One request of a download: for bytes `[start, end)`, or, `plain`, without a range. Times are the loop's clock's.

    `end` None: all that is behind `start`. `helper`: others are at work, and go on if this one fails. `probe`: it is
    one more than were welcome so far. `answered` is when the head of the answer was found right; `looked` when it was
    last measured, and how many bytes it had brought; `moved` the same when it last brought something. `whole`: the
    answer is the whole file, and cannot be gone on with elsewhere. `busy`: whether what it brought is still being
    written. `dropped`: it is to end, and what it ends with means nothing; `silent`: because nothing came.
    """

    start: int
    end: int | None
    begun: float
    plain: bool = False
    helper: bool = False
    probe: bool = False
    answered: float | None = None
    looked: tuple[float, int] = (0.0, 0)
    moved: tuple[float, int] = (0.0, 0)
    whole: bool = False
    busy: Callable[[], bool] = field(default=lambda: False, repr=False)
    dropped: bool = False
    silent: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def drop(self) -> None:
        """End it; its part is free again when it has ended."""
        if self.task is not None and not self.dropped:
            self.dropped = True
            self.task.cancel()
