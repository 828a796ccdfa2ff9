"""What the pages say of a file, and which hosts they open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.cache.documents import Documents
from proxy.errors import NotAllowed, UpstreamBroken
from proxy.model import Site, Target
from proxy.python.catalog import Catalog
from proxy.python.renderings import Renderings
from proxy.python.supplements import Supplements
from tests.flows.asking import SteppedClock
from tests.memory_store import MemoryStore
from tests.memory_upstream import MemoryUpstream, Scripted
from tests.pages import Link, as_html

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
URL = "https://index.example/simple/demo/"
NAME = "demo-1.0.tar.gz"
LISTED = Target("pypi", "files.example", f"a/{NAME}")


class World:
    """A catalog over an upstream whose page links to one file on another host."""

    def __init__(self) -> None:
        self.upstream = MemoryUpstream()
        self.clock = SteppedClock()
        store = MemoryStore()
        self.documents = Documents(store, self.upstream, self.clock, 1 << 20)
        renderings = Renderings()
        supplements = Supplements(store, self.documents, renderings, self.clock)
        self.catalog = Catalog({"pypi": SITE}, store, self.documents, renderings, supplements)
        self.publish(Link(NAME, f"https://files.example/a/{NAME}", sha256="0" * 64, size=None))

    def publish(self, *links: Link) -> None:
        """Let the page have these links."""
        self.upstream.on(URL, Scripted(as_html("demo", links), headers={"content-type": "text/html"}))


async def test_find__asks_for_the_page_once() -> None:
    """The page is the authority; the kept one is enough, however old."""
    world = World()
    first = await world.catalog.find(LISTED, SITE)
    world.clock.advance(10_000)
    assert first is not None
    assert (first, 1) == (await world.catalog.find(LISTED, SITE), world.upstream.count(URL))


async def test_find__new_file_on_the_page() -> None:
    """A file that the kept page does not list makes the page be asked for, if it is not fresh."""
    world = World()
    await world.catalog.find(LISTED, SITE)
    newer = NAME.replace("1.0", "2.0")
    world.publish(Link(newer, f"https://files.example/a/{newer}"))
    world.clock.advance(601)
    assert await world.catalog.find(replace(LISTED, path=f"a/{newer}"), SITE) is not None


@pytest.mark.parametrize(
    "target",
    [
        replace(LISTED, host="evil.example"),
        replace(LISTED, host="files.example:8443"),
        replace(LISTED, path="a/other-1.0.tar.gz"),
        replace(LISTED, path="a/no-distribution"),
    ],
)
async def test_find__on_a_host_that_no_page_links_to(target: Target) -> None:
    """Host and port must be those of a link."""
    with pytest.raises(NotAllowed):
        await World().catalog.find(target, SITE)


async def test_find__on_a_host_that_a_page_links_to() -> None:
    """A file that is not listed, on a host that is, may be fetched without a word of the page."""
    world = World()
    await world.catalog.find(LISTED, SITE)
    assert await world.catalog.find(replace(LISTED, path=f"b/{NAME}"), SITE) is None


async def test_find__on_a_host_of_the_settings() -> None:
    """The settings open a host before any page was read."""
    site = replace(SITE, hosts=frozenset({"files.example"}))
    assert await World().catalog.find(replace(LISTED, path="x/other-1.0.tar.gz"), site) is None


async def test_find__below_the_mount() -> None:
    """What lies below the mount's own base needs no link, even while its page cannot be had."""
    world = World()
    world.upstream.on(URL, Scripted(error=UpstreamBroken("away")))
    assert await world.catalog.find(Target("pypi", None, f"p/{NAME}"), SITE) is None


async def test_find__no_page_to_be_had() -> None:
    """On another host it is not known whether the file may be fetched: upstream's error says so."""
    world = World()
    world.upstream.on(URL, Scripted(error=UpstreamBroken("away")))
    with pytest.raises(UpstreamBroken):
        await world.catalog.find(LISTED, SITE)
