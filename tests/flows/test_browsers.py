"""Browsers (pip in a web page): what pages of other sites may read, and what nobody gets under a strange name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests import exchange, faults
from tests.archive import Archive, deb
from tests.conftest import MakeProxy
from tests.flows.reading import Got, get
from tests.origin import Origin
from tests.pages import JSON
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

PACKAGE = wheel()
FILE = f"packages/{PACKAGE.filename}"
PATHS = ["simple/demo/", FILE, f"{FILE}.metadata", "simple/", "simple/Demo/", "simple/missing/", "packages/missing.whl"]
BROWSER = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}
READABLE = "access-control-allow-origin"


@dataclass
class Bed:
    """A program with a public index, one with credentials, and groups of them."""

    running: Running
    http: aiohttp.ClientSession
    archive: Archive

    async def get(self, path: str, method: str = "GET", **headers: str) -> Got:
        """Ask as a page of another site does."""
        return await get(self.http, self.running.url + path, method, origin="https://notebook.example", **headers)


@pytest.fixture
async def bed(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> Bed:
    """The program, which has fetched nothing yet."""
    from proxy.config.groups import GroupSettings  # noqa: PLC0415
    from proxy.config.upstreams import UpstreamSettings  # noqa: PLC0415

    origin.publish(PACKAGE, metadata=True)
    origin.resource("/simple/", '<a href="demo/">demo</a>', content_type="text/html")
    archive = Archive(origin)
    archive.publish(deb("demo"))
    running = await make_proxy(
        origin.url,
        upstreams=(
            UpstreamSettings(mount="public", url=f"{origin.url}/", index="simple/"),
            UpstreamSettings(mount="secret", url=f"{origin.url}/", index="simple/", credentials="env:SECRET"),
        ),
        groups=(
            GroupSettings(mount="open", members=("pypi", "public")),
            GroupSettings(mount="mixed", members=("pypi", "secret")),
        ),
        names=frozenset({"cache.example"}),
        apt={"hosts": {f"{origin.host}:{origin.port}"}},
    )
    return Bed(running, http, archive)


@pytest.mark.parametrize("path", [*(f"/pypi/{path}" for path in PATHS), "/open/simple/demo/", "/open/simple/missing/"])
async def test_public(bed: Bed, path: str) -> None:
    """Everything of a public mount may be read, however it comes about: errors and redirects too, and all fields."""
    for method in ("GET", "HEAD", "GET", "HEAD", "GET"):  # fetched, kept, and by the short way
        got = await bed.get(path, method, accept=JSON)
        assert ("*", "*") == (got.headers[READABLE], got.headers["access-control-expose-headers"]), got
    got = await bed.get(path, accept=JSON)
    if got.status == 200 and "etag" in got.headers:
        unchanged = await bed.get(path, if_none_match=got.headers["etag"], accept=JSON)
        assert (304, "*") == (unchanged.status, unchanged.headers[READABLE])
        part = await bed.get(path, range="bytes=0-3", accept=JSON)
        assert (206, "*") == (part.status, part.headers[READABLE])
    wrong = await bed.get(path, range="bytes=9-3", accept=JSON)
    assert "*" == wrong.headers[READABLE]


async def test_public__upstream_fails(bed: Bed, origin: Origin) -> None:
    """A page can tell its user why."""
    origin.misbehave("/simple/demo/", faults.status(500))
    got = await bed.get("/pypi/simple/demo/")
    assert (502, "*") == (got.status, got.headers[READABLE])


@pytest.mark.parametrize(
    "path",
    [
        *(f"/secret/{path}" for path in PATHS), "/mixed/simple/demo/", "/mixed/simple/missing/", "/metrics", "/",
        "/healthz", "/api/apt-proxy-detect", "/nowhere/", "DEB",
    ],
)  # fmt: skip
async def test_not_public(bed: Bed, path: str) -> None:
    """Nothing of what has credentials, of archives, or of the program itself."""
    path = bed.archive.url("/debian/pool/main/d/demo/demo_1.0_amd64.deb") if path == "DEB" else path
    for method in ("GET", "GET", "HEAD", "OPTIONS"):
        got = await bed.get(path, method, access_control_request_method="GET", access_control_request_headers="range")
        assert [] == [name for name in got.headers if name.startswith("access-control-")]
        assert (method == "OPTIONS") is (got.status == 405)


@pytest.mark.parametrize(
    "path", ["/pypi/simple/demo/", f"/public/{FILE}", "/open/simple/demo/", "/pypi/simple/missing/"]
)
async def test_preflight(bed: Bed, path: str, origin: Origin) -> None:
    """A page may ask with any field; nobody upstream hears of it."""
    got = await bed.get(
        path, "OPTIONS", access_control_request_method="GET", access_control_request_headers="range,if-none-match"
    )
    assert (204, b"") == (got.status, got.body)
    assert ("*", "GET, HEAD", "*") == (
        got.headers[READABLE],
        got.headers["access-control-allow-methods"],
        got.headers["access-control-allow-headers"],
    )
    assert 0 == origin.count()


@pytest.mark.parametrize(
    "path", ["/secret/simple/demo/", f"/secret/{FILE}", f"/secret/{FILE}.metadata", "/mixed/simple/demo/"]
)
async def test_strange_name(bed: Bed, path: str, origin: Origin) -> None:
    """A browser that took this cache for another site gets nothing of what has credentials, kept or not."""
    for _ in range(2):
        refused = await bed.get(path, host="evil.example:3142", **BROWSER)
        assert (403, True) == (refused.status, b"the setting names" in refused.body)
        assert READABLE not in refused.headers
        for host in ("cache.example", "CACHE.example:80", "localhost:3142", "10.0.0.1"):
            assert 200 == (await bed.get(path, host=host, **BROWSER)).status
        assert 200 == (await bed.get(path, host="evil.example", user_agent="pip/26.0")).status
    assert 403 == (await bed.get(path, "HEAD", host="evil.example", **BROWSER)).status
    assert 403 == (await bed.get(path, host="evil.example", user_agent="Mozilla/5.0 (X11)")).status


async def test_strange_name__public(bed: Bed) -> None:
    """What anybody may have is given under any name."""
    for path in ("/pypi/simple/demo/", f"/pypi/{FILE}", "/open/simple/demo/", "/metrics"):
        assert 200 == (await bed.get(path, host="evil.example", **BROWSER)).status


async def test_strange_name__short_way(bed: Bed) -> None:
    """What is remembered of answers is told apart by the name and by what a browser says."""
    target = "/secret/simple/demo/"
    known = f"GET {target} HTTP/1.1\r\nHost: cache.example\r\nSec-Fetch-Site: none\r\n\r\n"
    program = f"GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    strange = f"GET {target} HTTP/1.1\r\nHost: evil.example\r\nSec-Fetch-Site: none\r\n\r\n"
    for _ in range(3):
        answers = [await _status(bed.running, head) for head in (known, program, strange)]
        assert ["200", "200", "403"] == answers


async def _status(running: Running, head: str) -> str:
    """The answer to a request over a connection of its own, which the client ends once it has it."""
    return (await exchange.send(running.url, head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())).status
