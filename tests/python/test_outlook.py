"""What is known of pages and files without asking upstream."""

from __future__ import annotations

import pytest

from proxy.errors import NotFound
from proxy.model import Group, Member, Site, Target
from proxy.python.outlook import Outlook, Prospect
from proxy.python.page import File
from tests.memory_upstream import Scripted
from tests.python.conftest import Make
from tests.python.test_outlines import many, restarted
from tests.python.world import PAGE, World, content
from tests.wheels import wheel

PACKAGE = wheel()
FILE = Target("pypi", "files.example", f"p/{PACKAGE.filename}")
LINK = PACKAGE.link(f"https://files.example/p/{PACKAGE.filename}")
GROUP = Group("all", (Member("first", "simple/"), Member("second", "x/")), (("torch*", Member("second", "x/")),))


def outlook(world: World, *groups: Group) -> Outlook:
    """The outlook of a world."""
    by_mount = {group.mount: group for group in groups}
    parts = (world.page_cache, world.parsed, world.catalog, world.metadata, world.downloads)
    return Outlook(world.sites, by_mount, world.store, *parts)


@pytest.mark.parametrize(
    ("path", "project"),
    [("simple/demo/", "demo"), ("demo/", "demo"), ("simple/De_mo/", None), ("simple/demo", None), ("", None)],
)
def test_project(world: World, path: str, project: str | None) -> None:
    """The page of a project is in a folder with its normalised name."""
    assert project == outlook(world).project(Target("pypi", None, path))


def test_project__flat(make: Make) -> None:
    """A flat index has no pages of projects."""
    flat = make(Site("flat", "https://flat.example/", "", 600.0, flat=True))
    assert outlook(flat).project(Target("flat", None, "demo/")) is None


def test_beside(world: World) -> None:
    """In the same folder, be it the base."""
    assert Target("pypi", None, "simple/other/") == outlook(world).beside(PAGE, "other")
    assert Target("pypi", None, "other/") == outlook(world).beside(Target("pypi", None, "demo/"), "other")


def test_first(world: World) -> None:
    """Of a group the first member that may have the project."""
    found = outlook(world, GROUP)
    assert PAGE == found.first(PAGE)
    assert Target("first", None, "simple/demo/") == found.first(Target("all", None, "simple/demo/"))
    assert Target("second", None, "x/torch/") == found.first(Target("all", None, "simple/torch/"))


def test_host(make: Make) -> None:
    """Two mounts of one host are asked as one."""
    found = outlook(make(*(Site(name, f"https://index.example:8443/{name}/", "", 600.0) for name in "ab")))
    assert found.host("a") == found.host("b") == "index.example:8443"


async def test_files(world: World) -> None:
    """Those of a page that was read; none of a page that is not here, or in quarantine."""
    found = outlook(world)
    assert (0, 0) == (len(await found.links(PAGE)), found.page_size(PAGE))
    world.publish(LINK)
    shown = await world.page()
    assert shown.size is not None
    links = await found.links(PAGE)
    assert [PACKAGE.filename] == [file.filename for file in links]
    assert found.page_size(PAGE) > 0
    assert FILE == found.place(links[0], PAGE)
    assert found.is_cheap(links[0])


async def test_links__of_a_page_that_was_not_read_lately(world: World) -> None:
    """It is read for a client that has to get all of the project, and not for one that gets it from here."""
    found = outlook(world)
    world.publish(*many(LINK))
    await world.page()
    await restarted(world)
    assert 201 == len(await found.links(PAGE))
    await restarted(world)
    await world.hold(FILE, content(PACKAGE))
    assert (0, 2) == (len(await found.links(PAGE)), world.parsed.count)


async def test_links__of_a_page_that_is_damaged(world: World) -> None:
    """It has none."""
    world.publish(*many(LINK))
    await world.page()
    await restarted(world)
    entry = world.store.find("page:pypi:demo:simple/demo/")
    assert entry is not None
    world.store.damage(entry.digest, b"other bytes")
    assert () == await outlook(world).links(PAGE)


async def test_prospect(world: World) -> None:
    """A file that is not here may be fetched; one that is here, or on its way, or on no page, may not."""
    found = outlook(world)
    assert Prospect(None, free=False) == await found.prospect(FILE)
    world.publish(LINK)
    await world.page()
    assert Prospect(PACKAGE.body.size, free=True) == await found.prospect(FILE)
    world.upstream.on(world.url(FILE), Scripted(content(PACKAGE)))
    await world.read(await world.file(FILE))
    assert Prospect(PACKAGE.body.size, free=False, here=True) == await found.prospect(FILE)
    assert found.idle


async def test_prospect__quarantined(world: World) -> None:
    """Nothing is said of what must not be served."""
    body = b'{"meta":{"api-version":"1.4"},"name":"demo","files":[],"project-status":{"status":"quarantined"}}'
    world.upstream.on(world.url(PAGE), Scripted(body, headers={"content-type": "application/vnd.pypi.simple.v1+json"}))
    await world.page()
    with pytest.raises(NotFound, match="quarantined"):
        await outlook(world).prospect(FILE)


def test_is_cheap__large_wheel_without_metadata(world: World) -> None:
    """Nothing is known of its host: reading it might take the whole wheel."""
    large = File("demo-1.0-py3-none-any.whl", "https://files.example/x.whl", size=1 << 30)
    assert not outlook(world).is_cheap(large)
