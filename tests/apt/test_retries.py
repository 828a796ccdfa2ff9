"""Passing failures are tried again, together, and no longer than clients wait."""

from __future__ import annotations

import asyncio

import pytest

from proxy.apt import retries as module
from proxy.apt.retries import Retries
from proxy.cache.freshness import Patience
from proxy.errors import (
    NotFound,
    PullthroughError,
    SnapshotForgotten,
    TooLarge,
    Unsettled,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.cache.conftest import HandClock
from tests.memory_upstream import MemoryUpstream

URL = "http://deb.example/debian/dists/stable/InRelease"
LOST = UpstreamUnreachable("x")


class Trial:
    """A room in which sleeping takes no time, and something to ask for that fails first."""

    def __init__(self, *errors: PullthroughError, retries: int = 2) -> None:
        self.clock, self.upstream = HandClock(), MemoryUpstream()
        self.patience = Patience(self.upstream, self.clock)
        self.slept: list[float] = []
        self.asked = 0
        self._errors = list(errors)
        self.retries = Retries(self.upstream, self.clock, retries, self.patience, self._sleep)

    async def ask(self) -> str:
        self.asked += 1
        if self._errors:
            raise self._errors.pop(0)
        return "it"

    def fail(self, error: PullthroughError) -> None:
        """Let it fail once more."""
        self._errors.append(error)

    async def outcome(self) -> str | None:
        """What is there in the end; None: an error."""
        try:
            return await self.retries.run(URL, self.ask)
        except PullthroughError:
            return None

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)


@pytest.mark.parametrize(
    ("errors", "slept", "outcome"),
    [
        ([], [], "it"),
        ([LOST], [1.0], "it"),
        ([UpstreamTimeout("x"), UpstreamBroken("x")], [1.0, 2.0], "it"),
        ([Unsettled("x"), Unsettled("x"), Unsettled("x")], [1.0, 2.0], None),
        ([UpstreamThrottled("x", 4)], [4.0], "it"),
        ([UpstreamThrottled("x", 4), UpstreamThrottled("x", 7)], [4.0], None),
        ([UpstreamThrottled("x", 3600)], [], None),
        ([NotFound("x")], [], None),
        ([UpstreamDenied("x")], [], None),
        ([TooLarge("x")], [], None),
    ],
)
async def test_run(errors: list[PullthroughError], slept: list[float], outcome: str | None) -> None:
    """What passes is tried again, after the wait that upstream asks for; what does not, is not."""
    trial = Trial(*errors)

    assert (outcome, slept) == (await trial.outcome(), trial.slept)


async def test_run__settings_want_none() -> None:
    """Without retries there is one try."""
    trial = Trial(LOST, retries=0)

    assert (None, 1) == (await trial.outcome(), trial.asked)


@pytest.mark.parametrize(
    ("error", "asked"), [(LOST, 1), (UpstreamTimeout("x"), 1), (UpstreamBroken("x"), 2), (UpstreamThrottled("x"), 2)]
)
async def test_run__known_to_be_out_of_reach(error: PullthroughError, asked: int) -> None:
    """Of all the files of a host that is not there, the first one alone waits."""
    trial = Trial(error)
    trial.upstream.down_urls.add(URL)

    await trial.outcome()

    assert asked == trial.asked


async def test_run__in_vain() -> None:
    """A host that went on failing is waited for once, until it gives something or half a minute is over."""
    down = [UpstreamBroken("x") for _ in range(20)]
    trial = Trial(*down)
    asked = []
    for seconds in (0, 0, 29, 0, 31):
        trial.clock.advance(seconds)
        before = trial.asked
        await trial.outcome()
        asked.append(trial.asked - before)
    assert [3, 1, 1, 1, 3] == asked

    trial = Trial(*down[:3])
    await trial.outcome()
    await trial.outcome()  # it gives something
    trial.fail(UpstreamBroken("x"))
    assert "it" == await trial.outcome()


async def test_run__silence() -> None:
    """The client gets an error in time when upstream sends nothing."""
    trial = Trial()
    retries = Retries(trial.upstream, trial.clock, 2, trial.patience, limit=0.01)
    for _ in range(2):
        with pytest.raises(UpstreamTimeout, match="sends nothing"):
            await retries.run(URL, asyncio.Event().wait)
    await retries.close()


async def test_run__silent_host_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody with a kept copy waits for a silent host. Once it answered it is waited for again, as for a slow one."""
    monkeypatch.setattr(module, "_SILENT", 0.0)
    trial = Trial()
    retries = Retries(trial.upstream, trial.clock, 0, trial.patience, limit=0.2)
    with pytest.raises(UpstreamTimeout):
        await retries.run(URL, asyncio.Event().wait)
    silent = trial.patience.worth(URL, 1e9)
    trial.patience.answered(URL, trial.clock.monotonic() - 28)

    assert (0.0, 20.0) == (silent, trial.patience.worth(URL, 1e9))
    assert "it" == await retries.run(URL, arrives)


async def test_run__forgotten() -> None:
    """What only the client can help is no fault of the host: it is not tried again, and the host is not given up."""
    trial = Trial(SnapshotForgotten("x"))
    await trial.outcome()
    trial.fail(LOST)

    assert ("it", [1.0]) == (await trial.outcome(), trial.slept)


async def arrives() -> str:
    """It comes in a moment."""
    for _ in range(5):
        await asyncio.sleep(0)
    return "it"


@pytest.mark.parametrize("heard", [False, True])
async def test_run__silent_is_one_file_only(monkeypatch: pytest.MonkeyPatch, heard: bool) -> None:
    """A host that gave something else meanwhile is not called silent; what came from the cache alone says nothing."""
    monkeypatch.setattr(module, "_SILENT", 0.0)
    trial = Trial()
    trial.upstream.heard_urls |= {URL} if heard else set()
    retries = Retries(trial.upstream, trial.clock, 0, trial.patience, limit=0.2)
    waiting = asyncio.create_task(retries.run(URL, asyncio.Event().wait))
    await asyncio.sleep(0)
    await retries.run(f"{URL}/other", trial.ask)
    with pytest.raises(UpstreamTimeout):
        await waiting

    (further,) = await asyncio.gather(retries.run(URL, arrives), return_exceptions=True)

    assert "it" == further if heard else isinstance(further, UpstreamTimeout)


async def test_run__time_limit_of_something_else() -> None:
    """A time limit of something else is not taken for the archive's silence."""
    trial = Trial()

    async def ask() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await trial.retries.run(URL, ask)


async def test_run__many_wait_together() -> None:
    """All who ask for one address share a wait."""
    trial = Trial(LOST, LOST, LOST)

    assert ["it"] * 3 == await asyncio.gather(*(trial.outcome() for _ in range(3)))
    assert [1.0] == trial.slept
    await trial.retries.close()
