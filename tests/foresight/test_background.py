"""Work that no client waits for."""

from __future__ import annotations

import asyncio

import pytest

from proxy.errors import NotFound
from proxy.foresight import background
from proxy.foresight.background import Background


async def wait(gate: asyncio.Event, ended: list[bool]) -> None:
    """Work that takes until a gate opens."""
    try:
        await gate.wait()
    finally:
        ended.append(gate.is_set())


async def test_begin__bounded() -> None:
    """So much is under way at once and no more; there is room again when some has ended; `close` breaks it off."""
    work, gate, ended = Background(), asyncio.Event(), list[bool]()
    begun = [work.begin(wait(gate, ended)) for _ in range(1025)]
    assert [True] * 1024 + [False] == begun
    gate.set()
    while len(ended) < 1024:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.clear()
    assert work.begin(wait(gate, ended))
    await asyncio.sleep(0)
    await work.close()
    assert (1025, False) == (len(ended), ended[-1])


async def test_begin__failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What upstream says is no news; a defect is in the log."""
    logged: list[str] = []
    monkeypatch.setattr(background.__dict__["_log"], "exception", logged.append)
    work = Background()

    async def fail(error: Exception) -> None:
        raise error

    for error in (NotFound("no"), RuntimeError("defect")):
        assert work.begin(fail(error))
    for _ in range(3):
        await asyncio.sleep(0)
    assert ["look-ahead failed unexpectedly"] == logged
    await work.close()
