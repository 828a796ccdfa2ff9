"""What the stored indexes say of a package."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.apt import catalog as module
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.catalog import Catalog, NotRead
from proxy.apt.release import Listed
from proxy.cache.flight import Flight, WantedFile
from proxy.model import Digest, Entry, Validator
from tests.apt.conftest import SITE, SUITE, World, settle
from tests.archive import Deb, deb
from tests.bodies import sha256
from tests.cache.conftest import sha256 as digest_of
from tests.memory_store import stored
from tests.memory_upstream import Gate, Scripted

PATH = "main/binary-amd64/Packages.gz"
DEMO = deb("demo")


def of(package: Deb, root: str = "debian/") -> ArchiveAddress:
    """Where a package is."""
    return ArchiveAddress("http", "deb.example", root + package.path)


def listed(package: Deb) -> Listed:
    """What an index says of it."""
    return Listed(package.body.size, Digest("sha256", sha256(package.body)))


async def keep(world: World, *debs: Deb, suite: ArchiveAddress = SUITE, path: str = PATH) -> Digest:
    """Put an index into the store, as `indexes` does."""
    blob = await stored(world.store, gzip.compress("\n".join(one.paragraph() for one in debs).encode(), mtime=0))
    key = f"apt:index:{suite.key}:{blob.digest.value}:{path}"
    now = world.clock.now()
    world.clock.advance(1)
    await world.store.save(Entry(key, "http://x/", blob.digest, blob.size, "", Validator(), now, now))
    return blob.digest


async def find(catalog: Catalog, address: ArchiveAddress) -> Listed | None:
    """What the latest index says of a file that lies where the index's files do."""
    return next((match.listed for match in await catalog.find(address) if match.near), None)


@pytest.fixture
async def catalog(world: World) -> AsyncIterator[Catalog]:
    """A catalog that knows nothing."""
    made = Catalog(world.store, world.clock)
    yield made
    await made.close()


async def test_find__learnt(world: World, catalog: Catalog) -> None:
    """What an index that was served says is found, by the package's full address."""
    catalog.learn(SUITE, PATH, await keep(world, DEMO))

    assert listed(DEMO) == await find(catalog, of(DEMO))
    assert await find(catalog, of(deb("other"))) is None
    assert await find(catalog, of(DEMO, "ubuntu/")) is None
    assert await find(catalog, replace(of(DEMO), host="other.example")) is None
    assert await find(catalog, replace(of(DEMO), scheme="https")) is None


async def test_served__table_is_made_at_once(world: World, catalog: Catalog) -> None:
    """Of an index that is being served the table is there when the first package is asked for."""
    digest = await keep(world, DEMO)
    blob = world.store.blob(digest)
    assert blob is not None
    catalog.served(SUITE, PATH, digest, blob)
    while not catalog._tables:
        await asyncio.sleep(0.01)

    assert listed(DEMO) == await find(catalog, of(DEMO))


async def test_served__before_the_store_has_it(world: World, catalog: Catalog) -> None:
    """An index that is on its way into the store is read from where it is."""
    body = gzip.compress(DEMO.paragraph().encode(), mtime=0)
    world.upstream.on("http://deb.example/Packages.gz", Scripted(body))
    wanted = WantedFile("key", "http://deb.example/Packages.gz", SITE, digest_of(body), len(body))
    flight, _ = await world.downloads.open(wanted)
    assert isinstance(flight, Flight)
    await flight.ended()

    catalog.served(SUITE, PATH, digest_of(body), flight)

    assert listed(DEMO) == await find(catalog, of(DEMO))


@pytest.mark.parametrize("comes", [True, False])
async def test_served__on_its_way_for_long(world: World, catalog: Catalog, comes: bool) -> None:
    """An index that comes while others ask for packages is known when it has come; nobody waits for it before."""
    body = gzip.compress(DEMO.paragraph().encode(), mtime=0)
    gate = Gate()
    url = "http://deb.example/Packages.gz"
    world.upstream.on(url, Scripted(body if comes else body[:-1], body_gate=gate, gate_at=9))
    wanted = WantedFile("key", url, SITE, digest_of(body), len(body))
    opening = asyncio.create_task(world.downloads.open(wanted))
    await gate.reached.wait()
    flight = world.downloads.running(wanted)
    assert flight is not None
    catalog.served(SUITE, PATH, digest_of(body), flight)
    between = [await find(catalog, of(one)) for one in (deb("other"), DEMO)]

    gate.open()
    await asyncio.gather(flight.ended(), opening, return_exceptions=True)
    await settle(world)

    assert [None, None] == between
    assert (listed(DEMO) if comes else None) == await find(catalog, of(DEMO))
    assert await find(catalog, of(deb("third"))) is None
    assert comes == bool(catalog._indexes["http://deb.example/"])


