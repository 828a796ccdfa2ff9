"""Pages of one index, of a group of indexes, flat ones; the list of projects."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from msgspec import structs

from proxy.cache.representation import Representation
from proxy.errors import (
    NotFound,
    PullthroughError,
    StoreFull,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.model import Group, Kind, Member, Outcome, Query, Site, Source, Target
from proxy.python.store_keys import file_key
from tests.memory_upstream import Gate, Scripted
from tests.pages import JSON, Link
from tests.python.conftest import Make
from tests.python.world import PAGE, SITE, World, content
from tests.wheels import sdist, wheel

URL = "https://index.example/simple/demo/"
PACKAGE = wheel(padding=100)
HASHED = PACKAGE.link(f"https://files.example/p/{PACKAGE.filename}")
BARE = Link(PACKAGE.filename, f"https://files.example/p/{PACKAGE.filename}")
FILE = Target("pypi", "files.example", f"p/{PACKAGE.filename}")

HOUSE = Site("house", "https://house.example/", "", 600.0)
CHANNELS = Site("channels", "https://channels.example/", "whl/", 600.0)
GROUP = Group(
    "all",
    (Member("house", ""), Member("channels", "whl/cu126/"), Member("pypi", "simple/")),
    (("torch*", Member("channels", "whl/cu126/")),),
)
AT_HOUSE, AT_CHANNEL = Target("house", None, "demo/"), Target("channels", None, "whl/cu126/demo/")


# Pages of an index


async def test_page__is_what_upstream_has(world: World) -> None:
    """In the form that was asked for, with what may be said of it."""
    world.publish(HASHED)
    first = await world.page()
    assert (Kind.PAGE, "pypi", "max-age=600, public", "Accept, Accept-Encoding") == (
        first.kind,
        first.mount,
        first.cache_control,
        first.vary,
    )
    assert (Outcome.MISS, Source.UPSTREAM, JSON) == (first.outcome, first.source, first.content_type)
    again = await world.page()
    assert (Outcome.HIT, Source.CACHE, first.etag) == (again.outcome, again.source, again.etag)


@pytest.mark.parametrize(("link", "stored", "parsed"), [(HASHED, True, 0), (BARE, False, 0), (BARE, True, 1)])
async def test_page__hit_parses_nothing(world: World, link: Link, stored: bool, parsed: int) -> None:
    """Its summary is enough, unless the page has no hashes and a file of it is stored."""
    world.publish(link)
    if stored:
        await world.hold(FILE, content(PACKAGE))
    first = await world.page()
    world.parsed._pages.clear()
    assert (first.etag, Outcome.HIT) == ((again := await world.page()).etag, again.outcome)
    assert parsed == len(world.parsed._pages)


async def test_page__coded(world: World) -> None:
    """gzip where the client takes it, with a tag of its own."""
    world.publish(HASHED)
    plain, coded = await world.page(), await world.page(accept_encoding="br, gzip")
    assert (None, "gzip") == (plain.encoding, coded.encoding)
    assert isinstance(coded.body, bytes)
    assert (plain.body, True) == (gzip.decompress(coded.body), plain.etag != coded.etag)


@pytest.mark.parametrize(
    ("link", "revalidate", "lasting"), [(HASHED, False, True), (HASHED, True, False), (BARE, False, False)]
)
async def test_page__may_be_reused(world: World, link: Link, revalidate: bool, lasting: bool) -> None:
    """For as long as it is fresh; not what a download may add to, nor what was asked to be confirmed."""
    world.publish(link, etag='"1"')
    await world.page()
    world.clock.advance(100)
    shown = await world.page(no_cache=revalidate)
    assert (600.0 if lasting else 0.0) == shown.fresh_until


async def test_page__with_what_was_dropped_is_not_reused(world: World) -> None:
    """What is shown of it depends on what is stored."""
    newer = sdist(version="2.0")
    world.publish(HASHED, newer.link(f"https://files.example/p/{newer.filename}"))
    await world.page()
    await world.hold(FILE, content(PACKAGE))
    world.publish(newer.link(f"https://files.example/p/{newer.filename}"))
    world.clock.advance(SITE.ttl + 1)
    await world.page()
    shown = await world.page()
    assert (Outcome.HIT, 0.0) == (shown.outcome, shown.fresh_until)


async def test_page__what_is_remembered_follows_what_is_stored(world: World) -> None:
    """The same page of upstream is shown with another tag as soon as a download gives a hash, and until it is gone."""
    world.publish(BARE)
    before = await world.page()
    await world.hold(FILE, content(PACKAGE))
    during = await world.page()
    await world.store.forget(file_key(FILE))
    after = await world.page()
    assert (before.etag, before.body) == (after.etag, after.body)
    assert PACKAGE.sha256.encode() in bytes(during.body)  # type: ignore[arg-type]
    assert before.etag != during.etag


async def test_page__confirmed_and_stale(world: World) -> None:
    """Where it came from is said as it was."""
    world.publish(HASHED, etag='"1"')
    await world.page()
    world.clock.advance(SITE.ttl + 1)
    world.upstream.on(URL, Scripted(status=304))
    confirmed = await world.page()
    world.clock.advance(SITE.ttl + 1)
    world.upstream.on(URL, Scripted(error=UpstreamUnreachable("away")))
    stale = await world.page()
    assert [(Outcome.REVALIDATED, Source.CACHE), (Outcome.STALE, Source.CACHE)] == [
        (confirmed.outcome, confirmed.source),
        (stale.outcome, stale.source),
    ]


async def test_page__disk_is_full(world: World) -> None:
    """It is answered, and asked for again by the next."""
    world.store.failure = lambda: StoreFull("full")
    world.publish(HASHED)
    shown = [await world.page() for _ in range(2)]
    assert [(Outcome.MISS, shown[0].body)] * 2 == [(page.outcome, page.body) for page in shown]
    assert [] == list(world.store.keys(""))


async def test_page__marked_no_store(make: Make) -> None:
    """Where the settings say so nothing of it stays, and each asker has upstream's newest."""
    world = make(structs.replace(SITE, honour_no_store=True))
    marked = {"content-type": "text/html", "cache-control": "no-store"}
    bodies = [b'<a href="demo-%d.0.tar.gz">x</a>' % number for number in (1, 2)]
    world.upstream.on(URL, *(Scripted(body, headers=marked) for body in bodies))
    assert [["demo-1.0.tar.gz"], ["demo-2.0.tar.gz"]] == [list(await world.listed()) for _ in bodies]
    assert [] == list(world.store.keys(""))


