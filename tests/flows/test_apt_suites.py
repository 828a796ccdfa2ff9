"""Suites in one piece, through the whole program: whatever upstream does, no client gets halves of two releases."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from tests.archive import LONG_AGO, Archive, Deb, deb
from tests.bodies import as_body
from tests.conftest import MakeProxy
from tests.faults import cut, hold_head, other_body, shorter, status, until_close, without_headers
from tests.flows.apting import Client, client, start, update
from tests.flows.asking import SteppedClock, until_idle
from tests.flows.conftest import MakeClocked
from tests.gates import Gate
from tests.origin import Origin

ONE, TWO, THREE = deb("one"), deb("two"), deb("three")
LATER, LATEST = LONG_AGO + 3600, LONG_AGO + 7200
IN = "/debian/dists/stable/InRelease"
INDEX = "/debian/dists/stable/main/binary-amd64/Packages.gz"


@pytest.fixture(params=[False, True], ids=["plain", "by-hash"])
def archive(origin: Origin, request: pytest.FixtureRequest) -> Archive:
    """An archive, with and without addresses by hash."""
    return Archive(origin, by_hash=request.param)


@pytest.fixture
def bare(origin: Origin) -> Archive:
    """An archive without addresses by hash, as NVIDIA's."""
    return Archive(origin, by_hash=False)


async def test_suite__published_again(archive: Archive, make_proxy: MakeProxy) -> None:
    """When the new state is whole, the next client gets it; the index that clients use was fetched for that."""
    running = await start(make_proxy, archive.origin)
    before = archive.publish(ONE)

    async with client(running) as apt:
        first = await update(apt, archive)
        after = archive.publish(ONE, TWO, modified=LATER)
        inrelease = await apt.get(archive.url(IN))
        await until_idle(running)
        kept = archive.origin.sent_body_bytes()
        index = await apt.get(archive.url(INDEX))

    assert (before.inrelease, True) == (first[0].body, first[2])
    assert (after.inrelease, "miss") == (inrelease.body, inrelease.headers["x-cache"])
    assert (after.indexes["main/binary-amd64/Packages.gz"], "hit") == (index.body, index.headers["x-cache"])
    assert kept == archive.origin.sent_body_bytes()


async def test_suite__of_an_architectures_variant(origin: Origin, make_proxy: MakeProxy) -> None:
    """Ubuntu's variants of an architecture are folders and packages like others, also where they are published anew."""
    archive = Archive(origin, suite="questing", architecture="amd64v3")
    running = await start(make_proxy, origin)
    package = Deb("hello", as_body("hello\n"), "2.10", architecture="amd64v3")
    assert package.path.endswith("_amd64v3.deb")
    archive.publish(package)

    async with client(running) as apt:
        first = await update(apt, archive)
        got = await apt.get(archive.url(archive.root + package.path))
        after = archive.publish(package, ONE, modified=LATER)
        second = await update(apt, archive)

    assert (True, True) == (first[2], second[2])
    assert (200, b"hello\n") == (got.status, got.body)
    assert second[1] is not None
    assert after.indexes["main/binary-amd64v3/Packages.gz"] == second[1].body


async def test_suite__release_before_indexes(
    bare: Archive, make_clocked: MakeClocked, clock: SteppedClock, metric: Callable[..., float]
) -> None:
    """While upstream has the new Release and the old index, the old pair is served; then the new one."""
    running = await start(make_clocked, bare.origin)
    before = bare.publish(ONE)
    after = bare.state(ONE, TWO, modified=LATER)

    async with client(running) as apt:
        await update(apt, bare)
        bare.show(after, indexes=False)
        between = [await update(apt, bare) for _ in range(3)]
        assert 3 == metric(running, "pullthrough_upstream_errors_total", upstream="apt", reason="unsettled")
        bare.show(after)
        clock.advance(60)
        then = await update(apt, bare)

    for inrelease, index, fits in between:
        assert index is not None
        assert (before.inrelease, "stale", 200, True) == (
            inrelease.body,
            inrelease.headers["x-cache"],
            index.status,
            fits,
        )
    assert (after.inrelease, True) == (then[0].body, then[2])


