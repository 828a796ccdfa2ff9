"""No link that a client could follow is lost: whatever an address has in it, and whatever a page lists."""

from __future__ import annotations

import json
import re
from html import escape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin

import aiohttp
import pytest
from yarl import URL

from proxy.config.upstreams import UpstreamSettings
from tests.answers import Answer, Request
from tests.bodies import Plain
from tests.conftest import MakeProxy
from tests.flows.asking import SteppedClock, content, get, until_kept
from tests.flows.conftest import MakeClocked
from tests.origin import Origin
from tests.pages import HTML, JSON
from tests.wheels import Package, sdist, wheel

ONE, TWO = wheel("demo", "1.0", padding=3000), wheel("demo", "2.0", padding=3000)
PAGE = "/pypi/simple/demo/"


class _Links(HTMLParser):
    """The links of a page, by their text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._href = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._href = dict(attrs).get("href") or "" if tag == "a" else ""

    def handle_data(self, data: str) -> None:
        if self._href:
            self.found[data], self._href = self._href, ""


async def listed(http: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """The files of a page: absolute addresses by name, the same in JSON and in HTML but for hashes."""
    found = json.loads((await get(http, url, accept=JSON)).body)["files"]
    as_json = {file["filename"]: urljoin(url, file["url"]) for file in found}
    text = (await get(http, url, accept="text/html")).body.decode()
    as_html = {name: urljoin(url, link) for name, link in _Links(text).found.items()}
    assert {name: link.partition("#")[0] for name, link in as_json.items()} == {
        name: link.partition("#")[0] for name, link in as_html.items() if not name.endswith("/")
    }
    return as_json


def page(origin: Origin, *files: dict[str, Any], path: str = "/simple/demo/") -> None:
    """Put a page in JSON at a path."""
    origin.resource(path, json.dumps({"name": "demo", "files": files}), content_type=JSON)


def link(package: Package, url: str, **more: Any) -> dict[str, Any]:
    """A file of such a page."""
    return {"filename": package.filename, "url": url, "hashes": {"sha256": package.sha256}} | more


def asked(origin: Origin) -> list[str]:
    """What was asked of an origin, as it was sent, but for pages."""
    return [request.target for request in origin.requests if "/simple/" not in request.target]


PATHS = [
    "/releases/ffi%2Fv1.1/{}",
    "/a%2Fb%2F{}",
    "/a//b/{}",
    "//{}",
    "/a/+name/{}",
    "/a/+empty/{}",
    "/a%252Fb/{}",
    "/sp%20ce/%C3%A9/{}",
    "/50%25/{}",
    "/a%40b%2Bc/{}",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("absolute", [False, True])
async def test_path__of_any_kind(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, path: str, absolute: bool
) -> None:
    """The file is asked for at exactly the address that the page has, its metadata too, and once."""
    path = path.format(ONE.filename)
    origin.route(path, origin.file("/elsewhere", ONE.body).answer)
    front = origin.url if absolute or path.startswith("//") else ""
    page(origin, link(ONE, front + path))
    running = await make_proxy(origin.url)
    address = (await listed(http, running.url + PAGE))[ONE.filename]
    assert content(ONE.body) == (await get(http, address)).body
    await until_kept(http, address)
    assert 200 == (await get(http, f"{address}.metadata")).status
    # A client may write the address in its own way: pip decodes and encodes it, another leaves it as it was.
    plain = address.replace("%2Bname", "+name").replace("%2Bof", "+of").replace("%2Bempty", "+empty")
    assert content(ONE.body) == (await get(http, plain)).body
    assert {path.replace("+", "%2B")} == set(asked(origin))
    assert 1 == origin.count(path.replace("+", "%2B"), "GET")


@pytest.mark.parametrize("path", ["/pypi/a//b%2Fc/{}", "/pypi//a/{}", "/pypi/~files/127.0.0.1:PORT/x//{}"])
async def test_client__writes_empty_segments_and_encoded_slashes(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, path: str
) -> None:
    """What stands in a client's own address is what it is upstream."""
    path = path.format(ONE.filename).replace("PORT", str(origin.port))
    there = path.removeprefix("/pypi").removeprefix(f"/~files/127.0.0.1:{origin.port}")
    origin.route(there, origin.file("/elsewhere", ONE.body).answer)
    running = await make_proxy(origin.url, hosts=frozenset({f"127.0.0.1:{origin.port}"}))
    url = URL(running.url + path, encoded=True)
    async with http.get(url) as answer:
        assert content(ONE.body) == await answer.read()
    assert there in asked(origin)


@pytest.mark.parametrize("path", ["/pypi//simple/demo/", "/pypi/simple//demo/", "/pypi/simple/demo//"])
async def test_client__page_with_empty_segments(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, path: str
) -> None:
    """A page is asked for as the client wrote it, and its links lead to the files for every client."""
    origin.publish(ONE)
    origin.route(path.removeprefix("/pypi"), origin._routes["/simple/demo/"])
    running = await make_proxy(origin.url)
    url = URL(running.url + path, encoded=True)
    async with http.get(url, headers={"Accept": JSON}) as answer:
        (file,) = (await answer.json(content_type=None))["files"]
    async with http.get(url, headers={"Accept": HTML}) as answer:
        (relative,) = re.findall('href="([^"#]*)', await answer.text())
    for address in (file["url"], urljoin(running.url + path, relative), running.url + relative):
        assert content(ONE.body) == (await get(http, address)).body
    assert path.removeprefix("/pypi") in [request.target for request in origin.requests]


