"""A cache behind another one: `parent`, and a mount whose `url` leads to another cache (ADR 22)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from proxy.config.loading import ConfigError
from tests import faults, scrape
from tests.archive import Archive, deb
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.flows.apting import client, update
from tests.flows.asking import SMALL, Got, get, until_idle
from tests.flows.test_tunnels import connect, echo
from tests.origin import Origin
from tests.pages import HTML, JSON
from tests.wheels import sdist, wheel

if TYPE_CHECKING:
    from proxy.app import Running

ONE, TWO = wheel("demo", "1.0", requires=("other",)), wheel("demo", "2.0", padding=300_000)
SOURCE = sdist("demo", "1.5")
QUIET: dict[str, Any] = {"foresight": {"what": "off"}}  # so that each request is a client's

Pair = Callable[..., Awaitable[tuple["Running", "Running"]]]


@pytest.fixture
def pair(make_proxy: MakeProxy, tmp_path: Path) -> Pair:
    """Starts two caches, a hub and a site that asks it. `hub`: settings of the hub alone."""

    async def make(upstream: str, *, hub: dict[str, Any] | None = None, **more: Any) -> tuple[Running, Running]:
        first = await make_proxy(upstream, **{"data": tmp_path / "hub"} | QUIET | more | (hub or {}))
        return first, await make_proxy(upstream, parent=first.url, **QUIET | more)

    return make


async def ask(http: aiohttp.ClientSession, running: Running, path: str, accept: str = JSON) -> Got:
    """Ask a cache for what is at a path."""
    return await get(http, running.url + path, accept=accept)


async def links(http: aiohttp.ClientSession, running: Running, mount: str = "pypi") -> list[str]:
    """The links of the project's page, as paths on the cache."""
    got = await ask(http, running, f"/{mount}/simple/demo/")
    assert 200 == got.status, got.body
    return [file["url"].removeprefix(running.url) for file in msgspec.json.decode(got.body)["files"]]


async def keep(http: aiohttp.ClientSession, running: Running, path: str) -> None:
    """Have a file in a cache."""
    while (got := await ask(http, running, path)).source != "hit":
        assert 200 == got.status
        await asyncio.sleep(0.01)