async def test_find__left_by_an_earlier_run(world: World, catalog: Catalog) -> None:
    """Indexes in the store are found without being served anew."""
    await keep(world, DEMO)
    await keep(world, deb("other"), suite=replace(SUITE, host="deb.example:8080"))

    assert listed(DEMO) == await find(catalog, of(DEMO))
    assert await find(catalog, of(deb("other"))) is None


async def test_find__newest_first(world: World, catalog: Catalog) -> None:
    """A flat repository that replaces a package under its name is believed in its newest index."""
    newer = deb("demo", b"other bytes")
    catalog.learn(SUITE, PATH, await keep(world, DEMO))
    catalog.learn(SUITE, PATH, await keep(world, newer))

    assert listed(newer) == await find(catalog, of(DEMO))


@pytest.mark.parametrize("root", ["cuda/x86_64/", "cuda/", ""])
async def test_find__flat(world: World, catalog: Catalog, root: str) -> None:
    """File names of a flat repository may be relative to any folder above its index."""
    suite = replace(SUITE, path="cuda/x86_64/")
    package = deb("demo", folder="./" + "cuda/x86_64/".removeprefix(root))
    catalog.learn(suite, "Packages.gz", await keep(world, package, suite=suite, path="Packages.gz"))

    found = await find(catalog, ArchiveAddress("http", "deb.example", "cuda/x86_64/demo_1.0_amd64.deb"))

    assert listed(package) == found


async def test_find__index_was_evicted(world: World, catalog: Catalog) -> None:
    """An index that is gone says nothing, and is not looked for again."""
    catalog.learn(SUITE, PATH, Digest("sha256", "ab" * 32))

    assert await find(catalog, of(DEMO)) is None
    assert {} == dict(catalog._indexes["http://deb.example/"])


async def test_find__damaged_index(world: World, catalog: Catalog) -> None:
    """An index that cannot be read says nothing."""
    blob = await stored(world.store, b"not packed")
    catalog.learn(SUITE, PATH, blob.digest)

    assert await find(catalog, of(DEMO)) is None


