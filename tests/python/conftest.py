"""A world that is closed at the end of the test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.model import Site
from tests.python.world import World

Make = Callable[..., World]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes worlds of these sites."""
    async with contextlib.AsyncExitStack() as stack:

        def factory(*sites: Site, limit: int = 1 << 30) -> World:
            world = World(*sites, limit=limit)
            stack.push_async_callback(world.close)
            return world

        yield factory


@pytest.fixture
def world(make: Make) -> World:
    """A world with one site, `pypi`."""
    return make()
