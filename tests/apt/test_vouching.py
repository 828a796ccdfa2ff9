"""Which indexes are believed of a file that several list, or that former ones do."""

from __future__ import annotations

import asyncio
import gzip
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from proxy.apt import catalog
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.policy import Policy
from proxy.apt.service import AptArchives
from proxy.cache.workers import Workers
from proxy.errors import DigestDiffers, NotFound, UpstreamError, WrongBytes
from proxy.model import Client, Query
from tests.apt.conftest import OLD, SUITE, WALL, World, content, inline, settle
from tests.archive import Deb, deb
from tests.memory_upstream import Scripted

PATH = "main/binary-amd64/Packages.gz"
OTHER = replace(SUITE, path="debian/dists/other/")
ONE, TWO = deb("demo", "one"), deb("demo", "two, longer")
POOL = ArchiveAddress("http", "deb.example", f"debian/{ONE.path}")


@pytest.fixture
async def archives(world: World) -> AsyncIterator[AptArchives]:
    """The room."""
    made = world.service()
    yield made
    await made.close()


def publish(world: World, package: Deb, suite: ArchiveAddress = SUITE, date: float = OLD, *others: Deb) -> None:
    """Let a suite list this package, and others; their files are not changed."""
    index = gzip.compress("\n".join(one.paragraph() for one in (package, *others)).encode(), mtime=0)
    below = "../" + suite.path.removeprefix("debian/dists/") if suite is not SUITE else ""
    for path, body in ((PATH, index), ("InRelease", inline({PATH: index}, date=date))):
        if below:
            world.upstream.on(replace(suite, path=suite.path + path).url, Scripted(body))
        else:
            world.put(path, body, modified=date)


def has(world: World, package: Deb) -> None:
    """Let upstream have its file."""
    world.upstream.on(POOL.url, Scripted(package.body.read(0, package.body.size)))


async def update(
    world: World, archives: AptArchives, memory: dict[str, str] | None = None, suite: ArchiveAddress = SUITE
) -> None:
    """What a client asks for before it asks for packages."""
    memory = {} if memory is None else memory
    for path in ("InRelease", PATH):
        address = replace(suite, path=suite.path + path)
        await archives.answer(Query(address, client=Client(str(id(memory)), handed_out=memory)))
    await settle(world)


async def get(world: World, archives: AptArchives, memory: dict[str, str] | None = None) -> bytes | type[Exception]:
    """The package, or what is raised."""
    memory = {} if memory is None else memory
    try:
        shown = await archives.answer(Query(POOL, client=Client(str(id(memory)), handed_out=memory)))
        body = await content(world, shown.body)
    except (NotFound, UpstreamError) as error:
        return type(error)
    await settle(world)
    return body


def body(package: Deb) -> bytes:
    """Its file."""
    return package.body.read(0, package.body.size)


async def test_two_suites(world: World, archives: AptArchives) -> None:
    """The client of the suite that is right gets the file, whatever others asked for, and so do strangers."""
    publish(world, ONE)
    publish(world, TWO, OTHER)
    has(world, ONE)
    mine: dict[str, str] = {}
    theirs: dict[str, str] = {}
    await update(world, archives, mine)
    await update(world, archives, theirs, OTHER)

    assert body(ONE) == await get(world, archives, {})
    assert body(ONE) == await get(world, archives, mine)
    assert body(ONE) == await get(world, archives, theirs)  # as without a cache; its client sees that it is another one


@pytest.mark.parametrize("content_", ["two, longer", "eno"], ids=["other-length", "same-length"])
async def test_two_suites__both_in_use(world: World, archives: AptArchives, content_: str) -> None:
    """Where a client's own indexes disagree, it gets what upstream has now, for this once only."""
    two = deb("demo", content_)
    publish(world, ONE)
    publish(world, two, OTHER)
    client: dict[str, str] = {}
    for suite in (SUITE, OTHER):
        await update(world, archives, client, suite)

    for package in (ONE, two, ONE):
        has(world, package)
        assert body(package) == await get(world, archives, client)
        shown = await archives.answer(Query(POOL, client=Client(str(id(client)), handed_out=client)))
        assert ("no-cache", 0.0) == (shown.cache_control, shown.fresh_until)


