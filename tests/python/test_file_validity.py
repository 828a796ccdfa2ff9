"""Whether what is stored is still what pages promise: in every algorithm, and where no page could be read."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from proxy.cache.documents import WantedDocument
from proxy.cache.representation import LASTING
from proxy.cache.stored_files import StoredFiles
from proxy.errors import (
    NotAllowed,
    NotFound,
    PullthroughError,
    StoreFull,
    UpstreamBroken,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from proxy.model import ALGORITHMS, Digest, Entry, Outcome, Target, Validator
from proxy.python.file_validity import FileValidity
from proxy.python.files import REPLACEABLE
from proxy.python.page import File
from proxy.python.store_keys import file_key
from tests.memory_store import MemoryStore, stored
from tests.memory_upstream import Gate, Scripted
from tests.pages import Link
from tests.python.conftest import Make
from tests.python.world import PAGE, SITE, World, content, volatile
from tests.wheels import wheel

RIGHT, WRONG = content(wheel(padding=3000, seed=1)), content(wheel(padding=3000, seed=2, requires=("other",)))
NAME = wheel().filename
FILE = Target("pypi", None, f"p/{NAME}")
URL = f"https://index.example/p/{NAME}"
PAGE_URL = f"https://index.example/{PAGE.path}"
METADATA = Target("pypi", None, f"p/{NAME}.metadata")
FAILURES = [
    UpstreamThrottled("busy"),
    UpstreamBroken("broken"),
    UpstreamTimeout("silent"),
    UpstreamUnreachable("away"),
    Withheld("refused"),
    NotAllowed("sent elsewhere"),
]


def digest(algorithm: str, body: bytes = RIGHT) -> Digest:
    """The digest of a body in an algorithm."""
    return Digest(algorithm, hashlib.new(algorithm, body, usedforsecurity=False).hexdigest())


def link(*digests: Digest) -> Link:
    """The file, as a page lists it with these digests."""
    return Link(NAME, URL, hashes=tuple((given.algorithm, given.value) for given in digests))


async def hold(world: World, body: bytes, promised: Digest | None = None, *, proved: bool = True) -> Entry:
    """Have the file kept, with what was promised of it when it came."""
    entry = structs.replace(await world.hold(FILE, body), promised=promised, proved=proved)
    await world.store.save(entry)
    return entry


def kept(world: World) -> Entry | None:
    """What is written of the stored file."""
    return world.store.find(file_key(FILE))


# What a page promises now, whatever it promised before


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("before", [None, *ALGORITHMS])
async def test_file__page_says_the_same(world: World, algorithm: str, before: str | None) -> None:
    """The stored file is answered, and lasts; its validator is what the page promises."""
    world.publish(link(digest(algorithm)))
    await world.page()
    await hold(world, RIGHT, digest(before) if before else None)
    for _ in range(2):
        shown = await world.file(FILE)
        assert (Outcome.HIT, LASTING) == (shown.outcome, shown.cache_control)
        assert (f'"{algorithm}:{digest(algorithm).value}"', RIGHT) == (shown.etag, await world.read(shown))
    assert 0 == world.upstream.count(URL)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("before", [None, *ALGORITHMS])
async def test_file__page_says_another(world: World, algorithm: str, before: str | None) -> None:
    """The page's word wins: the file is fetched anew, checked, and kept under what is promised."""
    world.publish(link(digest(algorithm)))
    await world.page()
    await hold(world, WRONG, digest(before, WRONG) if before else None)
    world.upstream.on(URL, Scripted(RIGHT))
    shown = await world.file(FILE)
    assert (Outcome.MISS, RIGHT) == (shown.outcome, await world.read(shown))
    again = await world.file(FILE)
    assert (Outcome.HIT, RIGHT, shown.etag) == (again.outcome, await world.read(again), again.etag)
    assert 1 == world.upstream.count(URL)