@pytest.mark.parametrize(
    "base",
    ["/api/v4/projects/acme%2Fffi/packages/pypi/", "/~me/@scope/a+b:c/", "//twice/", "/sp%20ce/"],
)
@pytest.mark.parametrize("slash", [False, True])
async def test_base__of_any_kind(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, base: str, slash: bool
) -> None:
    """An upstream's address may have in it what addresses have, with a slash at its end or without."""
    origin.publish(ONE, index=f"{base}simple/", folder=f"{base}files/")
    written = f"{base}files/{ONE.filename}"
    page(origin, link(ONE, origin.url + written), path=f"{base}simple/demo/")
    mount = UpstreamSettings(mount="lab", url=f"{origin.url}{base if slash else base[:-1]}")
    running = await make_proxy(origin.url, upstreams=(mount,))
    address = (await listed(http, f"{running.url}/lab/simple/demo/"))[ONE.filename]
    assert f"{running.url}/lab/files/{ONE.filename}" == address
    assert content(ONE.body) == (await get(http, address)).body
    assert {f"{base}simple/demo/"} == {request.path for request in origin.requests if "simple" in request.path}


class Store:
    """Files that are told apart by a query, as `/download?id=1`."""

    def __init__(self, origin: Origin, *packages: Package) -> None:
        self.origin = origin
        files = [origin.file(f"/kept/{number}", package.body) for number, package in enumerate(packages)]

        def answer(request: Request) -> Answer:
            number = request.target.partition("?id=")[2]
            return files[int(number)].answer(request) if number.isdigit() else Answer(404, (), Plain(b"no"))

        origin.route("/download", answer)


