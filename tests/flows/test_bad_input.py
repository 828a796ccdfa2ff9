"""What no client should send, and what no upstream should link to: a clear error, nothing stored, and it goes on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests import exchange, pages
from tests.conftest import MakeProxy
from tests.exchange import Exchange
from tests.flows.reading import get
from tests.origin import Origin
from tests.storage.disk import digests
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

PAGE = "/pypi/simple/demo/"


@pytest.fixture
async def unmoved(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> AsyncIterator[Running]:
    """The program; afterwards upstream was not asked, nothing is stored, and a right request is answered."""
    origin.publish(wheel())
    yield proxy
    assert origin.count() == 0
    assert (list(proxy.store.keys("")), digests(proxy.store)) == ([], [])
    assert (await get(http, proxy.url + PAGE)).status == 200


async def say(running: Running, head: str | bytes, *, host: str | None = "cache.example") -> Exchange:
    """Send a head as it is, with one `Host` and the wish to close unless it has them, and read to the end."""
    raw = head.encode("latin-1") if isinstance(head, str) else head
    lines = [raw] + ([f"Host: {host}".encode()] if host else []) + [b"Connection: close", b"", b""]
    return await exchange.send(running.url, b"\r\n".join(lines))


# Addresses


@pytest.mark.parametrize(
    "path",
    [
        "/pypi/./simple/demo/",
        "/pypi/../pypi/simple/demo/",
        "/pypi/%2e%2e/simple/demo/",
        "/pypi/simple/..%2fdemo/",
        "/pypi/..%2F..%2Fetc%2Fpasswd",
        "/pypi/~files/..%2Fetc/x.whl",
        "/%2F%2F%2F..%2F..%2Fetc%2Fpasswd",
        "/pypi/simple/de%00mo/",
        "/pypi/simple/de%0d%0aX-Bad:%20yes/",
        "/pypi/simple/de%5Cmo/",
        "/pypi/simple/de%ff/",
        "/pypi/simple/de%zz/",
        "/pypi/simple/de%/",
        f"/pypi/simple/{'d' * 256}/",
        "/pypi/simple/" + "d/" * 2100,
        "/pypi/~files/files.example",
        "/pypi/~files/",
        "/pypi/~files/user@files.example/x.whl",
        "/pypi/~files/files.example:99999/x.whl",
        "/pypi/~files/[::1/x.whl",
        "/pypi/simple/demo/#x",
        "*",
        "pypi/simple/demo/",
        "http://[/pypi/",
        "http:///pypi/",
        "http://cache.example:port/pypi/",
    ],
)
async def test_malformed_address(unmoved: Running, path: str) -> None:
    """An address that cannot be read is 400, with a reason that repeats none of it."""
    got = await say(unmoved, f"GET {path} HTTP/1.1")
    assert got.status == "400"
    assert got.rest.strip()
    assert b"demo" not in got.rest
    assert "X-Bad" not in got.head


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere/simple/demo/",
        "//pypi/simple/demo/",
        "/PYPI/simple/demo/",
        "/pypi",
        "/pypi/",
        "/pypi/other/demo/",
        "/pypi/%2Fetc%2Fpasswd",
        "/pypi//etc/passwd",
        "/%2Fpypi/simple/demo/",
        "/pypi%2Fsimple/demo/",
        "/api/anything",
        "/favicon.ico",
        "/pypi/simple/https:evil.example/",
        "/pypi/simple/https:evil.example",
        "/pypi/simple/-demo/",
        "/pypi/simple/d%C3%A9mo/",
        "/pypi/simple/a%20b/",
        "/pypi/~files/files.example/",
    ],
)
async def test_address_of_nothing(unmoved: Running, path: str) -> None:
    """What is well formed and can be nothing here is 404, and never a redirect to what the address says."""
    got = await say(unmoved, f"GET {path} HTTP/1.1")
    assert ("404", False) == (got.status, "location" in got.head.lower())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "169.254.169.254", "2130706433", "127.1", "localhost", "10.0.0.1"]
)
async def test_file_on_a_private_host(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, host: str
) -> None:
    """A file on a host that no page links to is refused, a private one above all, and outside its base the index's."""
    proxy = await make_proxy(f"{origin.url}/index/")
    origin.publish(wheel())
    got = await get(http, f"{proxy.url}/pypi/~files/{host}:{origin.port}/packages/demo-1.0-py3-none-any.whl")
    assert got.status == 403
    assert origin.count("/packages/demo-1.0-py3-none-any.whl") == 0


