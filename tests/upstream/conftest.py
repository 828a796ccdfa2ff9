"""Fixtures of the client's tests: a scripted server, and clients that are closed at the end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.events import Event, Fetched, UpstreamAsked, UpstreamFailed
from proxy.upstream.client import AiohttpUpstream
from tests.upstream.scripted import Scripted, scripted


@dataclass
class Seen:
    """Observer: the events that it saw; requests on the wire apart."""

    events: list[Event] = field(default_factory=list)
    asked: list[UpstreamAsked] = field(default_factory=list)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, UpstreamAsked):
            self.asked.append(event)
        else:
            self.events.append(event)

    @property
    def fetched(self) -> int:
        """Body bytes reported."""
        return sum(event.size for event in self.events if isinstance(event, Fetched))

    @property
    def failures(self) -> list[str]:
        """The reasons of the failures reported."""
        return [event.reason for event in self.events if isinstance(event, UpstreamFailed)]


@dataclass
class HandClock:
    """A clock that a test moves."""

    seconds: float = 1000.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.seconds

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.seconds


@pytest.fixture
def seen() -> Seen:
    """What the client reports."""
    return Seen()


@pytest.fixture
def clock() -> HandClock:
    """The time of the client."""
    return HandClock()


@pytest.fixture
def naps() -> list[float]:
    """The seconds that the client waited between tries; nobody waits."""
    return []


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """A scripted upstream."""
    async with scripted() as running:
        yield running


Make = Callable[..., AiohttpUpstream]


@pytest.fixture
async def make(seen: Seen, clock: HandClock, naps: list[float]) -> AsyncIterator[Make]:
    """Makes clients with these settings."""

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    async with contextlib.AsyncExitStack() as stack:

        def factory(**settings: Any) -> AiohttpUpstream:
            given: dict[str, Any] = {"retries": 0, "read_timeout": 20.0} | settings
            client = AiohttpUpstream(observer=seen, clock=clock, sleep=nap, **given)
            stack.push_async_callback(client.close)
            return client

        yield factory
