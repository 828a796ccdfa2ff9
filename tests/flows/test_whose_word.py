"""Whose word a page is: what a redirect brought from elsewhere, what is refused, what is quarantined."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from proxy import app
from proxy.config.credentials import KnownCredentials
from proxy.config.groups import GroupSettings
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from tests import pages
from tests.answers import Answer, Request
from tests.bodies import Plain
from tests.faults import status
from tests.flows.asking import SteppedClock, content, get, until_kept
from tests.flows.conftest import MakeClocked
from tests.origin import Origin
from tests.pages import JSON
from tests.wheels import sdist, wheel

if TYPE_CHECKING:
    from proxy.app import Running

INTERNAL, ATTACK = wheel("secret", "1.0"), wheel("secret", "99.0")
DEMO = wheel("demo")
TOKEN = f"Basic {base64.b64encode(b'ci:good').decode()}"
SECRET = "/private/simple/secret/"


class Registry:
    """A registry that sends whom it does not know, and whoever asks for what it does not have, to the public index."""

    def __init__(self, origin: Origin, public: Origin) -> None:
        self.token = TOKEN
        self.to = public.url
        self.origin = origin
        origin.publish(INTERNAL)
        origin.missing = self._forward
        origin.admit = lambda request: (
            None if request.headers.get("authorization") == self.token else self._forward(request)
        )

    def _forward(self, request: Request) -> Answer:
        return Answer(302, (("Location", self.to + request.path),), Plain(b""))


Start = Callable[..., Awaitable["Running"]]


@pytest.fixture
async def public() -> AsyncIterator[Origin]:
    """An index where everybody may publish."""
    async with Origin(host="127.0.0.3") as started:
        started.publish(ATTACK, DEMO)
        yield started


@pytest.fixture
def registry(origin: Origin, public: Origin) -> Registry:
    """A private one, which forwards."""
    return Registry(origin, public)


@pytest.fixture
async def start(data_folder: Path, origin: Origin, public: Origin, clock: SteppedClock) -> AsyncIterator[Start]:
    """Starts the program in front of both: `private`, with credentials, and `public`."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(pins: dict[str, str] | None = None, **private: Any) -> Running:
            known = {
                "mount": "private",
                "url": origin.url,
                "credentials": "env:CI",
                "hosts": ["127.0.0.3", "127.0.0.1"],
            }
            settings = Settings(
                port=0,
                data=data_folder,
                upstreams=(UpstreamSettings(**known | private), UpstreamSettings(mount="public", url=public.url)),
                groups=(GroupSettings(mount="all", members=("private", "public"), pins=pins or {}),),
                fetch={"retries": 0},
            )
            running = await app.start(settings, clock, KnownCredentials.find(settings, {"CI": "ci:good"}))
            stack.push_async_callback(running.close)
            return running

        yield make


async def names(http: aiohttp.ClientSession, url: str) -> list[str] | int:
    """The files that a page lists, or its status."""
    got = await get(http, url, accept=JSON)
    return [file["filename"] for file in json.loads(got.body)["files"]] if got.status == 200 else got.status


@pytest.mark.parametrize("path", [SECRET, "/all/simple/secret/"])
@pytest.mark.parametrize("pins", [None, {"secret*": "private"}])
async def test_forwarded__token_that_expired(
    start: Start,
    registry: Registry,
    public: Origin,
    http: aiohttp.ClientSession,
    path: str,
    pins: dict[str, str] | None,
) -> None:
    """A name of the private index is not answered from outside, and the outside is not even asked."""
    registry.token = "Basic renewed"
    running = await start(pins)
    got = await get(http, running.url + path)
    assert 502 == got.status
    assert b"page_hosts" in got.body
    assert b"127.0.0" not in got.body
    assert 0 == public.count()


@pytest.mark.parametrize("path", [SECRET, "/all/simple/secret/"])
async def test_forwarded__page_that_is_kept(
    start: Start, registry: Registry, public: Origin, http: aiohttp.ClientSession, clock: SteppedClock, path: str
) -> None:
    """The last page that was its own stays as it was."""
    running = await start()
    before = await names(http, running.url + path)
    registry.token = "Basic renewed"
    clock.advance(601)
    assert [INTERNAL.filename] == before == await names(http, running.url + path)
    assert 0 == public.count()


