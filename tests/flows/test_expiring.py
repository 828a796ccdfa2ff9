"""Indexes whose links are signed and good for a while only, end to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.cache import retry_policy
from tests import faults
from tests.answers import Answer, Request
from tests.bodies import Plain
from tests.conftest import MakeProxy
from tests.flows.asking import SEGMENT, SMALL, content, get, until_idle, until_kept
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import TEXT_HTML, Link, as_html
from tests.wheels import Package, sdist, wheel

if TYPE_CHECKING:
    from proxy.app import Running

LARGE = wheel(padding=4 * SEGMENT)
PAGE = "/simple/demo/"


class Signing:
    """An index that signs the links of each page anew; old signatures are good for nothing once they are `expired`."""

    def __init__(self, origin: Origin, package: Package = LARGE, status: int = 403, *, hashed: bool = True) -> None:
        self.origin = origin
        self.package = package
        self.path = f"/bucket/{package.filename}"
        self.given = 0  # the number of the last signature
        self.etag: str | None = None  # of the page, whatever signatures it has
        self._good = 1  # the first one that is good
        self._hashed = hashed
        self.expired: faults.Fault = faults.status(status, "<Error>Request has expired</Error>")
        self._file = origin.file(self.path, package.body)
        origin.route(PAGE, self._page)
        origin.route(self.path, self._answer)

    def expire(self) -> None:
        """All links that were given are good for nothing."""
        self._good = self.given + 1

    def _page(self, request: Request) -> Answer:
        if self.etag is not None and request.headers.get("if-none-match") == self.etag:
            return Answer(304, (("ETag", self.etag),))
        self.given += 1
        sha256 = self.package.sha256 if self._hashed else None
        link = Link(self.package.filename, f"{self.path}?Signature={self.given}%2B&X=a", sha256=sha256)
        headers = (("Content-Type", TEXT_HTML), *((("ETag", self.etag),) if self.etag is not None else ()))
        return Answer(200, headers, Plain(as_html("demo", [link])))

    def _answer(self, request: Request) -> Answer:
        number = request.target.partition("Signature=")[2].partition("%2B&X=a")[0]
        if number.isdigit() and int(number) >= self._good:
            return self._file.answer(request)
        return self.expired(request, self._file.answer(request))


def address(running: Running, signing: Signing, ending: str = "") -> str:
    """Where the cache has the file."""
    return f"{running.url}/pypi{signing.path}{ending}"


@pytest.fixture
async def proxy(make_proxy: MakeProxy, origin: Origin) -> Running:
    """The program in front of the index, with small segments."""
    return await make_proxy(origin.url, fetch=SMALL | {"retries": 0})


class Moving:
    """An index that signs the paths of each page's links anew, and gives nothing at those of earlier pages."""

    def __init__(self, origin: Origin, *packages: Package, hashed: bool = True) -> None:
        self.given = 0
        self._packages = packages
        self._hashed = hashed
        self._files = {package.filename: origin.file(f"/kept/{package.filename}", package.body) for package in packages}
        origin.route(PAGE, self._page)
        origin.missing = self._answer

    def put(self, name: str, package: Package) -> None:
        """Have another file under a name from now on; its page says so."""
        self._packages = (replace(package, filename=name),)
        self._files[name] = replace(self._files[name], body=package.body)

    def _page(self, request: Request) -> Answer:
        self.given += 1
        links = [
            Link(package.filename, f"/s/token{self.given}/{package.filename}", package.sha256 if self._hashed else None)
            for package in self._packages
        ]
        return Answer(200, (("Content-Type", TEXT_HTML),), Plain(as_html("demo", links)))

    def _answer(self, request: Request) -> Answer:
        folder, _, name = request.path.rpartition("/")
        if folder == f"/s/token{self.given}" and name in self._files:
            return self._files[name].answer(request)
        return Answer(403, (), Plain(b"expired"))


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
async def test_file__whose_path_was_signed(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, *, hashed: bool, restarted: bool
) -> None:
    """Whoever has an earlier page gets all that it lists, by the path that it has there: metadata, parts and files."""
    one, two = wheel(padding=2 * SEGMENT), wheel(version="2.0")
    moving = Moving(origin, one, two, hashed=hashed)
    running = await make_proxy(origin.url)
    await get(http, f"{running.url}/pypi{PAGE}")
    if restarted:
        await running.close()
        running = await make_proxy(origin.url)
    moving.given = 2  # the first page's links are good for nothing
    for package in (one, two):
        address = f"{running.url}/pypi/s/token1/{package.filename}"
        metadata = await get(http, f"{address}.metadata")
        assert (200, package.metadata) == (metadata.status, metadata.body)
        part = await get(http, address, range="bytes=9-99")
        assert (206, content(package.body)[9:100]) == (part.status, part.body)
        assert content(package.body) == (await get(http, address)).body
        await until_kept(http, address)
    assert 3 == moving.given


