"""What is answered at each address of an archive."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.apt import retries, snapshots
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.indexes import document_key
from proxy.apt.policy import Policy
from proxy.apt.service import AptArchives
from proxy.cache import freshness, revalidation
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import NotAllowed, NotFound, Unsettled, UpstreamTimeout, UpstreamUnreachable, WrongBytes
from proxy.events import UpstreamFailed
from proxy.model import Client, Kind, Outcome, Query, Span
from tests.apt.conftest import OLD, SUITE, World, beside, content, inline, listing, settle
from tests.archive import deb, signed
from tests.cache.conftest import sha256
from tests.memory_upstream import Gate, Scripted

PATH = "main/binary-amd64/Packages.gz"
DEMO = deb("demo")
BODY = DEMO.body.read(0, DEMO.body.size)
ONE = gzip.compress(DEMO.paragraph().encode(), mtime=0)
TWO = gzip.compress(deb("other").paragraph().encode(), mtime=0)
POOL = ArchiveAddress("http", "deb.example", f"debian/{DEMO.path}")


@pytest.fixture
async def archives(world: World) -> AsyncIterator[AptArchives]:
    """The room."""
    made = world.service()
    yield made
    await made.close()


def below(path: str) -> ArchiveAddress:
    """An address below the suite."""
    return replace(SUITE, path=SUITE.path + path)


async def ask(archives: AptArchives, address: ArchiveAddress, memory: dict[str, str] | None = None) -> Representation:
    """What a client is answered, on a connection of its own unless `memory` says on which."""
    return await archives.answer(
        Query(address, client=Client(str(id(memory)), handed_out={} if memory is None else memory))
    )


async def test_kinds(world: World, archives: AptArchives) -> None:
    """Each class of files has its kind for the metrics, and all count for `apt`."""
    world.put("InRelease", inline({PATH: ONE}))
    world.put(PATH, ONE)
    world.put("main/installer-amd64/x", b"x")
    world.upstream.on(POOL.url, Scripted(BODY))

    shown = [
        await ask(archives, one) for one in (below("InRelease"), below(PATH), POOL, below("main/installer-amd64/x"))
    ]

    assert [Kind.RELEASE, Kind.INDEX, Kind.FILE, Kind.OTHER] == [one.kind for one in shown]
    assert {"apt"} == {one.mount for one in shown}
    assert [0.0, 0.0, 0.0] == [one.fresh_until for one in shown if one.kind is not Kind.FILE]


async def test_https(world: World, archives: AptArchives) -> None:
    """An https archive is asked by https, and shares nothing with the http one."""
    secure = replace(POOL, scheme="https")
    world.upstream.on(POOL.url, Scripted(b"http"))
    world.upstream.on(secure.url, Scripted(b"https"))

    for address, body in ((POOL, b"http"), (secure, b"https")):
        assert body == await content(world, (await ask(archives, address)).body)


async def test_package__digest_of_the_index(world: World, archives: AptArchives) -> None:
    """The index that was served says what a package has to be."""
    world.put("InRelease", inline({PATH: ONE}))
    world.put(PATH, ONE)
    await ask(archives, below(PATH))
    await settle(world)
    world.upstream.on(POOL.url, Scripted(b"something else"))

    with pytest.raises(WrongBytes):
        await ask(archives, POOL)
    world.upstream.on(POOL.url, Scripted(BODY))
    world.clock.advance(100)
    assert BODY == await content(world, (await ask(archives, POOL)).body)


async def test_package__replaced_under_its_name(world: World, archives: AptArchives) -> None:
    """A repository that replaces a package under its name is served anew once the index says so."""
    world.upstream.on(POOL.url, Scripted(b"old"))
    assert b"old" == await content(world, (await ask(archives, POOL)).body)
    await settle(world)
    world.put("InRelease", inline({PATH: ONE}))
    world.put(PATH, ONE)
    await ask(archives, below(PATH))
    await settle(world)
    world.upstream.on(POOL.url, Scripted(BODY))
    await archives._catalog.find(POOL)

    assert BODY == await content(world, (await ask(archives, POOL)).body)


async def test_index__without_having_asked_for_the_release(world: World, archives: AptArchives) -> None:
    """A client that has the Release file from elsewhere gets the index that upstream's lists."""
    world.put("InRelease", inline({PATH: ONE}))
    world.put(PATH, ONE)

    assert ONE == await content(world, (await ask(archives, below(PATH))).body)


async def test_index__suite_with_two_names(world: World, archives: AptArchives) -> None:
    """`buster/updates` is a suite although `buster` has no Release file."""
    body = inline({"updates/x": b"", PATH: ONE})
    world.put("updates/InRelease", body)
    world.put(f"updates/{PATH}", ONE)

    assert Kind.INDEX is (await ask(archives, below(f"updates/{PATH}"))).kind


