"""Files and metadata: whether what is stored is still it, and where it comes from when it is not."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest
from msgspec import structs

from proxy.cache.flight import Flight
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import LASTING
from proxy.errors import NotFound, Offline, PullthroughError, UpstreamBroken, UpstreamUnreachable
from proxy.model import Blob, Digest, Outcome, Site, Source, Span, Target, Validator
from proxy.python.catalog import Catalog, Listing
from proxy.python.files import REPLACEABLE, Files
from proxy.python.store_keys import file_key
from tests.memory_upstream import Gate, Scripted
from tests.pages import Link
from tests.python.conftest import Make
from tests.python.world import PAGE, SITE, World, content, volatile
from tests.wheels import Package, wheel

PACKAGE = wheel(padding=300_000, seed=1)
OTHER = wheel(padding=300_000, seed=2, requires=("other",))  # another file under the same name
BODY, OTHER_BODY = content(PACKAGE), content(OTHER)
FILE = Target("pypi", None, f"p/{PACKAGE.filename}")
METADATA = Target("pypi", None, f"p/{PACKAGE.filename}.metadata")
URL = f"https://index.example/p/{PACKAGE.filename}"
NIGHTLY = volatile("p/")
BARE = Link(PACKAGE.filename, URL)
TAGGED = Validator('"one"')


def of(package: Package, *, metadata: bool = False) -> Link:
    """The page's word of a file, with the hash of its metadata or without."""
    link = replace(PACKAGE.link(URL), sha256=package.sha256, size=package.body.size)
    return link if metadata else replace(link, metadata=None)


def by_md5(body: bytes) -> bytes:
    """A page that has another hash than the one that names blobs."""
    value = hashlib.md5(body).hexdigest()
    return b'<a href="%b#md5=%b">%b</a>' % (URL.encode(), value.encode(), PACKAGE.filename.encode())


# What is stored


async def test_file__stored_and_promised(world: World) -> None:
    """It is answered without a word of upstream, and may be reused for as long as a page lives."""
    world.publish(of(PACKAGE))
    await world.page()
    await world.hold(FILE, BODY)
    world.clock.advance(10_000)
    shown = await world.file(FILE)
    assert (Outcome.HIT, Source.CACHE, LASTING) == (shown.outcome, shown.source, shown.cache_control)
    assert (f'"sha256:{PACKAGE.sha256}"', world.clock.monotonic() + SITE.ttl) == (shown.etag, shown.fresh_until)
    assert (BODY, 0) == (await world.read(shown), world.upstream.count(URL))


async def test_file__stored_and_no_page_known(world: World) -> None:
    """Nobody is asked."""
    await world.hold(FILE, BODY)
    assert (Outcome.HIT, 0) == ((await world.file(FILE)).outcome, len(world.upstream.asks))


@pytest.mark.parametrize("now", ["+files", "~files"])
async def test_file__stored_from_another_cache(make: Make, now: str) -> None:
    """What an older version of the cache that is upstream gave is found again, whichever marker its pages have now."""
    world = make(structs.replace(SITE, base="https://cache.example/pypi/"))
    url = f"https://cache.example/pypi/{now}/files.example/p/{PACKAGE.filename}"
    world.publish(replace(of(PACKAGE), url=url))
    listed = await world.listed()
    assert (
        f"../../~files/cache.example/pypi/{now.replace('+', '%2B')}/files.example/p/{PACKAGE.filename}"
        == (listed[PACKAGE.filename]["url"])
    )
    entry = await world.hold(Target("pypi", "cache.example", f"pypi/+files/files.example/p/{PACKAGE.filename}"), BODY)
    assert f"file:pypi:demo:cache.example:pypi/+files/files.example/p/{PACKAGE.filename}" == entry.key
    shown = await world.file(Target("pypi", "cache.example", f"pypi/{now}/files.example/p/{PACKAGE.filename}"))
    assert (Outcome.HIT, BODY, 0) == (shown.outcome, await world.read(shown), world.upstream.count(url))


async def test_file__page_promises_another(world: World) -> None:
    """What is stored is not it any more: it is fetched, by its new hash, and takes its place."""
    world.publish(of(OTHER))
    await world.page()
    await world.hold(FILE, BODY)
    world.upstream.on(URL, Scripted(OTHER_BODY))
    shown = await world.file(FILE)
    assert (Outcome.MISS, OTHER_BODY) == (shown.outcome, await world.read(shown))
    again = await world.file(FILE)
    assert (Outcome.HIT, OTHER_BODY, 1) == (again.outcome, await world.read(again), world.upstream.count(URL))
    assert world.store.blob(Digest("sha256", PACKAGE.sha256)) is None