async def test_file__whose_path_was_signed_and_that_was_replaced(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The new file of its name is another one: whoever asks for the old one does not get it."""
    old = wheel()
    moving = Moving(origin, old)
    await get(http, f"{proxy.url}/pypi{PAGE}")
    moving.put(old.filename, wheel(padding=100))
    moving.given = 2
    assert 404 == (await get(http, f"{proxy.url}/pypi/s/token1/{old.filename}")).status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_file__whose_link_has_expired(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, status: int
) -> None:
    """Its page is asked for anew, once, and then the file at its new address; no client sees a signature."""
    signing = Signing(origin, status=status)
    page = await get(http, proxy.url + "/pypi" + PAGE)
    signing.expire()
    got = await get(http, address(proxy, signing))
    assert (200, LARGE.sha256, 2) == (got.status, got.sha256, signing.given)
    assert b"Signature" not in page.body + str(got.headers).encode()
    await until_kept(http, address(proxy, signing))
    assert LARGE.sha256 == (await get(http, address(proxy, signing))).sha256


@pytest.mark.parametrize("package", [LARGE, wheel(), sdist()], ids=["large", "small", "sdist"])
@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (TEXT_HTML, "<!DOCTYPE html><html><body>The link has expired.</body></html>"),
        ("application/xml", "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
        (TEXT_HTML, f"<!DOCTYPE html><html><body>{'The link has expired. ' * 9000}</body></html>"),
        ("text/html", ""),
        ("application/octet-stream", ""),
    ],
    ids=["html", "xml", "long page", "empty page", "empty"],
)
@pytest.mark.parametrize("chunked", [True, False])
async def test_file__whose_expired_link_is_answered_by_something_else(
    proxy: Running,
    origin: Origin,
    http: aiohttp.ClientSession,
    package: Package,
    kind: str,
    body: str,
    *,
    hashed: bool,
    chunked: bool,
) -> None:
    """Gateways say 200 where a store would say 403: the first request looks at the page, and gets the file."""
    signing = Signing(origin, package, hashed=hashed)

    def expired(request: Request, answer: Answer) -> Answer:
        said = replace(answer.whole(), headers=(("Content-Type", kind),), body=Plain(body.encode()))
        return faults.chunked()(request, said) if chunked else said

    signing.expired = expired
    await get(http, proxy.url + "/pypi" + PAGE)
    signing.expire()
    got = await get(http, address(proxy, signing))
    assert (200, package.sha256, 2) == (got.status, got.sha256, signing.given)


async def test_file__whose_page_says_that_it_did_not_change(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Its validator is that of the list of files; the page is asked for whole, and has new signatures."""
    signing = Signing(origin)
    signing.etag = '"one release"'
    await get(http, proxy.url + "/pypi" + PAGE)
    signing.expire()
    assert content(LARGE.body) == (await get(http, address(proxy, signing))).body
    assert [None, None] == [asked.headers.get("if-none-match") for asked in origin.requests if asked.path == PAGE]


async def test_file__herd(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Many who want it cost upstream one page."""
    signing = Signing(origin)
    await get(http, proxy.url + "/pypi" + PAGE)
    signing.expire()
    got = await asyncio.gather(*(get(http, address(proxy, signing)) for _ in range(20)))
    assert ({LARGE.sha256}, 2) == ({one.sha256 for one in got}, signing.given)


async def test_file__whose_new_link_does_not_work_either(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """One new look is enough: the client is told."""
    signing = Signing(origin)
    await get(http, proxy.url + "/pypi" + PAGE)
    origin.misbehave(signing.path, faults.status(403))
    got = await get(http, address(proxy, signing))
    assert (404, 2) == (got.status, signing.given)


async def test_file__whose_link_is_the_same(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file that is not there is not asked for again: by parts and plainly, that is all."""
    package = wheel()
    origin.publish(package)
    await get(http, proxy.url + "/pypi" + PAGE)
    path = f"/packages/{package.filename}"
    origin.remove(path)
    assert 404 == (await get(http, f"{proxy.url}/pypi{path}")).status
    assert (2, 2) == (origin.count(path), origin.count(PAGE))


async def test_range__of_a_cold_file(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A look at a part, and at the head, gets a new address too."""
    signing = Signing(origin)
    await get(http, proxy.url + "/pypi" + PAGE)
    signing.expire()
    got = await get(http, address(proxy, signing), range="bytes=-1000")
    assert (206, content(LARGE.body)[-1000:]) == (got.status, got.body)
    signing.expire()
    head = await get(http, address(proxy, signing), "HEAD")
    assert (200, str(LARGE.body.size)) == (head.status, head.headers["content-length"])


async def test_metadata__of_a_wheel_whose_link_has_expired(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """It is read at the new address."""
    signing = Signing(origin)
    await get(http, proxy.url + "/pypi" + PAGE)
    signing.expire()
    got = await get(http, address(proxy, signing, ".metadata"))
    assert (200, LARGE.metadata) == (got.status, got.body)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("package", [LARGE, wheel()], ids=["large", "small"])
async def test_metadata__of_a_wheel_whose_expired_link_is_answered_by_a_page(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, package: Package, *, hashed: bool
) -> None:
    """It is read at the new address, by the first request."""
    signing = Signing(origin, package, hashed=hashed)
    signing.expired = faults.captive_portal()
    await get(http, proxy.url + "/pypi" + PAGE)
    signing.expire()
    got = await get(http, address(proxy, signing, ".metadata"))
    assert (200, package.metadata) == (got.status, got.body)


@pytest.mark.parametrize("hashed", [True, False])
async def test_download__that_broke_off(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, hashed: bool
) -> None:
    """What an earlier run left is completed from the new address."""
    signing = Signing(origin, hashed=hashed)
    running = await make_proxy(origin.url, fetch=SMALL | {"connections": 1})
    gate = Gate()
    origin.misbehave(signing.path, faults.hold_body(0, gate), when=_from(3 * SEGMENT))
    # What comes behind the first segment may be asked for in one piece, and it again.
    origin.misbehave(signing.path, faults.hold_body(3 * SEGMENT, gate), when=_from(0, "bytes=0-"))
    asking = asyncio.create_task(get(http, address(running, signing)))
    await gate.reached.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await running.close()
    origin.behave()
    gate.open()
    signing.expire()
    origin.forget()
    running = await make_proxy(origin.url, fetch=SMALL)
    got = await get(http, address(running, signing))
    assert LARGE.sha256 == got.sha256
    await until_idle(running)
    assert origin.sent_body_bytes(signing.path) < LARGE.body.size


@pytest.mark.parametrize("hashed", [True, False])
async def test_download__whose_link_expires_on_the_way(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, hashed: bool
) -> None:
    """A transfer that breaks after its link has expired goes on at the new address; no client sees the seam."""
    signing = Signing(origin, hashed=hashed)
    await get(http, proxy.url + "/pypi" + PAGE)

    def expiring(request: Request, answer: Answer) -> Answer:
        signing.expire()
        return replace(answer, cut=SEGMENT // 2)

    origin.misbehave(signing.path, expiring, times=1, when=_from(2 * SEGMENT))
    got = await get(http, address(proxy, signing))
    assert (LARGE.sha256, False, 2) == (got.sha256, got.broken, signing.given)


async def test_download__whose_links_expire_twice(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes longer than its links are good for arrives: its page is asked for as often as that helps."""
    monkeypatch.setattr(retry_policy, "BACKOFF", 0.0)
    running = await make_proxy(origin.url, fetch=SMALL | {"retries": 0, "connections": 1})
    signing = Signing(origin)
    await get(http, running.url + "/pypi" + PAGE)

    def expiring(request: Request, answer: Answer) -> Answer:
        signing.expire()
        return replace(answer, cut=SEGMENT // 2)

    for segment in (1, 3):
        origin.misbehave(signing.path, expiring, times=1, when=_from(segment * SEGMENT))
    got = await get(http, address(running, signing))
    assert (LARGE.sha256, False, 3) == (got.sha256, got.broken, signing.given)


def _from(start: int, whole: str | None = None) -> Callable[[Request], bool]:
    """Whether a request is for what begins at `start`, or is for `whole`."""

    def asked(request: Request) -> bool:
        given = request.headers.get("range", "")
        return given == whole if whole is not None else given.startswith(f"bytes={start}-")

    return asked