@pytest.mark.parametrize("before", [None, *ALGORITHMS])
async def test_file__page_says_nothing(world: World, before: str | None) -> None:
    """A page without a digest leaves the file as it is."""
    world.publish(link())
    await world.page()
    await hold(world, RIGHT, digest(before) if before else None)
    shown = await world.file(FILE)
    assert (Outcome.HIT, LASTING, RIGHT) == (shown.outcome, shown.cache_control, await world.read(shown))


@settings(deadline=None)
@given(st.sets(st.sampled_from(ALGORITHMS), min_size=1), st.sets(st.sampled_from(ALGORITHMS)))
async def test_file__page_says_several(algorithms: set[str], lies: set[str]) -> None:
    """The most trusted of the digests decides, and it alone."""
    world = World()
    try:
        world.publish(link(*(digest(each, WRONG if each in lies else RIGHT) for each in sorted(algorithms))))
        await world.page()
        await hold(world, RIGHT)
        best = min(algorithms, key=ALGORITHMS.index)
        world.upstream.on(URL, Scripted(WRONG))
        shown = await world.file(FILE)
        assert (Outcome.MISS if best in lies else Outcome.HIT) is shown.outcome
        await world.read(shown)
    finally:
        await world.close()


async def test_file__two_links_to_one_address(world: World) -> None:
    """Of two links to one file, the one with the better digest counts."""
    world.publish(link(), link(digest("md5", WRONG)), link(digest("sha512")))
    await world.page()
    await hold(world, RIGHT)
    assert Outcome.HIT is (await world.file(FILE)).outcome


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_file__cold_then_stored(world: World, algorithm: str) -> None:
    """A validator that a client got while a file came is that of the stored file."""
    world.publish(link(digest(algorithm)))
    world.upstream.on(URL, Scripted(RIGHT))
    first = await world.file(FILE)
    await world.read(first)
    second = await world.file(FILE)
    assert (Outcome.MISS, Outcome.HIT) == (first.outcome, second.outcome)
    assert f'"{algorithm}:{digest(algorithm).value}"' == first.etag == second.etag
    entry = kept(world)
    assert entry is not None
    assert (digest(algorithm), True) == (entry.promised, entry.proved)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_file__that_may_be_replaced_and_has_a_digest(make: Make, algorithm: str) -> None:
    """With a digest in any algorithm the name stands for these bytes: upstream is not asked whether they changed."""
    world = make(volatile("p/"))
    world.publish(link(digest(algorithm)))
    await world.page()
    await hold(world, RIGHT)
    world.clock.advance(10_000)
    shown = await world.file(FILE)
    assert (Outcome.HIT, LASTING, 0) == (shown.outcome, shown.cache_control, world.upstream.count(URL))


async def test_file__that_may_be_replaced_while_its_host_is_down(make: Make) -> None:
    """Neither the host nor the page is asked for each client: no address has expired because nobody answers."""
    world = make(volatile("p/"))
    world.publish(link())
    await world.page()
    await hold(world, RIGHT)
    world.clock.advance(10_000)
    world.upstream.down_urls |= {URL, PAGE_URL}
    for _ in range(5):
        shown = await world.file(FILE)
        assert (Outcome.STALE, RIGHT) == (shown.outcome, await world.read(shown))
    assert (0, 1) == (world.upstream.count(URL), world.upstream.count(PAGE_URL))


async def test_file__that_cannot_be_read_to_be_compared(world: World) -> None:
    """It is fetched."""
    world.publish(link(digest("sha512")))
    await world.page()
    entry = await hold(world, RIGHT)
    world.store.damage(entry.digest, b"damaged")
    world.upstream.on(URL, Scripted(RIGHT))
    shown = await world.file(FILE)
    assert (Outcome.MISS, RIGHT) == (shown.outcome, await world.read(shown))


# Digests that could not be learnt