# Flat pages


async def test_flat__files_of_many_projects(make: Make) -> None:
    """One page, whatever projects its files are of; what was measured, and what was dropped, is known beside it."""
    world = make(structs.replace(SITE, flat=True, index=""))
    page, other = Target("pypi", None, "links.html"), sdist("other")
    links = [Link(package.filename, f"https://index.example/x/{package.filename}") for package in (PACKAGE, other)]
    world.publish(*links, target=page)
    assert {PACKAGE.filename, other.filename} == set(await world.listed(page, ""))
    await world.hold(Target("pypi", None, f"x/{other.filename}"), content(other))
    assert {"sha256": other.sha256} == (await world.listed(page, ""))[other.filename]["hashes"]
    world.publish(links[0], target=page)
    world.clock.advance(SITE.ttl + 1)
    listed = await world.listed(page, "")
    assert [False, True] == [bool(listed[package.filename]["yanked"]) for package in (PACKAGE, other)]


async def test_flat__pages_of_one_index_are_apart(make: Make) -> None:
    """What one page drops another one may have never had."""
    world = make(structs.replace(SITE, flat=True, index=""))
    first, second = Target("pypi", None, "a/"), Target("pypi", None, "b/")
    link = PACKAGE.link(f"https://index.example/x/{PACKAGE.filename}")
    other = Link("other-1.tar.gz", "https://index.example/x/other-1.tar.gz", sha256="0" * 64)
    world.publish(link, other, target=first)
    world.publish(other, target=second)
    await world.page(first, "")
    await world.hold(Target("pypi", None, f"x/{PACKAGE.filename}"), content(PACKAGE))
    world.publish(other, target=first)
    world.clock.advance(SITE.ttl + 1)
    assert {PACKAGE.filename, "other-1.tar.gz"} == set(await world.listed(first, ""))
    assert {"other-1.tar.gz"} == set(await world.listed(second, ""))


