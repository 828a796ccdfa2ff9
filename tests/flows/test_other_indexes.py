"""Indexes that are not like PyPI: without `/simple/`, flat, volatile, private, marked not to be kept."""

from __future__ import annotations

import base64
import json
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest

from proxy import app
from proxy.config.credentials import KnownCredentials
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from tests.answers import Answer, Request
from tests.bodies import Noise, Plain
from tests.conftest import MakeProxy
from tests.flows.asking import SMALL, SteppedClock, content, get, until_idle, until_kept
from tests.flows.conftest import MakeClocked
from tests.origin import Origin
from tests.pages import JSON, TEXT_HTML, Link
from tests.wheels import wheel

CHANNEL = wheel("torch", "2.7.1+cu126", padding=100_000)
NO_STORE = ("Cache-Control", "no-cache,no-store,must-revalidate")


def torch_page(*lines: str, moment: int = 1) -> bytes:
    """A page as PyTorch's index has it: nothing but links, and a comment that changes whenever it is made again."""
    body = "".join(f"    {line}<br/>\n" for line in lines)
    return (
        f"<!DOCTYPE html>\n<html>\n  <body>\n    <h1>Links for torch</h1>\n{body}  </body>\n</html>\n"
        f"<!--TIMESTAMP {moment}-->"
    ).encode()


def line(href: str, text: str, digest: str | None = None) -> str:
    """A link of such a page."""
    return f'<a href="{href}{f"#sha256={digest}" if digest else ""}">{text}</a>'