@pytest.mark.parametrize("error", [UpstreamUnreachable("away"), NotFound("gone")])
async def test_file__page_promises_another_that_cannot_be_had(world: World, error: PullthroughError) -> None:
    """Bytes that have not the promised hash are no way out; what is stored stays for the day it is promised again."""
    world.publish(of(OTHER))
    await world.page()
    await world.hold(FILE, BODY)
    world.upstream.on(URL, Scripted(error=error))
    with pytest.raises(type(error)):
        await world.file(FILE)
    world.publish(of(PACKAGE))
    world.clock.advance(SITE.ttl + 1)
    await world.page()
    assert BODY == await world.read(await world.file(FILE))


async def test_file__page_has_a_hash_that_names_no_blob(world: World) -> None:
    """Whether an md5 is that of the stored file is not measured again: names are not used twice."""
    world.upstream.on(world.url(PAGE), Scripted(by_md5(BODY), headers={"content-type": "text/html"}))
    await world.page()
    await world.hold(FILE, BODY)
    shown = await world.file(FILE)
    assert (Outcome.HIT, LASTING) == (shown.outcome, shown.cache_control)


async def test_file__fetched_while_the_page_changes(world: World) -> None:
    """A download that was begun by an old page does not stay when a new one promises another file."""
    gate = Gate()
    world.publish(of(PACKAGE))
    await world.page()
    world.upstream.on(URL, Scripted(BODY, gate=gate), Scripted(OTHER_BODY))
    asking = asyncio.create_task(world.file(FILE))
    await gate.reached.wait()
    world.publish(of(OTHER))
    world.clock.advance(SITE.ttl + 1)
    await world.page()
    gate.open()
    assert BODY == await world.read(await asking)
    assert OTHER_BODY == await world.read(await world.file(FILE))
    assert OTHER_BODY == await world.read(await world.file(FILE))
    assert 2 == world.upstream.count(URL)


# Files that may be replaced under their names


@pytest.fixture
def nightly(make: Make) -> World:
    """A world whose files may be replaced, with one on its page that has no hash."""
    made = make(NIGHTLY)
    made.publish(BARE)
    return made


async def test_volatile__confirmed_lately(nightly: World) -> None:
    """It may be kept by a client for a while, and is never remembered past the confirmation."""
    await nightly.hold(FILE, BODY, TAGGED)
    shown = await nightly.file(FILE)
    assert (Outcome.HIT, REPLACEABLE, 0.0) == (shown.outcome, shown.cache_control, shown.fresh_until)
    assert 0 == len(nightly.upstream.asks)


async def test_volatile__confirmed_now(nightly: World) -> None:
    """When it is old, one condition asks upstream."""
    await nightly.hold(FILE, BODY, TAGGED)
    nightly.clock.advance(SITE.ttl + 1)
    nightly.upstream.on(URL, Scripted(status=304))
    shown = await nightly.file(FILE)
    assert (Outcome.REVALIDATED, BODY) == (shown.outcome, await nightly.read(shown))
    assert (Outcome.HIT, 1) == ((await nightly.file(FILE)).outcome, nightly.upstream.count(URL))


async def test_volatile__replaced(nightly: World) -> None:
    """The new file is fetched, and takes the place of the old one."""
    await nightly.hold(FILE, BODY, TAGGED)
    nightly.clock.advance(SITE.ttl + 1)
    nightly.upstream.on(URL, Scripted(OTHER_BODY, ranges=True, headers={"etag": '"two"'}))
    shown = await nightly.file(FILE)
    assert (Outcome.MISS, REPLACEABLE) == (shown.outcome, shown.cache_control)
    assert OTHER_BODY == await nightly.read(shown)
    again = await nightly.file(FILE)
    assert (Outcome.HIT, OTHER_BODY) == (again.outcome, await nightly.read(again))


@pytest.mark.parametrize("error", [UpstreamUnreachable("away"), NotFound("gone")])
async def test_volatile__not_to_be_confirmed(nightly: World, error: PullthroughError) -> None:
    """What is gone upstream, or whose upstream is, is answered as it is stored."""
    await nightly.hold(FILE, BODY, TAGGED)
    nightly.clock.advance(SITE.ttl + 1)
    nightly.upstream.on(URL, Scripted(error=error))
    shown = await nightly.file(FILE)
    assert (Outcome.STALE, BODY, 0.0) == (shown.outcome, await nightly.read(shown), shown.fresh_until)