async def test_index(pair: Pair, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Page, metadata and file come through the hub, once; bytes add up at both."""
    origin.publish(ONE, TWO, SOURCE, fmt="both", metadata=True)
    hub, site = await pair(origin.url)
    assert 3 == len(await links(http, site))
    for package in (ONE, TWO, SOURCE):
        assert package.sha256 == (await ask(http, site, f"/pypi/packages/{package.filename}")).sha256
    assert ONE.metadata == (await ask(http, site, f"/pypi/packages/{ONE.filename}.metadata")).body
    await until_idle(site)
    await until_idle(hub)
    assert [1, 1, 1] == [origin.count(f"/packages/{one.filename}", "GET") for one in (ONE, TWO, SOURCE)]
    assert origin.sent_body_bytes() == int(scrape.metric(hub, "pullthrough_fetched_bytes_total"))
    fetched = int(scrape.metric(site, "pullthrough_fetched_bytes_total"))
    assert int(scrape.metric(hub, "pullthrough_sent_bytes_total")) == fetched
    before = origin.count()
    again = await ask(http, site, f"/pypi/packages/{TWO.filename}")
    assert ("hit", TWO.sha256) == (again.source, again.sha256)
    assert fetched == int(scrape.metric(site, "pullthrough_fetched_bytes_total"))
    assert before == origin.count()


async def test_long_file__is_fetched_once(pair: Pair, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Though both caches fetch it in ranges at once, and upstream is slow."""
    package = wheel("demo", "3.0", padding=1_500_000)
    origin.publish(package, fmt="both")
    origin.misbehave(f"/packages/{package.filename}", faults.throttled(500_000))
    hub, site = await pair(origin.url, fetch=SMALL)
    await links(http, site)
    assert package.sha256 == (await ask(http, site, f"/pypi/packages/{package.filename}")).sha256
    await until_idle(site)
    await until_idle(hub)
    assert package.body.size == origin.sent_body_bytes(f"/packages/{package.filename}")


async def test_other_host__has_the_address_that_it_has_without_a_parent(
    pair: Pair, make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """So what is stored stays right when the setting goes away."""
    origin.publish(ONE, fmt="both", files=other_origin)
    hub, site = await pair(origin.url, hosts=frozenset({other_origin.host}))
    there = f"~files/{other_origin.host}:{other_origin.port}/packages/{ONE.filename}"
    assert [f"/pypi/{there}"] == await links(http, site) == await links(http, hub)
    await keep(http, site, f"/pypi/{there}")
    await site.close()
    await hub.close()
    alone = await make_proxy(origin.url, hosts=frozenset({other_origin.host}), offline=True)
    assert [f"/pypi/{there}"] == await links(http, alone)
    assert ONE.sha256 == (await ask(http, alone, f"/pypi/{there}")).sha256


async def test_page_in_html(pair: Pair, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession) -> None:
    """A find-links page comes as HTML or JSON, as the hub has it."""
    origin.page("/", [ONE.link(f"{other_origin.url}/x/{ONE.filename}"), TWO.link(f"/y/{TWO.filename}")])
    other_origin.file(f"/x/{ONE.filename}", ONE.body)
    origin.file(f"/y/{TWO.filename}", TWO.body)
    flat = {"mount": "flat", "url": origin.url, "kind": "flat", "hosts": [other_origin.host]}
    _, site = await pair(origin.url, upstreams=[flat])
    page = (await ask(http, site, "/flat/", HTML)).body.decode()
    there = f"~files/{other_origin.host}:{other_origin.port}/x/{ONE.filename}"
    for path, package in ((there, ONE), (f"y/{TWO.filename}", TWO)):
        assert f'href="{path}#' in page
        assert package.sha256 == (await ask(http, site, f"/flat/{path}")).sha256


async def test_file_that_only_its_page_tells(pair: Pair, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A link with a mark goes on leading to the hub, which knows what it means."""
    origin.file("/archive/1.5.tar.gz", SOURCE.body)
    origin.page("/simple/demo/", [SOURCE.link("/archive/1.5.tar.gz#egg=demo-1.5")])
    _, site = await pair(origin.url)
    [link] = await links(http, site)
    got = await ask(http, site, link.partition("#")[0])
    assert (200, SOURCE.sha256) == (got.status, got.sha256)


async def test_group(pair: Pair, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession) -> None:
    """The members are asked at the hub, one after the other."""
    other_origin.publish(ONE, fmt="both")
    groups = [{"mount": "all", "members": ["pypi", "second"]}]
    _, site = await pair(origin.url, upstreams=[{"mount": "second", "url": other_origin.url}], groups=groups)
    [link] = await links(http, site, "all")
    assert ONE.sha256 == (await ask(http, site, link)).sha256
    assert 1 == origin.count("/simple/demo/")


async def test_wrong_bytes(pair: Pair, origin: Origin, http: aiohttp.ClientSession) -> None:
    """They end at the hub; no client of either gets them whole."""
    origin.publish(TWO, fmt="both")
    origin.misbehave(f"/packages/{TWO.filename}", faults.flipped(150_000))
    _, site = await pair(origin.url)
    await links(http, site)
    got = await ask(http, site, f"/pypi/packages/{TWO.filename}")
    assert got.broken or got.status == 502
    origin.behave()
    await asyncio.wait_for(_until(http, site, f"/pypi/packages/{TWO.filename}", TWO.sha256), 30)


async def _until(http: aiohttp.ClientSession, running: Running, path: str, sha256: str) -> None:
    while (got := await ask(http, running, path)).sha256 != sha256:
        assert got.broken or got.status in {502, 503, 504}
        await asyncio.sleep(0.1)


async def test_hub_that_lies(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The digest on the page is checked here, too."""
    origin.publish(TWO, index="/pypi/simple/", folder="/pypi/packages/", fmt="both")
    origin.misbehave(f"/pypi/packages/{TWO.filename}", faults.flipped(150_000))
    site = await make_proxy("https://index.example/", parent=origin.url, **QUIET)
    assert [f"/pypi/packages/{TWO.filename}"] == await links(http, site)
    got = await ask(http, site, f"/pypi/packages/{TWO.filename}")
    assert got.broken or got.status == 502
    assert 1 <= scrape.metric(site, "pullthrough_upstream_errors_total", upstream="pypi", reason="wrong_bytes")


async def test_hub_away(pair: Pair, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What is here is listed and served; what is not is an error that is no 404. Then the hub is back."""
    origin.publish(ONE, TWO, fmt="both")
    hub, site = await pair(origin.url, ttl=0)
    assert 2 == len(await links(http, site))
    await keep(http, site, f"/pypi/packages/{ONE.filename}")
    await hub.close()
    assert [f"/pypi/packages/{ONE.filename}"] == await links(http, site)
    assert ONE.sha256 == (await ask(http, site, f"/pypi/packages/{ONE.filename}")).sha256
    assert 502 == (await ask(http, site, f"/pypi/packages/{TWO.filename}")).status
    assert 502 == (await ask(http, site, "/pypi/simple/other/")).status


async def test_hub_offline(
    pair: Pair, make_proxy: MakeProxy, origin: Origin, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    """What the hub does not have is said to be not here, and no stored page is lost over it."""
    origin.publish(ONE, TWO, fmt="both")
    _, site = await pair(origin.url, hub={"offline": True})
    for path in ("/pypi/simple/demo/", f"/pypi/packages/{ONE.filename}"):
        async with http.get(site.url + path) as answer:
            assert (404, True) == (answer.status, "this cache's parent is offline" in await answer.text())
            assert "detail=offline" in answer.headers["cache-status"]
    await site.close()
    filled = await make_proxy(origin.url, data=tmp_path / "site", **QUIET)
    assert 2 == len(await links(http, filled))
    await filled.close()
    empty = await make_proxy(origin.url, data=tmp_path / "empty", offline=True)
    site = await make_proxy(origin.url, data=tmp_path / "site", ttl=0, parent=empty.url, **QUIET)
    assert 2 == len(await links(http, site))
    assert 0 == scrape.metric(site, "pullthrough_upstream_errors_total", upstream="pypi")


async def test_one_index_fails__not_the_hub(
    pair: Pair, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Files and pages of another index are asked for as ever."""
    origin.publish(ONE, fmt="both")
    other_origin.misbehave(None, faults.status(500))
    _, site = await pair(origin.url, ttl=0, upstreams=[{"mount": "second", "url": other_origin.url}])
    await links(http, site)
    assert 502 == (await ask(http, site, "/second/simple/demo/")).status
    assert "revalidated" == (await ask(http, site, "/pypi/simple/demo/")).source


async def test_archive(pair: Pair, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A suite and its packages come through the hub, and are served while it is away."""
    archive = Archive(origin)
    published = archive.publish(deb("demo", Noise(300_000)))
    apt = {"hosts": {f"{origin.host}:{origin.port}"}, "window": 0}
    hub, site = await pair(origin.url, apt=apt)
    package = archive.url(f"{archive.root}pool/main/d/demo/demo_1.0_amd64.deb")
    async with client(site) as one:
        release, index, same = await update(one, archive)
        assert (200, True, published.inrelease) == (release.status, same, release.body)
    assert index is not None
    await keep(http, site, package)
    assert 1 == origin.count(package.partition("/debian")[1] + package.partition("/debian")[2], "GET")
    assert origin.sent_body_bytes() == int(scrape.metric(hub, "pullthrough_fetched_bytes_total", upstream="apt"))
    await hub.close()
    async with client(site) as one:
        assert (200, True) == ((again := await update(one, archive))[0].status, again[2])
    assert 200 == (await ask(http, site, package)).status


async def test_tunnel(pair: Pair) -> None:
    """It leads through the hub, which decides, too."""
    async with echo(None) as port:
        hub, site = await pair("https://index.example/", apt={"tunnels": {f"127.0.0.1:{port}"}})
        reader, writer, head = await connect(site.url, f"127.0.0.1:{port}")
        assert " 200 " in head.partition("\r\n")[0]
        writer.write(b"hello")
        assert b"hello" == await reader.readexactly(5)
        writer.close()
        await writer.wait_closed()
        while not scrape.metric(hub, "pullthrough_tunnelled_bytes_total"):
            await asyncio.sleep(0.01)


async def test_circle(make_proxy: MakeProxy, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Two caches that are each other's parent say so at once, and do not wait for each other."""
    free = await make_proxy("https://index.example/")
    port = int(free.url.rpartition(":")[2])
    await free.close()
    site = await make_proxy("https://index.example/", parent=free.url, **QUIET)
    hub = await start_at(port, tmp_path, site.url)
    try:
        for running in (site, hub, site):
            assert 502 == (await ask(http, running, "/pypi/simple/demo/")).status
        assert b"`parent`" in (await ask(http, hub, "/pypi/simple/demo/")).body
    finally:
        await hub.close()


async def test_own_address(make_proxy: MakeProxy, tmp_path: Path) -> None:
    """It is refused at the start."""
    running = await make_proxy("https://index.example/")
    port = int(running.url.rpartition(":")[2])
    await running.close()
    with pytest.raises(ConfigError, match="parent: names this cache itself"):
        await start_at(port, tmp_path, f"http://localhost:{port}")


async def start_at(port: int, data: Path, parent: str) -> Running:
    """A cache at a port that is known before."""
    from proxy import app  # noqa: PLC0415
    from proxy.config.settings import ForesightSettings, Settings  # noqa: PLC0415

    return await app.start(Settings(port=port, data=data, parent=parent, foresight=ForesightSettings(what="off")))


async def test_mount_at_another_cache(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    """Without `parent`, one index alone may lead to another cache; its files are at that one's addresses."""
    origin.publish(ONE, fmt="both", metadata=True, files=other_origin)
    hub = await make_proxy(origin.url, data=tmp_path / "hub", hosts=frozenset({other_origin.host}), **QUIET)
    site = await make_proxy(f"{hub.url}/pypi/", **QUIET)
    [link] = await links(http, site)
    assert ONE.sha256 == (await ask(http, site, link)).sha256
    assert ONE.metadata == (await ask(http, site, f"{link}.metadata")).body
    await keep(http, site, link)
    assert 1 == other_origin.count(f"/packages/{ONE.filename}", "GET")
