"""What the kept indexes say of a package."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.apt import catalog as module
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.catalog import Catalog
from proxy.apt.release import Listed
from proxy.cache.flight import Flight, Wanted
from proxy.cache.following import landing
from proxy.model import Digest, Entry, Validator
from tests.apt.conftest import SITE, SUITE, World
from tests.archive import Deb, deb
from tests.bodies import sha256
from tests.cache.conftest import sha256 as digest_of
from tests.memory_upstream import Scripted

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
    blob = await world.store.put(gzip.compress("\n".join(one.paragraph() for one in debs).encode(), mtime=0))
    key = f"apt:index:{suite.key}:{blob.digest.value}:{path}"
    await world.store.save(Entry(key, "http://x/", blob.digest, blob.size, "", Validator(), 0.0, 0.0))
    return blob.digest


@pytest.fixture
async def catalog(world: World) -> AsyncIterator[Catalog]:
    """A catalog that knows nothing."""
    made = Catalog(world.store)
    yield made
    await made.close()


async def test_find__learnt(world: World, catalog: Catalog) -> None:
    """What an index that was served says is found, by the package's full address."""
    catalog.learn(SUITE, PATH, await keep(world, DEMO))

    assert listed(DEMO) == await catalog.find(of(DEMO), wait=True)
    assert await catalog.find(of(deb("other")), wait=True) is None
    assert await catalog.find(of(DEMO, "ubuntu/"), wait=True) is None
    assert await catalog.find(replace(of(DEMO), host="other.example"), wait=True) is None
    assert await catalog.find(replace(of(DEMO), scheme="https"), wait=True) is None


async def test_served__table_is_made_at_once(world: World, catalog: Catalog) -> None:
    """Of an index that is being served the table is there when the first package is asked for."""
    digest = await keep(world, DEMO)
    blob = world.store.blob(digest)
    assert blob is not None
    catalog.served(SUITE, PATH, digest, blob)
    while not catalog._tables:
        await asyncio.sleep(0.01)

    assert listed(DEMO) == await catalog.find(of(DEMO), wait=False)


async def test_served__before_the_store_has_it(world: World, catalog: Catalog) -> None:
    """An index that is on its way into the store is read from where it is."""
    body = gzip.compress(DEMO.paragraph().encode(), mtime=0)
    world.upstream.on("http://deb.example/Packages.gz", Scripted(body))
    wanted = Wanted("key", "http://deb.example/Packages.gz", SITE, digest_of(body), len(body))
    flight, _ = await world.downloads.open(wanted)
    assert isinstance(flight, Flight)
    await landing(flight)

    catalog.served(SUITE, PATH, digest_of(body), flight)

    assert listed(DEMO) == await catalog.find(of(DEMO), wait=True)


async def test_find__left_by_an_earlier_run(world: World, catalog: Catalog) -> None:
    """Indexes in the store are found without being served anew."""
    await keep(world, DEMO)
    await keep(world, deb("other"), suite=replace(SUITE, host="deb.example:8080"))

    assert listed(DEMO) == await catalog.find(of(DEMO), wait=True)
    assert await catalog.find(of(deb("other")), wait=True) is None


async def test_find__newest_first(world: World, catalog: Catalog) -> None:
    """A flat repository that replaces a package under its name is believed in its newest index."""
    newer = deb("demo", b"other bytes")
    catalog.learn(SUITE, PATH, await keep(world, DEMO))
    catalog.learn(SUITE, PATH, await keep(world, newer))

    assert listed(newer) == await catalog.find(of(DEMO), wait=True)


@pytest.mark.parametrize("root", ["cuda/x86_64/", "cuda/", ""])
async def test_find__flat(world: World, catalog: Catalog, root: str) -> None:
    """File names of a flat repository may be relative to any folder above its index."""
    suite = replace(SUITE, path="cuda/x86_64/")
    package = deb("demo", folder="./" + "cuda/x86_64/".removeprefix(root))
    catalog.learn(suite, "Packages.gz", await keep(world, package, suite=suite, path="Packages.gz"))

    found = await catalog.find(ArchiveAddress("http", "deb.example", "cuda/x86_64/demo_1.0_amd64.deb"), wait=True)

    assert listed(package) == found


async def test_find__does_not_wait(world: World, catalog: Catalog) -> None:
    """Who has the package already does not wait for a table; it is made meanwhile."""
    catalog.learn(SUITE, PATH, await keep(world, DEMO))

    assert await catalog.find(of(DEMO), wait=False) is None
    while not catalog._tables:
        await asyncio.sleep(0.01)
    assert listed(DEMO) == await catalog.find(of(DEMO), wait=False)


async def test_find__index_was_evicted(world: World, catalog: Catalog) -> None:
    """An index that is gone says nothing, and is not looked for again."""
    catalog.learn(SUITE, PATH, Digest("sha256", "ab" * 32))

    assert await catalog.find(of(DEMO), wait=True) is None
    assert {} == dict(catalog._sources["http://deb.example/"])


async def test_find__damaged_index(world: World, catalog: Catalog) -> None:
    """An index that cannot be read says nothing."""
    blob = await world.store.put(b"not packed")
    catalog.learn(SUITE, PATH, blob.digest)

    assert await catalog.find(of(DEMO), wait=True) is None


async def test_tables__are_bounded(world: World, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused table is dropped with its index, which is not read again before it is served again."""
    monkeypatch.setattr(module, "_BYTES", 100)
    digests = [await keep(world, deb(name), deb(f"{name}2")) for name in "abc"]
    for digest in digests:
        catalog.learn(SUITE, PATH, digest)
        await catalog.find(of(deb("a")), wait=True)

    assert [digests[2].value] == list(catalog._tables)
    assert [digests[2].value] == list(catalog._sources["http://deb.example/"])
    assert 96 == catalog._bytes


async def test_hosts__are_bounded(world: World, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of hosts that somebody makes up do not fill the memory."""
    monkeypatch.setattr(module, "_HOSTS", 3)
    for number in range(10):
        await catalog.find(replace(of(DEMO), host=f"h{number}.example"), wait=True)

    assert 3 == len(catalog._sources)