@pytest.mark.parametrize("content_", ["two, longer", "eno"], ids=["other-length", "same-length"])
async def test_one_index__several_of_one_name(world: World, archives: AptArchives, content_: str) -> None:
    """Where an index is appended to at each release, the client gets the one of its versions that upstream has."""
    two = deb("demo", content_)
    publish(world, ONE, SUITE, OLD, two)
    client: dict[str, str] = {}
    await update(world, archives, client)

    for package in (two, ONE, two):
        has(world, package)
        assert body(package) == await get(world, archives, client)
    has(world, deb("demo", "3"))
    world.clock.advance(100)
    assert body(two) == await get(world, archives, client)  # as long as it is here


async def test_two_suites__nothing_that_they_list(world: World, archives: AptArchives) -> None:
    """What neither lists is given to nobody."""
    publish(world, ONE)
    publish(world, TWO, OTHER)
    has(world, deb("demo", "three, the longest"))
    for suite in (SUITE, OTHER):
        await update(world, archives, suite=suite)

    assert WrongBytes is await get(world, archives)


async def test_replaced(world: World, archives: AptArchives) -> None:
    """A package that was replaced under its name is fetched again as soon as an index says so."""
    publish(world, ONE)
    has(world, ONE)
    old: dict[str, str] = {}
    await update(world, archives, old)
    assert body(ONE) == await get(world, archives, old)
    publish(world, TWO, date=OLD + 3600)
    has(world, TWO)
    assert body(ONE) == await get(world, archives, old)
    await update(world, archives)

    assert body(TWO) == await get(world, archives)
    assert body(TWO) == await get(world, archives, old)  # the one that its index lists is nowhere any more


async def test_replaced__before_anybody_asked_for_the_index(world: World, archives: AptArchives) -> None:
    """An index that was fetched with a new state counts, though no client was given it."""
    publish(world, ONE)
    has(world, ONE)
    await update(world, archives)
    assert body(ONE) == await get(world, archives)
    publish(world, TWO, date=OLD + 3600)
    has(world, TWO)
    await archives.answer(Query(replace(SUITE, path=SUITE.path + "InRelease"), client=Client("somebody")))
    await settle(world)

    assert body(TWO) == await get(world, archives)


async def test_replaced__after_a_restart(world: World) -> None:
    """A new process believes the same."""
    for number in range(4):
        package = deb("demo", f"bytes {number}")
        has(world, package)
        publish(world, package, date=OLD + 60 * number)
        archives = world.service(Policy(window=0.0))
        await update(world, archives)
        assert body(package) == await get(world, archives)
        await archives.close()
        world.clock.advance(1)

        archives = world.service(Policy(window=0.0))
        assert body(package) == await get(world, archives)
        await archives.close()


