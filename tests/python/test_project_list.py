"""Lists of projects."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import NotFound, UpstreamDenied, UpstreamUnreachable
from proxy.model import Group, Member, Query, Site, Target
from proxy.python import addresses
from proxy.python.project_list import NamesInHtml, NamesInJson, ProjectListRewriter, ProjectStream
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


# Links and names in a list

BASE = "https://index.example/simple/"
LIST = (
    b'<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.4"></head><body>\n'
    b'<a href="/simple/a/">a</a>\n<a class="x" href=\'https://index.example/simple/b/\'>b</a>\n'
    b'<A HREF = "//index.example/simple/c.d/">/simple/c.d/</A><a href="e/">e</a><a href="https://other.example/simple/f/">f</a>'
    b'<a href=/simple/g/>g</a><a href="/simpler/h/">h</a><a data-href="/simple/i/">i</a></body></html>'
)
REWRITTEN = (
    b'<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.4"></head><body>\n'
    b'<a href="a/">a</a>\n<a class="x" href=\'b/\'>b</a>\n'
    b'<A HREF = "c.d/">/simple/c.d/</A><a href="e/">e</a><a href="https://other.example/simple/f/">f</a>'
    b'<a href=g/>g</a><a href="/simpler/h/">h</a><a data-href="/simple/i/">i</a></body></html>'
)


def rewritten(base: str, *chunks: bytes) -> bytes:
    """A list, come in these chunks, as it is sent on."""
    rewriter = ProjectListRewriter(base)
    return b"".join([*map(rewriter.feed, chunks), rewriter.finish()])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4096])
def test_feed__chunks(size: int) -> None:
    """However the list is cut, its links become relative, and nothing else changes."""
    assert rewritten(BASE, *(LIST[at : at + size] for at in range(0, len(LIST), size))) == REWRITTEN


def test_feed__base_is_a_path() -> None:
    """With a path alone only root-relative links are the list's own."""
    body = b'<a href="/simple/a/"><a href="https://index.example/simple/b/">'
    assert rewritten("/simple/", body) == b'<a href="a/"><a href="https://index.example/simple/b/">'


@pytest.mark.parametrize("link", [b"/simple//evil.example/", b"/simple/javascript:x", b"/Simple/a/"])
def test_feed__link_kept(link: bytes) -> None:
    """A link that would mean something else without its front keeps it."""
    body = b'<a href="%s">' % link
    assert rewritten(BASE, body) == body


def test_feed__memory_bounded() -> None:
    """A tag that never ends is not held back for ever."""
    rewriter = ProjectListRewriter(BASE)
    given, sent = b"", b""
    for chunk in [b"<a "] + [b"x" * 10_000] * 100:
        given += chunk
        sent += rewriter.feed(chunk)
        assert len(given) - len(sent) <= (64 << 10) + len(chunk)
    assert given == sent + rewriter.finish()


def test_feed__passes_on() -> None:
    """What cannot be the beginning of a tag leaves at once."""
    rewriter = ProjectListRewriter(BASE)
    assert rewriter.feed(b'<a href="/simple/a/">text <a href="/sim') == b'<a href="a/">text '
    assert rewriter.feed(b'ple/b/">') == b'<a href="b/">'
    assert rewriter.finish() == b""


NAMES = st.lists(st.sampled_from(["a", "Zope.Interface", "x_y", "b" * 200, "1"]), max_size=6)


@settings(deadline=None)
@given(NAMES, st.lists(st.integers(1, 60), max_size=20), st.sampled_from([None, 1]))
def test_names__in_json(names: list[str], cuts: list[int], indent: int | None) -> None:
    """All names are found in order, wherever the chunks are cut, each as often as it is there."""
    projects = [{"_last-serial": 1, "name": name, "x": '"name"'} for name in names]
    body = json.dumps({"meta": {"api-version": "1.1"}, "projects": projects}, indent=indent).encode()
    reader = NamesInJson()
    assert [addresses.normalize(name) for name in names] == [
        name for piece in pieces(body, cuts) for name in reader.feed(piece)
    ]


@settings(deadline=None)
@given(
    NAMES,
    st.lists(st.integers(1, 60), max_size=20),
    st.sampled_from(["", "./", "/simple/", BASE, "//index.example/simple/"]),
)
def test_names__in_html(names: list[str], cuts: list[int], front: str) -> None:
    """The same of links, whose other attributes and texts are no names."""
    rows = "".join(f'<a class="c" href="{front}{name}/" title=\'href="no/"\'>text</a>\n' for name in names)
    reader = NamesInHtml(BASE)
    body = f'<html><a href="../">up</a><a href="https://other.example/simple/o/">o</a>{rows}</html>'.encode()
    assert [addresses.normalize(name) for name in names] == [
        name for piece in pieces(body, cuts) for name in reader.feed(piece)
    ]


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    """A body in pieces of these sizes, and the rest."""
    made, at = [], 0
    for size in cuts:
        made.append(body[at : at + size])
        at += size
    return [*made, body[at:]]
