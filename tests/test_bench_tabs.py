"""The tabs of the bench look at the page as its script does."""

from __future__ import annotations

import asyncio
import threading

import aiohttp
import pytest

from bench import tabs
from proxy.app import Running
from tests import scrape
from tests.flows.asking import get


async def test_opened__look_at_a_cache(proxy: Running, http: aiohttp.ClientSession) -> None:
    """They ask for the page's living part."""
    seen = threading.Event()

    def look() -> None:
        with tabs.opened(proxy.url, 3):
            seen.wait(30)

    await get(http, f"{proxy.url}/healthz")
    looking = asyncio.create_task(asyncio.to_thread(look))
    while scrape.metric(proxy, "pullthrough_requests_total", upstream="-", status="2xx") < 4:
        await asyncio.sleep(0.01)
    seen.set()
    await looking


def test_opened__no_cache_there() -> None:
    """A tab that could not look makes the measurement fail."""
    over = threading.Event()
    with pytest.raises(RuntimeError, match="a tab could not look"), tabs.opened("http://127.0.0.1:9", 2):
        over.wait(0.1)