async def test_volatile__whose_address_has_expired(nightly: World) -> None:
    """It is confirmed where its page says that it is now."""
    await nightly.hold(FILE, BODY, TAGGED)
    nightly.publish(replace(BARE, url=f"{URL}?signature=1"))
    await nightly.page()
    nightly.publish(replace(BARE, url=f"{URL}?signature=2"))
    nightly.clock.advance(SITE.ttl + 1)
    nightly.upstream.on(f"{URL}?signature=1", Scripted(status=403))
    nightly.upstream.on(f"{URL}?signature=2", Scripted(status=304))
    shown = await nightly.file(FILE)
    assert (Outcome.REVALIDATED, BODY) == (shown.outcome, await nightly.read(shown))


@pytest.mark.parametrize("error", [UpstreamUnreachable("away"), UpstreamBroken("broken"), NotFound("gone")])
async def test_volatile__replaced_and_then_gone(nightly: World, error: PullthroughError) -> None:
    """A new file that cannot be had after all does not take the old one away."""
    await nightly.hold(FILE, BODY, TAGGED)
    nightly.clock.advance(SITE.ttl + 1)
    nightly.upstream.on(URL, Scripted(OTHER_BODY, headers={"etag": '"two"'}), Scripted(error=error))
    shown = await nightly.file(FILE)
    assert (Outcome.STALE, BODY) == (shown.outcome, await nightly.read(shown))


async def test_volatile__page_has_its_hash(nightly: World) -> None:
    """With a hash on the page the name stands for these bytes: nobody is asked, however old it is."""
    nightly.publish(of(PACKAGE))
    await nightly.page()
    await nightly.hold(FILE, BODY, TAGGED)
    nightly.clock.advance(10_000)
    shown = await nightly.file(FILE)
    assert (Outcome.HIT, LASTING, 0) == (shown.outcome, shown.cache_control, nightly.upstream.count(URL))


async def test_volatile__page_has_a_hash_that_names_no_blob(nightly: World) -> None:
    """An md5 does not say whether the stored file is the one: it is confirmed as if there was none."""
    nightly.upstream.on(nightly.url(PAGE), Scripted(by_md5(OTHER_BODY), headers={"content-type": "text/html"}))
    await nightly.page()
    await nightly.hold(FILE, BODY, TAGGED)
    nightly.clock.advance(SITE.ttl + 1)
    nightly.upstream.on(URL, Scripted(OTHER_BODY, headers={"etag": '"two"'}))
    shown = await nightly.file(FILE)
    assert (Outcome.MISS, OTHER_BODY) == (shown.outcome, await nightly.read(shown))


async def test_volatile__cold(nightly: World) -> None:
    """The first time it is fetched like any file; its validator is stored for later."""
    nightly.upstream.on(URL, Scripted(BODY, headers={"etag": '"one"'}))
    shown = await nightly.file(FILE)
    assert (Outcome.MISS, REPLACEABLE, BODY) == (shown.outcome, shown.cache_control, await nightly.read(shown))
    nightly.clock.advance(SITE.ttl + 1)
    nightly.upstream.on(URL, Scripted(status=304))
    assert Outcome.REVALIDATED is (await nightly.file(FILE)).outcome
    assert '"one"' == nightly.upstream.asks[-1].headers["If-None-Match"]


# What has to be fetched


async def test_file__from_where_another_index_has_it(make: Make) -> None:
    """The page of another mount that was seen has the same name and hash: its host will do."""
    mirror = Site("mirror", "https://mirror.example/", "simple/", 600.0)
    world = make(SITE, mirror)
    page, elsewhere = Target("mirror", None, "simple/demo/"), f"https://cdn.example/{PACKAGE.filename}"
    world.publish(of(PACKAGE))
    world.publish(replace(of(PACKAGE), url=elsewhere), target=page)
    await world.page()
    await world.page(page)
    world.upstream.on(URL, Scripted(error=UpstreamUnreachable("away")))
    world.upstream.on(elsewhere, Scripted(BODY))
    assert BODY == await world.read(await world.file(FILE))
    assert "mirror" == world.upstream.asks[-1].site.mount


