"""Single flight."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from proxy.cache.single_flight import FlightTask, SingleFlight
from proxy.errors import UpstreamBroken, UpstreamThrottled


class Body:
    """Something large that work has in hand."""


async def test_join__many_askers_one_work() -> None:
    """The work runs once for all who ask while it runs."""
    flights: SingleFlight[int] = SingleFlight()
    gate = asyncio.Event()
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        await gate.wait()
        return runs

    joined = [flights.join("key", work) for _ in range(50)]
    gate.set()

    assert [1] * 50 == await asyncio.gather(*(flights.result(task) for task, _ in joined))
    assert [True] + [False] * 49 == [began for _, began in joined]
    assert flights.get("key") is None


async def test_join__asker_leaves() -> None:
    """A caller that is cancelled does not cancel the work."""
    flights: SingleFlight[str] = SingleFlight()
    gate = asyncio.Event()

    async def work() -> str:
        await gate.wait()
        return "done"

    async def ask() -> str:
        return await flights.result(flights.join("key", work)[0])

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    first.cancel()
    gate.set()

    assert "done" == await second
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize("failure", [ValueError, UpstreamBroken])
async def test_join__after_a_failure(failure: type[Exception]) -> None:
    """All callers get the failure, and the next one starts anew."""
    flights: SingleFlight[int] = SingleFlight()

    async def fail() -> int:
        raise failure("no")

    async def work() -> int:
        return 7

    tasks = [flights.join("key", fail)[0] for _ in range(3)]
    results = await asyncio.gather(*map(flights.result, tasks), return_exceptions=True)

    assert [(failure, "no")] * 3 == [(type(result), str(result)) for result in results]
    assert 7 == await flights.result(flights.join("key", work)[0])


async def test_result__failure_holds_nothing_of_the_work() -> None:
    """What failed work held is free when it ends, however long its failure is held, and by however many."""
    flights: SingleFlight[None] = SingleFlight()
    body = Body()
    alive = weakref.ref(body)

    async def fail(body: Body) -> None:
        try:
            int(f"{body} is no number")
        except ValueError as error:
            raise UpstreamThrottled("no", 7) from error

    gc.disable()
    try:
        task, _ = flights.join("key", lambda body=body: fail(body))  # type: ignore[misc]
        del body
        kept = await asyncio.gather(*(flights.result(task) for _ in range(3)), return_exceptions=True)
        assert alive() is None
    finally:
        gc.enable()

    assert [7] * 3 == [error.retry_after for error in kept if isinstance(error, UpstreamThrottled)]
    assert [None] * 3 == [error.__cause__ or error.__context__ for error in kept if isinstance(error, Exception)]
    assert 3 == len(set(map(id, kept)))


async def test_close__work_under_way() -> None:
    """Closing cancels and waits."""
    flights: SingleFlight[None] = SingleFlight()
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    flights.join("key", work)
    await asyncio.sleep(0)
    await flights.close()

    assert [True] == ended
    assert flights.get("key") is None


async def test_join__in_the_moment_after_the_end() -> None:
    """Work that ended, but whose end the loop did not report yet, is not joined."""
    flights: SingleFlight[int] = SingleFlight()
    runs: list[int] = []
    second: list[FlightTask[int]] = []

    async def work() -> int:
        runs.append(1)
        return len(runs)

    first, _ = flights.join("key", work)
    asyncio.get_running_loop().call_soon(lambda: second.append(flights.join("key", work)[0]))
    await first
    await asyncio.sleep(0)

    assert 2 == await flights.result(second[0])
