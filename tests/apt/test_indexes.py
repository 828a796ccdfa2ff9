"""Indexes of suites, each stored under the digest that a snapshot lists."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.apt import release
from proxy.apt.indexes import Indexes, StoredIndex, arrived, host_of, index_key, stored_indexes
from proxy.apt.suites import Received, ReleaseForm, Snapshot
from proxy.errors import NotFound, UpstreamError, WrongBytes
from proxy.model import Digest, Entry, Source, Validator
from tests.apt.conftest import OLD, SITE, SUITE, WALL, World, content, listing, settle
from tests.cache.conftest import sha256
from tests.memory_store import MemoryStore, stored
from tests.memory_upstream import Scripted

PATH = "main/binary-amd64/Packages"
ONE, TWO = b"one" * 100, b"two" * 100
HASHED = f"main/binary-amd64/by-hash/SHA256/{sha256(ONE).value}"


def snapshot(body: bytes, *, by_hash: bool = False) -> Snapshot:
    """A snapshot that lists `body` at PATH."""
    text = listing({PATH: body}, by_hash=by_hash)
    entry = Entry("k", "http://x/", sha256(text), len(text), "", Validator(), WALL, WALL)
    return Snapshot(ReleaseForm.INLINE, Received(entry), release.parse(text, clearsigned=False))


@pytest.fixture
def indexes(world: World) -> Indexes:
    """Indexes of the suite."""
    return Indexes(world.downloads, world.store)


async def test_open__versions_lie_side_by_side(world: World, indexes: Indexes) -> None:
    """Each snapshot has its own index under one name."""
    for body in (ONE, TWO):
        world.put(PATH, body)
        await indexes.open(SUITE, snapshot(body), PATH, SITE)
    await settle(world)

    for body in (ONE, TWO):
        found, source = await indexes.open(SUITE, snapshot(body), PATH, SITE)
        assert (body, Source.CACHE) == (await content(world, found), source)


async def test_open__another_version_upstream(world: World, indexes: Indexes) -> None:
    """Bytes that the snapshot does not list are refused, and not stored."""
    for wrong in (TWO, TWO + b"!"):
        world.put(PATH, wrong)
        world.clock.advance(100)
        with pytest.raises(WrongBytes):
            await indexes.open(SUITE, snapshot(ONE), PATH, SITE)

    assert [] == indexes.cached(SUITE, snapshot(ONE))


async def test_open__by_hash_first(world: World, indexes: Indexes) -> None:
    """Where the snapshot says so the address by hash is tried first, and the plain name after it."""
    world.put(PATH, TWO)
    world.put(HASHED, ONE)
    found, _ = await indexes.open(SUITE, snapshot(ONE, by_hash=True), PATH, SITE)
    assert ONE == await content(world, found)
    assert [HASHED] == [ask.url.partition("stable/")[2] for ask in world.upstream.asks]


async def test_open__not_yet_by_hash(world: World, indexes: Indexes) -> None:
    """A mirror that lacks the address by hash may have the plain name."""
    world.put(PATH, ONE)

    found, _ = await indexes.open(SUITE, snapshot(ONE, by_hash=True), PATH, SITE)

    assert ONE == await content(world, found)


async def test_open__first_where_the_client_asked(world: World, indexes: Indexes) -> None:
    """The address that the client named is tried before the others."""
    other = replace(SUITE, path="elsewhere")
    world.upstream.on(other.url, Scripted(ONE))

    found, _ = await indexes.open(SUITE, snapshot(ONE), PATH, SITE, other.url)

    assert ONE == await content(world, found)


async def test_open__missing(indexes: Indexes) -> None:
    """What upstream does not have at all is not there."""
    with pytest.raises(NotFound):
        await indexes.open(SUITE, snapshot(ONE, by_hash=True), PATH, SITE)


async def test_open__broken_in_the_middle(world: World, indexes: Indexes) -> None:
    """An index is whole before its answer begins, so that a broken one is answered with an error."""
    world.upstream.on(replace(SUITE, path=SUITE.path + PATH).url, Scripted(ONE, cut=100))

    with pytest.raises(UpstreamError):
        await indexes.open(SUITE, snapshot(ONE), PATH, SITE)


@pytest.mark.parametrize("full", [False, True])
async def test_fetch(world: World, indexes: Indexes, full: bool) -> None:
    """Afterwards the index is here, or, where the disk takes nothing, known to be upstream with the right size."""
    if full:
        world.downloads._store = MemoryStore(limit=10)
    world.put(PATH, ONE)

    await indexes.fetch(SUITE, snapshot(ONE), PATH, SITE)

    with pytest.raises(WrongBytes):
        await indexes.fetch(SUITE, snapshot(TWO + b"!"), PATH, SITE)


async def test_dated(world: World, indexes: Indexes) -> None:
    """A date stands for an index if it is old, and no known version of that index has it too."""
    one, two = snapshot(ONE), snapshot(TWO)
    for body in (ONE, TWO):
        world.put(PATH, body)
        await indexes.open(SUITE, snapshot(body), PATH, SITE)
    await settle(world)
    listed = one.release.files[PATH]

    assert indexes.dated(SUITE, PATH, listed, [one], WALL)
    assert not indexes.dated(SUITE, PATH, listed, [one, two], WALL)
    assert not indexes.dated(SUITE, PATH, listed, [one], OLD + 5)
    assert not indexes.dated(replace(SUITE, path="x/"), PATH, listed, [one], WALL)


async def test_prune(world: World, indexes: Indexes) -> None:
    """Indexes that no known snapshot lists are dropped, those of other suites stay."""
    other = replace(SUITE, path="debian/dists/stable/updates/")
    for body in (ONE, TWO):
        world.put(PATH, body)
        world.put(f"updates/{PATH}", body)
        for suite in (SUITE, other):
            await indexes.open(suite, snapshot(body), PATH, SITE)
    await settle(world)

    await indexes.prune(SUITE, [snapshot(TWO)])

    assert [[], [PATH], [PATH]] == [
        indexes.cached(SUITE, snapshot(ONE)),
        indexes.cached(SUITE, snapshot(TWO)),
        indexes.cached(other, snapshot(ONE)),
    ]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("Packages", ("x.deb", "b/x.deb", "a/b/x.deb")),
        ("c/Packages", ("c/x.deb", "b/c/x.deb", "a/b/c/x.deb", "x.deb")),
    ],
)
def test_names__of_a_flat_repository(path: str, names: tuple[str, ...]) -> None:
    """Names are relative to the folder of the Release file, of the index, or to one above."""
    index = StoredIndex("key", replace(SUITE, path="a/b/"), path, "ab" * 32, 0.0)
    folder = "a/b/" + path.removesuffix("Packages")

    assert (names, ()) == index.names(f"{folder}x.deb")


@pytest.mark.parametrize(
    ("suite", "path", "address", "near", "beside"),
    [
        ("debian/dists/stable/", "main/binary-amd64/Packages", "debian/pool/x.deb", ("pool/x.deb",), ()),
        ("debian/dists/stable/", "main/binary-amd64/Packages", "ubuntu/pool/x.deb", (), ()),
        ("a/", "Packages.diff/Index", "a/Packages.diff/T-1.gz", ("T-1.gz",), ()),
        ("a/", "Packages.diff/Index", "a/x.deb", (), ()),
        ("debian/dists/s/", "main/Packages.diff/Index", "debian/dists/s/main/Packages.diff/T-1.gz", ("T-1.gz",), ()),
        ("a/", "Packages", "pool/x.deb", (), ("pool/x.deb",)),
        (None, "builds/Packages", "builds/x.deb", ("x.deb", "builds/x.deb"), ()),
        (None, "debian/dists/s/main/Packages", "debian/pool/x.deb", ("pool/x.deb",), ()),
        (None, "Packages", "x.deb", ("x.deb",), ()),
    ],
)
def test_names(suite: str | None, path: str, address: str, near: tuple[str, ...], beside: tuple[str, ...]) -> None:
    """File names are relative to the root of the archive, and those of patches to their own folder."""
    index = StoredIndex("key", replace(SUITE, path=suite) if suite is not None else None, path, "ab" * 32, 0.0)

    assert (near, beside) == index.names(address)


async def test_stored_indexes(world: World) -> None:
    """Indexes with and without a Release file are found again by their keys, with the time at which they arrived."""
    blob = await stored(world.store, b"x")
    listed = index_key(SUITE, "main/binary-amd64/Packages", Digest("sha512", "cd" * 64))
    alone = "apt:document:http://deb.example/builds/Packages.gz"
    others = ["apt:document:http://deb.example/key.asc", "apt:document:http://other.example/Packages"]
    for number, key in enumerate([listed, alone, *others]):
        await world.store.save(Entry(key, "", blob.digest, blob.size, "", Validator(), 5.0 + number, 9.0))

    assert [
        StoredIndex(listed, SUITE, "main/binary-amd64/Packages", "cd" * 64, 5.0),
        StoredIndex(alone, None, "builds/Packages.gz", blob.digest.value, 6.0),
    ] == list(stored_indexes(world.store, host_of(SUITE)))
    assert [5.0, 1.0] == [arrived(world.store, key, 1.0) for key in (listed, "key")]
