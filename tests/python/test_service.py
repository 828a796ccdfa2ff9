"""The service over a store and an upstream in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from msgspec import structs

from proxy.cache.documents import Documents
from proxy.cache.downloads import Downloads
from proxy.cache.freshness import Patience
from proxy.cache.lanes import Lanes
from proxy.cache.representation import LASTING, Representation
from proxy.cache.revalidation import Revalidator
from proxy.errors import BlobDamaged, NotAllowed, NotFound, UpstreamBroken, UpstreamThrottled, UpstreamUnreachable
from proxy.events import Event
from proxy.model import Blob, Group, Kind, Member, Outcome, Query, Site, Source, Target, UpstreamRequest
from proxy.python.routes import Elsewhere
from proxy.python.service import PythonIndexes
from tests.bodies import pieces
from tests.cache.conftest import documents_of
from tests.flows.asking import SteppedClock
from tests.memory_store import MemoryStore
from tests.memory_upstream import Gate, MemoryUpstream, Scripted
from tests.pages import Link, as_html
from tests.wheels import wheel

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
PAGE = Target("pypi", None, "simple/demo/")
URL = "https://index.example/simple/demo/"
PACKAGE = wheel()
FILE = Target("pypi", "files.example", f"p/{PACKAGE.filename}")
FILE_URL = f"https://files.example/p/{PACKAGE.filename}"
BODY = b"".join(pieces(PACKAGE.body))
HTML = {"content-type": "text/html"}


@dataclass
class World:
    """The service and what is round it."""

    indexes: PythonIndexes
    documents: Documents
    store: MemoryStore
    upstream: MemoryUpstream
    clock: SteppedClock

    async def ask(self, target: Target, **fields: object) -> Representation:
        """Ask for what is a representation."""
        answer = await self.indexes.answer(Query(target, **fields))  # type: ignore[arg-type]
        assert isinstance(answer, Representation)
        return answer


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A service whose upstream has one project with one wheel on another host."""

    def ignore(_: Event) -> None:
        pass

    store, upstream, clock = MemoryStore(), MemoryUpstream(), SteppedClock()
    documents = documents_of(store, upstream, clock)
    downloads = Downloads(store, upstream, clock, ignore, Lanes(1, 1 << 20))
    revalidator = Revalidator(store, upstream, clock, Patience(upstream, clock))
    indexes = PythonIndexes({"pypi": SITE}, (), store, documents, downloads, revalidator, clock)
    upstream.on(URL, Scripted(as_html("demo", [PACKAGE.link(FILE_URL)]), headers={**HTML, "etag": '"1"'}))
    upstream.on(FILE_URL, Scripted(BODY, ranges=True))
    yield World(indexes, documents, store, upstream, clock)
    await indexes.close()
    await revalidator.close()
    await downloads.close()
    await documents.close()


async def test_page(world: World) -> None:
    """A page is bytes with a strong tag; the first comes from upstream, the second from the store."""
    first, second = await world.ask(PAGE), await world.ask(PAGE)
    assert (Kind.PAGE, "max-age=600, public", "Accept, Accept-Encoding") == (
        first.kind,
        first.cache_control,
        first.vary,
    )
    assert (Source.UPSTREAM, Outcome.MISS) == (first.source, first.outcome)
    assert (Source.CACHE, Outcome.HIT, first.etag, first.body) == (
        second.source,
        second.outcome,
        second.etag,
        second.body,
    )


async def test_metadata__ahead_of_clients(world: World) -> None:
    """A wheel whose size nobody knows is fetched for a client that asks for its metadata, and not before."""

    def without_parts(ask: UpstreamRequest) -> Scripted:
        return Scripted(error=UpstreamBroken("broken")) if "Range" in ask.headers else Scripted(BODY)

    world.upstream.on(FILE_URL, without_parts)
    target = structs.replace(FILE, path=f"{FILE.path}.metadata")
    with pytest.raises(UpstreamBroken):
        await world.ask(target, ahead=True)
    assert all("Range" in ask.headers for ask in world.upstream.asks if ask.url == FILE_URL)
    assert len(PACKAGE.metadata or b"") == (await world.ask(target)).size


async def test_page__may_be_reused_while_it_is_fresh(world: World) -> None:
    """`fresh_until` is the end of the page's life, and nothing where a revalidation was asked for."""
    await world.ask(PAGE)
    world.clock.advance(100)
    kept = await world.ask(PAGE)
    asked = await world.ask(PAGE, no_cache=True)
    assert (600.0, 0.0) == (kept.fresh_until, asked.fresh_until)


async def test_page__that_is_stale_is_not_reused(world: World) -> None:
    """A stale copy may be shown once."""
    await world.ask(PAGE)
    world.clock.advance(601)
    world.upstream.on(URL, Scripted(error=UpstreamUnreachable("away")))
    stale = await world.ask(PAGE)
    assert (Outcome.STALE, Source.CACHE) == (stale.outcome, stale.source)
    assert stale.fresh_until <= world.clock.monotonic()


