"""Files that last under their names, and those that are prefetched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.files import Files
from proxy.apt.policy import Policy
from proxy.errors import NotFound, StoreFull
from proxy.model import Outcome, Query
from tests.apt.conftest import World, content, settle
from tests.memory_upstream import Gate, Scripted

ADDRESS = ArchiveAddress("http", "deb.example", "debian/pool/demo_1.0_amd64.deb")


@pytest.fixture
async def files(world: World) -> AsyncIterator[Files]:
    """Files of archives."""
    service = world.service(Policy())
    yield service._files
    await service.close()


async def begun(files: Files) -> None:
    """Wait until what is prefetched is under way, or failed."""
    while files._starting._tasks:
        await asyncio.sleep(0)


async def test_file__prefetched(world: World, files: Files) -> None:
    """A download that began before its turn is asked of upstream once, and counts as its client's own."""
    gate = Gate()
    world.upstream.on(ADDRESS.url, Scripted(b"body", gate=gate))
    assert not files.prefetches(ADDRESS)
    files.prefetch(ADDRESS)
    assert files.prefetches(ADDRESS)
    await gate.reached.wait()
    gate.open()

    shown = await files.file(Query(ADDRESS), None)
    again = await files.file(Query(ADDRESS), None)

    assert not files.prefetches(ADDRESS)
    assert (Outcome.MISS, b"body") == (shown.outcome, await content(world, shown.body))
    assert again.outcome in {Outcome.SHARED, Outcome.HIT}
    assert 1 == world.upstream.count(ADDRESS.url)


async def test_file__prefetched_and_kept_by_its_turn(world: World, files: Files) -> None:
    """It counts as fetched for its client even when all of it is here by then."""
    world.upstream.on(ADDRESS.url, Scripted(b"body"))
    files.prefetch(ADDRESS)
    await begun(files)
    await settle(world)

    outcomes = [(await files.file(Query(ADDRESS), None)).outcome for _ in range(2)]

    assert [Outcome.MISS, Outcome.HIT] == outcomes


async def test_prefetch__what_is_kept(world: World, files: Files) -> None:
    """A file that is here is not asked for."""
    world.upstream.on(ADDRESS.url, Scripted(b"body"))
    await files.file(Query(ADDRESS), None)
    await settle(world)

    files.prefetch(ADDRESS)
    await begun(files)

    assert 1 == world.upstream.count(ADDRESS.url)
    assert {} == files._prefetched


async def test_prefetch__fails(files: Files) -> None:
    """The client gets the error of a prefetched file at its turn."""
    files.prefetch(ADDRESS)

    with pytest.raises(NotFound):
        await files.file(Query(ADDRESS), None)


async def test_prefetch__disk_takes_nothing(world: World, files: Files) -> None:
    """What would go past the store is left for its turn."""
    world.store.failure = lambda: StoreFull("no room")
    world.upstream.on(ADDRESS.url, Scripted(b"body"))

    files.prefetch(ADDRESS)
    await begun(files)

    assert 0 == world.upstream.open
    shown = await files.file(Query(ADDRESS), None)
    assert b"body" == await content(world, shown.body)


async def test_file__whose_turn_at_the_host_has_not_come(world: World, files: Files) -> None:
    """A client whose turn comes does not wait for downloads that are ahead of others; nothing is begun ahead then."""
    turn = asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files._downloads, "ahead_turns", _Turns(turn))
        files.prefetch(ADDRESS)
        assert files.prefetches(ADDRESS)

        for _ in range(2):  # neither does a second one
            with pytest.raises(NotFound):
                await asyncio.wait_for(files.file(Query(ADDRESS), None), 20)
        asked = world.upstream.count(ADDRESS.url)
        turn.set()
        await begun(files)

    assert asked == world.upstream.count(ADDRESS.url)
    assert not files.prefetches(ADDRESS)


class _Turns:
    """Gives everybody the turn when it is set."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def turn(self, _: str) -> None:
        """As of `AheadTurns`."""
        await self._event.wait()


async def test_prefetched__is_bounded(world: World, files: Files) -> None:
    """Clients that ask and leave do not fill the memory."""
    files._prefetched.most = 3
    for number in range(10):
        address = ArchiveAddress("http", "deb.example", f"pool/{number}.deb")
        world.upstream.on(address.url, Scripted(str(number).encode()))
        files.prefetch(address)
    await begun(files)
    await settle(world)

    assert 3 == len(files._prefetched)
