"""Groups of indexes: the first that has a project answers; nobody outside can take a name over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import aiohttp
import pytest

from proxy.config.groups import GroupSettings
from proxy.config.upstreams import UpstreamSettings
from tests import scrape
from tests.conftest import MakeProxy
from tests.faults import status
from tests.flows.asking import SteppedClock, content, get, until_idle
from tests.flows.conftest import MakeClocked
from tests.origin import Origin
from tests.pages import JSON
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

INTERNAL = wheel("secret", "1.0")
ATTACK = wheel("secret", "99.0")  # what somebody put under the same name on a public index
PAGE = "/all/simple/secret/"


def settings(internal: str, public: str, **group: Any) -> dict[str, Any]:
    """An internal index before a public one."""
    return {
        "upstreams": (
            UpstreamSettings(mount="internal", url=internal),
            UpstreamSettings(mount="public", url=public),
        ),
        "groups": (GroupSettings(**{"mount": "all", "members": ("internal", "public")} | group),),
    }


@pytest.fixture
async def internal() -> AsyncIterator[Origin]:
    """The index of the house."""
    async with Origin(host="127.0.0.3") as started:
        yield started


@pytest.fixture
async def public(other_origin: Origin) -> Origin:
    """An index where everybody may publish."""
    other_origin.publish(ATTACK, wheel("demo"))
    return other_origin


async def names(http: aiohttp.ClientSession, running: Running, path: str = PAGE) -> list[str]:
    """The files that a page lists."""
    got = await get(http, running.url + path, accept=JSON)
    assert got.status == 200, got
    return [file["filename"] for file in json.loads(got.body)["files"]]


async def test_group__first_that_has_it(
    make_proxy: MakeProxy, origin: Origin, internal: Origin, public: Origin, http: aiohttp.ClientSession
) -> None:
    """A project of the first index is that index's alone; what the first has not comes from the next."""
    internal.publish(INTERNAL)
    running = await make_proxy(origin.url, **settings(internal.url, public.url))
    assert [INTERNAL.filename] == await names(http, running)
    assert [wheel("demo").filename] == await names(http, running, "/all/simple/demo/")
    assert 404 == (await get(http, running.url + "/all/simple/nowhere/")).status


async def test_group__links_lead_to_the_members_mount(
    make_proxy: MakeProxy, origin: Origin, internal: Origin, public: Origin, http: aiohttp.ClientSession
) -> None:
    """A file has one address, whichever page led to it."""
    internal.publish(INTERNAL)
    running = await make_proxy(origin.url, **settings(internal.url, public.url))
    (file,) = json.loads((await get(http, running.url + PAGE, accept=JSON)).body)["files"]
    link = urljoin(running.url + PAGE, file["url"])
    assert link == f"{running.url}/internal/packages/{INTERNAL.filename}"
    assert content(INTERNAL.body) == (await get(http, link)).body


@pytest.mark.parametrize(("code", "expected"), [(401, 502), (403, 502), (500, 502), (503, 503)])
async def test_group__member_that_fails(
    make_proxy: MakeProxy,
    origin: Origin,
    internal: Origin,
    public: Origin,
    http: aiohttp.ClientSession,
    code: int,
    expected: int,
) -> None:
    """An index that fails is an error, and the next one is not asked: breaking it must not open its names."""
    internal.misbehave(None, status(code))
    running = await make_proxy(origin.url, **settings(internal.url, public.url))
    got = await get(http, running.url + PAGE)
    assert expected == got.status
    assert ATTACK.filename.encode() not in got.body
    assert 0 == public.count()


async def test_group__member_that_is_away(
    make_clocked: MakeClocked,
    clock: SteppedClock,
    origin: Origin,
    internal: Origin,
    public: Origin,
    http: aiohttp.ClientSession,
) -> None:
    """What is known of an index that is away goes on being answered; what is not known is an error."""
    internal.publish(INTERNAL)
    running = await make_clocked(origin.url, **settings(internal.url, public.url))
    await names(http, running)
    assert 200 == (await get(http, f"{running.url}/internal/packages/{INTERNAL.filename}")).status
    await until_idle(running)
    await internal.stop()
    clock.advance(601)
    assert [INTERNAL.filename] == await names(http, running)
    assert 502 == (await get(http, running.url + "/all/simple/demo/")).status


