"""The rule of the bound."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import StoreBroken, StoreFull
from proxy.events import Event, Evicted
from proxy.storage.blobs import Blobs
from proxy.storage.disk_health import DiskHealth, Undeleted
from proxy.storage.pins import Pins
from proxy.storage.record import Record
from proxy.storage.space import Ledger, Reservation, Space, victims
from tests.storage.disk import entry, file_of, fixed, keep, opened

_SIZES = st.lists(st.integers(0, 50), max_size=12)


@given(_SIZES, st.integers(-5, 300), st.integers(0, 5))
def test_victims__the_shortest_beginning_that_is_enough(sizes: list[int], size: int, count: int) -> None:
    """The longest unused go, in order, no more of them than needed; none at all where all were too few."""
    chosen = victims(enumerate(sizes), size, count)

    def enough(number: int) -> bool:
        return sum(sizes[:number]) >= size and number >= count

    if chosen is None:
        assert not enough(len(sizes))
    else:
        assert chosen == list(range(len(chosen)))
        assert enough(len(chosen))
        assert not chosen or not enough(len(chosen) - 1)


def test_shortage__of_the_bound() -> None:
    """Everything counts: blobs, downloads, what they left, and the index."""
    ledger = Ledger(limit=100, left_over=10, index=5)
    ledger.reserve(Reservation(0), 20)

    assert ledger.shortage(blobs=60, need=5, free=1000) == 0
    assert ledger.shortage(blobs=60, need=6, free=1000) == 1


def test_shortage__with_a_surplus() -> None:
    """What goes by and by does not count, but for what is longer than the bound."""
    ledger = Ledger(limit=100, index=5, surplus=65)

    assert ledger.shortage(blobs=160, need=0, free=1000) == 0
    assert ledger.shortage(blobs=160, need=95, free=1000) == 95
    assert ledger.shortage(blobs=160, need=96, free=1000) == 161


def test_shortage__without_a_bound() -> None:
    """Only what the file system has left counts."""
    ledger = Ledger(limit=100, bounded=False)

    assert ledger.shortage(blobs=600, need=60, free=60) == 0
    assert ledger.shortage(blobs=600, need=60, free=50) == 10


def test_shortage__of_the_file_system() -> None:
    """What is promised and not written yet will be taken from what is free."""
    ledger = Ledger(limit=1000)
    download = Reservation(0)
    ledger.reserve(download, 50)

    assert ledger.shortage(blobs=0, need=60, free=100) == 10
    ledger.wrote(download, 30)
    assert ledger.shortage(blobs=0, need=60, free=70) == 10


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100), st.integers(0, 150)), max_size=30))
def test_ledger__comes_out_even(steps: list[tuple[int, int, int]]) -> None:
    """Whatever downloads reserve and write, even more than they reserved: when all are over nothing is left."""
    ledger = Ledger(limit=1000)
    downloads = [Reservation(0) for _ in range(4)]
    for which, size, written in steps:
        ledger.reserve(downloads[which], size)
        ledger.wrote(downloads[which], written)
        assert ledger.reserved == sum(download.size for download in downloads)
        assert ledger.promised == sum(download.promised for download in downloads)
    for download in [*downloads, *downloads]:
        ledger.release(download)

    assert (ledger.reserved, ledger.promised) == (0, 0)


async def test_open__bound_below_the_database(tmp_path: Path) -> None:
    """A bound that the database alone fills is refused with the least value, which is one that works."""
    path = tmp_path / "data"
    async with opened(path) as store:
        for number in range(200):
            await keep(store, f"{number}/{'long name' * 400}", b"%d" % number)
    database = (path / "index" / "cache.db").stat().st_size

    with pytest.raises(StoreBroken, match=f"cannot be held to {database} bytes: its database alone") as caught:
        async with opened(path, database):
            pass
    least = re.search(r"at least (\d+) MB", str(caught.value))
    assert least is not None

    async with opened(path, int(least[1]) * 10**6) as store:
        assert await keep(store, "one more", b"one more") == store.find("one more")


@pytest.mark.parametrize("limit", [100_000, 10**18])
async def test_reserve__longer_than_bound_or_disk(tmp_path: Path, limit: int) -> None:
    """Some indexes give lengths that no file has: that is no failure of the disk."""

    async def never(*_: object) -> bool:
        return False

    async def evict(*_: object) -> Undeleted:
        raise AssertionError("nothing is to go for it")

    health = DiskHealth()
    space = Space(tmp_path, limit, Blobs(str(tmp_path), [("00" * 32, 80_000, None, 1.0)]), never, evict, health)
    with pytest.raises(StoreFull, match="too large"):
        await space.reserve(10**16)
    assert health.well


async def test_shrink__nobody_waits_for_it(tmp_path: Path) -> None:
    """What is above a bound that was lowered goes some at a time; who needs room makes it for himself."""
    gate = asyncio.Event()
    evicted: list[list[int]] = []

    async def evict(records: Sequence[Record], _: Sequence[str], reason: str) -> Undeleted:
        assert "limit" == reason
        evicted.append([int(record.sha256[:8], 16) for record in records])
        if len(records) > 1:
            await gate.wait()
        return Undeleted()

    async def more() -> bool:
        return False

    blobs = Blobs(str(tmp_path), [(f"{number:08x}".ljust(64, "0"), 4096, None, number + 1.0) for number in range(3000)])
    space = Space(tmp_path, 300 * 4096, blobs, more, evict, DiskHealth())
    space.allow_surplus()
    with pytest.raises(StoreFull):
        await space.reserve(301 * 4096)
    first = await space.reserve(4096)
    shrinking = asyncio.create_task(space.shrink())
    await asyncio.sleep(0)
    second = await space.reserve(4096)

    assert ([0], list(range(1, 501))) == (evicted[0], evicted[1])
    assert (2, 2499, 2 * 4096) == (len(evicted), len(blobs), first.size + second.size)
    gate.set()
    await shrinking
    assert list(range(2702)) == [number for some in evicted for number in some]
    assert (0, 0) == (space.ledger.surplus, space.ledger.excess(blobs.footprint))
    await space.reserve(4096)
    assert [2702] == evicted[-1]


@pytest.mark.parametrize("pinned", [True, False])
async def test_shrink__all_that_is_left_is_needed(tmp_path: Path, pinned: bool) -> None:
    """Then it ends, and the bound holds: nothing more comes in."""

    async def evict(*_: object) -> Undeleted:
        raise AssertionError("all of it is needed")

    async def more() -> bool:
        return False

    pins = Pins([f"{number:064x}" for number in range(3)] if pinned else ())
    blobs = Blobs(str(tmp_path), [(f"{number:064x}", 4096, None, number + 1.0) for number in range(3)], pins=pins)
    if not pinned:
        for number in range(3):
            blobs.acquire(f"{number:064x}")
    space = Space(tmp_path, 2 * 4096, blobs, more, evict, DiskHealth())
    await space.shrink()

    with pytest.raises(StoreFull):
        await space.reserve(4096)


async def test_reserve__what_is_to_go_cannot_be_deleted(tmp_path: Path) -> None:
    """There is no room then, nothing is told as evicted, and all is served on; the next try evicts something else."""
    path, events = tmp_path / "data", list[Event]()
    bodies = [bytes([number]) * 400_000 for number in range(3)]
    async with opened(path, 2_000_000, events) as store:
        for number, body in enumerate(bodies):
            await keep(store, str(number), body)
        await store.flush()
        with fixed(file_of(path, bodies[0]).parent):
            with pytest.raises(StoreBroken):
                await store.spool("whl", 900_000)
            assert not store.healthy
            assert [] == [event for event in events if isinstance(event, Evicted)]
            assert (3, 1_200_000) == store.inventory.total
            assert entry("0", bodies[0]) == store.find("0")
            spool = await store.spool("whl", 900_000)

        assert [Evicted(400_000)] == [event for event in events if isinstance(event, Evicted)]
        assert [True, False, True] == [store.find(str(number)) is not None for number in range(3)]
        await spool.close(keep=False)


async def test_grow__waits_for_files_that_are_being_deleted(tmp_path: Path) -> None:
    """What is evicted for one download is no room for another while it is on disk."""
    deleting, deleted = asyncio.Event(), asyncio.Event()

    async def evict(_: Sequence[Record], __: Sequence[str], ___: str) -> Undeleted:
        deleting.set()
        await deleted.wait()
        return Undeleted()

    async def more() -> bool:
        return False

    blobs = Blobs(str(tmp_path), [("00" * 32, 80_000, None, 1.0)])
    space = Space(tmp_path, 100_000, blobs, more, evict, DiskHealth())
    first = asyncio.create_task(space.reserve(40_000))
    await deleting.wait()

    second = asyncio.create_task(space.reserve(40_000))
    ended, _ = await asyncio.wait([first, second], timeout=0.05)
    assert ended == set()
    deleted.set()

    reservations = await asyncio.gather(first, second)
    assert sum(reservation.size for reservation in reservations) == space.ledger.reserved <= 100_000