async def test_page__upstream_known_to_be_down(world: World) -> None:
    """The copy does not wait for an upstream that is known to be down, however long that takes."""
    await world.ask(PAGE)
    world.clock.advance(601)
    world.upstream.on(URL, Scripted(gate=Gate()))
    world.upstream.down_urls.add(URL)
    assert (await world.ask(PAGE)).outcome is Outcome.STALE


async def test_page__that_cannot_be_stored(world: World) -> None:
    """A disk that takes nothing costs the copy, not the answer."""
    world.store = MemoryStore(limit=1)
    documents = documents_of(world.store, world.upstream, world.clock)
    downloads = Downloads(world.store, world.upstream, world.clock, lambda _: None, Lanes(1, 1 << 20))
    revalidator = Revalidator(world.store, world.upstream, world.clock, Patience(world.upstream, world.clock))
    indexes = PythonIndexes({"pypi": SITE}, (), world.store, documents, downloads, revalidator, world.clock)
    answer = await indexes.answer(Query(PAGE))
    assert isinstance(answer, Representation)
    assert PACKAGE.filename.encode() in bytes(answer.body)  # type: ignore[arg-type]
    assert list(world.store.keys("")) == []


async def test_page__whose_blob_is_damaged(world: World) -> None:
    """What was made of a page outlives it; a damaged copy is noticed when it is read, dropped, and fetched again."""
    first = await world.ask(PAGE)
    (key,) = world.store.keys("page:")
    entry = world.store.find(key)
    assert entry is not None
    world.store.damage(entry.digest, b"short")
    assert (first.body, 1) == ((await world.ask(PAGE)).body, world.upstream.count(URL))
    document = world.documents.peek(key, SITE)
    assert document is not None
    with pytest.raises(BlobDamaged):
        await document.read()
    assert (first.body, 2) == ((await world.ask(PAGE)).body, world.upstream.count(URL))


async def test_page__of_another_spelling(world: World) -> None:
    """It is a project's if upstream has nothing by that name."""
    answer = await world.indexes.answer(Query(Target("pypi", None, "simple/De.mo/")))
    assert Elsewhere("../de-mo/") == answer
    assert ["https://index.example/simple/De.mo/"] == [ask.url for ask in world.upstream.asks]


async def test_page__of_another_spelling_beside_requests_ahead(world: World) -> None:
    """Upstream's failure is for who asks once more then; others have the stored page, and no other one."""
    listing = Scripted(b"<!DOCTYPE html><a href='x-1.0.zip'>x-1.0.zip</a>", headers={"content-type": "text/html"})
    for name in ("rocm6-4", "rocm6.4"):
        world.upstream.on(f"https://index.example/simple/{name}/", listing, Scripted(error=UpstreamThrottled("no")))
        await world.indexes.answer(Query(Target("pypi", None, f"simple/{name}/")))
    world.clock.advance(601)
    query = Query(Target("pypi", None, "simple/rocm6.4/"))
    with pytest.raises(UpstreamThrottled):
        await world.indexes.answer(structs.replace(query, contended=True))
    answer = await world.indexes.answer(query)
    assert isinstance(answer, Representation)
    assert Outcome.STALE is answer.outcome


async def test_project_list__that_is_none(world: World) -> None:
    """Something else in place of the list is refused, and upstream's connection is let go."""
    world.upstream.on("https://index.example/simple/", Scripted(b"x", headers={"content-type": "image/png"}))
    with pytest.raises(UpstreamBroken):
        await world.indexes.answer(Query(Target("pypi", None, "simple/")))
    assert world.upstream.open == 0


async def test_file__listed_on_another_host(world: World) -> None:
    """It is fetched from there by the page's word, and its digest is its tag."""
    answer = await world.ask(FILE)
    assert (Kind.FILE, LASTING, f'"sha256:{PACKAGE.sha256}"') == (answer.kind, answer.cache_control, answer.etag)
    assert world.upstream.count(FILE_URL) == 1


async def test_file__not_listed_on_another_host(world: World) -> None:
    """A host that no page links to is not asked."""
    with pytest.raises(NotAllowed):
        await world.ask(Target("pypi", "evil.example", FILE.path))
    assert {ask.url for ask in world.upstream.asks} == {URL}


async def test_file__upstream_is_down_and_the_page_unknown(world: World) -> None:
    """What is not known to be allowed is refused with the reason why it is not known."""
    world.upstream.on(URL, Scripted(error=UpstreamUnreachable("away")))
    with pytest.raises(UpstreamUnreachable):
        await world.ask(FILE)


async def test_file__that_is_missing(world: World) -> None:
    """A listed file that is 404 is not found."""
    world.upstream.on(FILE_URL, Scripted(status=404))
    with pytest.raises(NotFound):
        await world.ask(FILE)


