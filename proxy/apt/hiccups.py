"""Passing failures of upstream, tried again for clients that do not.

apt takes an error without a body for the last word, and one with a body for a hiccup that its lists need not mind. So
the edge answers without one (`proxy.web.failures`), and the service asks again here before it does.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from proxy.cache.flights import Flights
from proxy.errors import Unsettled, UpstreamBroken, UpstreamThrottled, UpstreamTimeout, UpstreamUnreachable
from proxy.ports import Clock, Upstream

T = TypeVar("T")

_FIRST = 1.0  # seconds before the second try, doubling
_LONGEST = 10.0  # seconds for which tries begin: apt itself gives up after 30 s without a byte
_VAIN = 30.0  # seconds
_HOSTS = 1024  # remembered: more than that is somebody making up names
_LOST = (UpstreamUnreachable, UpstreamTimeout)
_PASSING = (*_LOST, UpstreamThrottled, UpstreamBroken, Unsettled)


class Hiccups:
    """Mutable state: the waits under way, which all who ask for one address share, and so their next request.

    And until when (monotonic seconds) hosts are not tried again, at which that was in vain, oldest first.
    """

    def __init__(
        self,
        upstream: Upstream,
        clock: Clock,
        retries: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`retries`: further tries."""
        self._upstream = upstream
        self._clock = clock
        self._retries = retries
        self._sleep = sleep
        self._waits: Flights[None] = Flights()
        self._vain: OrderedDict[str, float] = OrderedDict()

    async def past(self, url: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives in the end. Raises what it raised last.

        A host that was known to be out of reach before is tried once, and so is one at which further tries were in vain
        a moment ago: an archive that is down is waited for once, and not at each of its files. A wait that upstream
        asks for is kept, or it is not tried again.
        """
        host, lost = urlsplit(url).netloc, self._upstream.down(url)
        end = self._clock.monotonic() + _LONGEST
        vain = self._clock.monotonic() < self._vain.get(host, 0.0)
        for tried in range(self._retries + 1):
            try:
                found = await ask()
            except _PASSING as error:
                wait = _FIRST * 2**tried
                if isinstance(error, UpstreamThrottled):
                    wait = max(wait, float(error.retry_after or 0))
                late = self._clock.monotonic() + wait > end
                if vain or late or (lost and isinstance(error, _LOST)) or tried == self._retries:
                    self._in_vain(host)
                    raise
            else:
                self._vain.pop(host, None)
                return found
            task, _ = self._waits.join(url, partial(self._waited, wait))
            await self._waits.result(task)
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Break off the waits."""
        await self._waits.close()

    def _in_vain(self, host: str) -> None:
        self._vain.pop(host, None)
        self._vain[host] = self._clock.monotonic() + _VAIN
        if len(self._vain) > _HOSTS:
            self._vain.popitem(last=False)

    async def _waited(self, seconds: float) -> None:
        await self._sleep(seconds)
