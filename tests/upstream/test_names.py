"""Names to addresses."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest

from proxy.upstream.names import SystemResolver


@pytest.fixture
async def resolver() -> AsyncIterator[SystemResolver]:
    """A resolver, closed at the end."""
    made = SystemResolver()
    yield made
    await made.close()
    made._threads.shutdown(wait=True)


async def test_resolve__this_machine(resolver: SystemResolver) -> None:
    """The system's answer, with the port that was asked for."""
    found = await resolver.resolve("localhost", 8080, socket.AF_INET)
    assert {("localhost", "127.0.0.1", 8080, socket.AF_INET)} == {
        (result["hostname"], result["host"], result["port"], result["family"]) for result in found
    }


async def test_resolve__name_that_is_none(resolver: SystemResolver) -> None:
    """What the system cannot resolve is an OSError."""
    with pytest.raises(socket.gaierror):
        await resolver.resolve("127.0.0.1", 80, socket.AF_INET6)