async def test_index__no_release_file(world: World, archives: AptArchives) -> None:
    """An archive without Release files is served as upstream has it."""
    world.put(PATH, ONE)

    shown = await ask(archives, below(PATH))

    assert (Kind.OTHER, ONE) == (shown.kind, await content(world, shown.body))


async def test_index__part_of_one_without_a_release_file(world: World, archives: AptArchives) -> None:
    """A part of an index that is not here any more says nothing new of packages."""
    world.put(PATH, ONE)
    await ask(archives, below(PATH))
    await settle(world)
    known = await archives._catalog.find(POOL)
    await world.store.forget(document_key(below(PATH)))

    part = await archives.answer(Query(below(PATH), span=Span(0, 9)))

    assert isinstance(part.body, Passthrough)
    await part.body.close()
    assert 1 == len(known)
    assert known == await archives._catalog.find(POOL)


async def test_index__not_listed(world: World, archives: AptArchives) -> None:
    """What the Release file does not list cannot be of another state: it is passed on."""
    world.put("InRelease", inline({PATH: ONE}))
    world.put("main/Contents-amd64.gz", b"contents")

    shown = await ask(archives, below("main/Contents-amd64.gz"))

    assert (Kind.OTHER, b"contents") == (shown.kind, await content(world, shown.body))


async def test_index__release_cannot_be_had(world: World, archives: AptArchives) -> None:
    """Without a Release file, and no copy, the answer is the error."""
    world.upstream.on(below("InRelease").url, Scripted(error=UpstreamUnreachable("gone")))

    with pytest.raises(UpstreamUnreachable):
        await ask(archives, below(PATH))


async def test_index__unsettled(world: World, archives: AptArchives) -> None:
    """A Release file and an index that stay apart are an error of their own, and counted."""
    world.put("InRelease", inline({PATH: ONE}))
    world.put(PATH, TWO + b"!")

    with pytest.raises(Unsettled):
        await ask(archives, below(PATH))
    assert UpstreamFailed("apt", "unsettled") in world.seen


async def test_index__release_is_looked_at_again(world: World, archives: AptArchives) -> None:
    """Where an index does not fit, a newer Release file may: a client that was given none gets that pair."""
    world.upstream.on(below("InRelease").url, Scripted(inline({PATH: ONE})), Scripted(inline({PATH: TWO})))
    world.put(PATH, TWO)

    shown = await ask(archives, below(PATH))

    assert TWO == await content(world, shown.body)


async def test_given__forgotten(world: World, archives: AptArchives) -> None:
    """A client whose snapshot is not known any more has to ask again; it never gets another's index."""
    world.put("InRelease", inline({PATH: ONE}))
    world.put(PATH, ONE)
    memory: dict[str, str] = {}
    await ask(archives, below("InRelease"), memory)
    memory[SUITE.key] = "ab" * 32

    with pytest.raises(Unsettled):
        await ask(archives, below(PATH), memory)
    await ask(archives, below("InRelease"), memory)
    assert ONE == await content(world, (await ask(archives, below(PATH), memory)).body)


async def test_given__not_by_head(world: World, archives: AptArchives) -> None:
    """A client that asks for the head only was given nothing."""
    world.put("InRelease", inline({PATH: ONE}))
    memory: dict[str, str] = {}

    await archives.answer(Query(below("InRelease"), method="HEAD", client=Client(handed_out=memory)))

    assert {} == memory


async def test_by_hash__of_a_known_index(world: World, archives: AptArchives) -> None:
    """A file by hash is the index of that digest: fetched once under either name."""
    hashed = f"main/binary-amd64/by-hash/SHA256/{sha256(ONE).value}"
    world.put("InRelease", inline({PATH: ONE}, by_hash=True))
    world.put(hashed, ONE)
    await ask(archives, below("InRelease"))

    shown = [await ask(archives, below(path)) for path in (hashed, PATH)]

    assert [(Kind.INDEX, ONE)] * 2 == [(one.kind, await content(world, one.body)) for one in shown]
    assert [3600.0, 0.0] == [max(one.fresh_until - world.clock.monotonic(), 0.0) for one in shown]


async def test_by_hash__unknown(world: World, archives: AptArchives) -> None:
    """A file by hash of which no Release file is known is checked by its name."""
    hashed = f"main/binary-amd64/by-hash/SHA256/{sha256(ONE).value}"
    world.put(hashed, ONE)
    assert ONE == await content(world, (await ask(archives, below(hashed))).body)
    await settle(world)
    wrong = f"main/binary-amd64/by-hash/SHA256/{sha256(TWO).value}"
    world.put(wrong, ONE)

    with pytest.raises(WrongBytes):
        await ask(archives, below(wrong))


