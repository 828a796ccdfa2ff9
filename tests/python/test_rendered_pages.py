"""Pages rendered once per form."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from msgspec import structs

from proxy.errors import UpstreamBroken
from proxy.model import Query, Target
from proxy.python import rendered_pages
from proxy.python.codings import Coding
from proxy.python.negotiation import Format
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.rendered_pages import PageView, RenderedPages
from proxy.python.sidecars import Sidecars
from proxy.python.store_keys import PageAddress
from proxy.python.supplements import REMOVED
from tests.flows.asking import SteppedClock
from tests.memory_store import MemoryStore
from tests.pages import HTML, JSON
from tests.python.test_outlines import AT, DEMO, LISTED, many, restarted
from tests.python.test_parsed_pages import LONG, SHORT, document
from tests.python.world import PAGE, SITE, World, content

HERE = Target("pypi", None, "simple/demo/")
FORMS = [(accept, coding) for accept in (JSON, HTML, "text/html") for coding in (None, "gzip", "zstd")]


@pytest.fixture
async def rendered() -> AsyncIterator[RenderedPages]:
    """Nothing is rendered yet."""
    work = PageWork()
    sidecars = Sidecars(MemoryStore(), work, SteppedClock())
    made = RenderedPages(ParsedPages(work), sidecars, work)
    yield made
    await made.close()
    await sidecars.close()
    await work.close()


@pytest.mark.parametrize("body", [SHORT, LONG], ids=["short", "long"])
async def test_get__is_made_once(rendered: RenderedPages, body: bytes) -> None:
    """The same page in the same form is the same object; the coded one unpacks to it."""
    plain = await rendered.get(PageView(document(body), HERE, SITE), Format.JSON, None)
    again = await rendered.get(PageView(document(body), HERE, SITE), Format.JSON, None)
    coded = await rendered.get(PageView(document(body), HERE, SITE), Format.JSON, Coding.GZIP)
    assert plain is again
    assert (plain.body, True) == (gzip.decompress(coded.body), plain.etag != coded.etag)


async def test_get__a_step_between_is_not_kept(rendered: RenderedPages) -> None:
    """The long plain form that a coded one is made of takes no room from what clients ask for."""
    coded = await rendered.get(PageView(document(LONG), HERE, SITE), Format.JSON, Coding.GZIP)
    assert len(coded.body) == rendered._bytes


async def test_get__tells_addresses_apart(rendered: RenderedPages) -> None:
    """The same bytes at another address have other links: final address, mount, and place here all count."""
    here = await rendered.get(PageView(document(SHORT), HERE, SITE), Format.TEXT, None)
    moved = document(SHORT, url="https://index.example/other/demo/")
    there = await rendered.get(PageView(moved, HERE, SITE), Format.TEXT, None)
    deeper = await rendered.get(
        PageView(document(SHORT), Target("pypi", None, "simple/a/demo/"), SITE), Format.TEXT, None
    )
    assert len({here.body, there.body, deeper.body}) == 3


async def test_get__is_bounded(rendered: RenderedPages) -> None:
    """Pages that nobody asked for lately are forgotten."""
    for number in range(60):
        page = document(LONG + b"<!-- %d -->" % number)
        await rendered.get(PageView(page, HERE, SITE), Format.TEXT, None)
    assert rendered._bytes == sum(len(made.body) for made in rendered._pages.values()) <= 48 << 20


async def test_get__what_is_no_page(rendered: RenderedPages) -> None:
    """All who ask get the error, and nothing is remembered of it."""
    for _ in range(2):
        with pytest.raises(UpstreamBroken):
            await rendered.get(PageView(document(b"{}", "application/json"), HERE, SITE), Format.JSON, None)
    assert (0, 0) == (rendered._bytes, len(rendered._pages))


async def test_get__after_a_restart(world: World) -> None:
    """A form that was made once is read back, byte for byte; nothing is parsed, rendered or compressed."""
    world.publish(*many(LISTED))
    first = {(accept, coding): await world.page(accept=accept, accept_encoding=coding) for accept, coding in FORMS}
    await restarted(world)
    before = world.parsed.count
    again = {(accept, coding): await world.page(accept=accept, accept_encoding=coding) for accept, coding in FORMS}

    assert {key: (shown.body, shown.etag) for key, shown in first.items()} == {
        key: (shown.body, shown.etag) for key, shown in again.items()
    }
    assert (6, before) == (len({shown.etag for shown in again.values()}), world.parsed.count)


async def test_get__short_pages_are_not_written(world: World) -> None:
    """They are made in less time than they would be read."""
    world.publish(LISTED)
    await world.page()
    await restarted(world)
    await world.page()
    assert (2, []) == (world.parsed.count, world.store.keys("form:"))


async def test_get__what_is_known_beside_the_page_changes_the_form(world: World) -> None:
    """A digest that was measured, a file that the index dropped, an index that cannot be reached."""
    bare = replace(LISTED, sha256=None)
    world.publish(*many(bare))
    assert {} == (await world.listed())[DEMO.filename]["hashes"]
    await restarted(world)
    await world.hold(AT, content(DEMO))
    assert {"sha256": DEMO.sha256} == (await world.listed())[DEMO.filename]["hashes"]
    await restarted(world)
    assert {"sha256": DEMO.sha256} == (await world.listed())[DEMO.filename]["hashes"]

    world.publish(*many())
    world.clock.advance(1000)
    assert REMOVED == (await world.listed())[DEMO.filename]["yanked"]
    await restarted(world)
    assert REMOVED == (await world.listed())[DEMO.filename]["yanked"]
    assert 2 == len(world.store.keys("form:")) + len(world.store.keys("outline:"))


async def test_get__of_an_index_that_cannot_be_reached(world: World) -> None:
    """Only what is here is listed, until the index is there again."""
    world.publish(*many(LISTED))
    await world.hold(AT, content(DEMO))
    assert 201 == len(await world.listed())
    await restarted(world)
    world.upstream.down_urls.add(world.url(PAGE))
    assert [DEMO.filename] == list(await world.listed())
    world.upstream.down_urls.clear()
    await restarted(world)
    assert 201 == len(await world.listed())


async def test_get__a_group_has_a_form_of_its_own(world: World) -> None:
    """Its links begin elsewhere; neither takes the other's place."""
    world.publish(*many(LISTED))
    group = structs.replace(PAGE, mount="all")
    for target in (PAGE, group):
        query = Query(target, accept=JSON)
        await world.pages.page(query, world.site, PAGE, "demo")
    await world.sidecars.settled()
    assert 2 == len(world.store.keys("form:pypi:demo:json-"))


async def test_get__of_another_base(world: World) -> None:
    """Settings may change between two runs: what was made with others is made anew."""
    world.publish(*many(LISTED))
    document = await world.page_cache.get(PageAddress(SITE, "demo", PAGE.path))
    await world.rendered.get(PageView(document, HERE, SITE), Format.JSON, None)
    await restarted(world)
    view = PageView(document, HERE, structs.replace(SITE, base="https://files.example/"))
    assert b"~files" not in (await world.rendered.get(view, Format.JSON, None)).body


async def test_get__a_long_form_is_read_in_a_thread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is the same."""
    world.publish(*many(LISTED))
    first = await world.page()
    await restarted(world)
    monkeypatch.setattr(rendered_pages, "_INLINE", 0)
    assert first.body == (await world.page()).body