async def test_file__held_by_another_index(make: Make) -> None:
    """What is stored under its hash is not fetched again under another address."""
    mirror = Site("mirror", "https://mirror.example/", "simple/", 600.0)
    world = make(SITE, mirror)
    await world.hold(Target("mirror", None, f"x/{PACKAGE.filename}"), BODY)
    world.publish(of(PACKAGE))
    shown = await world.file(FILE)
    assert (Outcome.HIT, BODY, 0) == (shown.outcome, await world.read(shown), world.upstream.count(URL))


async def test_file__evicted_between_two_askers(world: World) -> None:
    """An entry without its file is none."""
    world.publish(of(PACKAGE))
    await world.hold(FILE, BODY)
    await world.store.forget(file_key(FILE))
    world.upstream.on(URL, Scripted(BODY))
    shown = await world.file(FILE)
    assert (Outcome.MISS, BODY) == (shown.outcome, await world.read(shown))


async def test_file__disk_is_full(make: Make) -> None:
    """The file passes the store; what a page says of it is checked all the same."""
    world = make(limit=1000)
    world.publish(of(PACKAGE))
    world.upstream.on(URL, Scripted(BODY))
    shown = await world.file(FILE)
    assert isinstance(shown.body, Passthrough)
    assert (Source.UPSTREAM, BODY) == (shown.source, await world.read(shown))


async def test_file__head_of_a_cold_one(world: World) -> None:
    """Its size is known for a byte, and for a 200 where there are no parts; nothing is downloaded."""
    world.publish(BARE)
    await world.page()
    before = world.upstream.sent
    for ranges in (True, False):
        world.upstream.on(URL, Scripted(BODY, ranges=ranges))
        shown = await world.file(FILE, method="HEAD")
        assert isinstance(shown.body, Passthrough)
        assert (len(BODY), 1, 0) == (shown.size, world.upstream.sent - before, world.upstream.open)
    assert world.store.find(file_key(FILE)) is None


@pytest.mark.parametrize(
    ("span", "part"),
    [
        (Span(suffix=1000), True),
        (Span(0, 1000), True),
        (Span(100_000, 100_001), True),
        (Span(0, len(BODY)), False),
        (Span(0), False),
        (Span(0, len(BODY) + 5), False),
        (Span(len(BODY)), False),
    ],
)
@pytest.mark.parametrize("known", [True, False])
async def test_file__range_of_a_cold_one(world: World, span: Span, part: bool, known: bool) -> None:
    """A look at a part goes upstream by itself; all of it, or one behind the end, begins the download."""
    world.publish(of(PACKAGE) if known else BARE)
    world.upstream.on(URL, Scripted(BODY, ranges=True))
    shown = await world.file(FILE, span=span)
    if part or (not known and span.end is not None):
        assert isinstance(shown.body, Passthrough)
        meant = span.within(len(BODY))
        assert meant is not None
        assert BODY[meant[0] : meant[1]] == await world.read(shown)
        assert world.downloads.running(world.catalog.wanted(FILE, SITE, Listing())) is None
    else:
        assert isinstance(shown.body, Flight)
        assert BODY == await world.read(shown)


@pytest.mark.parametrize(("if_range", "part"), [(f'"sha256:{PACKAGE.sha256}"', True), ('"sha256:00"', False)])
async def test_file__range_of_what_the_client_has_a_part_of(world: World, if_range: str, part: bool) -> None:
    """If-Range with another file's tag means the whole (RFC 9110 §13.1.5)."""
    world.publish(of(PACKAGE))
    world.upstream.on(URL, Scripted(BODY, ranges=True))
    shown = await world.file(FILE, span=Span(0, 1000), if_range=if_range)
    assert isinstance(shown.body, Passthrough if part else Flight)
    await world.read(shown)


# Metadata


async def test_metadata__stored_as_long_as_its_wheel_is_the_one(world: World) -> None:
    """It may be reused for as long as a page lives, and no longer: then a page may promise another wheel."""
    world.publish(of(PACKAGE))
    world.upstream.on(URL, Scripted(BODY, ranges=True))
    await world.files.metadata(METADATA, SITE, METADATA.path[2:])
    kept = await world.files.metadata(METADATA, SITE, METADATA.path[2:])
    assert (PACKAGE.metadata, Outcome.HIT, LASTING) == (await world.read(kept), kept.outcome, kept.cache_control)
    assert world.clock.monotonic() + SITE.ttl == kept.fresh_until

    world.publish(of(OTHER))
    world.upstream.on(URL, Scripted(OTHER_BODY, ranges=True))
    world.clock.advance(SITE.ttl + 1)
    await world.page()
    assert OTHER.metadata == await world.read(await world.files.metadata(METADATA, SITE, METADATA.path[2:]))