async def test_channel__page_and_file(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A channel's page links to other hosts and folders, with plus signs in all spellings; each is had through it."""
    mount = UpstreamSettings(mount="torch", url=origin.url, index="whl/", hosts=frozenset({"127.0.0.2"}))
    running = await make_proxy(origin.url, upstreams=(mount,), fetch=SMALL)
    name, digest = CHANNEL.filename, CHANNEL.sha256
    paths = {
        origin: (f"/whl/cu126/{name}", f"/whl/{name}"),
        other_origin: (f"/whl/cu126/{name}",),
    }
    for place, found in paths.items():
        for path in found:
            place.file(path, CHANNEL.body, headers=[NO_STORE])
    encoded = name.replace("+", "%2B")
    lines = (
        line(f"/whl/cu126/{encoded}", name, digest),
        line(f"/whl/{name.replace('+', '&#43;')}", name, digest),
        line(f"{other_origin.url}/whl/cu126/{name}", name, digest),
    )
    origin.resource("/whl/cu126/torch/", torch_page(*lines), content_type="text/html", headers=[NO_STORE])
    page = f"{running.url}/torch/whl/cu126/torch/"
    files = json.loads((await get(http, page, accept=JSON)).body)["files"]
    links = [urljoin(page, file["url"]) for file in files]
    assert [
        f"/torch/whl/cu126/{encoded}",
        f"/torch/whl/{encoded}",
        f"/torch/~files/127.0.0.2:{other_origin.port}/whl/cu126/{encoded}",
    ] == [urlsplit(link).path for link in links]
    sources = []
    for link in links:
        got = await get(http, link)
        assert content(CHANNEL.body) == got.body
        sources.append(got.source)
        await until_kept(http, link)
    # The same digest is fetched once, whatever the address.
    assert ["miss", "hit", "hit"] == sources


async def test_channel__links_did_not_change(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A page that was only made again keeps its tag, so clients need not read it again."""
    running = await make_clocked(origin.url, mount={"index": "whl/"})
    tags = []
    for moment in (1, 2):
        page = torch_page(line(f"/whl/{CHANNEL.filename}", CHANNEL.filename), moment=moment)
        origin.resource("/whl/cu126/torch/", page, content_type="text/html")
        tags.append((await get(http, f"{running.url}/pypi/whl/cu126/torch/")).headers["etag"])
        clock.advance(601)
    assert tags[0] == tags[1]
    assert 2 == origin.count("/whl/cu126/torch/")


async def test_channel__root_lists_projects(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The page above the projects' pages is a list of folders, without any heading."""
    running = await make_proxy(origin.url, index="whl/")
    root = (
        '<!DOCTYPE html><html><body><a href="torch/">torch</a><br/><a href="/whl/cu126/numpy/">numpy</a></body></html>'
    )
    origin.resource("/whl/cu126/", root, content_type="text/html")
    got = await get(http, f"{running.url}/pypi/whl/cu126/")
    assert 200 == got.status
    assert b'<a href="torch/">' in got.body
    assert b'<a href="numpy/">' in got.body


@pytest.mark.parametrize("code", [403, 404])
async def test_missing__is_404(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, code: int) -> None:
    """What a store of objects calls forbidden is not there: installers go on to their next index then."""
    running = await make_proxy(origin.url, index="whl/")
    origin.route(
        "/whl/cu126/nowhere/", lambda _: Answer(code, (("Content-Type", "application/xml"),), Plain(b"<Error/>"))
    )
    assert 404 == (await get(http, f"{running.url}/pypi/whl/cu126/nowhere/")).status


async def test_beside_the_page__bare_names(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Files beside their page have bare names in its links, which NVIDIA's build back ends take for file names."""
    running = await make_proxy(origin.url, index="")
    name = CHANNEL.filename
    origin.page("/torch/", [Link(name, name, sha256=CHANNEL.sha256)])
    origin.file(f"/torch/{name}", CHANNEL.body, headers=[("Cache-Control", "max-age=0, no-cache, no-store")])
    text = (await get(http, f"{running.url}/pypi/torch/")).body.decode()
    assert f'href="{name.replace("+", "%2B")}#sha256={CHANNEL.sha256}"' in text
    got = await get(http, f"{running.url}/pypi/torch/{name}")
    assert content(CHANNEL.body) == got.body
    assert "hit" == (await until_kept(http, f"{running.url}/pypi/torch/{name}")).source


async def test_flat__page_of_links(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A page of files of any project, as `--find-links` takes it, and the files that it links to."""
    mount = UpstreamSettings(mount="flat", url=origin.url, kind="flat")
    running = await make_proxy(origin.url, upstreams=(mount,))
    one, two = wheel("one"), wheel("two", "2.0+cpu")
    page = "".join(
        line(f"cpu/{file.filename.replace('+', '%2B')}", f"cpu/{file.filename}") + "<br/>" for file in (one, two)
    )
    origin.resource("/whl/stable.html", f"<!DOCTYPE html>{page}", content_type="binary/octet-stream")
    for file in (one, two):
        origin.file(f"/whl/cpu/{file.filename}", file.body)
    address = f"{running.url}/flat/whl/stable.html"
    got = await get(http, address, accept="text/html")
    assert (200, TEXT_HTML) == (got.status, got.headers["content-type"])
    assert b'href="cpu/one-1.0-py3-none-any.whl"' in got.body
    kept = await get(http, f"{running.url}/flat/whl/cpu/{two.filename}")
    assert content(two.body) == kept.body
    await until_kept(http, f"{running.url}/flat/whl/cpu/{two.filename}")
    # Its hash is known now, and the page says it.
    assert f"#sha256={two.sha256}".encode() in (await get(http, address)).body


async def test_flat__listing_of_a_folder(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A listing has links that sort it, and to folders; it is asked for with or without the slash."""
    mount = UpstreamSettings(mount="flat", url=origin.url, kind="flat")
    running = await make_proxy(origin.url, upstreams=(mount,))
    one = wheel("one")
    page = (
        "<html><head><title>Index of /rel-7.2</title></head><body><h1>Index of /rel-7.2</h1>"
        '<a href="?C=N;O=D">Name</a> <a href="/">Parent Directory</a> <a href="older/">older/</a>'
        f"{line(one.filename, one.filename)}</body></html>"
    )
    origin.resource("/rel-7.2/", page, content_type="text/html;charset=UTF-8")
    origin.file(f"/rel-7.2/{one.filename}", one.body)
    moved = await get(http, f"{running.url}/flat/rel-7.2")
    assert (302, "./rel-7.2/") == (moved.status, moved.headers["location"])
    got = await get(http, f"{running.url}/flat/rel-7.2/")
    assert b'<a href="older/">older/</a>' in got.body
    assert b"?C=" not in got.body
    assert content(one.body) == (await get(http, f"{running.url}/flat/rel-7.2/{one.filename}")).body


async def test_signed__redirect_to_another_host(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A link that redirects to an address which expires is kept under the link."""
    running = await make_proxy(origin.url, hosts=frozenset({"127.0.0.1", "127.0.0.2"}))
    one = wheel("one", padding=20_000)
    turns = iter(range(1, 9))
    origin.page("/simple/one/", [one.link(f"/releases/{one.filename}")])
    origin.route(
        f"/releases/{one.filename}",
        lambda _: Answer(302, (("Location", f"{other_origin.url}/signed?expires={next(turns)}"),), Plain(b"")),
    )
    other_origin.file("/signed", one.body)
    for _ in range(2):
        got = await get(http, f"{running.url}/pypi/releases/{one.filename}")
        assert content(one.body) == got.body
        await until_kept(http, f"{running.url}/pypi/releases/{one.filename}")
    assert one.body.size == other_origin.sent_body_bytes()


async def test_volatile__file_that_is_replaced(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A nightly's file is confirmed when it is old, and fetched again when replaced; its hash is not published."""
    running = await make_clocked(origin.url, mount={"index": "whl/", "volatile": ("whl/nightly/",)})
    path = f"/whl/nightly/cpu/{CHANNEL.filename}"
    url = f"{running.url}/pypi{path}"
    origin.resource("/whl/nightly/cpu/torch/", torch_page(line(path, CHANNEL.filename)), content_type="text/html")
    first, second = Noise(200_000, 1), Noise(200_000, 2)
    origin.file(path, first)
    seen = [await get(http, url)]
    await until_kept(http, url)
    for body in (first, second):
        origin.file(
            path,
            body,
            last_modified="Thu, 02 Jan 2025 00:00:00 GMT" if body is second else "Wed, 01 Jan 2025 00:00:00 GMT",
        )
        clock.advance(601)
        seen.append(await get(http, url))
    await until_kept(http, url)
    await origin.stop()
    clock.advance(601)
    seen.append(await get(http, url))
    bodies = [content(first), content(first), content(second), content(second)]
    assert bodies == [got.body for got in seen]
    assert ["miss", "revalidated", "miss", "stale"] == [got.source for got in seen]
    assert {"max-age=600, public"} == {got.headers["cache-control"] for got in seen}
    assert b"sha256" not in (await get(http, f"{running.url}/pypi/whl/nightly/cpu/torch/")).body


@pytest.mark.parametrize("honour", [False, True])
async def test_no_store(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, honour: bool) -> None:
    """Upstream's no-store counts for nothing, unless the settings say so; then nothing is kept."""
    mount = UpstreamSettings(mount="marked", url=origin.url, honour_no_store=honour)
    running = await make_proxy(origin.url, upstreams=(mount,))
    one = wheel("one", padding=100_000)
    origin.page("/simple/one/", [one.link(f"/packages/{one.filename}")], headers=[("Cache-Control", "no-store")])
    origin.file(f"/packages/{one.filename}", one.body, headers=[("Cache-Control", "no-store")])
    for _ in range(2):
        await get(http, f"{running.url}/marked/simple/one/")
        got = await get(http, f"{running.url}/marked/packages/{one.filename}")
        assert content(one.body) == got.body
        await until_idle(running)
        if not honour:
            await until_kept(http, f"{running.url}/marked/packages/{one.filename}")
    times = 2 if honour else 1
    assert times * one.body.size == origin.sent_body_bytes(f"/packages/{one.filename}")
    assert times <= origin.count("/simple/one/") <= 2 * times


class Private:
    """An index that wants to know who asks."""

    def __init__(self, origin: Origin, answer: Answer) -> None:
        self.wanted = "Basic " + base64.b64encode(b"me:s3cret").decode()
        self.answer = answer
        origin.route("/simple/one/", self)

    def __call__(self, request: Request) -> Answer:
        given = request.headers.get("authorization")
        if given is None:
            return Answer(401, (("WWW-Authenticate", "Basic"),), Plain(b"who?\n"))
        return self.answer if given == self.wanted else Answer(403, (), Plain(b"no\n"))


@pytest.mark.parametrize(("known", "expected"), [("me:s3cret", 200), ("me:wrong", 502), (None, 502)])
async def test_private__credentials(
    data_folder: object,
    tmp_path: object,
    origin: Origin,
    other_origin: Origin,
    http: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
    known: str | None,
    expected: int,
) -> None:
    """The credentials go to the index, and neither to other hosts, nor to clients, nor into the log."""
    one = wheel("one")
    page = Answer(
        200, (("Content-Type", "text/html"),), Plain(line(f"{other_origin.url}/{one.filename}", "x").encode())
    )
    Private(origin, page)
    other_origin.file(f"/{one.filename}", one.body)
    mount = UpstreamSettings(mount="private", url=origin.url, hosts=frozenset({"127.0.0.2"}), credentials="env:ONE")
    settings = Settings(port=0, data=data_folder, upstreams=(mount,), fetch={"retries": 0})
    credentials = KnownCredentials.find(settings, {"ONE": known}) if known else None
    running = await app.start(settings, credentials=credentials)
    try:
        got = await get(http, f"{running.url}/private/simple/one/")
        assert expected == got.status
        if expected == 200:
            file = await get(http, f"{running.url}/private/~files/127.0.0.2:{other_origin.port}/{one.filename}")
            assert content(one.body) == file.body
            assert all("authorization" not in request.headers for request in other_origin.requests)
    finally:
        await running.close()
    said = "".join(capfd.readouterr()) + str(got)
    assert not any(secret in said for secret in ("s3cret", base64.b64encode(b"me:s3cret").decode()))


async def test_volatile__metadata_of_a_file_that_is_replaced(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Metadata is that of the wheel which a client gets next."""
    running = await make_clocked(origin.url, mount={"index": "whl/", "volatile": ("whl/nightly/",)})
    first, second = (wheel("torch", "2.9.0.dev1", requires=(name,), padding=9000) for name in ("one", "two"))
    path = f"/whl/nightly/{first.filename}"
    url = f"{running.url}/pypi{path}"
    origin.resource("/whl/nightly/torch/", torch_page(line(path, first.filename)), content_type="text/html")
    seen = []
    for package, date in ((first, "Wed, 01 Jan 2025 00:00:00 GMT"), (second, "Thu, 02 Jan 2025 00:00:00 GMT")):
        origin.file(path, package.body, last_modified=date)
        clock.advance(601)
        seen.append((await get(http, f"{url}.metadata")).body)
        await get(http, url)
        await until_idle(running)
    assert [first.metadata, second.metadata] == seen