async def test_query__tells_files_apart(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Each is there under its own name, also after a restart, and without its page once it is kept."""
    Store(origin, ONE, TWO)
    page(origin, link(ONE, "/download?id=0"), link(TWO, "/download?id=1"))
    running = await make_clocked(origin.url)
    found = await listed(http, running.url + PAGE)
    await running.close()
    running = await make_clocked(origin.url)
    for package in (ONE, TWO):
        address = running.url + "/pypi/" + found[package.filename].partition("/pypi/")[2]
        assert address.endswith(package.filename)
        assert 200 == (await get(http, f"{address}.metadata")).status
        assert content(package.body)[5:10] == (await get(http, address, range="bytes=5-9")).body
        assert content(package.body) == (await get(http, address)).body
        await until_kept(http, address)
        assert 404 == (await get(http, f"{address}.asc")).status
    assert {"/download?id=0", "/download?id=1"} <= {target.partition(".metadata")[0] for target in asked(origin)}
    assert "/download" not in asked(origin)
    await origin.stop()
    clock.advance(601)
    assert (
        content(ONE.body) == (await get(http, running.url + "/pypi/" + found[ONE.filename].partition("/pypi/")[2])).body
    )


async def test_query__that_nothing_lists(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Only a page says what such a name stands for: without one there is nothing to ask for."""
    Store(origin, ONE)
    page(origin, link(ONE, "/download?id=0"))
    running = await make_proxy(origin.url)
    assert 404 == (await get(http, f"{running.url}/pypi/download/+name/{TWO.filename}")).status
    assert [] == asked(origin)


@pytest.mark.parametrize(
    ("href", "text", "name"),
    [
        ("/download?id=0", ONE.filename, ONE.filename),
        (f"/download?file={ONE.filename}", "wheel", ONE.filename),
        ("/download?id=0#egg=demo-1.0", "demo", "demo-1.0"),
    ],
)
async def test_query__in_html(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, href: str, text: str, name: str
) -> None:
    """The page calls the file by its text, by a part of the query, or by what it is to be installed as."""
    origin.route("/download", origin.file("/kept", ONE.body).answer)
    origin.resource(
        "/simple/demo/", f'<h1>Links for demo</h1><a href="{escape(href)}">{text}</a>', content_type="text/html"
    )
    running = await make_proxy(origin.url)
    address = (await listed(http, running.url + PAGE))[name]
    assert content(ONE.body) == (await get(http, address.partition("#")[0])).body
    assert [href.partition("#")[0]] == asked(origin)


ENDINGS = [
    "demo-1.0.pyz",
    "demo-1.0-py_0.conda",
    "demo-1.0.tar.lz",
    "demo-1.0.tar.lzma",
    "demo-1.0",
    "README",
    "demo.AppImage",
]


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("folder", ["/simple/demo/", "/files/", "https"])
@pytest.mark.parametrize("flat", [False, True])
async def test_ending__any(
    make_clocked: MakeClocked,
    origin: Origin,
    other_origin: Origin,
    http: aiohttp.ClientSession,
    name: str,
    folder: str,
    flat: bool,
) -> None:
    """A file that a page lists is given, whatever its name ends in, with its digest checked, after a restart too."""
    store = other_origin if folder == "https" else origin
    path = f"/f/{name}" if folder == "https" else f"{folder}{name}"
    store.file(path, ONE.body)
    url = store.url + path
    page(
        origin,
        {"filename": name, "url": url, "hashes": {"sha256": ONE.sha256}},
        path="/links.html" if flat else "/simple/demo/",
    )
    mount: dict[str, Any] = {"hosts": [f"127.0.0.2:{other_origin.port}", f"127.0.0.1:{origin.port}"]}
    if flat:
        mount |= {"kind": "flat", "index": ""}
    running = await make_clocked(origin.url, mount=mount)
    at = "/pypi/links.html" if flat else PAGE
    address = (await listed(http, running.url + at))[name]
    assert content(ONE.body) == (await get(http, address)).body
    await until_kept(http, address)
    store.file(path, TWO.body)
    await running.close()
    running = await make_clocked(origin.url, mount=mount)
    address = running.url + "/pypi/" + address.partition("/pypi/")[2]
    assert content(ONE.body) == (await get(http, address)).body


async def test_archive__of_a_forge(
    make_clocked: MakeClocked, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """An archive on another host whose name does not say whose it is belongs to the page that lists it.

    So the page's hash counts, also for a cache that has seen neither.
    """
    archive = sdist("demo", "0.2.1")
    path = "/acme/archive/0.2.1.tar.gz"
    href = f"{other_origin.url}{path}#egg=demo-0.2.1&amp;sha256={archive.sha256}"
    origin.resource("/simple/demo/", f'<h1>Links for demo</h1><a href="{href}">demo</a>', content_type="text/html")
    mount = {"hosts": [f"127.0.0.2:{other_origin.port}"]}
    running = await make_clocked(origin.url, mount=mount)
    address, _, fragment = (await listed(http, running.url + PAGE))["0.2.1.tar.gz"].partition("#")
    assert fragment.startswith("egg=demo-0.2.1")
    await running.close()
    running = await make_clocked(origin.url, mount=mount)
    address = running.url + "/pypi/" + address.partition("/pypi/")[2]
    other_origin.file(path, wheel("other").body)
    got = await get(http, address)
    assert (502, False) == (got.status, got.broken)
    other_origin.file(path, archive.body)
    await running.close()
    running = await make_clocked(origin.url, mount=mount)
    address = running.url + "/pypi/" + address.partition("/pypi/")[2]
    assert content(archive.body) == (await get(http, address)).body


PASSED = [
    ("git+https://git.example/acme/demo@0.2#egg=demo-0.2", "git+https://git.example/acme/demo@0.2#egg=demo-0.2"),
    ("git+ssh://git:secret@git.example/demo#egg=demo-1", "git+ssh://git@git.example/demo#egg=demo-1"),
    ("git+https://secret@git.example/demo#egg=demo-1", "git+https://git.example/demo#egg=demo-1"),
    ("ftp://files.example/demo-1.0.zip", "ftp://files.example/demo-1.0.zip"),
    ("https://me:secret@files.example/%FF/demo-1.0.zip", "https://files.example/%FF/demo-1.0.zip"),
    ("http://files.example:443/demo-1.0.zip?a=1&b=2", "http://files.example:443/demo-1.0.zip?a=1&b=2"),
]


@pytest.mark.parametrize("form", ["json", "html"])
async def test_passed_on(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, form: str) -> None:
    """What the cache cannot fetch and an installer can stays as it is, without passwords; nothing else stays."""
    never = [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "git+file:///srv/x#egg=x-1",
        "mailto:a@b.example",
    ]
    links = [given for given, _ in PASSED] + never
    if form == "json":
        page(origin, *({"filename": f"demo-{n}.zip", "url": url, "hashes": {}} for n, url in enumerate(links)))
    else:
        anchors = "".join(f'<a href="{escape(url)}">x</a>' for url in links)
        origin.resource("/simple/demo/", f"<h1>Links for demo</h1>{anchors}", content_type="text/html")
    running = await make_proxy(origin.url)
    files = json.loads((await get(http, running.url + PAGE, accept=JSON)).body)["files"]
    assert [shown for _, shown in PASSED] == [file["url"] for file in files]
    text = (await get(http, running.url + PAGE, accept="text/html")).body
    assert b"secret" not in text
    assert all(escape(shown).encode() in text for _, shown in PASSED)
    assert not any(quote(bad).encode() in text or bad.encode() in text for bad in never)


async def test_credentials_in_a_link(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """They are shown to nobody; the file is asked for without them."""
    origin.file(f"/f/{ONE.filename}", ONE.body)
    page(origin, link(ONE, f"http://me:secret@127.0.0.1:{origin.port}/f/{ONE.filename}"))
    running = await make_proxy(origin.url)
    found = await listed(http, running.url + PAGE)
    assert "secret" not in str(found)
    assert content(ONE.body) == (await get(http, found[ONE.filename])).body
