"""Several ways to one thing: in which order they begin, and whose result counts."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.hedging import Way, first
from proxy.errors import NotFound, UpstreamBroken, UpstreamTimeout, WrongBytes

Begin = Callable[[], Coroutine[Any, Any, str]]
SOON = 0.01  # seconds: so short that a test does not wait, and only that it passes counts


class Bench:
    """Ways that a test decides about. `begun` and `broken_off` list them by name."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.broken_off: list[str] = []
        self.opened = asyncio.Event()

    def gives(self, name: str, *, gated: bool = False) -> Begin:
        """A way that has a result, its name; `gated`: once it is `opened`."""

        async def way() -> str:
            self.begun.append(name)
            try:
                if gated:
                    await self.opened.wait()
            except asyncio.CancelledError:
                self.broken_off.append(name)
                raise
            return name

        return way

    def fails(self, name: str, error: Exception) -> Begin:
        """A way that fails."""

        async def way() -> str:
            self.begun.append(name)
            raise error

        return way


async def test_first__that_has_a_result() -> None:
    """The ways behind it do not begin."""
    bench = Bench()
    assert "a" == await first([Way(bench.gives("a"), 0), Way(bench.gives("b"), 60), Way(bench.gives("c"), None)])
    assert ["a"] == bench.begun


async def test_first__after_a_failure() -> None:
    """The next one begins at once, however patient."""
    bench = Bench()
    ways = [Way(bench.fails("a", NotFound("gone")), 0), Way(bench.fails("b", UpstreamBroken("broken")), 3600)]
    assert "c" == await first([*ways, Way(bench.gives("c"), None)])
    assert ["a", "b", "c"] == bench.begun


async def test_first__beside_silence() -> None:
    """A way that says nothing holds up the next one for a while only, and is broken off when that has a result."""
    bench = Bench()
    assert "b" == await first([Way(bench.gives("a", gated=True), 0), Way(bench.gives("b"), SOON)])
    assert ["a"] == bench.broken_off


async def test_first__that_was_silent_after_all() -> None:
    """The way that was not waited for may still be the first to have a result."""
    bench = Bench()
    asking = asyncio.create_task(
        first([Way(bench.gives("a", gated=True), 0), Way(bench.fails("b", NotFound("gone")), SOON)])
    )
    while len(bench.begun) < 2:
        await asyncio.sleep(SOON)
    bench.opened.set()
    assert "a" == await asking


async def test_first__two_at_once() -> None:
    """A way whose patience is 0 begins beside the one before."""
    bench = Bench()
    assert "b" == await first([Way(bench.gives("a", gated=True), 0), Way(bench.gives("b"), 0)])
    assert ["a", "b"] == bench.begun


async def test_first__lets_the_others_end() -> None:
    """Who began before gets a moment, so that what it learns is not lost; the result stays the first."""
    bench = Bench()

    async def opening() -> str:
        asyncio.get_running_loop().call_later(SOON, bench.opened.set)
        return "b"

    assert "b" == await first([Way(bench.gives("a", gated=True), 0), Way(opening, 0)], grace=60)
    assert [] == bench.broken_off


async def test_first__all_fail() -> None:
    """The failure of the last one is raised: it is the plain way."""
    bench = Bench()
    with pytest.raises(UpstreamTimeout):
        await first([Way(bench.fails("a", NotFound("a")), 0), Way(bench.fails("b", UpstreamTimeout("b")), None)])


async def test_first__final_failure() -> None:
    """No further way begins where none can help."""
    bench = Bench()
    ways = [Way(bench.fails("a", WrongBytes("a")), 0), Way(bench.gives("b"), None)]
    with pytest.raises(WrongBytes):
        await first(ways, final=(WrongBytes,))
    assert ["a"] == bench.begun


async def test_first__result_after_a_final_failure() -> None:
    """One that has begun may have a result all the same; if it fails, the final failure is raised."""
    bench = Bench()
    final = Way(bench.fails("b", WrongBytes("b")), 0)
    bench.opened.set()
    assert "a" == await first([Way(bench.gives("a", gated=True), 0), final], final=(WrongBytes,))
    with pytest.raises(WrongBytes):
        await first([final, Way(bench.fails("a", NotFound("a")), 0)], final=(WrongBytes,))


async def test_first__bug() -> None:
    """What is no failure on purpose is not passed over."""
    bench = Bench()
    with pytest.raises(ZeroDivisionError):
        await first([Way(bench.fails("a", ZeroDivisionError()), 0), Way(bench.gives("b"), None)])


async def test_first__asker_goes_away() -> None:
    """Nothing goes on."""
    bench = Bench()
    asking = asyncio.create_task(first([Way(bench.gives("a", gated=True), 0), Way(bench.gives("b", gated=True), 0)]))
    while len(bench.begun) < 2:
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert ["a", "b"] == bench.broken_off


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0, 60, None])), min_size=1, max_size=5))
def test_first__some_way_works(plan: list[tuple[bool, float | None]]) -> None:
    """If any way has a result, there is one; else the last failure is raised."""

    async def run() -> str:
        bench = Bench()
        ways = [
            Way(bench.gives(str(n)) if works else bench.fails(str(n), NotFound(str(n))), after)
            for n, (works, after) in enumerate(plan)
        ]
        return await first(ways)

    if any(works for works, _ in plan):
        assert plan[int(asyncio.run(run()))][0]
    else:
        with pytest.raises(NotFound):
            asyncio.run(run())


class Result:
    """Something large."""


async def test_first__is_free_at_once() -> None:
    """What failed before holds the result of nobody: it needs no collection."""

    async def fails() -> Result:
        raise UpstreamBroken("no")

    async def gives() -> Result:
        return Result()

    gc.collect()
    gc.disable()
    try:
        held = weakref.ref(await first([Way(fails, 0), Way(gives, None)]))
        await asyncio.sleep(0)
        assert held() is None
    finally:
        gc.enable()
