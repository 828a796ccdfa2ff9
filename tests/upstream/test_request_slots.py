"""Request slots at hosts, and the requests that wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Crowded
from proxy.model import Kind, Site, UpstreamRequest
from proxy.upstream.request_slots import MOST, Rank, RequestSlots

HOST = "files.example:443"
SITE = Site("demo", "https://files.example/", "", 600.0)


async def filled(slots: RequestSlots, *ranks: Rank) -> list[Callable[[], None]]:
    """Take as many slots as these ranks may have, in order."""
    taken: list[Callable[[], None]] = []
    for rank in ranks:
        while len(taken) < MOST[rank]:
            taken.append(await slots.take(HOST, rank))
    return taken


@pytest.mark.parametrize(
    ("ask", "rank"),
    [
        (UpstreamRequest("u", SITE), Rank.PLAIN),
        (UpstreamRequest("u", SITE, kind=Kind.PAGE), Rank.URGENT),
        (UpstreamRequest("u", SITE, kind=Kind.METADATA), Rank.URGENT),
        (UpstreamRequest("u", SITE, kind=Kind.RELEASE), Rank.URGENT),
        (UpstreamRequest("u", SITE, kind=Kind.PAGE, bulk=True), Rank.BULK),
        (UpstreamRequest("u", SITE, bulk=True), Rank.BULK),
    ],
)
def test_rank__of_a_request(ask: UpstreamRequest, rank: Rank) -> None:
    """Pages and metadata go before files, and files before what nobody waits for."""
    assert rank is Rank.of(ask)


async def test_take__bulk_does_not_wait() -> None:
    """Further connections leave slots to files; one without a slot is refused at once."""
    slots = RequestSlots()
    await filled(slots, Rank.BULK)
    with pytest.raises(Crowded):
        await slots.take(HOST, Rank.BULK)
    await slots.take(HOST, Rank.PLAIN)
    await slots.take("other.example:443", Rank.BULK)


async def test_take__files_leave_places_to_pages() -> None:
    """However many files are on their way, a page need not wait for one of them."""
    slots = RequestSlots()
    taken = await filled(slots, Rank.PLAIN)
    waiting = asyncio.create_task(slots.take(HOST, Rank.PLAIN))
    await asyncio.sleep(0)
    page = await slots.take(HOST, Rank.URGENT)
    page()
    assert not waiting.done()
    taken.pop()()
    await waiting


async def test_take__in_turn() -> None:
    """Pages are woken before files, and those who came first before those who came later."""
    slots, order = RequestSlots(), list[str]()
    taken = await filled(slots, Rank.PLAIN, Rank.URGENT)

    async def one(name: str, rank: Rank) -> None:
        await slots.take(HOST, rank)
        order.append(name)

    tasks = [
        asyncio.create_task(one(name, rank))
        for name, rank in (
            ("file 1", Rank.PLAIN),
            ("page 1", Rank.URGENT),
            ("file 2", Rank.PLAIN),
            ("page 2", Rank.URGENT),
        )
    ]
    await asyncio.sleep(0)
    for give_back in taken:
        give_back()
        give_back()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert ["page 1", "page 2", "file 1", "file 2"] == order


async def test_take__in_vain() -> None:
    """A request that waits too long fails, and leaves nothing behind."""
    slots = RequestSlots(patience=0.01)
    taken = await filled(slots, Rank.PLAIN)
    with pytest.raises(Crowded):
        await slots.take(HOST, Rank.PLAIN)
    for give_back in taken:
        give_back()
    assert {} == slots._hosts


@pytest.mark.parametrize("granted", [False, True])
async def test_take__cancelled(granted: bool) -> None:
    """A slot for a request that was cancelled goes to the next."""
    slots = RequestSlots()
    taken = await filled(slots, Rank.PLAIN)
    gone, next_one = [asyncio.create_task(slots.take(HOST, Rank.PLAIN)) for _ in range(2)]
    await asyncio.sleep(0)
    if granted:
        taken.pop()()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    if not granted:
        taken.pop()()
    (await next_one)()
    for give_back in taken:
        give_back()
    assert {} == slots._hosts


async def ended(taking: asyncio.Task[Callable[[], None]]) -> None:
    """The request that waited for a slot is gone, with the slot or without."""
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    if not taking.cancelled() and taking.exception() is None:
        taking.result()()
        for _ in range(3):  # until whoever got the slot has it
            await asyncio.sleep(0)


@given(st.lists(st.tuples(st.sampled_from([*Rank, None]), st.integers(0, 999)), max_size=300))
def test_slots__whatever_happens(steps: list[tuple[Rank | None, int]]) -> None:
    """No rank goes beyond its bound, no request waits while a slot is free, and in the end nothing is left."""

    async def run() -> None:
        slots = RequestSlots()
        crowd = (Rank.BULK,) * 158 + (Rank.PLAIN,) * 64
        tasks = [(rank, asyncio.create_task(slots.take(HOST, rank))) for rank in crowd]
        for rank, which in steps:
            if rank is not None:
                tasks.append((rank, asyncio.create_task(slots.take(HOST, rank))))
                await asyncio.sleep(0)
            elif tasks:
                await ended(tasks.pop(which % len(tasks))[1])
            taken = slots._hosts[HOST].taken if tasks else 0
            assert taken <= MOST[Rank.URGENT]
            assert all(task.done() or taken >= MOST[rank] for rank, task in tasks)
        for _, task in tasks:
            await ended(task)
        assert {} == slots._hosts

    asyncio.run(run())