async def test_group__member_that_says_403_of_what_is_missing(
    make_proxy: MakeProxy, origin: Origin, internal: Origin, public: Origin, http: aiohttp.ClientSession
) -> None:
    """A store of objects, by the word of the settings: then its refusal is a no like any other."""
    internal.misbehave(None, status(403))
    first = UpstreamSettings(mount="internal", url=internal.url, forbidden_is_missing=True)
    more = settings(internal.url, public.url)
    running = await make_proxy(origin.url, **more | {"upstreams": (first, more["upstreams"][1])})
    assert [wheel("demo").filename] == await names(http, running, "/all/simple/demo/")


async def test_group__member_that_had_it(
    make_clocked: MakeClocked,
    clock: SteppedClock,
    origin: Origin,
    internal: Origin,
    public: Origin,
    http: aiohttp.ClientSession,
) -> None:
    """A project that an index had and deleted is gone: nobody else's of that name takes its place."""
    internal.publish(INTERNAL)
    running = await make_clocked(origin.url, **settings(internal.url, public.url))
    await names(http, running)
    internal.remove("/simple/secret/")
    clock.advance(601)
    assert 404 == (await get(http, running.url + PAGE)).status
    assert 0 == public.count()


async def test_group__member_that_has_it_from_now_on(
    make_clocked: MakeClocked,
    clock: SteppedClock,
    origin: Origin,
    internal: Origin,
    public: Origin,
    http: aiohttp.ClientSession,
) -> None:
    """An internal index that publishes a name has it within seconds, though the next one's page is still fresh."""
    running = await make_clocked(origin.url, **settings(internal.url, public.url))
    before = [await names(http, running) for _ in range(3)]
    internal.publish(INTERNAL)
    clock.advance(11)
    assert [[ATTACK.filename]] * 3 == before
    assert [INTERNAL.filename] == await names(http, running)


async def test_group__pins(
    make_proxy: MakeProxy, origin: Origin, internal: Origin, public: Origin, http: aiohttp.ClientSession
) -> None:
    """A name that a pattern pins is never looked for elsewhere, though its index does not have it."""
    running = await make_proxy(origin.url, **settings(internal.url, public.url, pins={"Secret*": "internal"}))
    assert 404 == (await get(http, running.url + PAGE)).status
    assert 0 == public.count()
    assert [wheel("demo").filename] == await names(http, running, "/all/simple/demo/")


async def test_group__member_below_a_mount(
    make_proxy: MakeProxy, origin: Origin, internal: Origin, public: Origin, http: aiohttp.ClientSession
) -> None:
    """A member may be one of several indexes of an upstream."""
    internal.publish(INTERNAL, index="/whl/cu126/")
    group = {"members": ("internal/whl/cu126", "public")}
    running = await make_proxy(origin.url, **settings(internal.url, public.url, **group))
    assert [INTERNAL.filename] == await names(http, running)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/all/simple/Secret/", 302),
        ("/all/", 404),
        (f"/all/packages/{INTERNAL.filename}", 404),
        ("/all/~files/127.0.0.1/x.whl", 404),
    ],
)
async def test_group__other_addresses(
    make_proxy: MakeProxy, origin: Origin, internal: Origin, http: aiohttp.ClientSession, path: str, expected: int
) -> None:
    """A group has pages of projects and nothing else."""
    running = await make_proxy(origin.url, **settings(internal.url, origin.url))
    assert expected == (await get(http, running.url + path)).status
    assert 0 == internal.count()


async def test_group__counted_for_its_member(
    make_proxy: MakeProxy, origin: Origin, internal: Origin, public: Origin, http: aiohttp.ClientSession
) -> None:
    """A page that a group answers counts for the index that it is of, the first time and from the cache."""
    internal.publish(INTERNAL)
    running = await make_proxy(origin.url, **settings(internal.url, public.url))
    sizes = [len((await get(http, running.url + PAGE)).body) for _ in range(3)]
    while scrape.metric(running, "pullthrough_requests_total") < len(sizes):
        await asyncio.sleep(0)
    assert len(sizes) == scrape.metric(running, "pullthrough_requests_total", upstream="internal")
    assert sum(sizes) == scrape.metric(running, "pullthrough_sent_bytes_total", upstream="internal")
