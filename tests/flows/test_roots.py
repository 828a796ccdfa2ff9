"""Roots: what an index lists of its projects, wherever it is, and of a group of them; folders with nothing in them."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from urllib.parse import unquote

import aiohttp
import pytest

from proxy.config.groups import GroupSettings
from proxy.config.upstreams import UpstreamSettings
from tests.answers import Answer
from tests.bodies import Joined, Plain
from tests.conftest import MakeProxy
from tests.faults import status, without_headers
from tests.flows.asking import content, get
from tests.origin import Origin
from tests.pages import JSON
from tests.wheels import wheel

ROWS = '<!DOCTYPE html><html><body><a href="torch/">torch</a><br/><a href="numpy/">numpy</a><br/></body></html>'
NAMES = ["torch", "numpy"]
AS_JSON = json.dumps({"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in NAMES]})


async def names(http: aiohttp.ClientSession, url: str) -> list[str]:
    """The projects that a root lists, the same in JSON and in HTML."""
    in_json = await get(http, url, accept=JSON)
    in_html = await get(http, url, accept="text/html")
    assert (200, JSON) == (in_json.status, in_json.headers["content-type"]), in_json
    assert (200, "text/html; charset=utf-8") == (in_html.status, in_html.headers["content-type"])
    found = [project["name"] for project in json.loads(in_json.body)["projects"]]
    links = re.findall(r'<a href="([^"]*)"', in_html.body.decode())
    assert [f"{name}/" for name in found] == links
    return found


@pytest.mark.parametrize(
    "channel",
    ["cu126", "rocm6.4", "0.8.5", "Nightly", "nightly/rocm6.4", "jp6/cu126/+simple", "a_b", "torch-2.8.0+cu126", "_ci"],
)
@pytest.mark.parametrize("form", ["html", "json"])
async def test_root__of_an_index_below_a_mount(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, channel: str, form: str
) -> None:
    """A channel is called as its index calls it, and lists its projects in both forms, whichever it has."""
    origin.resource(
        f"/whl/{channel}/", ROWS if form == "html" else AS_JSON, content_type="text/html" if form == "html" else JSON
    )
    origin.publish(wheel("torch"), index=f"/whl/{channel}/", folder="/whl/")
    running = await make_proxy(origin.url, index="whl/")
    root = f"{running.url}/pypi/whl/{channel}/"
    assert NAMES == await names(http, root)
    async with http.get(f"{root}torch/", headers={"Accept": JSON}) as page:
        assert 200 == page.status
    async with http.get(root[:-1], headers={"Accept": "text/html"}) as answer:
        assert (200, root) == (answer.status, str(answer.url).replace("%2B", "+"))
    assert {f"/whl/{channel}/", f"/whl/{channel}/torch/"} == {unquote(request.path) for request in origin.requests}


TYPES = ["application/octet-stream", "binary/octet-stream", "text/plain", None, "application/xhtml+xml"]


@pytest.mark.parametrize("index", ["simple/", "whl/"])
@pytest.mark.parametrize("form", ["html", "json"])
@pytest.mark.parametrize("kind", TYPES)
async def test_root__whose_type_says_nothing(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, index: str, form: str, kind: str | None
) -> None:
    """A store of objects has no type for what has no ending: a list is what its bytes are, alone and in a group."""
    if kind == TYPES[-1]:
        form = "html"
    origin.resource(f"/{index}", ROWS if form == "html" else AS_JSON, content_type=kind or "x/y", length=False)
    if kind is None:
        origin.misbehave(f"/{index}", without_headers("Content-Type"))
    group = GroupSettings(mount="all", members=("pypi",))
    running = await make_proxy(origin.url, index=index, groups=(group,))
    got = await get(http, f"{running.url}/pypi/{index}")
    assert (200, (ROWS if form == "html" else AS_JSON).encode()) == (got.status, got.body)
    assert got.headers["content-type"] == ("text/html; charset=utf-8" if form == "html" else JSON)
    assert NAMES == await names(http, f"{running.url}/all/simple/")


@pytest.mark.parametrize("form", ["html", "json"])
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP, gzip", "br", "utf-8", "aws-chunked"])
@pytest.mark.parametrize("kind", ["", "binary/octet-stream"])
async def test_root__in_a_content_coding(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, form: str, coding: str, kind: str
) -> None:
    """A list comes packed although nobody asked for it, in several members, or names a coding that is not there."""
    plain = (ROWS if form == "html" else AS_JSON).encode()
    body = plain
    for _ in range(coding.lower().count("gzip")):
        half = len(body) // 2
        body = gzip.compress(body[:half]) + gzip.compress(body[half:])
    usual = "text/html" if form == "html" else JSON
    origin.resource("/simple/", body, content_type=kind or usual, headers=[("Content-Encoding", coding)])
    group = GroupSettings(mount="all", members=("pypi",))
    running = await make_proxy(origin.url, groups=(group,))
    got = await get(http, f"{running.url}/pypi/simple/")
    assert (200, plain) == (got.status, got.body)
    assert "content-encoding" not in got.headers
    assert NAMES == await names(http, f"{running.url}/all/simple/")


async def test_root__whose_links_name_a_user(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What an index writes of its own credentials reaches no client, and its projects are found all the same."""
    front = origin.url.replace("://", "://me:secret@")
    rows = (
        f'<html><a href="{front}/simple/torch/">{front}</a><a href="//me:secret@{origin.url[7:]}/simple/numpy/">n</a>'
    )
    listed = json.dumps({"projects": [{"name": name, "url": f"{front}/simple/{name}/"} for name in NAMES]})
    group = GroupSettings(mount="all", members=("pypi",))
    running = await make_proxy(origin.url, groups=(group,))
    for body, kind in ((rows, "text/html"), (listed, JSON)):
        origin.resource("/simple/", body, content_type=kind)
        got = await get(http, f"{running.url}/pypi/simple/")
        assert b"secret" not in got.body
        assert (b'href="torch/"' in got.body) == (kind != JSON)
        assert NAMES == await names(http, f"{running.url}/all/simple/")


