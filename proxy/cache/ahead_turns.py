"""When a download ahead of clients begins: not while others of its host take all that this machine can handle.

Where a line is slow, many downloads at once are faster than one after another. Where it is not, the processor is the
limit: a download that no client waits for only delays the one that a client does wait for. So ahead of clients they
begin in order there, each when those before it have nearly come. `apt/files` asks, before it has a download begin.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from proxy.address_text import authority
from proxy.bounded import Bounded
from proxy.cache.flight import Flight
from proxy.cache.host_limits import HostLimits
from proxy.cache.lanes import FAST

_HOSTS = 1024  # remembered
_NEARLY = 4 << 20  # bytes to come of all downloads of a host, below which one more begins
_TELLING = 0.025  # seconds after which a download has shown whether it is fast
_LOOK = 0.004  # seconds between two looks


class AheadTurns:
    """Gives turns. Mutable state: the queue of each host that has one."""

    def __init__(
        self,
        host_limits: HostLimits,
        under_way: Callable[[], Iterable[Flight]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`under_way` gives all downloads, the oldest first, `now` seconds that never go back."""
        self._host_limits = host_limits
        self._under_way = under_way
        self._now = now
        self._queues: Bounded[str, asyncio.Lock] = Bounded(_HOSTS)

    async def turn(self, url: str) -> None:
        """Wait until a download from the host of `url` may begin ahead of clients: in the order of the calls.

        For the next turn it counts if it begins before the caller waits for anything.
        """
        host = authority(url)
        queue = self._queues.get(host)
        if queue is None:
            queue = self._queues[host] = asyncio.Lock()
        async with queue:
            while not self._may_begin(host, url):  # noqa: ASYNC110 how fast they are is a matter of time
                await asyncio.sleep(_LOOK)

    def _may_begin(self, host: str, url: str) -> bool:
        flights = [one for one in self._under_way() if not one.over and authority(one.wanted.url) == host]
        if sum(map(_to_come, flights)) < _NEARLY:
            return True
        # That a host was fast once says little: some send the first megabytes at once, and the rest slowly.
        return self._host_limits.pace(url) is False or not self._is_fast(flights[0])

    def _is_fast(self, flight: Flight) -> bool:
        """Whether a download is fast, or has not had the time to show that it is not."""
        seconds = self._now() - flight.begun_at
        return seconds < _TELLING or flight.received >= FAST * seconds


def _to_come(flight: Flight) -> int:
    size = flight.wanted.size if flight.size is None else flight.size
    return max((size or 0) - flight.received, 0)
