"""Whole bodies: decoded, bounded each and together; and the budget that they share."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import tracemalloc
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.bodies import Bodies, Budget, Claim, allowed
from proxy.errors import TooLarge, UpstreamBroken, UpstreamTimeout
from proxy.model import UpstreamRequest
from tests.cache.conftest import SITE, HandClock
from tests.memory_upstream import Gate, MemoryUpstream, Scripted

URL = "https://index.example/simple/demo/"
MIB = 1 << 20
LIMIT = 20 * MIB
BUDGET = 6400  # small ones have up to 100
PACKED = gzip.compress(b"a page", mtime=0)


async def read(
    bodies: Bodies, upstream: MemoryUpstream, script: Scripted, *, url: str = URL, text: bool = True
) -> bytes:
    """What is found at `url`."""
    upstream.on(url, script)
    async with upstream.get(UpstreamRequest(url, SITE)) as reply, bodies.whole(reply, url, text=text) as body:
        return body


@pytest.mark.parametrize("piece", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 300_000])
async def test_whole__however_it_is_cut(upstream: MemoryUpstream, clock: HandClock, piece: int, size: int) -> None:
    """Coded or not, in whatever pieces it comes, it is the same document."""
    body = (bytes(range(256)) * 2000)[:size]
    packed = {"Content-Encoding": "gzip"}
    coded = gzip.compress(body, 1, mtime=0)
    scripts = [Scripted(body, piece=max(piece, size // 1000)), Scripted(coded, headers=packed, piece=piece)]
    bodies = Bodies(clock, LIMIT)

    assert [body] * 2 == [await read(bodies, upstream, script) for script in scripts]
    assert 0 == bodies.budget.held


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [("demo/", True, "plain"), ("key.asc", False, "plain"), ("linux.gz", False, "coded"), ("linux", False, "plain")],
)
async def test_whole__name_counts(
    upstream: MemoryUpstream, clock: HandClock, name: str, text: bool, expected: str
) -> None:
    """Text is decoded whatever it is called; of other documents the name tells."""
    coded = gzip.compress(b"a document" * 100, mtime=0)
    script = Scripted(coded, headers={"Content-Encoding": "gzip"})

    got = await read(Bodies(clock, LIMIT), upstream, script, url=URL + name, text=text)

    assert {"plain": b"a document" * 100, "coded": coded}[expected] == got


@pytest.mark.parametrize(
    "script",
    [
        Scripted(bytes(LIMIT + 1)),
        Scripted(gzip.compress(bytes(LIMIT + 1)), headers={"Content-Encoding": "gzip"}),
        Scripted(gzip.compress(gzip.compress(bytes(200 * MIB))), headers={"Content-Encoding": "gzip"}),
        Scripted(gzip.compress(b"") + bytes(LIMIT + 1), headers={"Content-Encoding": "gzip"}),
    ],
    ids=["as it comes", "unpacked", "unpacked twice", "zeros behind"],
)
async def test_whole__too_large(upstream: MemoryUpstream, clock: HandClock, script: Scripted) -> None:
    """Nothing is taken beyond the limit, and what was taken is given back."""
    bodies = Bodies(clock, LIMIT)

    with pytest.raises(TooLarge, match="page_limit"):
        await read(bodies, upstream, script)
    assert 0 == bodies.budget.held


@pytest.mark.parametrize("body", [PACKED[:-1], PACKED + b"x", b"\x1f\x8b\x08"])
async def test_whole__damaged(upstream: MemoryUpstream, clock: HandClock, body: bytes) -> None:
    """A coded body that is cut, or has more behind it, is no document."""
    with pytest.raises(UpstreamBroken):
        await read(Bodies(clock, LIMIT), upstream, Scripted(body, headers={"Content-Encoding": "gzip"}))


async def test_whole__many_bombs_at_once(upstream: MemoryUpstream, clock: HandClock) -> None:
    """Twenty bodies that unpack to more than the limit take the memory of two, not of twenty; it is given back."""
    bodies = Bodies(clock, LIMIT)
    bomb = Scripted(gzip.compress(bytes(2 * LIMIT)), headers={"Content-Encoding": "gzip"})

    async def refused(number: int) -> bool:
        with contextlib.suppress(TooLarge):
            await read(bodies, upstream, bomb, url=f"{URL}{number}")
            return False
        return True

    gc.disable()
    tracemalloc.start()
    try:
        results = await asyncio.gather(*map(refused, range(20)))
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()

    assert [True] * 20 == results
    assert peak < 2.5 * LIMIT
    assert now < LIMIT / 2


async def test_whole__counts_until_it_is_done_with(upstream: MemoryUpstream, clock: HandClock) -> None:
    """What is made of a body while it is held counts with it: others wait in turn, small ones do not."""
    bodies = Bodies(clock, LIMIT)
    upstream.on(URL, Scripted(bytes(LIMIT)))
    async with upstream.get(UpstreamRequest(URL, SITE)) as reply, bodies.whole(reply, URL):
        another = asyncio.create_task(read(bodies, upstream, Scripted(bytes(LIMIT)), url=f"{URL}another"))
        small = await read(bodies, upstream, Scripted(bytes(LIMIT // 64)), url=f"{URL}small")
        assert (LIMIT // 64, False) == (len(small), another.done())
    assert LIMIT == len(await another)


async def test_whole__drips(upstream: MemoryUpstream, clock: HandClock) -> None:
    """A body that comes a few bytes a minute is given up: it holds memory that others wait for."""
    gate = Gate()
    upstream.on(URL, Scripted(bytes(200), body_gate=gate, gate_at=100, piece=100))
    bodies = Bodies(clock, LIMIT)

    async def one() -> None:
        async with upstream.get(UpstreamRequest(URL, SITE)) as reply, bodies.whole(reply, URL):
            pass

    asking = asyncio.create_task(one())
    await gate.reached.wait()
    clock.advance(61)
    gate.open()
    with pytest.raises(UpstreamTimeout):
        await asking


async def test_whole__whose_end_never_comes(upstream: MemoryUpstream, clock: HandClock) -> None:
    """Where bytes arrive that are none of the body, the sockets see no silence: it is given up all the same."""
    bodies = Bodies(clock, LIMIT, 0.01)
    with pytest.raises(UpstreamTimeout):
        await read(bodies, upstream, Scripted(bytes(200), body_gate=Gate(), gate_at=200))
    assert (0, 0) == (bodies.budget.held, upstream.open)


# The budget


@given(
    sizes=st.lists(st.integers(1, BUDGET), min_size=1, max_size=12),
    choices=st.lists(st.tuples(st.integers(0, 11), st.integers(1, 700)), max_size=200),
)
def test_allowed__never_too_much_and_never_stuck(sizes: list[int], choices: list[tuple[int, int]]) -> None:
    """Whoever grows in whatever order: together never more than twice the limit, and the largest can always go on."""
    held = [0] * len(sizes)

    def may(number: int, more: int) -> bool:
        others = held[:number] + held[number + 1 :]
        return allowed(held[number], max(others, default=0), sum(others), more, BUDGET)

    for choice, step in choices:
        number = choice % len(sizes)
        more = min(step, sizes[number] - held[number])
        if more and may(number, more):
            held[number] += more
        assert sum(held) <= 2 * BUDGET
        largest = held.index(max(held))
        assert may(largest, BUDGET - held[largest])


def test_allowed__small_ones_have_their_part() -> None:
    """However many large ones hold what they may, 32 small ones come in; and no large one takes their part."""
    held = [BUDGET, BUDGET // 2]
    assert not allowed(held[1], held[0], held[0], 1, BUDGET)
    for _ in range(32):
        assert allowed(0, max(held), sum(held), 100, BUDGET)
        held.append(100)
    assert not allowed(0, max(held), sum(held), 100, BUDGET)


@settings(deadline=None)
@given(st.lists(st.integers(1, BUDGET), min_size=2, max_size=15), st.integers(50, 900))
def test_grow__all_come_to_their_end(sizes: list[int], step: int) -> None:
    """All that want to grow at once do, in turn, within the bound; in the end nothing is held."""
    most = asyncio.run(_run(sizes, step))

    assert max(sizes) <= most <= 2 * BUDGET


async def _run(sizes: list[int], step: int) -> int:
    budget = Budget(BUDGET)
    most = 0

    async def one(size: int) -> None:
        nonlocal most
        with budget.claim() as claim:
            for at in range(0, size, step):
                await budget.grow(claim, min(step, size - at))
                most = max(most, budget.held)
                await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await asyncio.gather(*map(one, sizes))
    assert 0 == budget.held
    return most


async def _held(budget: Budget, stack: ExitStack, size: int) -> Claim:
    claim = stack.enter_context(budget.claim())
    await budget.grow(claim, size)
    return claim


async def test_grow__small_one_does_not_wait_for_large_ones() -> None:
    """A small one passes large ones that wait."""
    budget = Budget(BUDGET)
    with ExitStack() as stack, ExitStack() as first:
        await _held(budget, first, BUDGET)
        second = await _held(budget, stack, BUDGET // 2)
        waiting = asyncio.create_task(budget.grow(second, 100))
        await asyncio.sleep(0)
        with budget.claim() as small:
            await budget.grow(small, 100)
        assert not waiting.done()
        first.close()
        await waiting


async def test_grow__in_order_when_there_is_room() -> None:
    """Those who wait are served in order as room is given back."""
    budget = Budget(BUDGET)
    served: list[int] = []

    async def ask(number: int, stack: ExitStack) -> None:
        await _held(budget, stack, 100)
        served.append(number)

    with ExitStack() as all_of_them, ExitStack() as first:
        await _held(budget, all_of_them, BUDGET)
        for _ in range(64):
            await _held(budget, first, 100)
        waiting = [asyncio.create_task(ask(number, all_of_them)) for number in range(3)]
        await asyncio.sleep(0)
        assert [] == served
        first.close()
        await asyncio.gather(*waiting)
    assert [0, 1, 2] == served


@pytest.mark.parametrize("moment", ["while it waits", "as it is served"])
async def test_grow__cancelled(moment: str) -> None:
    """Who goes away holds nothing, and takes no room from the others."""
    budget = Budget(BUDGET)
    with ExitStack() as stack, ExitStack() as first:
        await _held(budget, stack, BUDGET)
        for _ in range(64):
            await _held(budget, first, 100)
        claim = stack.enter_context(budget.claim())
        waiting = asyncio.create_task(budget.grow(claim, 100))
        await asyncio.sleep(0)
        if moment == "as it is served":
            first.close()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert 0 == claim.held
    assert 0 == budget.held