@pytest.mark.parametrize("failure", FAILURES)
async def test_file__while_its_page_cannot_be_read(world: World, failure: PullthroughError) -> None:
    """It is served, and written down as in doubt; it is no hit, and nobody is told to keep it for ever."""
    world.upstream.on(PAGE_URL, Scripted(error=failure))
    world.upstream.on(URL, Scripted(WRONG))
    first = await world.file(FILE)
    assert (Outcome.MISS, REPLACEABLE, WRONG) == (first.outcome, first.cache_control, await world.read(first))
    entry = kept(world)
    assert entry is not None
    assert not entry.proved
    for _ in range(2):
        shown = await world.file(FILE)
        assert (Outcome.STALE, REPLACEABLE, 0.0) == (shown.outcome, shown.cache_control, shown.fresh_until)
        assert WRONG == await world.read(shown)
    assert 1 == world.upstream.count(URL)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_file__whose_page_comes_and_says_another(world: World, algorithm: str) -> None:
    """What was never right is dropped, and the right file is fetched."""
    await hold(world, WRONG, proved=False)
    world.publish(link(digest(algorithm)))
    away = Scripted(error=UpstreamUnreachable("away"))
    world.upstream.on(URL, away, away, Scripted(RIGHT))  # with a range, and without
    with pytest.raises(UpstreamUnreachable):
        await world.file(FILE)
    assert kept(world) is None
    shown = await world.file(FILE)
    assert (Outcome.MISS, RIGHT) == (shown.outcome, await world.read(shown))


@pytest.mark.parametrize("digests", [(), *((digest(algorithm),) for algorithm in ALGORITHMS)])
async def test_file__whose_page_comes(world: World, digests: tuple[Digest, ...]) -> None:
    """It proves the file, or shows that there is nothing to prove it by; from then on it is a hit."""
    await hold(world, RIGHT, proved=False)
    world.publish(link(*digests))
    for _ in range(2):
        shown = await world.file(FILE)
        assert (Outcome.HIT, LASTING, RIGHT) == (shown.outcome, shown.cache_control, await world.read(shown))
    assert (1, 0) == (world.upstream.count(PAGE_URL), world.upstream.count(URL))
    entry = kept(world)
    assert entry is not None
    assert entry.proved


async def test_file__whose_page_comes_and_does_not_list_it(world: World) -> None:
    """The page was read: there is no digest. The file is a hit, but the page is asked again when it is due."""
    await hold(world, RIGHT, proved=False)
    world.publish()
    shown = [await world.file(FILE) for _ in range(3)]
    assert [(Outcome.HIT, REPLACEABLE)] * 3 == [(each.outcome, each.cache_control) for each in shown]
    assert 1 == world.upstream.count(PAGE_URL)
    world.publish(link(digest("sha512", WRONG)))
    world.upstream.on(URL, Scripted(WRONG))
    world.clock.advance(SITE.ttl + 1)
    assert WRONG == await world.read(await world.file(FILE))


async def test_file__whose_project_was_withdrawn(world: World) -> None:
    """An index that has no such project has said what it knows: the file is stored and served."""
    await hold(world, RIGHT, proved=False)
    world.upstream.on(PAGE_URL, Scripted(error=NotFound("gone")))
    shown = await world.file(FILE)
    assert (Outcome.HIT, REPLACEABLE, RIGHT) == (shown.outcome, shown.cache_control, await world.read(shown))


@pytest.mark.parametrize("absence", [NotFound("gone"), Withheld("refused")])
async def test_file__whose_page_is_missing_for_a_moment(make: Make, absence: NotFound) -> None:
    """That a page is remembered as missing does not keep a wrong file."""
    world = make(structs.replace(SITE, ttl=1.0))
    world.upstream.on(PAGE_URL, Scripted(error=absence))
    world.upstream.on(URL, Scripted(WRONG))
    assert WRONG == await world.read(await world.file(FILE))
    world.clock.advance(2)
    world.publish(link(digest("sha256")))
    world.upstream.on(URL, Scripted(RIGHT))
    assert RIGHT == await world.read(await world.file(FILE))