# Groups


@pytest.fixture
def group(make: Make) -> World:
    """Three indexes: the house's, a channel of another one, and PyPI."""
    return make(SITE, HOUSE, CHANNELS)


async def ask(world: World, project: str = "demo", **fields: Any) -> Representation:
    """The group's page of a project."""
    here = Target("all", None, f"simple/{project}/")
    return await world.pages.grouped(Query(here, **{"accept": JSON} | fields), GROUP, project)


def files(shown: Representation) -> list[str]:
    """The links of a page in JSON."""
    assert isinstance(shown.body, bytes)
    return [file["url"] for file in json.loads(shown.body)["files"]]


def publish(world: World, target: Target, name: str) -> None:
    """Let a member have the project, with one file beside its page."""
    world.publish(Link(name, name, sha256="0" * 64), target=target)


async def test_grouped__first_member_that_has_it(group: World) -> None:
    """It alone answers; the others are asked only where those before them have not the project."""
    publish(group, PAGE, "demo-9.tar.gz")
    last = await ask(group)
    publish(group, AT_CHANNEL, "demo-2.tar.gz")
    publish(group, AT_HOUSE, "demo-1.tar.gz")
    group.clock.advance(11)  # until it is no longer remembered that there was nothing
    first = await ask(group)
    assert ["../../../pypi/simple/demo/demo-9.tar.gz"] == files(last)
    assert ["../../../house/demo/demo-1.tar.gz"] == files(first)
    assert ("pypi", "house") == (last.mount, first.mount)


async def test_grouped__path_below_a_member(group: World) -> None:
    """A member may be one of several indexes of an upstream."""
    publish(group, AT_CHANNEL, "demo-2.tar.gz")
    assert ["../../../channels/whl/cu126/demo/demo-2.tar.gz"] == files(await ask(group))


async def test_grouped__shares_what_is_stored_with_its_members(group: World) -> None:
    """The group's page and the member's own are one copy, each with its own links."""
    publish(group, AT_HOUSE, "demo-1.tar.gz")
    own, grouped = await group.page(AT_HOUSE), await ask(group)
    assert (["demo-1.tar.gz"], ["../../../house/demo/demo-1.tar.gz"]) == (files(own), files(grouped))
    assert (Outcome.HIT, 1) == (grouped.outcome, group.upstream.count("https://house.example/demo/"))


@pytest.mark.parametrize(
    "error",
    [
        UpstreamUnreachable("away"),
        UpstreamTimeout("silent"),
        UpstreamDenied("no"),
        UpstreamThrottled("busy"),
        UpstreamBroken("broken"),
    ],
)
async def test_grouped__member_that_fails(group: World, error: PullthroughError) -> None:
    """It is an error: nobody after it is asked for a name that may be its own."""
    group.upstream.on("https://house.example/demo/", Scripted(error=error))
    publish(group, PAGE, "demo-9.tar.gz")
    with pytest.raises(type(error)):
        await ask(group)
    assert {"https://house.example/demo/"} == {asked.url for asked in group.upstream.asks}


async def test_grouped__member_that_sends_no_index_page(group: World) -> None:
    """A login page is no word that there is no such project."""
    group.upstream.on(
        "https://house.example/demo/", Scripted(b"<h1>Log in</h1>", headers={"content-type": "text/html"})
    )
    publish(group, PAGE, "demo-9.tar.gz")
    with pytest.raises(UpstreamBroken):
        await ask(group)


async def test_grouped__member_that_fails_and_has_a_copy(group: World) -> None:
    """The stale copy answers, and still nobody after it."""
    publish(group, AT_HOUSE, "demo-1.tar.gz")
    await ask(group)
    group.clock.advance(SITE.ttl + 1)
    group.upstream.on("https://house.example/demo/", Scripted(error=UpstreamUnreachable("away")))
    publish(group, PAGE, "demo-9.tar.gz")
    stale = await ask(group)
    assert (Outcome.STALE, "house") == (stale.outcome, stale.mount)
    assert 0 == group.upstream.count(URL)


