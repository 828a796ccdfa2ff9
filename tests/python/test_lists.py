"""Lists of projects."""

from __future__ import annotations

import json
import re

import pytest

from proxy.errors import NotFound, UpstreamDenied, UpstreamUnreachable
from proxy.model import Group, Member, Query, Site, Target
from proxy.python.lists import ProjectStream
from tests.memory_upstream import Scripted
from tests.pages import JSON
from tests.python.conftest import Make
from tests.python.world import HTML, SITE, World

HOUSE = Site("house", "https://house.example/", "", 600.0)
GROUP = Group("all", (Member("house", "deep/"), Member("pypi", "simple/")))
ROOT = Query(Target("all", None, "simple/"), accept=JSON)
HOUSES, PYPIS = "https://house.example/deep/", "https://index.example/simple/"


async def whole(stream: ProjectStream) -> bytes:
    """All of a list, which is let go then."""
    body = b"".join([piece async for piece in stream.pieces()])
    await stream.close()
    return body


async def names(world: World, group: Group = GROUP) -> list[str]:
    """The projects of a group; they are the same in HTML."""
    in_json = json.loads(await whole(await world.lists.of_group(ROOT, group)))
    shown = await world.lists.of_group(Query(ROOT.target, accept="text/html"), group)
    assert "text/html; charset=utf-8" == shown.content_type
    found = [project["name"] for project in in_json["projects"]]
    assert found == re.findall(r'<a href="([^"]*)/">\1</a>', (await whole(shown)).decode())
    assert 0 == world.upstream.open
    return found


@pytest.mark.parametrize(
    ("content_type", "shown", "rewritten"),
    [
        ("application/vnd.pypi.simple.v1+json", JSON, False),
        ("application/json; charset=utf-8", JSON, False),
        ("application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+html", True),
        ("text/html", "text/html; charset=utf-8", True),
    ],
)
async def test_of_index__passes(world: World, content_type: str, shown: str, rewritten: bool) -> None:
    """In whatever form upstream has it, with links that stay below it."""
    body = b'<a href="/simple/x/">x</a>'
    world.upstream.on(PYPIS, Scripted(body, headers={"content-type": content_type}))
    stream = await world.lists.of_index(Query(Target("pypi", None, "simple/"), accept=JSON), SITE)
    assert (shown, "pypi") == (stream.content_type, stream.mount)
    assert (body.replace(b"/simple/", b"") if rewritten else body) == await whole(stream)
    assert (JSON, [], 0) == (world.upstream.asks[0].headers["Accept"], list(world.store.keys("")), world.upstream.open)


async def test_of_group__union(make: Make) -> None:
    """The projects of all members, whatever form their lists have, each once, in order, by their normalised names."""
    world = make(SITE, HOUSE)
    house = (
        b'<a href="/deep/b/">b</a><a href="../up/">up</a><a href="a/">A</a><a href="x.html">x</a><a href="?C=N">N</a>'
    )
    world.upstream.on(HOUSES, Scripted(house, headers=HTML))
    listed = {"meta": {"api-version": "1.1"}, "projects": [{"name": n} for n in ("A", "Zope.Interface", "b", "c")]}
    world.upstream.on(PYPIS, Scripted(json.dumps(listed).encode(), headers={"content-type": JSON}, piece=7))
    assert ["b", "a", "zope-interface", "c"] == await names(world)


async def test_of_group__pins(make: Make) -> None:
    """A name is only listed by a member that may answer for it."""
    world = make(SITE, HOUSE)
    world.upstream.on(HOUSES, Scripted(b'<a href="acme-x/">x</a><a href="torch/">t</a>', headers=HTML))
    world.upstream.on(PYPIS, Scripted(b'<a href="acme-y/">y</a><a href="torch/">t</a>', headers=HTML))
    house, pypi = GROUP.members
    pins = (("acme-*", house), ("torch", pypi))
    assert ["acme-x", "torch"] == await names(world, Group("all", GROUP.members, pins))


@pytest.mark.parametrize("status", [404, 403])
async def test_of_group__member_without_a_list(make: Make, status: int) -> None:
    """It is passed by; where no member has one, neither has the group."""
    world = make(SITE, HOUSE)
    world.upstream.on(HOUSES, Scripted(status=status))
    world.upstream.on(PYPIS, Scripted(b'<a href="a/">a</a>', headers=HTML))
    assert ["a"] == await names(world)
    world.upstream.on(PYPIS, Scripted(status=status))
    with pytest.raises(NotFound):
        await world.lists.of_group(ROOT, GROUP)


async def test_of_group__member_that_fails(make: Make) -> None:
    """It is an error before anything is sent, and all connections are let go."""
    world = make(SITE, HOUSE)
    world.upstream.on(HOUSES, Scripted(b'<a href="a/">a</a>', headers=HTML))
    world.upstream.on(PYPIS, Scripted(error=UpstreamUnreachable("away")))
    with pytest.raises(UpstreamUnreachable):
        await world.lists.of_group(ROOT, GROUP)
    assert 0 == world.upstream.open


async def test_of_index__from_elsewhere(make: Make) -> None:
    """Where only an index's own word counts, a list that a redirect brought from another host does not."""
    site = Site("pypi", "https://index.example/", "simple/", 600.0, own=frozenset({"index.example:443"}))
    world = make(site)
    world.upstream.on(PYPIS, Scripted(b"x", headers=HTML, url="https://other.example/simple/"))
    with pytest.raises(UpstreamDenied):
        await world.lists.of_index(Query(Target("pypi", None, "simple/")), site)
    assert 0 == world.upstream.open
