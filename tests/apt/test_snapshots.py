"""Which snapshot of a suite is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.apt.indexes import Indexes
from proxy.apt.policy import Policy
from proxy.apt.snapshots import Snapshots
from proxy.apt.suites import ReleaseForm
from proxy.errors import NotFound, Unsettled, UpstreamUnreachable
from proxy.events import UpstreamFailed
from proxy.model import Outcome
from tests.apt.conftest import OLD, SUITE, WALL, World, beside, inline, listing
from tests.memory_upstream import Gate, Scripted

PATH = "main/binary-amd64/Packages"
TEN = Policy(window=10.0).site_of(SUITE)
ONE, TWO = {PATH: b"one"}, {PATH: b"second"}


@pytest.fixture
async def snapshots(world: World) -> AsyncIterator[Snapshots]:
    """Snapshots with a window of ten seconds."""
    indexes = Indexes(world.downloads, world.store)
    made = Snapshots(
        world.store,
        world.upstream,
        world.clock,
        world.seen.append,
        indexes,
        world.bodies,
        world.patience,
        serve_expired=False,
    )
    yield made
    await made.close()


async def present(snapshots: Snapshots, form: ReleaseForm = ReleaseForm.INLINE) -> tuple[dict[str, int], Outcome]:
    """The present snapshot, by the sizes that it lists, and its outcome."""
    snapshot, outcome = await snapshots.present(SUITE, form, TEN)
    return {path: listed.size for path, listed in snapshot.release.files.items()}, outcome


async def use(world: World, snapshots: Snapshots) -> None:
    """Let a client have used the index of the present snapshot."""
    snapshot, _ = await snapshots.present(SUITE, ReleaseForm.INLINE, TEN)
    await snapshots.used(SUITE, snapshot, PATH)


async def test_present__window(world: World, snapshots: Snapshots) -> None:
    """Within the window nobody asks upstream; after it one look is for all."""
    world.put("InRelease", inline(ONE))
    assert ({PATH: 3}, Outcome.MISS) == await present(snapshots)
    assert ({PATH: 3}, Outcome.HIT) == await present(snapshots)
    world.clock.advance(10)
    many = await asyncio.gather(*(present(snapshots) for _ in range(5)))

    assert [({PATH: 3}, Outcome.REVALIDATED)] * 5 == many
    assert 2 == len(world.upstream.asks)


async def test_present__cold_herd(world: World, snapshots: Snapshots) -> None:
    """One client causes the fetch, the others share it."""
    world.put("InRelease", inline(ONE))

    outcomes = [outcome for _, outcome in await asyncio.gather(*(present(snapshots) for _ in range(3)))]

    assert [Outcome.MISS, Outcome.SHARED, Outcome.SHARED] == outcomes


async def test_present__adopted_when_whole(world: World, snapshots: Snapshots) -> None:
    """A new Release waits for the index that clients use, and for no other."""
    world.put("InRelease", inline(ONE))
    await use(world, snapshots)
    world.put("InRelease", inline(TWO | {"other": b"x"}, date=OLD + 1), modified=OLD + 1)
    world.clock.advance(10)
    held = await present(snapshots)
    again = await present(snapshots)
    world.put(PATH, TWO[PATH])
    world.clock.advance(70)
    adopted = await present(snapshots)

    assert [({PATH: 3}, Outcome.STALE)] * 2 == [held, again]
    assert ({PATH: 6, "other": 1}, Outcome.MISS) == adopted
    assert UpstreamFailed("apt", "unsettled") in world.seen
    assert [6, 3] == [one.release.files[PATH].size for one in await snapshots.known(SUITE)]


async def test_present__index_that_upstream_dropped(world: World, snapshots: Snapshots) -> None:
    """A Release that lists an index which is not there any more is not held up for long."""
    world.put("InRelease", inline(ONE))
    await use(world, snapshots)
    world.put("InRelease", inline(TWO, date=OLD + 1), modified=OLD + 1)
    world.clock.advance(10)
    held = await present(snapshots)
    world.clock.advance(600)

    assert ({PATH: 3}, Outcome.STALE) == held
    assert ({PATH: 6}, Outcome.MISS) == await present(snapshots)


async def test_present__waits_while_indexes_come(world: World, snapshots: Snapshots) -> None:
    """A client waits for a new snapshot that is being prepared."""
    world.put("InRelease", inline(ONE))
    await use(world, snapshots)
    world.put("InRelease", inline(TWO, date=OLD + 1), modified=OLD + 1)
    gate = Gate()
    world.upstream.on(replace(SUITE, path=SUITE.path + PATH).url, Scripted(TWO[PATH], gate=gate))
    world.clock.advance(10)

    asked = asyncio.create_task(present(snapshots))
    await gate.reached.wait()
    gate.open()

    assert ({PATH: 6}, Outcome.MISS) == await asked


async def test_present__down(world: World, snapshots: Snapshots) -> None:
    """The present snapshot is served while upstream is down, and again asked for when it is back."""
    url = replace(SUITE, path=f"{SUITE.path}InRelease").url
    world.put("InRelease", inline(ONE, until=WALL + 100))
    await present(snapshots)
    world.upstream.on(url, Scripted(error=UpstreamUnreachable("gone")))
    world.clock.advance(10)
    down = await present(snapshots)
    world.clock.advance(91)
    with pytest.raises(UpstreamUnreachable):
        await present(snapshots)
    world.put("InRelease", inline(TWO, until=WALL + 900, date=OLD + 1), modified=OLD + 1)
    world.clock.advance(10)

    assert ({PATH: 3}, Outcome.STALE) == down
    assert ({PATH: 6}, Outcome.MISS) == await present(snapshots)


async def test_present__expired_counts_as_none(world: World, snapshots: Snapshots) -> None:
    """For a snapshot that clients refuse by its age each try asks upstream, and waits; that there is none is kept."""
    url = replace(SUITE, path=f"{SUITE.path}InRelease").url
    world.put("InRelease", inline(ONE, until=WALL + 100))
    await present(snapshots)
    world.clock.advance(101)
    again = Scripted(inline(TWO, until=WALL + 200, date=OLD + 1))
    world.upstream.on(url, Scripted(error=UpstreamUnreachable("x")), again)
    with pytest.raises(UpstreamUnreachable):
        await present(snapshots)
    world.upstream.down_urls.add(url)  # for a copy that may be served nobody would wait
    answer = await present(snapshots)
    world.clock.advance(100)
    world.upstream.on(url, Scripted(status=404))
    before = world.upstream.count(url)
    for _ in range(2):
        with pytest.raises(NotFound):
            await present(snapshots)

    assert ({PATH: 6}, Outcome.MISS) == answer
    assert 1 == world.upstream.count(url) - before


async def test_present__slow(world: World, snapshots: Snapshots) -> None:
    """Where upstream is known to be down nobody waits; what it says later counts."""
    url = replace(SUITE, path=f"{SUITE.path}InRelease").url
    world.put("InRelease", inline(ONE))
    await present(snapshots)
    gate = Gate()
    world.upstream.on(url, Scripted(inline(TWO, date=OLD + 1), gate=gate))
    world.upstream.down_urls.add(url)
    world.clock.advance(10)
    stale = await present(snapshots)
    await gate.reached.wait()
    gate.open()
    await snapshots._flights.result(next(iter(snapshots._flights._tasks.values())))

    assert ({PATH: 3}, Outcome.STALE) == stale
    assert ({PATH: 6}, Outcome.HIT) == await present(snapshots)


async def test_present__missing(world: World, snapshots: Snapshots) -> None:
    """That there is none is remembered for a moment; a good one is never replaced by nothing."""
    with pytest.raises(NotFound):
        await present(snapshots)
    world.put("InRelease", inline(ONE))
    with pytest.raises(NotFound):
        await present(snapshots)
    world.clock.advance(10)
    found = await present(snapshots)
    world.upstream.on(replace(SUITE, path=f"{SUITE.path}InRelease").url, Scripted(status=404))
    world.clock.advance(10)

    assert ({PATH: 3}, Outcome.MISS) == found
    assert ({PATH: 3}, Outcome.STALE) == await present(snapshots)


async def test_present__missing_and_asked_for_again(world: World, snapshots: Snapshots) -> None:
    """Whoever wants upstream to be asked is told of a new suite at once."""
    with pytest.raises(NotFound):
        await present(snapshots)
    world.put("InRelease", inline(ONE))

    snapshot, outcome = await snapshots.present(SUITE, ReleaseForm.INLINE, TEN, revalidate=True)

    assert ([3], Outcome.MISS) == ([one.size for one in snapshot.release.files.values()], outcome)


async def test_present__both_forms_missing(world: World, snapshots: Snapshots) -> None:
    """Where upstream lacks both kept forms no look waits for the other; what is kept is served."""
    world.put("InRelease", inline(ONE))
    world.put("Release", listing(ONE))
    for form in ReleaseForm:
        await present(snapshots, form)
        world.upstream.on(replace(SUITE, path=SUITE.path + form.value).url, Scripted(status=404))
    world.clock.advance(10)
    one = await present(snapshots)
    world.clock.advance(10)
    both = await asyncio.gather(*(present(snapshots, form) for form in ReleaseForm))

    assert [({PATH: 3}, Outcome.STALE)] * 3 == [one, *both]
    assert not world.patience.lost(replace(SUITE, path=f"{SUITE.path}InRelease").url)


async def test_present__other_form_not_confirmed(world: World, snapshots: Snapshots) -> None:
    """A missing form gives way only to what upstream has, not to what is merely kept of the other one."""
    world.put("InRelease", inline(ONE))
    newer = listing(TWO, date=OLD + 1)
    world.put("Release", newer)
    world.put("Release.gpg", beside(newer))
    for form in ReleaseForm:
        await present(snapshots, form)
    world.upstream.on(replace(SUITE, path=f"{SUITE.path}InRelease").url, Scripted(status=404))
    world.upstream.on(replace(SUITE, path=f"{SUITE.path}Release").url, Scripted(error=UpstreamUnreachable("gone")))
    world.clock.advance(10)
    unconfirmed = await present(snapshots)
    world.put("Release", newer)
    world.clock.advance(10)

    assert ({PATH: 3}, Outcome.STALE) == unconfirmed
    with pytest.raises(NotFound):
        await present(snapshots)


async def test_present__pair_without_signature(world: World, snapshots: Snapshots) -> None:
    """A Release file without a signature is a suite, too."""
    world.put("Release", listing(ONE))

    assert ({PATH: 3}, Outcome.MISS) == await present(snapshots, ReleaseForm.DETACHED)


async def test_present__pair_that_changes_while_it_is_read(world: World, snapshots: Snapshots) -> None:
    """List and signature are read until nothing changed in between."""
    first, second = listing(ONE), listing(TWO)
    url = replace(SUITE, path=f"{SUITE.path}Release").url
    world.upstream.on(url, Scripted(first), Scripted(second))
    world.put("Release.gpg", beside(second))

    assert ({PATH: 6}, Outcome.MISS) == await present(snapshots, ReleaseForm.DETACHED)


async def test_present__pair_that_never_settles(world: World, snapshots: Snapshots) -> None:
    """A list that is another one each time is not taken."""
    bodies = [listing({PATH: bytes(number)}) for number in range(8)]
    world.upstream.on(replace(SUITE, path=f"{SUITE.path}Release").url, *map(Scripted, bodies))
    world.put("Release.gpg", beside(bodies[0]))

    with pytest.raises(Unsettled):
        await present(snapshots, ReleaseForm.DETACHED)


async def test_present__unchanged_body(world: World, snapshots: Snapshots) -> None:
    """The same bytes under a new date are the same snapshot, served with the new date."""
    world.put("InRelease", inline(ONE))
    await present(snapshots)
    world.put("InRelease", inline(ONE), modified=OLD + 5)
    world.clock.advance(10)

    outcome = (await present(snapshots))[1]

    snapshot, _ = await snapshots.present(SUITE, ReleaseForm.INLINE, TEN)
    assert Outcome.REVALIDATED is outcome
    assert snapshot.date_of() is not None
    assert 1 == len(await snapshots.known(SUITE))


async def test_close__in_the_middle_of_a_look(world: World, snapshots: Snapshots) -> None:
    """Ending the program ends the looks upstream."""
    gate = Gate()
    world.upstream.on(replace(SUITE, path=f"{SUITE.path}InRelease").url, Scripted(inline(ONE), gate=gate))
    asked = asyncio.create_task(present(snapshots))
    await gate.reached.wait()

    await snapshots.close()

    with pytest.raises(asyncio.CancelledError):
        await asked
