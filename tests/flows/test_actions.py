"""Deleting, refreshing and pinning on a running cache, by the API and by the page's forms."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from proxy.app import Running
from proxy.control import admin_token
from tests.conftest import MakeProxy
from tests.flows.asking import address, get, until_kept
from tests.origin import Origin
from tests.wheels import Package, wheel

_TOKEN = "the-token-of-this-very-cache"


def _make_token(data: Path, token: str = _TOKEN) -> None:
    path = data / admin_token.NAME
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(f"{token}\n")


async def _act(
    http: aiohttp.ClientSession, running: Running, do: str, *files: str, token: str = _TOKEN, **headers: str
) -> tuple[int, str]:
    fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | headers
    body = json.dumps({"do": do, "files": files})
    async with http.post(f"{running.url}/api/v1/stored", data=body, headers=fields) as answer:
        return answer.status, await answer.text()


async def _kept(running: Running, http: aiohttp.ClientSession, origin: Origin) -> Package:
    """A file that the cache has."""
    package = wheel(padding=100_000)
    origin.publish(package, fmt="json")
    await get(http, address(running, package))
    await until_kept(http, address(running, package))
    return package


async def test_delete__fetched_again(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file that is deleted is gone, and whoever asks for it next has it fetched again."""
    running = await make_proxy(origin.url)
    package = await _kept(running, http, origin)
    _make_token(running.store.folder)

    status, text = await _act(http, running, "delete", package.sha256)
    listing = json.loads((await get(http, f"{running.url}/api/v1/stored?q={package.filename}")).body)
    again = await get(http, address(running, package))

    end = {"do": "delete", "files": 1, "size": package.body.size, "left": 0, "undeleted": 0, "reason": None}
    assert (200, end) == (status, json.loads(text))
    assert 0 == listing["files"]
    assert ("miss", package.sha256) == (again.source, again.sha256)