async def test_page__that_names_a_user(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Nor does what a page says beside its links, in either form."""
    front = origin.url.replace("://", "://me:secret@")
    file = {
        "filename": "demo-1.0.zip",
        "url": f"{front}/f/demo-1.0.zip",
        "hashes": {},
        "provenance": f"{front}/p",
        "x": front,
    }
    origin.resource("/simple/demo/", json.dumps({"name": "demo", "files": [file], "from": front}), content_type=JSON)
    link = f'<a href="{front}/f/demo-1.0.zip" data-provenance="{front}/p" data-x="{front}">demo-1.0.zip</a>'
    origin.resource("/simple/other/", f"<html><title>Links for {front}</title>{link}", content_type="text/html")
    running = await make_proxy(origin.url)
    for project in ("demo", "other"):
        for accept in (JSON, "text/html"):
            got = await get(http, f"{running.url}/pypi/simple/{project}/", accept=accept)
            assert (200, True, False) == (got.status, b"demo-1.0.zip" in got.body, b"secret" in got.body)


async def test_root__name_of_a_project(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A project's page is at its normalised name, whether upstream has it at no other or sends us there."""
    origin.publish(wheel("zope-interface"), wheel("flask"))
    running = await make_proxy(origin.url)
    for written, name in (("Zope.Interface", "zope-interface"), ("Flask", "flask")):
        async with http.get(f"{running.url}/pypi/simple/{written}/") as answer:
            assert (200, f"/pypi/simple/{name}/") == (answer.status, answer.url.path)


async def test_root__where_upstream_normalises(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Upstream's redirect to the normalised name is a redirect here, too: its page is kept once."""
    origin.publish(wheel("flask"))
    origin.missing = lambda request: Answer(301, (("Location", request.path.lower()),), Plain(b""))
    running = await make_proxy(origin.url)
    got = await get(http, f"{running.url}/pypi/simple/Flask/")
    assert (302, "../flask/") == (got.status, got.headers["location"])


async def test_root__only_under_another_name(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A plain server may have a project's page at the name as it is written, and at no other."""
    package = wheel("Zope.Interface")
    origin.file(f"/f/{package.filename}", package.body)
    origin.page("/simple/Zope.Interface/", [package.link(f"/f/{package.filename}")])
    running = await make_proxy(origin.url)
    page = await get(http, f"{running.url}/pypi/simple/Zope.Interface/", accept=JSON)
    assert [package.filename] == [file["filename"] for file in json.loads(page.body)["files"]]
    assert content(package.body) == (await get(http, f"{running.url}/pypi/f/{package.filename}")).body


async def test_root__upstream_is_away(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What is kept of a project leads there by any spelling; of what is not known nothing is said."""
    origin.publish(wheel("de-mo"))
    running = await make_proxy(origin.url)
    await get(http, f"{running.url}/pypi/simple/de-mo/")
    await origin.stop()
    assert 302 == (await get(http, f"{running.url}/pypi/simple/De.Mo/")).status
    assert 502 == (await get(http, f"{running.url}/pypi/simple/Other/")).status


async def test_group__lists_all(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The projects of all members, each once, whatever forms their lists have; each has its page below."""
    origin.resource("/simple/", AS_JSON, content_type=JSON)
    other_origin.resource("/whl/rocm6.4/", ROWS + '<a href="/whl/rocm6.4/More.Of_It/">x</a>', content_type="text/html")
    origin.publish(wheel("torch"))
    other = UpstreamSettings(mount="torch", url=other_origin.url, index="whl/")
    group = GroupSettings(mount="all", members=("pypi", "torch/whl/rocm6.4"))
    running = await make_proxy(origin.url, upstreams=(other,), groups=(group,))
    assert [*NAMES, "more-of-it"] == await names(http, f"{running.url}/all/simple/")
    assert 200 == (await get(http, f"{running.url}/all/simple/torch/")).status
    head = await get(http, f"{running.url}/all/simple/", "HEAD")
    assert (200, b"") == (head.status, head.body)
    moved = await get(http, f"{running.url}/all/simple")
    assert (302, "simple/") == (moved.status, moved.headers["location"])


@pytest.mark.parametrize(("code", "expected"), [(404, 200), (403, 200), (500, 502), (503, 503)])
async def test_group__member_without_a_list(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession, code: int, expected: int
) -> None:
    """A member that has no list is passed by; one that fails is an error, and no shorter list."""
    origin.resource("/simple/", ROWS, content_type="text/html")
    other_origin.misbehave(None, status(code))
    other = UpstreamSettings(mount="other", url=other_origin.url)
    group = GroupSettings(mount="all", members=("pypi", "other"))
    running = await make_proxy(origin.url, upstreams=(other,), groups=(group,))
    got = await get(http, f"{running.url}/all/simple/")
    assert expected == got.status
    assert (expected == 200) == (b"numpy" in got.body)


async def test_group__long_lists_in_flat_memory(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Lists of hundreds of thousands of projects are never held, and neither are all their names."""
    rows = "".join(f'<a href="/simple/name-{number}/">name-{number}</a>\n' for number in range(10_000))
    body = Joined((Plain(ROWS.encode()), *(Plain(rows.replace("name", f"n{part}").encode()) for part in range(8))))
    for one in (origin, other_origin):
        one.resource("/simple/", body, content_type="text/html")
    other = UpstreamSettings(mount="other", url=other_origin.url)
    group = GroupSettings(mount="all", members=("pypi", "other"))
    running = await make_proxy(origin.url, upstreams=(other,), groups=(group,))
    size = 0
    tracemalloc.start()
    async with http.get(f"{running.url}/all/simple/", headers={"Accept": JSON}) as answer:
        async for piece in answer.content.iter_any():
            size += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 1 << 20
    assert peak < 24 << 20


EMPTY = {
    "python": "<!DOCTYPE HTML><html><head><title>Directory listing for /x/</title></head><body>"
    "<h1>Directory listing for /x/</h1><hr><ul></ul><hr></body></html>",
    "nginx": '<html><head><title>Index of /x/</title></head><body><h1>Index of /x/</h1><hr><pre><a href="../">../</a>'
    "</pre><hr></body></html>",
    "apache": "<html><head><title>Index of /x</title></head><body><h1>Index of /x</h1><pre><a href='?C=N;O=D'>Name</a>"
    "<hr><a href='/'>Parent Directory</a></pre></body></html>",
    "devpi": "<html><head><title>ci/dev: simple list</title></head><body><h1>ci/dev: simple list</h1></body></html>",
    "iis": "<html><head><title>files.example - /x/</title></head><body><H1>files.example - /x/</H1><hr>\r\n"
    "<pre><A HREF='/'>[To Parent Directory]</A><br><br></pre><hr></body></html>",
    "go": "<!doctype html>\n<meta name=viewport content='width=device-width'>\n<pre>\n</pre>\n",
}


@pytest.mark.parametrize("server", EMPTY)
@pytest.mark.parametrize("flat", [False, True])
async def test_folder__with_nothing_in_it(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, server: str, flat: bool
) -> None:
    """An empty folder is a page without files, and no error, as servers list it."""
    origin.resource("/x/", EMPTY[server], content_type="text/html; charset=utf-8")
    mount = UpstreamSettings(mount="m", url=origin.url, index="", kind="flat" if flat else "projects")
    running = await make_proxy(origin.url, upstreams=(mount,))
    got = await get(http, f"{running.url}/m/x/", accept=JSON)
    assert (200, []) == (got.status, json.loads(got.body)["files"])
