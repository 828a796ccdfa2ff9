"""The program on a clock that a test moves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.flows.asking import SMALL, SteppedClock

if TYPE_CHECKING:
    from proxy.app import Running


class MakeClocked(Protocol):
    """Starts the program in front of `upstream` with segments of 64 KiB, on the clock of the test."""

    async def __call__(self, upstream: str, **more: Any) -> Running: ...


@pytest.fixture
def clock() -> SteppedClock:
    """The program's time."""
    return SteppedClock()


@pytest.fixture
async def make_clocked(data_folder: Path, clock: SteppedClock) -> AsyncIterator[MakeClocked]:
    """Starts the program on `clock`."""
    from proxy import app  # noqa: PLC0415
    from proxy.config import Settings, UpstreamSettings  # noqa: PLC0415

    async with contextlib.AsyncExitStack() as stack:

        async def make(upstream: str, **more: Any) -> Running:
            mount = UpstreamSettings(mount="pypi", url=upstream, index="simple/", ttl=600.0, hosts=frozenset())
            more["fetch"] = {"retries": 0} | SMALL | more.get("fetch", {})
            settings = Settings(port=0, data=data_folder, upstreams=(mount,), **more)
            running = await app.start(settings, clock)
            stack.push_async_callback(running.close)
            return running

        yield make