async def test_refresh__a_page(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A page that is fresh, and that is answered without being parsed, is confirmed with upstream once more."""
    origin.publish(wheel(version="1.0"))
    running = await make_proxy(origin.url)
    page = f"{running.url}/pypi/simple/demo/"
    for _ in range(3):
        await get(http, page)
    listing = json.loads((await get(http, f"{running.url}/api/v1/stored?q=simple/demo")).body)
    (stored,) = [one for one in listing["shown"] if one["file"]["kind"] == "page"]
    _make_token(running.store.folder)
    origin.publish(wheel(version="2.0"))
    assert b"demo-2.0" not in (await get(http, page)).body

    status, _ = await _act(http, running, "refresh", stored["sha256"])

    assert 200 == status
    assert b"demo-2.0" in (await get(http, page)).body


async def test_pin__survives_a_restart(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A pinned file is there whatever else comes, also after the cache was started anew."""
    first = await make_proxy(origin.url, disk=3_000_000)
    package = await _kept(first, http, origin)
    _make_token(first.store.folder)
    assert 200 == (await _act(http, first, "pin", package.sha256))[0]
    await first.close()
    second = await make_proxy(origin.url, disk=3_000_000)
    for number in range(30):
        other = wheel("other", f"{number}.0", padding=200_000)
        origin.publish(other)
        await get(http, address(second, other))
        await until_kept(http, address(second, other))
    listing = json.loads((await get(http, f"{second.url}/api/v1/stored?q=demo-1.0")).body)

    assert [True] == [one["pinned"] for one in listing["shown"]]
    assert "hit" == (await get(http, address(second, package))).source


@pytest.mark.parametrize(
    ("token", "headers", "status", "words"),
    [
        ("", {"Authorization": ""}, 401, "admin token"),
        ("wrong-token-of-this-cache", {}, 403, "not the admin token"),
        (_TOKEN, {}, 403, "not any more"),
        ("the-new-token-of-this-cache", {"Origin": "http://evil.example"}, 403, "another site"),
        ("the-new-token-of-this-cache", {"Sec-Fetch-Site": "cross-site"}, 403, "another site"),
        ("the-new-token-of-this-cache", {"Host": "evil.example"}, 403, "setting names"),
    ],
)
async def test_delete__refused(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    token: str,
    headers: dict[str, str],
    status: int,
    words: str,
) -> None:
    """Without the token, with a wrong or an old one, or for another site's page nothing is deleted, and why is said."""
    running = await make_proxy(origin.url)
    package = await _kept(running, http, origin)
    _make_token(running.store.folder)
    _make_token(running.store.folder, "the-new-token-of-this-cache")

    got, text = await _act(http, running, "delete", package.sha256, token=token, **headers)

    assert status == got
    assert words in text
    assert "hit" == (await get(http, address(running, package))).source


async def test_delete__no_token_was_made(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A cache without a token cannot be changed over the network, whatever is shown."""
    running = await make_proxy(origin.url)
    package = await _kept(running, http, origin)

    for token in ("x", _TOKEN):
        status, _ = await _act(http, running, "delete", package.sha256, token=token)
        assert 403 == status
    assert "hit" == (await get(http, address(running, package))).source


async def test_form__as_a_browser_sends_it(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The answer is the page that was looked at, with what was done; the same connection goes on."""
    running = await make_proxy(origin.url)
    package = await _kept(running, http, origin)
    _make_token(running.store.folder)
    form = urlencode({"token": _TOKEN, "do": "delete", "file": package.sha256})
    fields = {"Content-Type": "application/x-www-form-urlencoded", "Origin": running.url, "Accept": "text/html"}

    async with http.post(f"{running.url}/?view=stored&q=demo", data=form, headers=fields) as answer:
        page = await answer.text()
    again = await get(http, f"{running.url}/healthz")

    assert (200, 200) == (answer.status, again.status)
    assert '<p role="status">Deleted: 1 file, ' in page
    assert package.sha256 not in page


async def test_stored__by_requests(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """How often clients got each file, the most requested first."""
    running = await make_proxy(origin.url)
    packages = [wheel("demo", f"{number}.0") for number in range(3)]
    for package, times in zip(packages, (2, 3, 1), strict=True):
        origin.publish(package)
        for _ in range(times):
            await get(http, address(running, package))
        await until_kept(http, address(running, package))

    listing = json.loads((await get(http, f"{running.url}/api/v1/stored?order=requests&q=demo-&count=3")).body)
    page = await get(http, f"{running.url}/?view=stored&order=requests&q=demo-", accept="text/html")

    found = [(one["file"]["name"], one["requests"]) for one in listing["shown"] if one["file"]["kind"] == "file"]
    assert [(packages[number].filename, times) for number, times in ((1, 3), (0, 2), (2, 1))] == found
    assert b'<td class="number">3</td>' in page.body


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /api/v1/stored HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n", b" 401 "),
        ("POST /?view=stored HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabcde", b" 415 "),
        ("POST /api/v1/now HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", b" 405 "),
        ("POST http://localhost/api/v1/stored HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", b" 405 "),
        ("DELETE /api/v1/stored HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 405 "),
        ("POST /api/v1/stored HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b" 400 "),
    ],
)
async def test_post__refused_by_its_head(proxy: Running, head: str, status: bytes) -> None:
    """What is not meant is answered at once and ends the connection, whatever would follow."""
    host, port = proxy.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert status in answer.split(b"\r\n")[0]
    assert 1 == answer.count(b"HTTP/1.")


async def test_post__waits_for_a_word(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A client that sends its body only when it is told to (RFC 9110 §10.1.1) is told so, and its wish is done."""
    running = await make_proxy(origin.url)
    package = await _kept(running, http, origin)
    _make_token(running.store.folder)
    body = json.dumps({"do": "pin", "files": [package.sha256]}).encode()
    reader, writer = await _begun(running, f"Content-Length: {len(body)}")

    told = await reader.readuntil(b"\r\n\r\n")
    writer.write(body)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == told
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("Origin: http://evil.example", b"403"),
        ("Content-Type: text/plain", b"415"),
        ("Content-Length: 999999999", b"413"),
        ("Content-Length: 0", b"400"),
    ],
)
async def test_post__waits_for_a_word_in_vain(proxy: Running, field: str, status: bytes) -> None:
    """What the head says is wrong: the answer is the final one, and the body is not wanted."""
    reader, writer = await _begun(proxy, field)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert 1 == answer.count(b"HTTP/1.")


async def _begun(running: Running, *fields: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A wish whose head was sent, and nothing of its body."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    usual = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Content-Length": "5",
        "Authorization": f"Bearer {_TOKEN}",
        "Expect": "100-continue",
    } | dict(field.split(": ") for field in fields)
    lines = "".join(f"{name}: {value}\r\n" for name, value in usual.items())
    writer.write(f"POST /api/v1/stored HTTP/1.1\r\n{lines}\r\n".encode())
    return reader, writer


@pytest.mark.parametrize(("path", "allowed"), [("/api/v1/stored", "GET, HEAD, POST"), ("/api/v1/now", "GET, HEAD")])
async def test_options__what_goes_there(proxy: Running, http: aiohttp.ClientSession, path: str, allowed: str) -> None:
    """No other site's page may send a request there; who asks is told the methods."""
    got = await get(http, f"{proxy.url}{path}", "OPTIONS", origin="http://evil.example")

    assert (405, allowed) == (got.status, got.headers["allow"])
    assert "access-control-allow-origin" not in got.headers