async def test_tables__are_bounded(world: World, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused table is dropped with its index, which is not read again before it is served again."""
    monkeypatch.setattr(module, "_BYTES", 100)
    digests = [await keep(world, deb(name), deb(f"{name}2")) for name in "abc"]
    for digest in digests:
        catalog.learn(SUITE, PATH, digest)
        await find(catalog, of(deb("a")))

    assert [digests[2].value] == list(catalog._tables)
    assert [digests[2].value] == [one.digest for one in catalog._indexes["http://deb.example/"].values()]
    assert 96 == catalog._bytes


async def test_find__order_survives_a_restart(world: World, catalog: Catalog) -> None:
    """Indexes are known by when they arrived, whatever their digests are."""
    for number in range(8):
        newest = deb("demo", f"bytes {number}")
        await keep(world, newest)

        again = Catalog(world.store, world.clock)
        found = await again.find(of(DEMO))
        await again.close()

        assert number + 1 == len(found)
        assert listed(newest) == found[0].listed


async def test_find__beside_a_flat_repository(world: World, catalog: Catalog) -> None:
    """A file above the folder of a flat repository may be of another one that lists it."""
    suite = replace(SUITE, path="repo/inner/")
    catalog.learn(suite, "Packages.gz", await keep(world, deb("x", folder="./"), suite=suite, path="Packages.gz"))

    found = await catalog.find(ArchiveAddress("http", "deb.example", "repo/x_1.0_amd64.deb"))

    assert [False] == [match.near for match in found]


async def test_served_alone(world: World, catalog: Catalog) -> None:
    """An index without a Release file says what is below its folder, until another one is in its place."""
    newer = deb("demo", "others", folder="./")
    index = ArchiveAddress("http", "deb.example", "builds/Packages")
    address = ArchiveAddress("http", "deb.example", "builds/demo_1.0_amd64.deb")
    key = f"apt:document:{index.key}"
    for package in (deb("demo", folder="./"), newer):
        blob = await stored(world.store, package.paragraph().encode())
        await world.store.save(Entry(key, index.url, blob.digest, blob.size, "", Validator(), 0.0, 0.0))
        catalog.served_alone(index, key, blob)
        assert [listed(package)] == [match.listed for match in await catalog.find(address)]

    again = Catalog(world.store, world.clock)
    assert listed(newer) == await find(again, address)
    await again.close()
    catalog.served_alone(index, key, b"")  # type: ignore[arg-type]
    assert [] == await catalog.find(address)


@pytest.mark.parametrize("comes", [True, False])
async def test_served_alone__on_its_way_for_long(world: World, catalog: Catalog, comes: bool) -> None:
    """An index without a Release file that its client did not wait for is known when all of it came."""
    package = deb("demo", folder="./")
    body, gate = package.paragraph().encode(), Gate()
    index = ArchiveAddress("http", "deb.example", "builds/Packages")
    address = ArchiveAddress("http", "deb.example", "builds/demo_1.0_amd64.deb")
    cut = None if comes else len(body) - 1
    world.upstream.on(index.url, Scripted(body, body_gate=gate, gate_at=9, cut=cut))
    wanted = WantedFile(f"apt:document:{index.key}", index.url, SITE, binary=False)
    opening = asyncio.create_task(world.downloads.open(wanted))
    await gate.reached.wait()
    flight = world.downloads.running(wanted)
    assert flight is not None
    catalog.served_alone(index, wanted.key, flight)
    before = await catalog.find(address)

    gate.open()
    await asyncio.gather(flight.ended(), opening, return_exceptions=True)
    await settle(world)

    assert [] == before
    assert ([listed(package)] if comes else []) == [match.listed for match in await catalog.find(address)]


async def test_unchanged(world: World, catalog: Catalog) -> None:
    """What was judged stands until an index of the host is learnt that was not known."""
    digest = await keep(world, DEMO)
    catalog.learn(SUITE, PATH, digest)
    unchanged = catalog.unchanged(of(DEMO))
    catalog.learn(SUITE, PATH, digest)
    catalog.learn(replace(SUITE, host="other.example"), PATH, digest)
    catalog.learn(SUITE, "main/Contents-amd64.gz", digest)
    assert unchanged()

    catalog.learn(SUITE, PATH, await keep(world, deb("demo", "others")))
    assert not unchanged()
    assert catalog.unchanged(of(DEMO))()


async def test_learn_stored(world: World, catalog: Catalog) -> None:
    """Only what is in the store, and not known yet, is news."""
    assert listed(DEMO) != await find(catalog, of(DEMO))
    digest = await keep(world, DEMO)
    assert [True, False] == [catalog.learn_stored(SUITE, PATH, digest) for _ in range(2)]
    assert not catalog.learn_stored(SUITE, PATH, Digest("sha256", "ab" * 32))
    assert listed(DEMO) == await find(catalog, of(DEMO))


async def test_find__read_again(world: World, catalog: Catalog) -> None:
    """After a start, indexes are read again; a file that was compared after the last of them arrived does not wait."""
    before = world.clock.now()
    await keep(world, DEMO)
    await keep(world, deb("other"), suite=replace(SUITE, path="ubuntu/dists/stable/"))

    with pytest.raises(NotRead):
        await catalog.find(of(DEMO), checked=before + 0.5)
    assert 1 == len(await catalog.find(of(DEMO), checked=before))
    assert 1 == len(await catalog.find(of(DEMO), checked=before + 0.5))


async def test_hosts__are_bounded(world: World, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of hosts that somebody makes up do not fill the memory."""
    monkeypatch.setattr(module, "_HOSTS", 3)
    for number in range(10):
        await find(catalog, replace(of(DEMO), host=f"h{number}.example"))

    assert 3 == len(catalog._indexes)


async def test_imported__index_that_no_client_asked_for(catalog: Catalog, world: World) -> None:
    """An index that was put into the store by an import is found, and answers that stood before are looked at again."""
    await keep(world, DEMO)
    other = deb("other")
    assert listed(DEMO) == await find(catalog, of(DEMO))
    assert await find(catalog, of(other)) is None
    unchanged = catalog.unchanged(of(DEMO))

    await keep(world, DEMO, other)
    assert await find(catalog, of(other)) is None
    catalog.imported()

    assert listed(other) == await find(catalog, of(other))
    assert not unchanged()