async def test_forwarded__names_that_the_group_pins(
    start: Start, registry: Registry, public: Origin, http: aiohttp.ClientSession
) -> None:
    """A group that says which names its member has takes a redirect of any other for "not here"."""
    running = await start({"secret*": "private"})
    assert [INTERNAL.filename] == await names(http, running.url + "/all/simple/secret/")
    assert [DEMO.filename] == await names(http, running.url + "/all/simple/demo/")
    assert 404 == await names(http, running.url + "/all/simple/nowhere/")
    assert 502 == await names(http, running.url + "/private/simple/demo/")


async def test_forwarded__no_names_pinned(start: Start, registry: Registry, http: aiohttp.ClientSession) -> None:
    """A group that says nothing of names cannot know what a redirect means."""
    running = await start()
    assert 502 == await names(http, running.url + "/all/simple/demo/")


async def test_forwarded__means_missing(start: Start, registry: Registry, http: aiohttp.ClientSession) -> None:
    """By the word of the settings a redirect says that there is no such project, and what was there stays its own."""
    running = await start(redirected_is_missing=True)
    assert [INTERNAL.filename] == await names(http, running.url + "/all/simple/secret/")
    assert [DEMO.filename] == await names(http, running.url + "/all/simple/demo/")
    assert 404 == await names(http, running.url + "/private/simple/demo/")


async def test_forwarded__to_a_host_of_its_own(
    start: Start, registry: Registry, public: Origin, http: aiohttp.ClientSession
) -> None:
    """Pages of a host that is named for it are the index's own, with that port only if one is named."""
    for page_hosts, expected in (([f"127.0.0.3:{public.port}"], [DEMO.filename]), (["127.0.0.3:1"], 502)):
        running = await start(page_hosts=page_hosts)
        assert expected == await names(http, running.url + "/private/simple/demo/")
        await running.close()


async def test_forwarded__there_and_back(
    start: Start, registry: Registry, origin: Origin, public: Origin, http: aiohttp.ClientSession
) -> None:
    """What another host names is not the index's word, though the page comes from the index in the end."""
    origin.page("/simple/other/", [INTERNAL.link("/packages/x.whl")])
    back = Answer(302, (("Location", origin.url + "/simple/secret/"),), Plain(b""))
    public.route("/simple/other/", lambda _: back)
    origin.misbehave(
        "/simple/other/", lambda _, __: Answer(302, (("Location", public.url + "/simple/other/"),), Plain(b""))
    )
    running = await start()
    assert 502 == await names(http, running.url + "/private/simple/other/")
    assert 0 == public.count()


