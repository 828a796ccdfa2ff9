"""Answers that take long, in instalments."""

from __future__ import annotations

import asyncio

import pytest

from proxy.cache.representation import Representation
from proxy.errors import NotFound
from proxy.model import Kind, Outcome, Source
from proxy.python.later import MOST, Later, in_time, patience

PIP = 'pip/26.3 {"ci":null}'
SHOWN = Representation(b"", Kind.METADATA, "pypi", "text/plain", "", None, Outcome.MISS, Source.UPSTREAM)


@pytest.mark.parametrize(("agent", "follows"), [(PIP, 30), ("poetry/2.5", 30), ("uv/0.9", 10), (None, 10)])
def test_patience__within_what_clients_follow(agent: str | None, follows: int) -> None:
    """The last redirect that a client follows leads to an answer that is waited for; the first ones come soon."""
    steps = [patience(waited, agent) for waited in range(follows)]
    assert steps[-1] is None
    assert 1.0 == steps[0]
    assert patience(MOST, agent) is None


def test_patience__of_a_patient_client() -> None:
    """No answer takes longer than pip waits by itself, and all of them together take minutes."""
    steps = [seconds for waited in range(MOST) if (seconds := patience(waited, PIP)) is not None]
    assert max(steps) < 15
    assert sum(steps) > 120


async def test_in_time__is_there() -> None:
    """What is there is given, and what fails is told."""

    async def there() -> Representation:
        return SHOWN

    async def fails() -> Representation:
        raise NotFound("gone")

    assert SHOWN is await in_time(there(), "a.whl.metadata", 0, None)
    with pytest.raises(NotFound):
        await in_time(fails(), "a.whl.metadata", 0, None)


async def test_in_time__takes_long() -> None:
    """The client is told where to wait on, by the name as it is in addresses."""

    async def never() -> Representation:
        await asyncio.Event().wait()
        return SHOWN

    assert Later("a-1%2Bcpu.whl.metadata?waited=3") == await in_time(never(), "a-1+cpu.whl.metadata", 2, None)