async def test_file__whose_page_was_evicted(world: World) -> None:
    """What a page vouched for once needs no page to be served, for as long as nothing else is said."""
    world.publish(link(digest("sha256")))
    world.upstream.on(URL, Scripted(RIGHT))
    await world.read(await world.file(FILE))
    for key in world.store.keys("page:"):
        await world.store.forget(key)
    world.clock.advance(10 * SITE.ttl)
    asked = len(world.upstream.asks)
    shown = await world.file(FILE)
    assert (Outcome.HIT, LASTING, asked) == (shown.outcome, shown.cache_control, len(world.upstream.asks))


async def test_file__of_an_older_program_whose_page_was_evicted(world: World) -> None:
    """What no page is known to have vouched for is looked up when it is due, and a page that fails harms nothing."""
    await hold(world, WRONG)
    world.upstream.on(PAGE_URL, Scripted(error=UpstreamBroken("broken")))
    assert (Outcome.HIT, 0) == ((await world.file(FILE)).outcome, world.upstream.count(PAGE_URL))
    world.clock.advance(SITE.ttl + 1)
    assert Outcome.STALE is (await world.file(FILE)).outcome
    world.publish(link(digest("sha256")))
    world.upstream.on(URL, Scripted(RIGHT))
    assert RIGHT == await world.read(await world.file(FILE))


async def test_file__while_its_page_hangs(world: World) -> None:
    """It is served soon, and the page that comes after all is believed."""
    gate = Gate()
    await hold(world, WRONG, proved=False)
    world.publish(link(digest("sha256")))
    listed = world.upstream._answers[PAGE_URL][0]
    assert isinstance(listed, Scripted)
    world.upstream.on(PAGE_URL, replace(listed, gate=gate))
    world.upstream.on(URL, Scripted(RIGHT))
    shown = await world.file(FILE)
    assert (Outcome.STALE, WRONG) == (shown.outcome, await world.read(shown))
    gate.open()
    while not world.store.keys("page:"):
        await gate.wait()
        await world.page()
    assert RIGHT == await world.read(await world.file(FILE))


async def test_file__whose_index_hangs(world: World) -> None:
    """One file waited for its index; the others do not, and are served."""
    gate = Gate()
    await hold(world, RIGHT, proved=False)
    other = structs.replace(FILE, path="p/other-1.0-py3-none-any.whl")
    entry = await world.hold(other, RIGHT)
    await world.store.save(structs.replace(entry, proved=False))
    for project in ("demo", "other"):
        world.upstream.on(f"https://index.example/simple/{project}/", Scripted(gate=gate))
    assert Outcome.STALE is (await world.file(FILE)).outcome
    assert world.documents.lost(WantedDocument("", world.url(PAGE), SITE, ""))
    assert [Outcome.STALE] * 2 == [(await world.file(target)).outcome for target in (FILE, other)]


@pytest.mark.parametrize("stale", [True, False])
async def test_file__that_an_old_page_does_not_list(world: World, stale: bool) -> None:
    """A page that was read before the file was published says nothing of it: it is asked again, and believed then."""
    world.publish()
    await world.page()
    world.clock.advance(10)
    world.upstream.on(URL, Scripted(RIGHT))
    if stale:
        world.upstream.on(PAGE_URL, Scripted(error=UpstreamBroken("broken")))
    else:
        world.publish(link(digest("sha512")))
    shown = await world.file(FILE)
    await world.read(shown)
    entry = kept(world)
    assert entry is not None
    assert (not stale, None if stale else digest("sha512")) == (entry.proved, entry.promised)


async def test_file__that_no_disk_writes_about(world: World) -> None:
    """The answer is right even where it cannot be written down that it is."""
    await hold(world, RIGHT, proved=False)
    world.publish(link(digest("sha256")))
    await world.page()
    world.store.failure = lambda: StoreFull("full")
    assert Outcome.HIT is (await world.file(FILE)).outcome


async def test_reuse__ends_with_the_page(world: World) -> None:
    """An answer that was judged by a page is not given again when another page is there, or none."""
    world.publish(link(digest("sha256")))
    await world.page()
    await hold(world, RIGHT)
    shown = await world.file(FILE)
    assert shown.stands is not None
    assert shown.stands()
    world.publish(link(digest("sha256", WRONG)))
    world.clock.advance(SITE.ttl + 1)
    await world.page()
    assert not shown.stands()
    world.upstream.on(URL, Scripted(WRONG))
    await world.read(await world.file(FILE))
    again = await world.file(FILE)
    assert again.stands is not None
    for key in world.store.keys("page:"):
        await world.store.forget(key)
    assert not again.stands()