async def test_by_hash__never_another_index(world: World, archives: AptArchives) -> None:
    """Where upstream has other bytes under a digest that is listed, no other index takes their place: it may pass."""
    hashed = f"main/binary-amd64/by-hash/SHA256/{sha256(ONE).value}"
    world.upstream.on(below("InRelease").url, Scripted(inline({PATH: ONE})), Scripted(inline({PATH: TWO})))
    for path in (hashed, PATH):
        world.put(path, TWO)
    memory: dict[str, str] = {}
    await ask(archives, below("InRelease"), memory)

    with pytest.raises(Unsettled):
        await ask(archives, below(hashed), memory)
    assert UpstreamFailed("apt", "unsettled") in world.seen


async def test_prefetch__packages_only(world: World, archives: AptArchives) -> None:
    """Of what waits, downloads of packages begin; indexes, and what is not allowed, do not."""
    world.upstream.on(POOL.url, Scripted(BODY))
    other = replace(POOL, host="deb.example:8080")

    archives.prefetch([below("InRelease"), below(PATH), other, replace(POOL, path="index.html"), POOL])
    shown = await ask(archives, POOL)

    assert BODY == await content(world, shown.body)
    assert {POOL.url} == {asked.url for asked in world.upstream.asks}


async def test_signature__missing(world: World, archives: AptArchives) -> None:
    """Of a Release file without a signature, the signature is not found."""
    world.put("Release", listing({PATH: ONE}))

    await ask(archives, below("Release"))
    with pytest.raises(NotFound):
        await ask(archives, below("Release.gpg"))


async def test_document__page_in_its_place(world: World, archives: AptArchives) -> None:
    """The page of a portal does not take the place of a document."""
    key = ArchiveAddress("http", "deb.example", "keys/archive.asc")
    world.upstream.on(key.url, Scripted(b"key"), Scripted(b"<html>", headers={"Content-Type": "text/html; x=y"}))

    first = await ask(archives, key)
    await settle(world)
    second = await ask(archives, key)

    assert [Outcome.MISS, Outcome.STALE] == [first.outcome, second.outcome]
    assert b"key" == await content(world, second.body)


async def test_refused(world: World) -> None:
    """Hosts, ports and paths that the settings do not open are not asked."""
    archives = world.service(Policy(frozenset({"deb.example"})))
    for address in (
        ArchiveAddress("http", "other.example", POOL.path),
        ArchiveAddress("http", "deb.example:8080", POOL.path),
        ArchiveAddress("http", "deb.example", "index.html"),
    ):
        with pytest.raises(NotAllowed):
            await ask(archives, address)

    assert [] == world.upstream.asks
    await archives.close()


async def test_signature__lost(world: World) -> None:
    """When the disk lost a signature, it comes from upstream, or is an error; no client is told that there is none."""
    archives = world.service(Policy(window=100.0))
    body = listing({PATH: ONE})
    world.put("Release", body)
    world.put("Release.gpg", beside(body))
    given: dict[str, str] = {}

    async def lose() -> None:
        await ask(archives, below("Release"), given)
        for key in world.store.keys("apt:signature:"):
            await world.store.forget(key)

    for connection in (given, None):
        await lose()
        assert beside(body) == await content(world, (await ask(archives, below("Release.gpg"), connection)).body)
    await lose()
    for answer, error in (
        (Scripted(error=UpstreamUnreachable("gone")), UpstreamUnreachable),
        (Scripted(status=404), Unsettled),
    ):
        world.upstream.on(below("Release").url, answer)
        with pytest.raises(error):
            await ask(archives, below("Release.gpg"), given)
    await archives.close()


async def test_answers__what_they_say(world: World, archives: AptArchives) -> None:
    """What may change is asked for anew each time; what is named by its digest, or listed, lasts. ETags are digests."""
    hashed = f"main/binary-amd64/by-hash/SHA256/{sha256(ONE).value}"
    world.put("InRelease", inline({PATH: ONE}, by_hash=True))
    world.put(hashed, ONE)
    world.upstream.on(POOL.url, Scripted(BODY))
    addresses = [below("InRelease"), below(PATH), below(hashed), POOL]

    shown = []
    for address in addresses:
        shown.append(await ask(archives, address))
        await settle(world)

    changing, lasting = "no-cache", "max-age=365000000, immutable, public"
    assert [changing, changing, lasting, lasting] == [one.cache_control for one in shown]
    digests = [sha256(inline({PATH: ONE}, by_hash=True)), sha256(ONE), sha256(ONE), sha256(BODY)]
    assert [f'"sha256:{digest.value}"' for digest in digests] == [one.etag for one in shown]
    assert ["text/plain; charset=utf-8", *["application/octet-stream"] * 3] == [one.content_type for one in shown]