@pytest.mark.parametrize("host", ["127.0.0.3", "169.254.169.254", "[::1]", "10.0.0.1", "[::ffff:127.0.0.3]"])
async def test_page_that_links_to_a_private_address(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, host: str
) -> None:
    """A page may say what it likes: an address that the settings do not name is not connected to."""
    origin.page("/simple/demo/", [pages.Link("demo-1.0.tar.gz", f"http://{host}:{origin.port}/demo-1.0.tar.gz")])
    page = await get(http, proxy.url + PAGE, accept=pages.JSON)
    (file,) = page.json["files"]
    got = await get(http, file["url"])
    assert got.status == 403
    assert not [key for key in proxy.store.keys("") if key.startswith("file:")]


# Heads


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *itertools.product(["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"], [PAGE, "/metrics"]),
        *itertools.product(["OPTIONS"], ["/metrics", "*", "/", "/nowhere/", "/deb.example/debian/pool/a.deb"]),
    ],
)
async def test_other_methods(unmoved: Running, method: str, path: str) -> None:
    """Anything but GET and HEAD is 405, and says what is allowed."""
    got = await say(unmoved, f"{method} {path} HTTP/1.1")
    assert ("405", True) == (got.status, "Allow: GET, HEAD" in got.head)


async def test_connect(unmoved: Running) -> None:
    """A tunnel is given to hosts of the settings only."""
    got = await say(unmoved, "CONNECT files.example:443 HTTP/1.1")
    assert got.status == "403"


async def test_body__is_not_read(unmoved: Running) -> None:
    """A POST is refused before its body came."""
    got = await say(unmoved, f"POST {PAGE} HTTP/1.1\r\nContent-Length: 1000000000")
    assert got.status == "405"


