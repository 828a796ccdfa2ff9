"""Waiting for a cache that was just started."""

from __future__ import annotations

import asyncio

from proxy.app import Running
from proxy.builds.readiness import ready, wait
from proxy.builds.running_cache import RunningCache
from tests.origin import Origin


def _port(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])


async def test_wait__cache_that_is_ready(proxy: Running) -> None:
    """It is given as soon as it says that it is ready."""
    found = await asyncio.to_thread(wait, ["127.0.0.1"], _port(proxy.url), 60.0)

    assert found is not None
    assert proxy.url == found.url


async def test_wait__nobody(origin: Origin) -> None:
    """Patience ends; what is known to have ended is not waited for; another program is not it."""
    port = _port(origin.url)

    assert await asyncio.to_thread(wait, ["127.0.0.1"], port, 0.0) is None
    assert await asyncio.to_thread(wait, ["127.0.0.1"], port, 3600.0, lambda: True) is None


async def test_ready__of_another_program(origin: Origin) -> None:
    """What answers 404, or nothing, is not ready."""
    other = RunningCache("127.0.0.1", _port(origin.url), "1", "1")

    assert not await asyncio.to_thread(ready, other)
    assert not await asyncio.to_thread(ready, RunningCache("127.0.0.1", 9, "1", "1"))