async def test_etag__of_weak_digests(world: World, archives: AptArchives) -> None:
    """A digest that somebody may have made two files of is no ETag; what is stored has its own."""
    listed = f"MD5Sum:\n {hashlib.md5(ONE, usedforsecurity=False).hexdigest()} {len(ONE)} {PATH}\n"
    world.put("InRelease", signed(f"Suite: stable\n{listed}".encode()))
    world.put(PATH, ONE)

    first = await ask(archives, below(PATH))
    await settle(world)
    again = await ask(archives, below(PATH))

    assert [None, f'"sha256:{sha256(ONE).value}"'] == [first.etag, again.etag]


async def test_dates(world: World, archives: AptArchives) -> None:
    """Each file is described by upstream's own date."""
    world.put("InRelease", inline({PATH: ONE}))
    world.put(PATH, ONE, modified=OLD - 5)

    release = await ask(archives, below("InRelease"))
    index = await ask(archives, below(PATH))
    await settle(world)
    kept = await ask(archives, below(PATH))

    assert release.last_modified != index.last_modified == kept.last_modified
    assert (True, True) == (release.dated, kept.dated)


@pytest.mark.parametrize("order", [("new", "kept"), ("kept", "new", "kept")])
async def test_release__silent_archive(world: World, monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]) -> None:
    """An archive that accepts and says nothing takes no kept suite away, whichever of its suites is asked for first."""
    if order[0] == "kept":
        monkeypatch.setattr(freshness, "_WORTH", 0.1)
        monkeypatch.setattr(freshness, "_SECONDS", 0.1)
    monkeypatch.setattr(retries, "_SILENT", 1.0)  # less than a kept suite is worth
    archives = world.service(Policy(window=10.0))
    world.put("InRelease", inline({PATH: ONE}))
    await ask(archives, below("InRelease"))
    world.clock.advance(86_400)
    addresses = {"kept": below("InRelease"), "new": replace(SUITE, path="debian/dists/new/InRelease")}
    gate = Gate()
    for address in addresses.values():
        world.upstream.on(address.url, Scripted(gate=gate))

    outcomes: list[Outcome | type[Exception]] = []
    for name in order:
        monkeypatch.setattr(archives._retries, "_limit", 0.1 if name == "new" else retries._LIMIT)
        try:
            outcomes.append((await ask(archives, addresses[name])).outcome)
        except UpstreamTimeout as error:
            outcomes.append(type(error))
    await archives.close()

    assert [Outcome.STALE if name == "kept" else UpstreamTimeout for name in order] == outcomes


async def test_release__slow_preparation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of a kept suite is given that before its request ends, however long the indexes of the next one take."""
    assert freshness._MOST < snapshots._LONGEST < retries._LIMIT
    monkeypatch.setattr(freshness, "_SECONDS", 0.1)
    monkeypatch.setattr(snapshots, "_LONGEST", 0.2)
    monkeypatch.setattr(snapshots, "_PREPARATION", 2 * retries._LIMIT)
    archives = world.service(Policy(window=10.0))
    monkeypatch.setattr(archives._retries, "_limit", 5.0)
    world.put("InRelease", inline({PATH: ONE}))
    world.put(PATH, ONE)
    for path in ("InRelease", PATH):
        await ask(archives, below(path))
    await settle(world)
    world.put("InRelease", inline({PATH: TWO}, date=OLD + 1), modified=OLD + 1)
    world.upstream.on(below(PATH).url, Scripted(TWO, gate=Gate()))
    world.clock.advance(10)

    shown = await ask(archives, below("InRelease"))
    await archives.close()

    assert Outcome.STALE is shown.outcome


async def test_index__silent_archive_without_a_release_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an archive that says nothing the kept index is served, though a Release file is looked for first."""
    monkeypatch.setattr(freshness, "_SECONDS", 0.1)
    monkeypatch.setattr(revalidation, "_LEAST", 0.1)
    archives = world.service(Policy(window=10.0))
    monkeypatch.setattr(archives._retries, "_limit", 5.0)
    world.put(PATH, ONE)
    await ask(archives, below(PATH))
    await settle(world)
    world.clock.advance(60)
    gate = Gate()
    for path in ("InRelease", "Release", PATH):
        world.upstream.on(below(path).url, Scripted(gate=gate))

    shown = await ask(archives, below(PATH))
    await archives.close()

    assert (Outcome.STALE, ONE) == (shown.outcome, await content(world, shown.body))