async def test_restart__waits_for_no_table(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared with all indexes that there are is given while they are read again; then it is compared."""
    publish(world, ONE)
    has(world, ONE)
    archives = world.service()
    await update(world, archives)
    assert body(ONE) == await get(world, archives)
    world.clock.advance(1)
    publish(world, ONE, SUITE, OLD + 3600, deb("another"))
    await update(world, archives)
    world.clock.advance(1)
    assert body(ONE) == await get(world, archives)  # compared with the new index
    asked = len(world.upstream.asks)
    await archives.close()

    again = world.service()
    monkeypatch.setattr(catalog, "_PATIENCE", 1e6)
    async with occupied(again._catalog._workers):  # who waits for a table waits for ever
        assert body(ONE) == await get(world, again)
        assert again._catalog._making._tasks
    while again._catalog._making._tasks:
        await asyncio.sleep(0)
    assert again._catalog._tables
    assert body(ONE) == await get(world, again)
    assert asked == len(world.upstream.asks)
    await again.close()


@asynccontextmanager
async def occupied(workers: Workers) -> AsyncIterator[None]:
    """Keep both threads of `workers` busy."""
    release = threading.Event()
    tasks = [asyncio.create_task(workers.run(release.wait)) for _ in range(2)]
    try:
        yield
    finally:
        release.set()
        await asyncio.gather(*tasks)


async def test_former__gone(world: World) -> None:
    """What only a former state lists may be gone: that says nothing against the present one."""
    archives = world.service(Policy(window=3600.0))
    publish(world, ONE)
    await update(world, archives)
    publish(world, deb("another"), date=OLD + 3600)
    world.clock.advance(3601)
    await update(world, archives)
    world.clock.advance(60)
    release = replace(SUITE, path=SUITE.path + "InRelease")
    asked = world.upstream.count(release.url)

    assert NotFound is await get(world, archives)
    await archives.answer(Query(release, client=Client("somebody")))

    assert asked == world.upstream.count(release.url)
    await archives.close()


async def test_removed_from_the_index(world: World, archives: AptArchives) -> None:
    """A package that the present index does not list any more is what the former one lists."""
    publish(world, ONE)
    has(world, ONE)
    await update(world, archives)
    publish(world, deb("another"), date=OLD + 3600)
    await update(world, archives)
    asked = world.upstream.count(POOL.url)

    assert body(ONE) == await get(world, archives)
    assert asked + 1 == world.upstream.count(POOL.url)


async def test_gone(world: World, archives: AptArchives) -> None:
    """Where upstream has not what an index lists, the suite is asked for anew, though its window is not over."""
    made = world.service(Policy(window=3600.0))
    publish(world, ONE)
    await update(world, made)
    world.clock.advance(60)
    world.upstream.on(POOL.url, Scripted(error=NotFound("gone")))
    assert NotFound is await get(world, made)
    release = replace(SUITE, path=SUITE.path + "InRelease")
    asked = world.upstream.count(release.url)

    await made.answer(Query(release, client=Client("somebody")))

    assert asked < world.upstream.count(release.url)
    await made.close()


async def test_beside(world: World, archives: AptArchives) -> None:
    """A file outside the flat repository that lists it lasts if it is what is listed; else it is confirmed."""
    package = deb("demo", "flat", folder="pool/")
    address = ArchiveAddress("http", "deb.example", "apt/pool/demo_1.0_amd64.deb")
    flat = ArchiveAddress("http", "deb.example", "apt/stable/")
    index = gzip.compress(package.paragraph().encode(), mtime=0)
    for path, content_ in (("Packages.gz", index), ("InRelease", inline({"Packages.gz": index}))):
        world.upstream.on(replace(flat, path=flat.path + path).url, Scripted(content_))
        await archives.answer(Query(replace(flat, path=flat.path + path)))
        await settle(world)

    for right, lasting in ((body(package), True), (b"another one", False)):
        world.upstream.on(address.url, Scripted(right))
        first = await archives.answer(Query(address, no_cache=True))
        assert right == await content(world, first.body)
        await settle(world)
        shown = await archives.answer(Query(address))
        assert (right, lasting) == (await content(world, shown.body), "immutable" in shown.cache_control)
        await settle(world)
        await world.store.forget(f"apt:file:{address.key}")
    assert WALL <= world.clock.now()


@pytest.mark.parametrize("seed", range(20))
async def test_any_history(world: World, seed: int) -> None:
    """Whoever has the lists of an archive that is whole gets its file, whatever others have asked for, and when."""
    rng = random.Random(seed)
    archives = world.service()
    suites = [SUITE, OTHER, ArchiveAddress("http", "deb.example", "debian/dists/third/")]
    clients: list[dict[str, str]] = [{} for _ in range(3)]
    date = OLD - 86_400
    shown: dict[str, Deb] = {}
    known: set[bytes] = set()
    for number in range(40):
        world.clock.advance(rng.choice([0.0, 1.0, 700.0]))
        match rng.choice(["publish", "publish", "update", "get", "restart", "evict"]):
            case "publish":
                # One suite is right about the file from now on; the others list what was there before.
                suite, date = rng.choice(suites), date + 60
                package = deb("demo", f"{number:04}" + "x" * rng.choice([0, 0, 5]))
                publish(world, package, suite, date)
                has(world, package)
                shown = {suite.key: package}
                known.add(body(package))
                client = rng.choice(clients)
                await update(world, archives, client, suite)
                assert body(package) == await get(world, archives, client), number
            case "update":
                with suppress(NotFound, UpstreamError):
                    await update(world, archives, rng.choice(clients), rng.choice(suites))
            case "get":
                got = await get(world, archives, rng.choice([*clients, {}]))
                assert got in known or got in {NotFound, WrongBytes, DigestDiffers}
            case "restart":
                await archives.close()
                archives = world.service()
            case "evict":
                await world.store.forget(rng.choice([*world.store.keys("apt:"), "nothing"]))
    for suite_key, package in shown.items():
        await update(world, archives, clients[0], next(one for one in suites if one.key == suite_key))
        assert body(package) == await get(world, archives, clients[0])
    await archives.close()