async def test_suite__indexes_before_release(bare: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """Cold, with an index that no Release lists yet: 503, never the other index."""
    running = await start(make_clocked, bare.origin)
    bare.publish(ONE)
    after = bare.state(ONE, TWO, modified=LATER)
    bare.show(after, release=False)

    async with client(running) as apt:
        _, index, _ = await update(apt, bare)
        bare.show(after)
        clock.advance(60)
        then = await update(apt, bare)

    assert index is not None
    assert (503, "5") == (index.status, index.headers["retry-after"])
    assert "between two states" in index.headers["x-error"]
    assert (after.inrelease, True) == (then[0].body, then[2])


async def test_suite__cold_in_between_two_states(bare: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """Though the first client could not be given an index, it is fetched with the next Release, for the next client."""
    running = await start(make_clocked, bare.origin)
    bare.publish(ONE)
    bare.show(bare.state(ONE, TWO, modified=LATER), release=False)
    async with client(running) as apt:
        _, index, _ = await update(apt, bare)
        assert index is not None
        assert 503 == index.status
    whole = bare.publish(THREE, modified=LATEST)
    clock.advance(60)

    async with client(running) as apt:
        inrelease = await apt.get(bare.url(IN))
        bare.publish(ONE, THREE, modified=LATEST + 3600)
        index = await apt.get(bare.url(INDEX))

    assert whole.inrelease == inrelease.body
    assert (200, whole.indexes["main/binary-amd64/Packages.gz"]) == (index.status, index.body)


async def test_suite__client_of_a_former_snapshot(bare: Archive, make_proxy: MakeProxy) -> None:
    """A client with the old Release file gets the old index, though another client has the new one by now."""
    running = await start(make_proxy, bare.origin)
    before = bare.publish(ONE)

    async with client(running) as slow, client(running) as quick:
        await update(quick, bare)
        old = await slow.get(bare.url(IN))
        bare.publish(ONE, TWO, modified=LATER)
        inrelease, _, fits = await update(quick, bare)
        index = await slow.get(bare.url(INDEX))

    assert before.inrelease == old.body != inrelease.body
    assert fits
    assert before.indexes["main/binary-amd64/Packages.gz"] == index.body


async def test_suite__client_of_a_former_snapshot_by_hash(origin: Origin, make_proxy: MakeProxy) -> None:
    """Addresses by hash lead to indexes of former snapshots and of the present one."""
    archive = Archive(origin)
    running = await start(make_proxy, origin)
    states = [archive.publish(ONE)]

    async with client(running) as apt:
        await update(apt, archive)
        states.append(archive.publish(TWO, modified=LATER))
        await update(apt, archive)
        for state in states:
            for path, body in state.hashed.items():
                assert body == (await apt.get(archive.url(archive.folder + path))).body


async def test_suite__connection_broke(bare: Archive, make_proxy: MakeProxy) -> None:
    """A client whose connection broke between Release and index is known by its address."""
    running = await start(make_proxy, bare.origin)
    bare.publish(ONE)
    async with client(running) as apt:
        await update(apt, bare)
    async with client(running) as apt:
        before = await apt.get(bare.url(IN))

    async with client(running) as apt:
        index = await apt.get(bare.url(INDEX))

    assert 200 == before.status == index.status


async def test_suite__not_modified(archive: Archive, make_proxy: MakeProxy) -> None:
    """A client that has the present Release file gets 304; one that has another gets it, whichever is newer."""
    running = await start(make_proxy, archive.origin)
    archive.publish(ONE)

    async with client(running) as apt:
        date = (await apt.get(archive.url(IN))).headers["last-modified"]
        same = await apt.get(archive.url(IN), f"If-Modified-Since: {date}")
        newer = await apt.get(archive.url(IN), f"If-Modified-Since: {formatdate(LATER, usegmt=True)}")
        archive.publish(TWO, modified=LATER)
        older = await apt.get(archive.url(IN), f"If-Modified-Since: {date}")

    assert [304, 200, 200] == [same.status, newer.status, older.status]
    assert date == same.headers["last-modified"]


async def test_suite__two_states_in_one_second(archive: Archive, make_proxy: MakeProxy) -> None:
    """A date that two known snapshots share stands for neither: whole, for 304 and for ranges."""
    running = await start(make_proxy, archive.origin)
    before = archive.publish(ONE)

    async with client(running) as apt:
        archive.origin.file(IN, before.inrelease, last_modified=formatdate(LONG_AGO, usegmt=True))
        date = (await apt.get(archive.url(IN))).headers["last-modified"]
        # Upstream shows by an ETag that it is another one.
        after = archive.state(TWO)
        archive.show(after)
        archive.origin.file(IN, after.inrelease, last_modified=date)
        again = await apt.get(archive.url(IN), f"If-Modified-Since: {date}")

    assert 200 == again.status


async def test_suite__not_modified_counts_as_given(bare: Archive, make_proxy: MakeProxy) -> None:
    """A client that got 304 has that snapshot, and gets its indexes."""
    running = await start(make_proxy, bare.origin)
    before = bare.publish(ONE)
    async with client(running) as apt:
        date = (await update(apt, bare))[0].headers["last-modified"]

    async with client(running) as apt, client(running) as other:
        same = await apt.get(bare.url(IN), f"If-Modified-Since: {date}")
        bare.publish(TWO, modified=LATER)
        await update(other, bare)
        index = await apt.get(bare.url(INDEX))

    assert 304 == same.status
    assert before.indexes["main/binary-amd64/Packages.gz"] == index.body


async def test_suite__young_date_is_no_validator(archive: Archive, make_proxy: MakeProxy) -> None:
    """A Last-Modified within a minute of the answer's Date does not hide a change of upstream."""
    running = await start(make_proxy, archive.origin)
    now = time.time()
    archive.publish(ONE, modified=now)

    async with client(running) as apt:
        await apt.get(archive.url(IN))
        after = archive.publish(TWO, modified=now)
        inrelease = await apt.get(archive.url(IN))

    assert after.inrelease == inrelease.body
    assert [] == [asked for asked in archive.origin.requests if "if-modified-since" in asked.headers]


async def test_suite__settled_date_is_a_validator(archive: Archive, make_proxy: MakeProxy) -> None:
    """An old Last-Modified is used upstream: the Release file is not fetched again."""
    running = await start(make_proxy, archive.origin)
    archive.publish(ONE)

    async with client(running) as apt:
        await apt.get(archive.url(IN))
        again = await apt.get(archive.url(IN))

    assert "revalidated" == again.headers["x-cache"]
    assert len(again.body) == archive.origin.sent_body_bytes(IN)


async def test_window__many_clients(archive: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """Within the window one look upstream is for all; after it the next client causes one."""
    running = await start(make_clocked, archive.origin, window=20)
    archive.publish(ONE)

    async with client(running) as one, client(running) as two:
        await asyncio.gather(one.get(archive.url(IN)), two.get(archive.url(IN)))
        await one.get(archive.url(IN))
        assert 1 == archive.origin.count(IN)
        clock.advance(21)
        await two.get(archive.url(IN))
        assert 2 == archive.origin.count(IN)
        clock.advance(3)
        await two.get(archive.url(IN), "Cache-Control: no-cache")

    assert 3 == archive.origin.count(IN)


async def test_suite__release_and_signature(origin: Origin, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """Without InRelease the pair is one snapshot: a new list with the old signature is not served."""
    archive = Archive(origin, inline=False, by_hash=False)
    running = await start(make_clocked, origin)
    before = archive.publish(ONE)
    after = archive.state(TWO, modified=LATER)

    async with client(running) as apt:
        missing = await apt.get(archive.url(IN))
        pairs = [await pair(apt, archive)]
        origin.file(archive.folder + "Release", after.release["Release"], etag=None, last_modified=None)
        pairs.append(await pair(apt, archive))
        archive.show(after)
        clock.advance(60)
        pairs.append(await pair(apt, archive))
        index = await apt.get(archive.url(INDEX))

    assert 404 == missing.status
    assert [before.release, before.release, after.release] == pairs
    assert after.indexes["main/binary-amd64/Packages.gz"] == index.body


async def pair(apt: Client, archive: Archive) -> dict[str, bytes]:
    """A Release file and its signature."""
    return {name: (await apt.get(archive.url(archive.folder + name))).body for name in ("Release", "Release.gpg")}


async def test_suite__signature_of_the_list_that_was_given(origin: Origin, make_proxy: MakeProxy) -> None:
    """A client that has the old list gets the old signature, though the new pair was adopted in between."""
    archive = Archive(origin, inline=False)
    running = await start(make_proxy, origin)
    before = archive.publish(ONE)

    async with client(running) as slow, client(running) as quick:
        await slow.get(archive.url(archive.folder + "Release"))
        after = archive.publish(TWO, modified=LATER)
        new = await pair(quick, archive)
        signature = await slow.get(archive.url(archive.folder + "Release.gpg"))

    assert after.release == new
    assert before.release["Release.gpg"] == signature.body


async def test_suite__signature_before_its_list(origin: Origin, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """Whoever asks for the signature first gets one pair, too, also if it was given another one minutes ago."""
    archive = Archive(origin, inline=False)
    running = await start(make_clocked, origin)
    seen, published = [], [archive.publish(ONE).release]

    async with client(running) as apt:
        await pair(apt, archive)
    clock.advance(120)
    async with client(running) as apt:
        for number in (1, 2):
            published.append(archive.publish(TWO, modified=LATER + 1000 * number).release)
            signature = await apt.get(archive.url(archive.folder + "Release.gpg"))
            archive.publish(ONE, modified=LATER + 1000 * number + 500)
            clock.advance(1)
            listing = await apt.get(archive.url(archive.folder + "Release"))
            seen.append({"Release": listing.body, "Release.gpg": signature.body})
            clock.advance(120)

    assert published[1:] == seen


@pytest.mark.parametrize("root", ["/cuda/x86_64/", "/"])
async def test_suite__flat(origin: Origin, make_proxy: MakeProxy, root: str) -> None:
    """A flat repository is a suite in one folder, asked for with or without the dot that apt puts into the path."""
    archive = Archive(origin, root=root, flat=True, by_hash=False)
    running = await start(make_proxy, origin)
    package = deb("cuda", folder="./")
    archive.publish(package)
    origin.file(f"{root}cuda_1.0_amd64.deb", package.body)

    async with client(running) as apt:
        first = await update(apt, archive)
        after = archive.publish(package, TWO, modified=LATER)
        inrelease = await apt.get(archive.url(f"{root}./InRelease"))
        index = await apt.get(archive.url(f"{root}./Packages.gz"))
        file = await apt.get(archive.url(f"{root}./cuda_1.0_amd64.deb"))

    assert first[2]
    assert after.inrelease == inrelease.body
    assert after.indexes["Packages.gz"] == index.body
    assert package.body.size == len(file.body)


async def test_suite__mirror_that_lags(archive: Archive, make_proxy: MakeProxy) -> None:
    """A Release file older than the present one comes from a mirror that lags: it is not taken."""
    running = await start(make_proxy, archive.origin)
    old, new = archive.state(ONE), archive.state(TWO, modified=LATER)
    archive.show(new)

    async with client(running) as apt:
        await update(apt, archive)
        archive.show(old)
        inrelease, _, fits = await update(apt, archive)

    assert (new.inrelease, True) == (inrelease.body, fits)


async def test_suite__never_settles(bare: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """After half a day the new Release is taken as it is; what does not fit it is refused."""
    running = await start(make_clocked, bare.origin)
    bare.publish(ONE)
    after = bare.state(TWO, modified=LATER)

    async with client(running) as apt:
        await update(apt, bare)
        bare.show(after, indexes=False)
        await update(apt, bare)
        clock.advance(13 * 3600)
        inrelease, index, _ = await update(apt, bare)

    assert index is not None
    assert (after.inrelease, 503) == (inrelease.body, index.status)


async def test_down__served_until_valid_until(
    origin: Origin, make_clocked: MakeClocked, clock: SteppedClock, metric: Callable[..., float]
) -> None:
    """With upstream down the last snapshot is served at once, until clients would refuse it by its age."""
    archive = Archive(origin, valid_until=clock.now() + 3600)
    running = await start(make_clocked, origin)
    archive.publish(ONE)

    async with client(running) as apt:
        await update(apt, archive)
        await origin.stop()
        inrelease, _, fits = await update(apt, archive)
        clock.advance(3700)
        expired = await apt.get(archive.url(IN))

    assert ("stale", True) == (inrelease.headers["x-cache"], fits)
    assert 502 == expired.status
    assert "x-error" in expired.headers
    assert 1 == metric(running, "pullthrough_requests_total", upstream="apt", outcome="stale")


async def test_down__served_expired_if_a_setting_says_so(
    origin: Origin, make_clocked: MakeClocked, clock: SteppedClock
) -> None:
    """`apt.serve_expired` goes past Valid-Until."""
    archive = Archive(origin, valid_until=clock.now() + 3600)
    running = await start(make_clocked, origin, serve_expired=True)
    archive.publish(ONE)

    async with client(running) as apt:
        await update(apt, archive)
        await origin.stop()
        clock.advance(3700)
        _, _, fits = await update(apt, archive)
        inrelease = await apt.get(archive.url(IN))

    assert (200, "stale", True) == (inrelease.status, inrelease.headers["x-cache"], fits)


async def test_down__never_answers(archive: Archive, make_clocked: MakeClocked) -> None:
    """A client of a stored snapshot waits for a silent upstream for a moment only."""
    running = await start(make_clocked, archive.origin)
    archive.publish(ONE)
    gate = Gate()

    async with client(running) as apt:
        await update(apt, archive)
        archive.origin.misbehave(IN, hold_head(gate))
        inrelease, _, fits = await update(apt, archive)
        gate.open()

    assert ("stale", True) == (inrelease.headers["x-cache"], fits)


async def test_restart__upstream_down(archive: Archive, make_proxy: MakeProxy) -> None:
    """What an earlier run stored of a suite is served by the next one, with upstream gone."""
    running = await start(make_proxy, archive.origin)
    state = archive.publish(ONE)
    async with client(running) as apt:
        await update(apt, archive)
    await until_idle(running)
    await running.close()
    await archive.origin.stop()
    running = await start(make_proxy, archive.origin)

    async with client(running) as apt:
        inrelease, _, fits = await update(apt, archive)

    assert (state.inrelease, "stale", True) == (inrelease.body, inrelease.headers["x-cache"], fits)


async def test_restart__between_two_states(bare: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """The next run knows which indexes were used: it does not take a Release whose indexes are not there yet."""
    running = await start(make_clocked, bare.origin)
    before = bare.publish(ONE)
    async with client(running) as apt:
        await update(apt, bare)
    await until_idle(running)
    await running.close()
    bare.show(bare.state(TWO, modified=LATER), indexes=False)
    running = await start(make_clocked, bare.origin)

    async with client(running) as apt:
        inrelease, _, fits = await update(apt, bare)

    assert (before.inrelease, True) == (inrelease.body, fits)


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"", b"\xff\xfe", b"Package: no\n"])
async def test_release__something_else(archive: Archive, make_proxy: MakeProxy, body: bytes) -> None:
    """What is no Release file is an error when nothing is stored, and changes nothing when something is."""
    running = await start(make_proxy, archive.origin)
    archive.publish(ONE)
    archive.origin.misbehave(IN, other_body(body), without_headers("Last-Modified"), times=1)

    async with client(running) as apt:
        cold = await apt.get(archive.url(IN))
        await update(apt, archive)
        archive.origin.misbehave(IN, other_body(body), without_headers("Last-Modified"), status(200, body), times=1)
        inrelease, _, fits = await update(apt, archive)

    assert 502 == cold.status
    assert (200, True) == (inrelease.status, fits)


async def test_release__too_large(archive: Archive, make_proxy: MakeProxy) -> None:
    """More than apt would take is refused, however it is framed."""
    running = await start(make_proxy, archive.origin)
    archive.publish(ONE)
    archive.origin.file(IN, b"Suite: x\n" * 1_200_000, length=False)

    async with client(running) as apt:
        answer = await apt.get(archive.url(IN))

    assert (502, True) == (answer.status, "larger than" in answer.headers["x-error"])


async def test_release__cut(archive: Archive, make_proxy: MakeProxy) -> None:
    """A Release file that breaks off is not taken for one."""
    running = await start(make_proxy, archive.origin)
    archive.publish(ONE)
    archive.origin.misbehave(IN, cut(100), times=1)

    async with client(running) as apt:
        broken = await apt.get(archive.url(IN))
        inrelease, _, fits = await update(apt, archive)

    assert [502, 200] == [broken.status, inrelease.status]
    assert fits


@pytest.mark.parametrize("name", ["InRelease", "Release.gpg"])
async def test_release__cut_in_its_signature(origin: Origin, make_proxy: MakeProxy, name: str) -> None:
    """It is not taken for whole where no length says so, and the whole one stays when upstream confirms it."""
    archive = Archive(origin, inline=name == "InRelease")
    running = await start(make_proxy, origin)
    whole = archive.publish(ONE).release[name]
    url, listing = archive.url(archive.folder + name), archive.url(f"{archive.folder}Release")

    async def fetched(apt: Client, *headers: str) -> bytes:
        if name == "Release.gpg":
            await apt.get(listing, *headers)
        return (await apt.get(url, *headers)).body

    async with client(running) as apt:
        first = await fetched(apt)
        origin.misbehave(archive.folder + name, shorter(len(whole) - 20), until_close(), times=1)
        cut_off = await fetched(apt, "Cache-Control: no-cache")
        confirmed = await fetched(apt)

    assert [whole] * 3 == [first, cut_off, confirmed]


@pytest.mark.keeps_spool  # what broke off in the middle of a change may go on later
@pytest.mark.parametrize("seed", range(3))
async def test_suite__published_in_random_steps(
    archive: Archive, make_clocked: MakeClocked, clock: SteppedClock, seed: int
) -> None:
    """Whatever is published in whatever order, no client gets an index that its Release file does not list."""
    chance = random.Random(seed)
    running = await start(make_clocked, archive.origin)
    archive.publish(ONE)
    misses = updates = 0

    async def run(apt: Client) -> None:
        nonlocal misses, updates
        for _ in range(15):
            inrelease, index, fits = await update(apt, archive)
            updates += inrelease.status == 200 and index is not None and index.status == 200
            misses += not fits

    async def publish() -> None:
        for number in range(20):
            state = archive.state(*debs(chance), modified=LONG_AGO + number)
            halves: list[Callable[[], None]] = [
                lambda state=state: archive.show(state, indexes=False),  # type: ignore[misc]
                lambda state=state: archive.show(state, release=False),  # type: ignore[misc]
            ]
            chance.shuffle(halves)
            for half in halves:
                half()
                seen = len(archive.origin.requests)
                await archive.origin.until(lambda seen=seen: len(archive.origin.requests) > seen + 2)  # type: ignore[misc]
                clock.advance(chance.choice([0.5, 70]))

    async with client(running) as one, client(running) as two, client(running) as three:
        publishing = asyncio.create_task(publish())
        await asyncio.gather(run(one), run(two), run(three))
        publishing.cancel()
        await asyncio.wait([publishing])

    assert 0 == misses
    assert 0 < updates


def debs(chance: random.Random) -> list[Deb]:
    """Some packages."""
    return [deb(f"p{number}", version=str(chance.randrange(100))) for number in range(chance.randrange(1, 5))]