# Metadata


async def test_metadata__while_its_page_cannot_be_read(world: World) -> None:
    """It is that of the wheel that is there, no hit, and read anew when the page says that it is another wheel."""
    world.upstream.on(PAGE_URL, Scripted(error=UpstreamThrottled("busy")))
    world.upstream.on(URL, Scripted(WRONG, ranges=True))
    first = await world.files.metadata(METADATA, SITE, METADATA.path[2:])
    assert b"Requires-Dist: other" in await world.read(first)
    shown = await world.files.metadata(METADATA, SITE, METADATA.path[2:])
    assert [(Outcome.MISS, REPLACEABLE), (Outcome.STALE, REPLACEABLE)] == [
        (each.outcome, each.cache_control) for each in (first, shown)
    ]
    world.publish(link(digest("sha256")))
    world.upstream.on(URL, Scripted(RIGHT, ranges=True))
    renewed = await world.files.metadata(METADATA, SITE, METADATA.path[2:])
    assert b"Requires-Dist: other" not in await world.read(renewed)
    again = await world.files.metadata(METADATA, SITE, METADATA.path[2:])
    assert (Outcome.HIT, LASTING) == (again.outcome, again.cache_control)


WHEEL, OTHER = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
BODY = b"Metadata-Version: 2.1"
MD5 = Digest("md5", "d" * 32)


async def metadata(store: MemoryStore, etag: str | None) -> Entry:
    """Metadata as it is stored; `etag` is the digest of the wheel that it was read from, or upstream's tag."""
    blob = await stored(store, BODY)
    entry = Entry("key", f"{URL}.metadata", blob.digest, blob.size, "text/plain", Validator(etag), 0.0, 0.0)
    await store.save(entry)
    return entry


def listed(*digests: Digest, metadata: bool | Digest | None = None) -> File:
    """What a page says of the wheel."""
    return File(NAME, URL, digests, core_metadata=metadata)


@pytest.mark.parametrize(
    ("etag", "file", "expected"),
    [
        # No page says anything
        (None, listed(), True),
        (str(WHEEL), listed(), True),
        (None, listed(metadata=True), True),
        # The page has the hash of the metadata: that alone counts
        *((etag, listed(metadata=digest(algorithm, BODY)), True) for algorithm in ALGORITHMS for etag in (None, "x")),
        *((None, listed(metadata=digest(algorithm, b"other")), False) for algorithm in ALGORITHMS),
        (str(OTHER), listed(WHEEL, metadata=digest("sha256", BODY)), True),
        ('"tag"', listed(WHEEL, metadata=digest("sha256", BODY)), True),
        (str(WHEEL), listed(WHEEL, metadata=OTHER), False),
        (str(WHEEL), listed(WHEEL, metadata=MD5), False),
        # The page has the hash of the wheel
        (str(WHEEL), listed(WHEEL), True),
        (str(WHEEL), listed(OTHER), False),
        (str(WHEEL), listed(OTHER, metadata=True), False),
        (str(MD5), listed(MD5), True),
        (str(MD5), listed(WHEEL, MD5), False),  # of which wheel it is cannot be told any more
        (None, listed(WHEEL), False),
        ('"tag"', listed(WHEEL), False),
    ],
)
async def test_metadata__is_that_of_the_listed_wheel(
    world: World, etag: str | None, file: File, expected: bool
) -> None:
    """Stored metadata is the wheel's that a page lists now, if the page's hashes say so, or it has none."""
    validity = FileValidity(
        world.store, world.catalog, StoredFiles(world.store, world.clock), world.revalidator, world.clock
    )
    assert expected is await validity._metadata_matches(await metadata(world.store, etag), file)
