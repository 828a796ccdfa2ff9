"""Passing failures of upstream, tried again for clients that do not.

apt takes an error without a body for the last word, and one with a body for a hiccup that its lists need not mind. So
the edge answers without one (`proxy.web.failures`), and the service asks again here before it does.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from proxy.cache.single_flight import SingleFlight
from proxy.errors import Unsettled, UpstreamBroken, UpstreamThrottled, UpstreamTimeout, UpstreamUnreachable
from proxy.ports import Clock, Upstream

T = TypeVar("T")

_FIRST = 1.0  # seconds before the second try, doubling
_LONGEST = 10.0  # seconds for which tries begin
_LIMIT = 25.0  # seconds: apt gives up after 30 without a byte, for which it warns, and ends well and without lists
_VAIN = 30.0  # seconds
_NEXT = 3.0  # seconds for each further file of an archive that says nothing
_HOSTS = 1024  # remembered: more than that is somebody making up names
_LOST = (UpstreamUnreachable, UpstreamTimeout)
_PASSING = (*_LOST, UpstreamThrottled, UpstreamBroken, Unsettled)


@dataclass(frozen=True, slots=True)
class _Vain:
    """Until when (monotonic seconds) a host is not tried again, and whether it said nothing at all."""

    until: float
    silent: bool


class Retries:
    """Mutable state: the waits under way, which all who ask for one address share, and so their next request.

    And the hosts at which further tries were in vain, oldest first.
    """

    def __init__(
        self,
        upstream: Upstream,
        clock: Clock,
        retries: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        limit: float = _LIMIT,
    ) -> None:
        """`retries`: further tries. `limit`: seconds until somebody who asked is told something."""
        self._limit = limit
        self._upstream = upstream
        self._clock = clock
        self._retries = retries
        self._sleep = sleep
        self._waits: SingleFlight[None] = SingleFlight()
        self._vain: OrderedDict[str, _Vain] = OrderedDict()

    async def past(self, url: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives in the end. Raises what it raised last, and UpstreamTimeout when the limit is over.

        A host that was known to be out of reach before is tried once, and so is one at which further tries were in vain
        a moment ago: an archive that is down is waited for once, and not at each of its files. A wait that upstream
        asks for is kept, or it is not tried again.
        """
        host = urlsplit(url).netloc
        vain = self._vain.get(host)
        if vain is not None and vain.until <= self._clock.monotonic():
            vain = None
        limit = asyncio.timeout(min(self._limit, _NEXT) if vain is not None and vain.silent else self._limit)
        try:
            async with limit:
                return await self._past(url, host, ask, once=vain is not None)
        except TimeoutError:
            if not limit.expired():
                raise
            self._in_vain(host, silent=True)
            raise UpstreamTimeout("The archive says nothing, or not enough. Try again later.") from None

    async def _past(self, url: str, host: str, ask: Callable[[], Awaitable[T]], *, once: bool) -> T:
        lost, end = self._upstream.down(url), self._clock.monotonic() + _LONGEST
        for tried in range(self._retries + 1):
            try:
                found = await ask()
            except _PASSING as error:
                wait = _FIRST * 2**tried
                if isinstance(error, UpstreamThrottled):
                    wait = max(wait, float(error.retry_after or 0))
                late = self._clock.monotonic() + wait > end
                if once or late or (lost and isinstance(error, _LOST)) or tried == self._retries:
                    self._in_vain(host, silent=isinstance(error, UpstreamTimeout))
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

    def _in_vain(self, host: str, *, silent: bool) -> None:
        self._vain.pop(host, None)
        self._vain[host] = _Vain(self._clock.monotonic() + _VAIN, silent)
        if len(self._vain) > _HOSTS:
            self._vain.popitem(last=False)

    async def _waited(self, seconds: float) -> None:
        await self._sleep(seconds)
