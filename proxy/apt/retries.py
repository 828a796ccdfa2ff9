"""Retries of what failed upstream and may pass, for clients that do not retry.

apt takes an error without a body for final, and one with a body for a hiccup: it goes on without the lists that it
asked for. So `proxy.web.error_responses` answers without a body, and the service retries here before it does.

A request ends here before apt's own limit. Who could have a kept copy waits for less: when a host says nothing,
`Patience` is told, so that nobody waits for it until the request ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from proxy.address_text import authority
from proxy.bounded import Bounded
from proxy.cache.freshness import Patience
from proxy.cache.single_flight import SingleFlight
from proxy.errors import (
    SnapshotForgotten,
    Unsettled,
    UpstreamBroken,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.ports import Clock, Upstream

T = TypeVar("T")

_FIRST = 1.0  # seconds before the second try; doubled before each further one
_LONGEST = 10.0  # seconds within which tries begin
_LIMIT = 25.0  # seconds: apt stops after 30 without a byte, warns, and ends with success and without lists
_GIVEN_UP = 30.0  # seconds for which a host is tried once, after retries were in vain
_SILENT = 3.0  # seconds to wait for each further file of a host that sent nothing
_HOSTS = 1024  # hosts remembered: more than that is somebody making up names
_LOST = (UpstreamUnreachable, UpstreamTimeout)
_PASSING = (*_LOST, UpstreamThrottled, UpstreamBroken, Unsettled)


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """Until when (monotonic seconds) requests to a host are not retried. `silent`: it sent nothing at all."""

    until: float
    silent: bool


class Retries:
    """Mutable state: the waits under way, which requests for one address share, and hosts.

    Of hosts, those that were given up, and when each gave something last (monotonic seconds); the oldest first.
    """

    def __init__(  # noqa: PLR0913, PLR0917 the ports, a setting, and what tests set
        self,
        upstream: Upstream,
        clock: Clock,
        retries: int,
        patience: Patience,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        limit: float = _LIMIT,
    ) -> None:
        """`retries`: further tries. `limit`: seconds until the client gets an answer, if only an error."""
        self._limit = limit
        self._upstream = upstream
        self._clock = clock
        self._retries = retries
        self._patience = patience
        self._sleep = sleep
        self._waits: SingleFlight[None] = SingleFlight()
        self._given_up: Bounded[str, _GivenUp] = Bounded(_HOSTS)
        self._gave: Bounded[str, float] = Bounded(_HOSTS)

    async def run(self, url: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Call `ask`, again if it fails. Raises what it raised last, and UpstreamTimeout when the limit is over.

        `ask` is called once if the host was known to be unreachable before, or was given up a moment ago: a client
        waits once for an archive that is down, and not for each of its files. If upstream says how long to wait
        (Retry-After), that is respected, or there is no further try.
        """
        host, began = authority(url), self._clock.monotonic()
        given_up = self._given_up.get(host)
        if given_up is not None and given_up.until <= began:
            given_up = None
        # Since then it may have answered a look that went on: then it is slow, and who has a copy waits for it.
        silent = given_up is not None and given_up.silent and self._patience.silent(url)
        limit = asyncio.timeout(min(self._limit, _SILENT) if silent else self._limit)
        try:
            async with limit:
                return await self._run(url, host, ask, once=given_up is not None)
        except TimeoutError:
            if not limit.expired():
                raise
            self._give_up(url, began, silent=True)
            raise UpstreamTimeout("The archive sends nothing, or too little. Try again later.") from None

    async def close(self) -> None:
        """Cancel the waits."""
        await self._waits.close()

    async def _run(self, url: str, host: str, ask: Callable[[], Awaitable[T]], *, once: bool) -> T:
        began = self._clock.monotonic()
        lost, end = self._upstream.down(url), began + _LONGEST
        for tried in range(self._retries + 1):
            try:
                found = await ask()
            except SnapshotForgotten:
                raise
            except _PASSING as error:
                wait = _FIRST * 2**tried
                if isinstance(error, UpstreamThrottled):
                    wait = max(wait, float(error.retry_after or 0))
                late = self._clock.monotonic() + wait > end
                if once or late or (lost and isinstance(error, _LOST)) or tried == self._retries:
                    self._give_up(url, began, silent=isinstance(error, UpstreamTimeout))
                    raise
            else:
                self._given_up.pop(host, None)
                self._gave[host] = self._clock.monotonic()
                return found
            task, _ = self._waits.join(url, partial(self._wait, wait))
            await self._waits.result(task)
        raise AssertionError("the last try returns or raises")

    def _give_up(self, url: str, since: float, *, silent: bool) -> None:
        """`since`: when the host was asked for `url`. If it gave something else after that, it is not silent."""
        host = authority(url)
        if self._gave.get(host, float("-inf")) >= since and self._upstream.heard(url):  # not all from the cache
            silent = False
        if silent:
            self._patience.ran_out(url)
        self._given_up[host] = _GivenUp(self._clock.monotonic() + _GIVEN_UP, silent)

    async def _wait(self, seconds: float) -> None:
        await self._sleep(seconds)