async def test_metadata__of_a_wheel_that_may_be_replaced(nightly: World) -> None:
    """No client is told to keep it for ever, and it is read again when it is old."""
    nightly.upstream.on(URL, Scripted(BODY, ranges=True, headers={"etag": '"one"'}))
    await nightly.files.metadata(METADATA, NIGHTLY, METADATA.path[2:])
    kept = await nightly.files.metadata(METADATA, NIGHTLY, METADATA.path[2:])
    assert (REPLACEABLE, 0.0, Outcome.HIT) == (kept.cache_control, kept.fresh_until, kept.outcome)

    nightly.upstream.on(URL, Scripted(OTHER_BODY, ranges=True, headers={"etag": '"two"'}))
    nightly.clock.advance(SITE.ttl + 1)
    renewed = await nightly.files.metadata(METADATA, NIGHTLY, METADATA.path[2:])
    assert (OTHER.metadata, REPLACEABLE) == (await nightly.read(renewed), renewed.cache_control)


async def test_metadata__of_a_stored_wheel_that_was_replaced(nightly: World) -> None:
    """What is stored of the old wheel tells nothing of the new one."""
    await nightly.hold(FILE, BODY, TAGGED)
    nightly.upstream.on(URL, Scripted(OTHER_BODY, ranges=True, headers={"etag": '"two"'}))
    nightly.clock.advance(SITE.ttl + 1)
    assert OTHER.metadata == await nightly.read(await nightly.files.metadata(METADATA, NIGHTLY, METADATA.path[2:]))


async def test_metadata__hash_that_appears_and_disagrees(world: World) -> None:
    """Metadata that was read when no page had a hash is not that of a wheel whose hash a page has now."""
    world.publish(BARE)
    world.upstream.on(URL, Scripted(BODY, ranges=True))
    assert PACKAGE.metadata == await world.read(await world.files.metadata(METADATA, SITE, METADATA.path[2:]))
    world.publish(of(OTHER))
    world.upstream.on(URL, Scripted(OTHER_BODY, ranges=True))
    world.clock.advance(SITE.ttl + 1)
    await world.page()
    assert OTHER.metadata == await world.read(await world.files.metadata(METADATA, SITE, METADATA.path[2:]))


@pytest.mark.parametrize("offline", [False, True])
async def test_metadata__of_a_stored_wheel_that_no_page_lists_any_more(world: World, offline: bool) -> None:
    """It is read out of the wheel, also after a restart, when no page opens the wheel's host."""
    at = Target("pypi", "files.example", f"p/{PACKAGE.filename}")
    world.publish(replace(of(PACKAGE), url=f"https://files.example/{at.path}"))
    world.upstream.on(f"https://files.example/{at.path}", Scripted(BODY))
    await world.page()
    await world.read(await world.file(at))
    world.publish()
    world.clock.advance(SITE.ttl + 1)
    assert [PACKAGE.filename] == list(await world.listed())
    if offline:
        world.upstream.on(world.url(PAGE), Scripted(error=Offline("no")))

    catalog = Catalog(world.sites, world.store, world.page_cache, world.outlines)
    files = Files(world.store, world.downloads, world.revalidator, catalog, world.metadata, world.clock)
    shown = await files.metadata(structs.replace(at, path=f"{at.path}.metadata"), SITE, f"{PACKAGE.filename}.metadata")
    assert (PACKAGE.metadata, Outcome.HIT) == (await world.read(shown), shown.outcome)
    with pytest.raises(PullthroughError):
        await files.metadata(Target("pypi", at.host, f"p/{OTHER.filename}x.metadata"), SITE, "x.metadata")


async def test_metadata__from_the_other_place(make: Make) -> None:
    """Upstream's own file lies beside the wheel on the sibling too."""
    site = structs.replace(SITE, siblings=("https://sibling.example/",))
    world = make(site)
    world.publish(of(PACKAGE, metadata=True))
    world.upstream.on(f"{URL}.metadata", Scripted(error=UpstreamUnreachable("away")))
    world.upstream.on(f"https://sibling.example/{METADATA.path}", Scripted(PACKAGE.metadata or b""))
    shown = await world.files.metadata(METADATA, site, METADATA.path[2:])
    assert PACKAGE.metadata == await world.read(shown)
    assert isinstance(shown.body, Blob | bytes)