async def test_metadata__has_a_tag_whatever_form_it_has(world: World) -> None:
    """Once from a flight, once from the store: the same bytes, the same tag."""
    target = Target(FILE.mount, FILE.host, f"{FILE.path}.metadata")
    first, second = await world.ask(target), await world.ask(target)
    assert (Kind.METADATA, first.etag, Source.CACHE) == (first.kind, second.etag, second.source)
    assert isinstance(second.body, Blob)


async def test_page__asked_by_many(world: World) -> None:
    """Single flight: one request, one miss, the others shared."""
    gate = Gate()
    world.upstream.on(URL, Scripted(as_html("demo", [Link("a-1.tar.gz", "a-1.tar.gz")]), headers=HTML, gate=gate))
    asking = [asyncio.create_task(world.ask(PAGE)) for _ in range(10)]
    await gate.reached.wait()
    gate.open()
    outcomes = [answer.outcome for answer in await asyncio.gather(*asking)]
    assert (1, 9, 1) == (outcomes.count(Outcome.MISS), outcomes.count(Outcome.SHARED), world.upstream.count(URL))


# Groups and flat pages

HOUSE = Site("house", "https://house.example/", "", 600.0, flat=True)
ALL = Group("all", (Member("pypi", "simple/"),))


@pytest.fixture
async def grouped(world: World) -> AsyncIterator[PythonIndexes]:
    """The same service with a group of the one index, and a flat index."""
    documents = documents_of(world.store, world.upstream, world.clock)
    downloads = Downloads(world.store, world.upstream, world.clock, lambda _: None, Lanes(1, 1 << 20))
    revalidator = Revalidator(world.store, world.upstream, world.clock, Patience(world.upstream, world.clock))
    sites = {"pypi": SITE, "house": HOUSE}
    indexes = PythonIndexes(sites, (ALL,), world.store, documents, downloads, revalidator, world.clock)
    yield indexes
    await indexes.close()
    await revalidator.close()
    await downloads.close()
    await documents.close()


async def test_group__has_a_mount(grouped: PythonIndexes) -> None:
    """Groups are mounts beside those of the indexes."""
    assert {"pypi", "house", "all"} == grouped.mounts


async def test_group__page(grouped: PythonIndexes) -> None:
    """It is the member's page, with links that lead to the member's mount."""
    answer = await grouped.answer(Query(Target("all", None, "simple/demo/")))
    assert isinstance(answer, Representation)
    assert (Kind.PAGE, "pypi") == (answer.kind, answer.mount)
    assert f"../../../pypi/~files/files.example/p/{PACKAGE.filename}".encode() in bytes(answer.body)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "location"),
    [("simple/De.mo/", "../de-mo/"), ("simple/demo", "demo/"), ("simple/De_mo", "De_mo/"), ("simple", "simple/")],
)
async def test_group__page_of_another_spelling(grouped: PythonIndexes, world: World, path: str, location: str) -> None:
    """A redirect is decided without asking a member: so pins and members see one spelling only."""
    assert Elsewhere(location) == await grouped.answer(Query(Target("all", None, path)))
    assert 0 == len(world.upstream.asks)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (None, ""),
        (None, "demo/"),
        (None, "simple/+simple/"),
        (None, "simple/links.html"),
        (None, f"simple/demo/{PACKAGE.filename}"),
        (None, f"p/{PACKAGE.filename}"),
        (None, f"p/{PACKAGE.filename}.metadata"),
        ("files.example", FILE.path),
        ("files.example", "p/"),
    ],
)
async def test_group__has_nothing_but_pages(grouped: PythonIndexes, world: World, host: str | None, path: str) -> None:
    """Files and other folders are the members' own."""
    with pytest.raises(NotFound):
        await grouped.answer(Query(Target("all", host, path)))
    assert 0 == len(world.upstream.asks)


async def test_flat__page(grouped: PythonIndexes, world: World) -> None:
    """A folder of a flat index, and a page of links on any index, are pages of files of any project."""
    links = as_html("links", [Link("a-1.tar.gz", "a-1.tar.gz"), Link("b-1.tar.gz", "b-1.tar.gz")])
    for url in ("https://house.example/x/", "https://index.example/stable.html"):
        world.upstream.on(url, Scripted(links, headers=HTML))
    for target in (Target("house", None, "x/"), Target("pypi", None, "stable.html")):
        answer = await grouped.answer(Query(target))
        assert isinstance(answer, Representation)
        assert (Kind.PAGE, target.mount) == (answer.kind, answer.mount)
        assert bytes(answer.body).count(b"<a href") == 2  # type: ignore[arg-type]
    assert ["page:house::x/", "page:pypi::stable.html"] == list(world.store.keys("page:"))


async def test_flat__folder_without_its_slash(grouped: PythonIndexes) -> None:
    """Its links would lead beside it: so the slash is put there first."""
    assert Elsewhere("./x/") == await grouped.answer(Query(Target("house", None, "x")))