@pytest.mark.parametrize(
    "framing", ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
async def test_get_with_a_body(unmoved: Running, framing: str) -> None:
    """A GET with a body is 400, and the connection ends: what follows is not taken for a request."""
    head = f"GET {PAGE} HTTP/1.1\r\nHost: cache.example\r\n{framing}"
    got = await exchange.send(unmoved.url, f"{head}GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert ("400", 0) == (got.status, got.rest.count(b"HTTP/1.1 "))


@pytest.mark.parametrize(
    "head",
    [
        "GET {} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        "GET {} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4",
        "GET {} HTTP/1.1\r\nHost: a\r\nContent-Length: +3",
        "GET {} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity",
        "GET {} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked",
        "GET {} HTTP/1.1\r\nHost: a\r\nX-Bad: a\0b",
        "GET {} HTTP/1.1\r\nHost: a\r\nX-Bad: a\rb",
        "GET {} HTTP/1.1\r\nHost: a\r\n folded: yes",
        "GET {} HTTP/1.1\r\nHost: a\r\nno colon",
        "GET {} HTTP/9.9\r\nHost: a",
        "GET {} SPDY\r\nHost: a",
        "\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_malformed_head(unmoved: Running, head: str) -> None:
    """What can be read in two ways, or in none, is 400 and the end of the connection."""
    got = await say(unmoved, head.format(PAGE), host=None)
    assert got.status == "400"
    assert b"Bad" not in got.rest


@pytest.mark.parametrize(
    "more",
    ["X-Long: " + "x" * 20_000, "\r\n".join(f"X-{number}: x" for number in range(500))],
    ids=["one long header", "many headers"],
)
async def test_absurd_head(unmoved: Running, more: str) -> None:
    """Headers beyond the limits are refused."""
    got = await say(unmoved, f"GET {PAGE} HTTP/1.1\r\n{more}")
    assert got.status == "400"


async def test_over_long_address(unmoved: Running) -> None:
    """An address of 100 KB is refused, not read."""
    got = await say(unmoved, f"GET /{'a' * 100_000} HTTP/1.1")
    assert got.status == "400"


async def test_absurd_query(unmoved: Running) -> None:
    """A query of hundreds of fields is refused."""
    got = await say(unmoved, f"GET {PAGE}?{'&'.join(['format=x'] * 500)} HTTP/1.1")
    assert got.status == "400"


# Host


@pytest.mark.parametrize(
    "hosts", ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n"], ids=["none", "two", "the same twice"]
)
async def test_host__not_exactly_one(unmoved: Running, hosts: str) -> None:
    """HTTP/1.1 needs exactly one Host (RFC 9112 §3.2)."""
    request = f"GET {PAGE} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"
    assert (await exchange.send(unmoved.url, request.encode())).status == "400"


async def test_host__none_in_http_1_0(proxy: Running, origin: Origin) -> None:
    """An old client without Host is answered."""
    origin.publish(wheel())
    got = await exchange.send(proxy.url, f"GET {PAGE} HTTP/1.0\r\n\r\n".encode())
    assert got.status == "200"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "a b", "127.0.0.1:1"])
async def test_host__changes_nothing(proxy: Running, origin: Origin, http: aiohttp.ClientSession, host: str) -> None:
    """Whatever Host says, the page is the same and never names it."""
    origin.publish(wheel())
    usual = await get(http, proxy.url + PAGE)
    got = await say(proxy, f"GET {PAGE} HTTP/1.1", host=host)
    assert ("200", usual.body) == (got.status, got.rest)
    assert b"evil" not in got.rest


async def test_host__empty(unmoved: Running) -> None:
    """An empty Host names no authority, which an http address has to have (RFC 9110 §4.2.1)."""
    assert (await say(unmoved, f"GET {PAGE} HTTP/1.1", host="")).status == "400"


async def test_absolute_form__of_this_cache(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A request in proxy form that is addressed to the cache itself is the same request (RFC 9112 §3.2.2)."""
    origin.publish(wheel())
    usual = await get(http, proxy.url + PAGE)
    got = await say(proxy, f"GET {proxy.url}{PAGE} HTTP/1.1")
    assert ("200", usual.body) == (got.status, got.rest)


@pytest.mark.parametrize(
    "target",
    ["http://evil.example/pypi/simple/demo/", "https://127.0.0.1:{port}/pypi/simple/demo/", "ftp://127.0.0.1:{port}/x"],
)
async def test_absolute_form__of_others(unmoved: Running, target: str) -> None:
    """It is no open proxy."""
    address = target.format(port=urlsplit(unmoved.url).port)
    assert (await say(unmoved, f"GET {address} HTTP/1.1")).status == "403"


async def test_absolute_form__with_a_password(
    make_proxy: MakeProxy, origin: Origin, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password in an address gets into no answer and no log."""
    proxy = await make_proxy(origin.url)
    origin.publish(wheel())
    target = f"http://user:hunter2@127.0.0.1:{urlsplit(proxy.url).port}{PAGE}"
    got = await say(proxy, f"GET {target} HTTP/1.1")
    refused = await say(proxy, "GET http://user:hunter2@evil.example/x HTTP/1.1")
    await proxy.close()
    assert ("200", "403") == (got.status, refused.status)
    assert b"hunter2" not in got.rest + refused.rest
    logged = capsys.readouterr()
    assert PAGE in logged.err
    assert "hunter2" not in logged.err + logged.out


@pytest.mark.parametrize(
    ("front", "status"),
    [
        ("/HTTPS///user:hunter2@", "400"),
        ("/user:hunter2@", "400"),
        ("/hunter2@", "400"),
        ("/http://user:hunter2@", "400"),
        ("/pypi/~files/user:hunter2@", "400"),
        ("/pypi/simple/https://user:hunter2@", "302"),
    ],
)
async def test_prefix_form__with_a_password(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    capsys: pytest.CaptureFixture[str],
    front: str,
    status: str,
) -> None:
    """Nor is one logged or shown where no address of the cache has one; the rest of the address is."""
    proxy = await make_proxy(origin.url)
    refused = await say(proxy, f"GET {front}evil.example/debian/x HTTP/1.1")
    other = await say(proxy, f"PUT {front}evil.example/debian/x HTTP/1.1")
    shown = [(await get(http, proxy.url + path, accept="text/html")).body for path in ("/api/v1/now", "/")]
    await proxy.close()
    logged = capsys.readouterr()
    assert (status, "405") == (refused.status, other.status)
    assert 2 == logged.err.count("evil.example/debian/x")
    assert [status == "302"] * 2 == [b"evil.example/debian/x" in text for text in shown]
    assert b"hunter2" not in b"".join((refused.head.encode(), refused.rest, other.rest, *shown))
    assert "hunter2" not in logged.err + logged.out


# Ranges


@pytest.mark.parametrize("header", ["bytes=9-3", "bytes=-", "bytes=a-b", "bytes=1-2-3"])
async def test_range__that_makes_no_sense(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, header: str
) -> None:
    """A range that cannot be read is 400."""
    origin.publish(wheel())
    assert (await get(http, proxy.url + PAGE, range=header)).status == 400


@pytest.mark.parametrize("header", ["bytes=100000-", "bytes=-0"])
async def test_range__behind_the_end(proxy: Running, origin: Origin, http: aiohttp.ClientSession, header: str) -> None:
    """A range that begins behind the end is 416 and names the size (RFC 9110 §15.5.17)."""
    origin.publish(wheel())
    size = len((await get(http, proxy.url + PAGE)).body)
    got = await get(http, proxy.url + PAGE, range=header)
    assert (416, f"bytes */{size}") == (got.status, got.headers["content-range"])


@pytest.mark.parametrize("header", ["lines=1-2", "bytes=0-1,3-4", "bytes=" + "0-1," * 500 + "0-1"])
async def test_range__that_is_ignored(proxy: Running, origin: Origin, http: aiohttp.ClientSession, header: str) -> None:
    """Another unit, or several ranges, bring the whole page: no answer of many parts is ever made."""
    origin.publish(wheel())
    assert (await get(http, proxy.url + PAGE, range=header)).status == 200


async def test_range__of_a_page(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What is advertised is honoured: a page can be had in parts."""
    origin.publish(wheel())
    whole = await get(http, proxy.url + PAGE)
    part = await get(http, proxy.url + PAGE, range="bytes=10-19", if_range=whole.headers["etag"])
    other = await get(http, proxy.url + PAGE, range="bytes=10-19", if_range='"other"')
    assert (206, whole.body[10:20]) == (part.status, part.body)
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.body)}"
    assert (200, whole.body) == (other.status, other.body)


# Time and number


async def test_slow_heads__are_closed_and_others_served(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Row 22: sixty clients whose heads do not end keep nobody waiting, and are closed at the limit."""
    running = await make_proxy(origin.url, serve={"idle_timeout": 0.5})
    origin.publish(wheel())
    port = urlsplit(running.url).port
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
    for _, writer in slow:
        writer.write(f"GET {PAGE} HTTP/1.1\r\nHost: a\r\nX-".encode())
    assert (await get(http, running.url + PAGE)).status == 200
    assert [await reader.read() for reader, _ in slow] == [b""] * 60
    for _, writer in slow:
        writer.close()


async def test_silent_client__is_closed(make_proxy: MakeProxy, origin: Origin) -> None:
    """Row 22: a connection without a request ends at the limit."""
    running = await make_proxy(origin.url, serve={"idle_timeout": 0.3})
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(running.url).port)
    assert await reader.read() == b""
    writer.close()


async def test_thousands_of_missing_projects(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Each distinct 404 is answered; none is stored."""
    answers = [await get(http, f"{proxy.url}/pypi/simple/none-{number}/") for number in range(300)]
    assert {got.status for got in answers} == {404}
    assert (list(proxy.store.keys("")), origin.count()) == ([], 300)
