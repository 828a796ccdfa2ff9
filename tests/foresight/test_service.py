"""Look-ahead stands between clients and the service, and costs none of them an answer. `flows` has what it foresees."""

from __future__ import annotations

from typing import Any, cast

import pytest

from proxy.cache.representation import Representation
from proxy.errors import NotFound, UpstreamUnreachable
from proxy.foresight import Bounds, Foresight, service
from proxy.model import Client, Kind, Outcome, Query, Source, Target
from proxy.python.routes import Elsewhere
from tests.flows.asking import SteppedClock
from tests.foresight.agents import agent
from tests.memory_store import MemoryStore

PAGE = Target("pypi", None, "simple/demo/")
ANSWER = Representation(b"{}", Kind.PAGE, "pypi", "text/html", "no-cache", None, Outcome.MISS, Source.UPSTREAM)


class Indexes:
    """A service that gives one answer, and whose pages cannot be looked at."""

    def __init__(self, answer: object) -> None:
        self._answer = answer
        self.looks = 0
        self.asked = 0

    async def answer(self, _: Query[Target]) -> Any:
        """The answer, or the failure."""
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    @property
    def outlook(self) -> Any:
        """Fails at each look."""
        return self

    def __getattr__(self, name: str) -> Any:
        self.looks += 1
        raise RuntimeError(f"defect in {name}")


async def ask(indexes: Indexes, bounds: Bounds = Bounds(), **fields: Any) -> object:  # noqa: B008 - it is frozen
    """What a client gets by way of look-ahead."""
    foresight = Foresight(cast("Any", indexes), MemoryStore(), lambda _: None, SteppedClock(), bounds)
    try:
        return await foresight.answer(Query(PAGE, user_agent=agent(), client=Client("a"), **fields))
    finally:
        await foresight.close()


async def test_answer__whatever_becomes_of_look_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect is in the log, and the client has its answer."""
    logged: list[str] = []
    monkeypatch.setattr(service.__dict__["_log"], "exception", logged.append)
    indexes = Indexes(ANSWER)
    assert ANSWER is await ask(indexes)
    assert (True, ["look-ahead failed unexpectedly"]) == (indexes.looks > 0, logged)


@pytest.mark.parametrize("answer", [Elsewhere("x/"), ANSWER])
async def test_answer__nothing_to_look_at(answer: object) -> None:
    """Of redirects, heads and ranges nothing follows, nor where the setting is off."""
    indexes = Indexes(answer)
    assert answer is await ask(indexes, Bounds("off"))
    assert answer is await ask(indexes, method="HEAD")
    assert 0 == indexes.looks


async def test_answer__failure_of_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the client's, whatever becomes of look-ahead: at once, where it cannot say whether it is to blame."""
    logged: list[str] = []
    monkeypatch.setattr(service.__dict__["_log"], "exception", logged.append)
    indexes = Indexes(UpstreamUnreachable("no"))
    with pytest.raises(UpstreamUnreachable):
        await ask(indexes)
    assert (1, ["look-ahead failed unexpectedly"]) == (indexes.asked, logged)


async def test_answer__failure() -> None:
    """The service's failure is the client's."""
    with pytest.raises(NotFound):
        await ask(Indexes(NotFound("no")))
