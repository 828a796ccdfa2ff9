"""Who is told what happens. That all get the same, and that the history outlives a restart, the flows show."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.config.settings import Settings
from proxy.events import Fetched, Served
from proxy.metrics import Gauges
from proxy.model import Kind, Outcome, Source
from proxy.observation import Observation
from proxy.user_agent import UNKNOWN
from tests.flows.asking import SteppedClock


@pytest.mark.parametrize("days", [0, 7])
async def test_begin__all_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], days: int) -> None:
    """Metrics, page and log get each answer, also in short, and the history does, unless the settings turn it off."""
    settings = Settings.model_validate({"data": tmp_path, "history": {"days": days}})
    clock = SteppedClock()
    async with AsyncExitStack() as stack:
        told = Observation.begin(stack, settings, clock, ["pypi"], Gauges(100))
        told.observer(Fetched("pypi", 30))
        served = Served("pypi", Kind.FILE, Outcome.HIT, 200, {Source.CACHE: 10}, 0.1, "GET", "/pypi/a.whl", "10.0.0.7")
        told.observer(served)
        told.observer.again(told.observer.prepare(served), clock.now(), "10.0.0.8", 0.1, UNKNOWN)
        now = await told.status.now(told.metrics.traffic, tuple)

    assert (20, 30) == (now.sent, now.fetched)
    assert [("10.0.0.8", "/pypi/a.whl"), ("10.0.0.7", "/pypi/a.whl")] == [
        (answer.client, answer.path) for answer in now.answers
    ]
    assert 2 == capsys.readouterr().err.count('"path": "/pypi/a.whl"')
    batch = None if told.history is None else told.history._gathering.batch
    assert ([0, 2] if days else None) == (batch and [total.requests for total in batch.totals.values()])
