"""A file whose host fails comes from where else the same bytes are known to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.config.upstreams import UpstreamSettings
from tests.bodies import Flipped
from tests.conftest import MakeProxy
from tests.faults import status
from tests.flows.asking import SEGMENT, SMALL, content, get, until_kept
from tests.origin import Origin
from tests.pages import Link
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

PACKAGE = wheel(padding=400_000, seed=3)
PATH = f"/whl/{PACKAGE.filename}"


@pytest.fixture
async def sibling() -> AsyncIterator[Origin]:
    """Another host that has the same files under the same paths."""
    async with Origin(host="127.0.0.4") as started:
        yield started


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin, sibling: Origin) -> Running:
    """The program in front of an index whose files are on a sibling too."""
    mount = UpstreamSettings(mount="torch", url=origin.url, index="whl/", siblings=(sibling.url,))
    return await make_proxy(origin.url, upstreams=(mount,), fetch=SMALL)


async def test_sibling__first_host_is_away(
    running: Running, origin: Origin, sibling: Origin, http: aiohttp.ClientSession
) -> None:
    """The page is kept, its host is gone, and the file comes from the host beside it."""
    origin.page("/whl/demo/", [PACKAGE.link(PATH)])
    sibling.file(PATH, PACKAGE.body)
    await get(http, f"{running.url}/torch/whl/demo/")
    await origin.stop()
    got = await get(http, f"{running.url}/torch{PATH}")
    assert content(PACKAGE.body) == got.body
    await until_kept(http, f"{running.url}/torch{PATH}")


async def test_sibling__page_that_links_elsewhere_by_now(
    running: Running, origin: Origin, sibling: Origin, http: aiohttp.ClientSession
) -> None:
    """A lock file may name the host that pages no longer link to; the digest that they give counts all the same."""
    origin.page("/whl/demo/", [PACKAGE.link(PATH)])
    origin.file(PATH, PACKAGE.body)
    sibling.file(PATH, Flipped(PACKAGE.body, 1000))
    got = await get(http, f"{running.url}/torch/~files/{sibling.host}:{sibling.port}{PATH}")
    assert (200, content(PACKAGE.body)) == (got.status, got.body)
    await until_kept(http, f"{running.url}/torch{PATH}")
    assert 0 == sibling.count(PATH)


async def test_sibling__first_host_breaks_in_the_middle(
    running: Running, origin: Origin, sibling: Origin, http: aiohttp.ClientSession
) -> None:
    """What came stays, the rest comes from elsewhere, and the client never sees the seam."""
    origin.page("/whl/demo/", [PACKAGE.link(PATH)])
    origin.file(PATH, PACKAGE.body, etag='"here"')
    sibling.file(PATH, PACKAGE.body, etag='"there"')
    await get(http, f"{running.url}/torch/whl/demo/")
    origin.misbehave(PATH, status(404), when=lambda request: "bytes=0-" not in request.headers.get("range", ""))
    got = await get(http, f"{running.url}/torch{PATH}")
    assert content(PACKAGE.body) == got.body
    assert PACKAGE.body.size - SEGMENT == sibling.sent_body_bytes(PATH)


async def test_sibling__without_a_hash(
    running: Running, origin: Origin, sibling: Origin, http: aiohttp.ClientSession
) -> None:
    """Where no page says which bytes are right, no other host is trusted to have them."""
    origin.page("/whl/demo/", [Link(PACKAGE.filename, PATH)])
    sibling.file(PATH, PACKAGE.body)
    await get(http, f"{running.url}/torch/whl/demo/")
    await origin.stop()
    assert 502 == (await get(http, f"{running.url}/torch{PATH}")).status
    assert 0 == sibling.count()


async def test_sibling__wrong_bytes(
    running: Running, origin: Origin, sibling: Origin, http: aiohttp.ClientSession
) -> None:
    """The other host's bytes are checked like any."""
    origin.page("/whl/demo/", [PACKAGE.link(PATH)])
    sibling.file(PATH, Flipped(PACKAGE.body, 1000))
    await get(http, f"{running.url}/torch/whl/demo/")
    await origin.stop()
    got = await get(http, f"{running.url}/torch{PATH}")
    assert got.broken
    assert len(got.body) < PACKAGE.body.size


async def test_other_mount__lists_the_same_file(
    make_proxy: MakeProxy, origin: Origin, sibling: Origin, http: aiohttp.ClientSession
) -> None:
    """A file of one index comes from another one whose page has the same name and hash."""
    mount = UpstreamSettings(mount="mirror", url=sibling.url, index="simple/")
    running = await make_proxy(origin.url, upstreams=(mount,), fetch=SMALL)
    origin.page("/simple/demo/", [PACKAGE.link(PATH)])
    sibling.publish(PACKAGE)
    for name in ("pypi", "mirror"):
        await get(http, f"{running.url}/{name}/simple/demo/")
    await origin.stop()
    got = await get(http, f"{running.url}/pypi{PATH}")
    assert content(PACKAGE.body) == got.body


async def test_range__from_the_other_host(
    running: Running, origin: Origin, sibling: Origin, http: aiohttp.ClientSession
) -> None:
    """A look at the end of a cold wheel goes elsewhere too."""
    origin.page("/whl/demo/", [PACKAGE.link(PATH)])
    sibling.file(PATH, PACKAGE.body)
    await get(http, f"{running.url}/torch/whl/demo/")
    await origin.stop()
    got = await get(http, f"{running.url}/torch{PATH}", range="bytes=-1000")
    assert (206, content(PACKAGE.body)[-1000:]) == (got.status, got.body)
