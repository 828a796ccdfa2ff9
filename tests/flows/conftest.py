"""The program on a clock that a test moves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.flows.asking import SMALL, SteppedClock

if TYPE_CHECKING:
    from proxy.app import Running


class MakeClocked(Protocol):
    """Starts the program in front of `upstream` with segments of 64 KiB, on the clock of the test.

    `mount`: settings of that upstream; `upstreams`: further ones.
    """

    async def __call__(self, upstream: str, *, mount: Mapping[str, Any] | None = None, **more: Any) -> Running: ...


@pytest.fixture
def clock() -> SteppedClock:
    """The program's time."""
    return SteppedClock()


@pytest.fixture
async def make_clocked(data_folder: Path, clock: SteppedClock) -> AsyncIterator[MakeClocked]:
    """Starts the program on `clock`."""
    from proxy import app  # noqa: PLC0415
    from proxy.config.settings import Settings  # noqa: PLC0415
    from proxy.config.upstreams import UpstreamSettings  # noqa: PLC0415

    async with contextlib.AsyncExitStack() as stack:

        async def make(upstream: str, *, mount: Mapping[str, Any] | None = None, **more: Any) -> Running:
            first = UpstreamSettings(**{"mount": "pypi", "url": upstream, "ttl": 600.0} | dict(mount or {}))
            more["fetch"] = {"retries": 0} | SMALL | more.get("fetch", {})
            more = {"data": data_folder} | more
            settings = Settings(port=0, upstreams=(first, *more.pop("upstreams", ())), **more)
            running = await app.start(settings, clock)
            stack.push_async_callback(running.close)
            return running

        yield make
