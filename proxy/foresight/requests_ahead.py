"""Requests ahead of clients: made as a client would make them, of the same service, when it is their turn.

Their own share of requests at once, a record of what was of use, and a pause for upstreams that fail. The answer is
thrown away by most: what came is in the cache by then. Decides nothing about what is asked for.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from typing import Literal

from proxy.backoff import Backoff
from proxy.bounded import Bounded
from proxy.cache.flight import Flight
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import TROUBLE as UPSTREAM_TROUBLE
from proxy.errors import PullthroughError, UpstreamThrottled
from proxy.foresight.installs import Install
from proxy.foresight.predictions import Predictions
from proxy.model import Kind, Outcome, Query, Target
from proxy.ports import Clock, Observer
from proxy.python.metadata import MOST_WAITS
from proxy.python.service import PythonIndexes

_MANY = 4  # pages and metadata that a client asks for at once: it needs no help
_FIRST, _LONGEST, _HOSTS = 10.0, 600.0, 256  # seconds without look-ahead after a host failed; hosts remembered
_PATIENCE = 15.0  # seconds for a page or metadata
_MOMENT = 1.0  # seconds
_STEP_BACK = 5.0  # seconds that a client waits until nothing is asked ahead of it any more
TROUBLE = (*UPSTREAM_TROUBLE, TimeoutError)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far it looks. `requests`: at once, at least two; `size`: bytes of files that a client did not ask for yet."""

    what: Literal["off", "metadata", "files"] = "files"
    requests: int = 16
    size: int = 256 << 20


class RequestsAhead:
    """Makes them. Mutable state: how many are under way, what was foreseen, which hosts failed, who waits.

    A host is that of an index: several mounts may stand for one.
    """

    def __init__(self, indexes: PythonIndexes, observer: Observer, clock: Clock, bounds: Bounds) -> None:
        self._indexes = indexes
        self._clock = clock
        # Files take long, and nobody who resolves waits behind them.
        for_files = bounds.requests // 2
        self._slots, self._file_slots = asyncio.Semaphore(bounds.requests - for_files), asyncio.Semaphore(for_files)
        self._predictions = Predictions(observer)
        self._failing: Backoff[str] = Backoff(_FIRST, _LONGEST, _HOSTS)
        self._under_way: collections.Counter[str] = collections.Counter()  # by host
        self._quiet: Bounded[str, float] = Bounded(_HOSTS)  # when the last one of a host ended, in monotonic seconds
        self._something_ended = asyncio.Event()
        self._waiting: collections.Counter[str] = collections.Counter()  # questions of clients without answer yet

    @contextmanager
    def question(self, client: str) -> Generator[None]:
        """A client waits for an answer meanwhile."""
        self._waiting[client] += 1
        try:
            yield
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]

    def hurries(self, client: str) -> bool:
        """Whether a client asks for all that it needs by itself, in the same moment, as uv does."""
        return self._waiting[client] > _MANY

    def foresaw(self, target: Target) -> bool:
        """A client asked for something by itself. Whether that was asked for ahead of it."""
        return self._predictions.asked(target, self._clock.monotonic())

    @property
    def idle(self) -> bool:
        """Whether nothing was asked ahead of clients anywhere, now or a moment ago."""
        if self._under_way:
            return False
        return not self._quiet or self._clock.monotonic() >= next(reversed(self._quiet.values())) + _MOMENT

    def concerns(self, mount: str) -> bool:
        """Whether anything is asked ahead of clients there now, or was a moment ago."""
        host = self._indexes.outlook.host(mount)
        return host in self._under_way or self._clock.monotonic() < self._quiet.get(host, -inf) + _MOMENT

    def failed(self, mount: str, error: Exception) -> None:
        """A client's own request failed there: ask for nothing ahead of clients for a while, or as long as it says."""
        wait = _wait(error)
        host, now = self._indexes.outlook.host(mount), self._clock.monotonic()
        self._failing.failed(host, now, at_least=wait, at_most=max(_FIRST, wait))

    async def step_back(self, mount: str) -> None:
        """Wait, not for long, for what is under way ahead of clients there."""
        host = self._indexes.outlook.host(mount)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STEP_BACK):
                while host in self._under_way:
                    self._something_ended.clear()
                    await self._something_ended.wait()

    def _ended(self, host: str) -> None:
        self._under_way[host] -= 1
        if not self._under_way[host]:
            del self._under_way[host]
            self._quiet[host] = self._clock.monotonic()
        self._something_ended.set()

    async def ask(self, client: str, install: Install, target: Target, kind: Kind) -> Representation | None:
        """Ask as the client would, when it is its turn. None if that would be too much, or nothing came of it."""
        async with self._file_slots if kind is Kind.FILE else self._slots:
            now, host = self._clock.monotonic(), self._indexes.outlook.host(target.mount)
            if self._failing.active(host, now) or not self._predictions.may(client, now):
                return None
            if kind is not Kind.FILE and self.hurries(client):
                return None
            prediction = self._predictions.begin(target, kind, client, now)
            size: int | None = None
            self._under_way[host] += 1
            try:
                answer, size = await self._answered(install, target, kind)
                now = self._clock.monotonic()
                if answer is not None and not self._kept(target, answer):
                    self._failing.failed(host, now)
                elif size is not None and not self._failing.active(host, now):
                    self._failing.succeeded(host)  # the next failure is a first one
            except TROUBLE as error:
                self._failing.failed(host, self._clock.monotonic(), at_least=_wait(error))
                return None
            except PullthroughError:
                return None
            finally:
                self._ended(host)
                if prediction is not None:
                    self._predictions.ended(prediction, size)
            return answer

    async def _answered(self, install: Install, target: Target, kind: Kind) -> tuple[Representation | None, int | None]:
        """The answer, and the bytes that upstream sent for it: None if it was here before."""
        page = kind is Kind.PAGE
        query = Query(
            target,
            accept=install.accept if page else None,
            accept_encoding=install.accept_encoding if page else None,
            waited=MOST_WAITS,
            ahead=True,
            base=install.base if page else "",
        )
        async with asyncio.timeout(None if kind is Kind.FILE else _PATIENCE):
            answer = await self._indexes.answer(query)
        return (answer, await self._size(target, answer)) if isinstance(answer, Representation) else (None, None)

    def _kept(self, target: Target, answer: Representation) -> bool:
        """Whether an answer is here now, for the client that will ask for it. Else what goes ahead is in vain."""
        if answer.kind is Kind.PAGE:
            return self._indexes.outlook.page_size(target) > 0
        return not isinstance(answer.body, Passthrough)

    async def _size(self, target: Target, answer: Representation) -> int | None:
        """Bytes that upstream sent for an answer; None if it was here before. A file is waited for."""
        body = answer.body
        if isinstance(body, Passthrough):
            await body.close()  # the disk does not take it
            return None
        if answer.outcome not in (Outcome.MISS, Outcome.REVALIDATED):
            return None
        if isinstance(body, Flight):
            await body.ended()
            return body.size
        if answer.outcome is Outcome.REVALIDATED:
            return 0
        return self._indexes.outlook.page_size(target) if answer.kind is Kind.PAGE else answer.size


def _wait(error: Exception) -> float:
    """Seconds for which an upstream asks to be left alone."""
    return float((isinstance(error, UpstreamThrottled) and error.retry_after) or 0)
