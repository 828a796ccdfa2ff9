"""What would happen at addresses of archives, by what is stored."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.catalog import Catalog
from proxy.apt.forecasts import ArchiveForecasts
from proxy.apt.policy import Archive, Policy
from proxy.cache.forecast import DecidingSetting, Verdict
from proxy.config.addresses import UrlPrefix
from proxy.model import Digest, Entry, Outcome, Query, Validator
from tests.apt.conftest import SUITE, World, inline
from tests.archive import Deb, deb
from tests.bodies import pieces, sha256
from tests.memory_store import stored

_WINDOW = 20.0
_DEMO = deb("demo")
_AT = ArchiveAddress("http", "deb.example", f"debian/{_DEMO.path}")
_INDEX = SUITE.at(f"{SUITE.path}main/binary-amd64/Packages.gz")


@pytest.fixture
async def catalog(world: World) -> AsyncIterator[Catalog]:
    """What stored indexes say."""
    made = Catalog(world.store, world.clock)
    yield made
    await made.close()


@pytest.fixture
def forecasts(world: World, catalog: Catalog) -> ArchiveForecasts:
    """Those of archives that the settings say nothing of."""
    return ArchiveForecasts(Policy(window=_WINDOW), world.store, catalog, world.clock)


async def _hold(world: World, key: str, body: bytes, promised: Digest | None = None) -> Entry:
    """Have a body stored, confirmed now."""
    blob, now = await stored(world.store, body), world.clock.now()
    entry = Entry(key, "http://deb.example/", blob.digest, blob.size, "", Validator(), now, now, promised)
    await world.store.save(entry)
    return entry


async def _index(world: World, *debs: Deb, suite: ArchiveAddress = SUITE) -> Entry:
    body = gzip.compress("\n".join(one.paragraph() for one in debs).encode(), mtime=0)
    digest = hashlib.sha256(body).hexdigest()
    return await _hold(world, f"apt:index:{suite.key}:{digest}:main/binary-amd64/Packages.gz", body)


async def test_of__release(world: World, forecasts: ArchiveForecasts) -> None:
    """Within its window a state of a suite is sent as it is; after that upstream is asked."""
    at = SUITE.at(f"{SUITE.path}InRelease")
    missing = await forecasts.of(at)
    await _hold(world, f"apt:release:{SUITE.key}:InRelease", inline({}))
    fresh = await forecasts.of(at)
    world.clock.advance(_WINDOW)
    old = await forecasts.of(at)

    assert [Verdict.FETCH, Verdict.HIT, Verdict.REVALIDATE] == [one.verdict for one in (missing, fresh, old)]
    assert (DecidingSetting("apt.window", "20s"),) == old.settings
    assert ("release", "apt", "/deb.example/debian/dists/stable/InRelease") == (old.kind, old.mount, old.address)
    assert "http://deb.example/debian/dists/stable/InRelease" == old.upstream
    assert Verdict.FETCH is (await forecasts.of(SUITE.at(f"{SUITE.path}Release"))).verdict


async def test_of__release_in_a_running_cache(world: World) -> None:
    """What the cache confirmed in memory counts; the store learns of it later."""
    policy = Policy(window=_WINDOW)
    service = world.service(policy)
    world.put("InRelease", inline({}))
    at = SUITE.at(f"{SUITE.path}InRelease")
    for _ in range(2):
        await service.answer(Query(at))
        world.clock.advance(_WINDOW)
    await service.answer(Query(at))
    entry = world.store.find(f"apt:release:{SUITE.key}:InRelease")
    assert entry is not None
    assert entry.checked < world.clock.now() - _WINDOW

    found = await service.forecasts().of(at)

    assert Verdict.HIT is found.verdict
    assert found.stored is not None
    assert world.clock.now() == found.stored.confirmed
    await service.close()


async def test_of__index(world: World, forecasts: ArchiveForecasts) -> None:
    """No Release file is known; one is; the index is stored."""
    said = [await forecasts.of(_INDEX)]
    await _hold(world, f"apt:release:{SUITE.key}:InRelease", inline({}))
    said.append(await forecasts.of(_INDEX))
    entry = await _index(world, _DEMO)
    said.append(await forecasts.of(_INDEX))

    assert [Verdict.FETCH, Verdict.FETCH, Verdict.HIT] == [one.verdict for one in said]
    assert [0, 1, 1] == [len(one.pages) for one in said]
    assert ["document", "index", "index"] == [one.kind for one in said]
    assert str(entry.digest) == said[2].promised


async def test_of__index_without_a_release_file(world: World, forecasts: ArchiveForecasts) -> None:
    """A file that changes under its name is confirmed in each window."""
    await _hold(world, f"apt:document:{_INDEX.key}", b"x")
    assert Verdict.HIT is (await forecasts.of(_INDEX)).verdict
    world.clock.advance(_WINDOW)
    assert Verdict.REVALIDATE is (await forecasts.of(_INDEX)).verdict


async def test_of__by_hash(world: World, forecasts: ArchiveForecasts) -> None:
    """Its name says what it must be."""
    entry = await _index(world, _DEMO)
    other = SUITE.at(f"{SUITE.path}main/binary-amd64/by-hash/SHA256/{'ab' * 32}")
    same = replace(other, path=f"{SUITE.path}main/binary-amd64/by-hash/SHA256/{entry.digest.value}")

    assert [Verdict.FETCH, Verdict.HIT] == [(await forecasts.of(one)).verdict for one in (other, same)]
    assert f"sha256={'ab' * 32}" == (await forecasts.of(other)).promised


async def test_of__package(world: World, forecasts: ArchiveForecasts) -> None:
    """An index lists it; it is stored; what is stored is another one."""
    await _index(world, _DEMO)
    missing = await forecasts.of(_AT)
    await _hold(world, f"apt:file:{_AT.key}", b"".join(pieces(_DEMO.body)))
    there = await forecasts.of(_AT)
    await _hold(world, f"apt:file:{_AT.key}", b"another file")
    other = await forecasts.of(_AT)

    assert [Verdict.FETCH, Verdict.HIT, Verdict.FETCH] == [one.verdict for one in (missing, there, other)]
    assert {f"sha256={sha256(_DEMO.body)}"} == {one.promised for one in (missing, there, other)}
    assert ["/deb.example/debian/dists/stable/main/binary-amd64/Packages.gz"] == [page.path for page in there.pages]


async def test_of__package_stored_under_another_address(world: World, forecasts: ArchiveForecasts) -> None:
    """An import, or another archive, may have brought the bytes that an index lists: the service gives them."""
    entry = await _index(world, _DEMO)
    await stored(world.store, b"".join(pieces(_DEMO.body)))
    by_hash = SUITE.at(f"{SUITE.path}main/binary-amd64/by-hash/SHA256/{entry.digest.value}")
    elsewhere = replace(by_hash, host="mirror.example")
    service = world.service(Policy(window=_WINDOW))
    for at in (_AT, elsewhere):
        found = await forecasts.of(at)
        assert (Verdict.HIT, "under another address" in found.why[0]) == (found.verdict, True)
        assert Outcome.HIT is (await service.answer(Query(at))).outcome
    await service.close()


async def test_of__package_of_several_digests(world: World, forecasts: ArchiveForecasts) -> None:
    """Two suites may list one path with two digests."""
    await _index(world, _DEMO)
    twin = replace(_DEMO, body=deb("demo", b"another").body)
    await _index(world, twin, suite=SUITE.at("debian/dists/testing/"))
    await _hold(world, f"apt:file:{_AT.key}", b"".join(pieces(_DEMO.body)))

    found = await forecasts.of(_AT)

    assert (Verdict.HIT, 2) == (found.verdict, len(found.pages))
    assert "several digests" in found.why[1]


async def test_of__package_whose_digest_is_of_another_kind(world: World, forecasts: ArchiveForecasts) -> None:
    """What was not measured in that algorithm is hashed."""
    at = SUITE.at(f"{SUITE.path}main/binary-amd64/by-hash/SHA512/{'ab' * 64}")
    await _hold(world, f"apt:file:{at.key}", b"x")
    found = await forecasts.of(at)
    assert (Verdict.HIT, True) == (found.verdict, "hashed first" in found.why[0])


async def test_of__package_that_no_index_lists(world: World, forecasts: ArchiveForecasts) -> None:
    """It is confirmed in each window."""
    assert Verdict.FETCH is (await forecasts.of(_AT)).verdict
    await _hold(world, f"apt:file:{_AT.key}", b"x", Digest("sha256", "ab" * 32))
    found = await forecasts.of(_AT)
    assert (Verdict.HIT, f"sha256={'ab' * 32}") == (found.verdict, found.promised)
    world.clock.advance(_WINDOW)
    assert Verdict.REVALIDATE is (await forecasts.of(_AT)).verdict


async def test_of__refused(world: World, catalog: Catalog) -> None:
    """Another host than the settings name, another port, and a path that archives do not have."""
    policy = Policy(hosts=frozenset({"deb.example"}))
    forecasts = ArchiveForecasts(policy, world.store, catalog, world.clock)
    asked = {
        replace(_AT, host="other.example"): DecidingSetting("apt.hosts", "deb.example"),
        replace(_AT, path="index.html"): DecidingSetting("apt.paths", "(none)"),
    }
    for address, setting in asked.items():
        found = await forecasts.of(address)
        assert (Verdict.REFUSE, (setting,)) == (found.verdict, found.settings)
        assert not forecasts.takes(address)
    assert forecasts.takes(_AT)


async def test_of__archive_of_the_settings(world: World, catalog: Catalog) -> None:
    """Its own window, and what clients with credentials get."""
    archive = Archive(UrlPrefix.read("http://deb.example/debian/"), client_credentials=True, window=60.0)
    forecasts = ArchiveForecasts(Policy(archives=(archive,)), world.store, catalog, world.clock)
    found = await forecasts.of(_AT)
    assert (DecidingSetting("[[archive]] deb.example, window", "1m"),) == found.settings
    assert "passes through" in found.why[-1]