async def test_forwarded__within_the_host(
    start: Start, registry: Registry, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A redirect to another path of the index is its own word."""
    origin.route("/simple/moved/", lambda _: Answer(301, (("Location", "/simple/secret/"),), Plain(b"")))
    running = await start()
    assert [INTERNAL.filename] == await names(http, running.url + "/private/simple/moved/")


async def test_forwarded__kept_from_when_it_counted(
    start: Start, registry: Registry, public: Origin, http: aiohttp.ClientSession, clock: SteppedClock
) -> None:
    """A page that was followed under other settings is not the index's own under these, however fresh it is."""
    running = await start(page_hosts=["127.0.0.3"])
    registry.token = "Basic renewed"
    assert [ATTACK.filename] == await names(http, running.url + SECRET)
    await running.close()
    running = await start()
    assert 502 == await names(http, running.url + SECRET)
    assert 502 == await names(http, running.url + "/all/simple/secret/")
    registry.token = TOKEN
    clock.advance(11)
    assert [INTERNAL.filename] == await names(http, running.url + SECRET)


@pytest.mark.parametrize(
    ("members", "path", "expected"),
    [
        ([], "/pypi/simple/demo/", [DEMO.filename]),
        (["other", "pypi"], "/all/simple/demo/", [DEMO.filename]),
        (["pypi", "other"], "/all/simple/demo/", 502),
    ],
)
async def test_forwarded__public_mirror(
    make_clocked: MakeClocked,
    origin: Origin,
    other_origin: Origin,
    public: Origin,
    http: aiohttp.ClientSession,
    members: list[str],
    path: str,
    expected: list[str] | int,
) -> None:
    """An upstream without credentials may send on to another host, if it is in no group before another one."""
    origin.missing = lambda request: Answer(302, (("Location", public.url + request.path),), Plain(b""))
    other = UpstreamSettings(mount="other", url=other_origin.url)
    groups = (GroupSettings(mount="all", members=members),) if members else ()
    running = await make_clocked(origin.url, mount={"hosts": ["127.0.0.3"]}, upstreams=(other,), groups=groups)
    assert expected == await names(http, running.url + path)


async def test_forwarded__list_of_projects(
    start: Start, registry: Registry, public: Origin, http: aiohttp.ClientSession
) -> None:
    """The public index's list is not the private one's."""
    public.resource("/simple/", b'<a href="demo/">demo</a>', content_type="text/html")
    running = await start()
    got = await get(http, running.url + "/private/simple/")
    assert 502 == got.status
    assert b"demo" not in got.body


# Refusals


@pytest.mark.parametrize("code", [401, 403, 451])
@pytest.mark.parametrize("missing", [False, True])
async def test_refused__after_a_page(
    make_clocked: MakeClocked,
    clock: SteppedClock,
    origin: Origin,
    http: aiohttp.ClientSession,
    code: int,
    missing: bool,
) -> None:
    """The page stays as it was, again and again: nothing of it is yanked, nothing is left out."""
    origin.publish(DEMO, sdist("demo", "2.0"), fmt="json")
    running = await make_clocked(origin.url, mount={"forbidden_is_missing": missing})
    page = f"{running.url}/pypi/simple/demo/"
    before = await get(http, page, accept=JSON)
    await get(http, f"{running.url}/pypi/packages/{DEMO.filename}")
    await until_kept(http, f"{running.url}/pypi/packages/{DEMO.filename}")
    origin.misbehave("/simple/demo/", status(code))
    for _ in range(3):
        clock.advance(601)
        after = await get(http, page, accept=JSON)
        assert (200, before.body, "stale") == (after.status, after.body, after.source)
    again = await get(http, page, accept=JSON)
    assert (200, before.body) == (again.status, again.body)


@pytest.mark.parametrize(("code", "expected"), [(401, 502), (403, 404), (451, 502), (404, 404), (410, 404)])
async def test_refused__page_that_is_not_kept(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, code: int, expected: int
) -> None:
    """Stores of objects say 403 of what is missing; without credentials it is that."""
    origin.misbehave(None, status(code))
    running = await make_clocked(origin.url)
    assert expected == (await get(http, running.url + "/pypi/simple/demo/")).status


@pytest.mark.parametrize(("more", "expected"), [({}, 502), ({"forbidden_is_missing": True}, 404)])
async def test_refused__of_a_private_index(
    start: Start, origin: Origin, http: aiohttp.ClientSession, more: dict[str, Any], expected: int
) -> None:
    """A 403 to the cache's own credentials is no word of what there is, unless the settings say so."""
    origin.misbehave(None, status(403))
    running = await start(**more)
    got = await get(http, running.url + SECRET)
    assert expected == got.status
    assert got.body.strip()


# Quarantine (PEP 792)


def quarantined(*files: dict[str, Any], form: str = "json") -> tuple[bytes, str]:
    """A page of a project that is quarantined, and its type."""
    if form == "html":
        meta = '<meta name="pypi:project-status" content="quarantined">'
        links = "".join(f'<a href="{file["url"]}">{file["filename"]}</a>' for file in files)
        return f"<!DOCTYPE html><html><head>{meta}</head><body>{links}</body></html>".encode(), pages.TEXT_HTML
    page = {"meta": {"api-version": "1.4"}, "name": "demo", "files": files, "versions": ["1.0"]}
    return json.dumps(page | {"project-status": {"status": "quarantined", "reason": "malware"}}).encode(), JSON


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize("listed", [False, True])
async def test_quarantined__nothing_is_offered_or_given(
    make_clocked: MakeClocked,
    clock: SteppedClock,
    origin: Origin,
    http: aiohttp.ClientSession,
    form: str,
    listed: bool,
) -> None:
    """No file is on its page, and none is given by its address: kept or not, hot or not, nor its metadata."""
    cold = wheel("demo", "2.0")
    origin.publish(DEMO, cold, metadata=True)
    running = await make_clocked(origin.url)
    page = f"{running.url}/pypi/simple/demo/"
    kept, other = (f"{running.url}/pypi/packages/{package.filename}" for package in (DEMO, cold))
    await names(http, page)
    await get(http, kept)
    await until_kept(http, kept)
    for _ in range(3):
        assert content(DEMO.body) == (await get(http, kept)).body
        assert 200 == (await get(http, f"{kept}.metadata")).status

    links = [{"filename": p.filename, "url": f"/packages/{p.filename}", "hashes": {}} for p in (DEMO, cold)]
    body, kind = quarantined(*links if listed else (), form=form)
    origin.resource("/simple/demo/", body, content_type=kind)
    clock.advance(2.5)  # the files' answers are remembered for much longer
    shown = await get(http, page, accept=JSON, cache_control="no-cache")
    told = json.loads(shown.body)
    assert ([], "quarantined") == (told["files"], told["project-status"]["status"])
    assert DEMO.filename.encode() not in (await get(http, page, accept="text/html")).body
    for url in (kept, other, f"{kept}.metadata", f"{other}.metadata"):
        assert 404 == (await get(http, url)).status, url
        assert 404 == (await get(http, url, "HEAD")).status, url
        assert 404 == (await get(http, url, range="bytes=0-10")).status, url

    origin.remove("/simple/demo/")  # gone for good: what is kept is not brought back for that
    clock.advance(601)
    assert 404 == await names(http, page)
    assert 404 == (await get(http, kept)).status

    origin.publish(DEMO)  # it was an error
    clock.advance(601)
    assert [DEMO.filename] == await names(http, page)
    assert content(DEMO.body) == (await get(http, kept)).body


async def test_quarantined__after_another_spelling_was_asked_for(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What upstream redirected there is an older copy of the same page, and lifts no quarantine."""
    running = await make_clocked(origin.url)
    origin.publish(DEMO, metadata=True)
    origin.route("/simple/Demo/", lambda _: Answer(301, (("Location", "/simple/demo/"),)))
    page, url = f"{running.url}/pypi/simple/demo/", f"{running.url}/pypi/packages/{DEMO.filename}"
    assert 302 == (await get(http, f"{running.url}/pypi/simple/Demo/")).status
    await get(http, url)
    await until_kept(http, url)
    assert 200 == (await get(http, f"{url}.metadata")).status

    body, kind = quarantined()
    origin.resource("/simple/demo/", body, content_type=kind)
    clock.advance(601)
    assert [] == await names(http, page)
    assert [404, 404] == [(await get(http, one)).status for one in (url, f"{url}.metadata")]


@pytest.mark.parametrize("said", ["archived", "deprecated", "active", "something-new"])
async def test_status__any_other(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession, said: str
) -> None:
    """Other statuses pass through and change nothing."""
    page = {"name": "demo", "files": [{"filename": DEMO.filename, "url": "/x/" + DEMO.filename, "hashes": {}}]}
    origin.resource("/simple/demo/", json.dumps(page | {"project-status": {"status": said}}), content_type=JSON)
    origin.file(f"/x/{DEMO.filename}", DEMO.body)
    running = await make_clocked(origin.url)
    got = json.loads((await get(http, f"{running.url}/pypi/simple/demo/", accept=JSON)).body)
    assert ({"status": said}, 1) == (got["project-status"], len(got["files"]))
    assert content(DEMO.body) == (await get(http, f"{running.url}/pypi/x/{DEMO.filename}")).body


async def test_quarantined__by_another_channel(
    make_clocked: MakeClocked, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """One index of a mount says nothing of the files that another one of it lists."""
    origin.publish(DEMO, index="/mine/simple/", folder="/mine/files/")
    body, kind = quarantined()
    origin.resource("/theirs/simple/demo/", body, content_type=kind)
    running = await make_clocked(origin.url, mount={"index": ""})
    assert [] == await names(http, f"{running.url}/pypi/theirs/simple/demo/")
    assert [DEMO.filename] == await names(http, f"{running.url}/pypi/mine/simple/demo/")
    assert content(DEMO.body) == (await get(http, f"{running.url}/pypi/mine/files/{DEMO.filename}")).body


@pytest.mark.parametrize("index", ["simple/", ""])
@pytest.mark.parametrize("ending", ["", ".metadata"])
async def test_forwarded__file_before_its_page(
    start: Start,
    registry: Registry,
    public: Origin,
    http: aiohttp.ClientSession,
    clock: SteppedClock,
    index: str,
    ending: str,
) -> None:
    """A fresh cache is not sent on for a file, either, when its page says that the index does not know us."""
    public.file(f"/packages/{INTERNAL.filename}", wheel("secret", "1.0", padding=9).body)
    good, registry.token = registry.token, "Basic renewed"
    running = await start(index=index)
    address = f"{running.url}/private/packages/{INTERNAL.filename}{ending}"
    got = await get(http, address)
    assert (502, 0) == (got.status, public.count())
    registry.token = good
    clock.advance(11)
    expected = INTERNAL.metadata if ending else content(INTERNAL.body)
    assert expected == (await get(http, address)).body