async def test_grouped__member_that_withdrew_it(group: World) -> None:
    """A name that a member once had stays its own, whether or not a file of it is stored."""
    name = PACKAGE.filename
    publish(group, AT_HOUSE, name)
    await ask(group)
    held = Target("house", None, f"demo/{name}")
    await group.hold(held, content(PACKAGE))
    group.publish(PACKAGE.link(name), target=AT_HOUSE)
    group.clock.advance(SITE.ttl + 1)
    await ask(group)
    group.upstream.on("https://house.example/demo/", Scripted(status=404))
    group.clock.advance(SITE.ttl + 1)
    publish(group, PAGE, "demo-9.tar.gz")
    kept = await ask(group)
    await group.store.forget(file_key(held))
    with pytest.raises(NotFound):
        await ask(group)
    assert ("house", Outcome.STALE) == (kept.mount, kept.outcome)
    assert 0 == group.upstream.count(URL)


async def test_grouped__member_that_refuses(group: World) -> None:
    """A 403 may mean that it wants to know who asks: nobody after it is asked."""
    group.upstream.on("https://house.example/demo/", Scripted(status=403))
    publish(group, PAGE, "demo-9.tar.gz")
    with pytest.raises(UpstreamDenied):
        await ask(group)
    assert 0 == group.upstream.count(URL)


async def test_grouped__member_whose_refusal_means_that_there_is_nothing(make: Make) -> None:
    """Where the settings say so the next one is asked."""
    world = make(SITE, structs.replace(HOUSE, forbidden_is_missing=True), CHANNELS)
    world.upstream.on("https://house.example/demo/", Scripted(status=403))
    publish(world, PAGE, "demo-9.tar.gz")
    assert "pypi" == (await ask(world)).mount


async def test_grouped__may_be_reused(group: World) -> None:
    """Only what the first member has: what it has not now, it may have in a moment."""
    publish(group, PAGE, "demo-9.tar.gz")
    later = [await ask(group) for _ in range(2)]
    group.clock.advance(11)
    publish(group, AT_HOUSE, "demo-1.tar.gz")
    first = [await ask(group) for _ in range(2)]
    assert [Outcome.MISS, Outcome.HIT] * 2 == [shown.outcome for shown in later + first]
    assert (0.0, group.clock.monotonic() + SITE.ttl) == (later[-1].fresh_until, first[-1].fresh_until)


async def test_grouped__pinned(group: World) -> None:
    """A pinned name is asked of its member alone, also when that has it not."""
    publish(group, Target("pypi", None, "simple/torchvision/"), "torchvision-9.tar.gz")
    with pytest.raises(NotFound):
        await ask(group, "torchvision")
    assert ["https://channels.example/whl/cu126/torchvision/"] == [asked.url for asked in group.upstream.asks]


async def test_grouped__nobody_has_it(group: World) -> None:
    """All were asked, in order; so soon again nobody is."""
    for _ in range(2):
        with pytest.raises(NotFound):
            await ask(group)
    assert [
        "https://house.example/demo/",
        "https://channels.example/whl/cu126/demo/",
        "https://index.example/simple/demo/",
    ] == [asked.url for asked in group.upstream.asks]


async def test_grouped__confirmed_on_demand(group: World) -> None:
    """no-cache asks again also the members that had nothing: a project may have come to one of them."""
    publish(group, PAGE, "demo-9.tar.gz")
    await ask(group)
    publish(group, AT_HOUSE, "demo-1.tar.gz")
    group.clock.advance(5)
    assert ("pypi", "house") == ((await ask(group)).mount, (await ask(group, no_cache=True)).mount)


async def test_grouped__asked_by_many(group: World) -> None:
    """Single flight holds for each member."""
    gate = Gate()
    group.upstream.on("https://house.example/demo/", Scripted(status=404, gate=gate))
    publish(group, PAGE, "demo-9.tar.gz")
    asking = [asyncio.create_task(ask(group)) for _ in range(10)]
    await gate.reached.wait()
    gate.open()
    assert {"pypi"} == {shown.mount for shown in await asyncio.gather(*asking)}
    assert (1, 1) == (group.upstream.count("https://house.example/demo/"), group.upstream.count(URL))
