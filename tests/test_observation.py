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
from tests.flows.asking import SteppedClock


@pytest.mark.parametrize("days", [0, 7])
async def test_begin__all_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], days: int) -> None:
    """Metrics, the page and the log get each event, and the history, unless the settings turn it off."""
    settings = Settings.model_validate({"data": tmp_path, "history": {"days": days}})
    async with AsyncExitStack() as stack:
        told = Observation.begin(stack, settings, SteppedClock(), ["pypi"], Gauges(100))
        told.observer(Fetched("pypi", 30))
        told.observer(
            Served("pypi", Kind.FILE, Outcome.HIT, 200, {Source.CACHE: 10}, 0.1, "GET", "/pypi/a.whl", "10.0.0.7")
        )
        now = await told.status.now(told.metrics.traffic, tuple)

    assert (10, 30) == (now.sent, now.fetched)
    assert ["/pypi/a.whl"] == [answer.path for answer in now.answers]
    assert '"path": "/pypi/a.whl"' in capsys.readouterr().err
    assert (days > 0) == (told.history is not None)
