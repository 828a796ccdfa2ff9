"""Without upstream: what is here is served and listed, and nothing is asked (ADR 19)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests import faults, scrape
from tests.archive import LONG_AGO, Archive, deb
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.flows.reading import Got, get
from tests.foresight.agents import agent
from tests.origin import Origin
from tests.pages import HTML, JSON
from tests.wheels import Package, sdist, wheel

if TYPE_CHECKING:
    from proxy.app import Running

OLD, NEW = wheel("demo", "1.0", requires=("other",)), wheel("demo", "2.0")
SOURCE = sdist("demo", "1.5")


def publish(origin: Origin, *packages: Package, metadata: bool = True) -> None:
    """Put packages on the origin."""
    origin.publish(*packages, fmt="both", metadata=metadata)


async def ask(http: aiohttp.ClientSession, running: Running, path: str, accept: str = JSON, mount: str = "pypi") -> Got:
    """Ask as pip does, so that look-ahead would have something to go by."""
    return await get(http, f"{running.url}/{mount}{path}", accept=accept, user_agent=agent())


def of(package: Package) -> str:
    """Where the origin has a file."""
    return f"/packages/{package.filename}"


async def files(http: aiohttp.ClientSession, running: Running, project: str = "demo") -> list[str]:
    """The files that a page lists."""
    return [file["filename"] for file in (await ask(http, running, f"/simple/{project}/")).json["files"]]


async def keep(http: aiohttp.ClientSession, running: Running, *packages: Package) -> None:
    """Have files here."""
    for package in packages:
        assert 200 == (await ask(http, running, of(package))).status
        while (await ask(http, running, of(package))).cache != "hit":
            await asyncio.sleep(0.01)


async def filled(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, **settings: Any) -> Running:
    """A cache that is offline, with a page and an older version of the project on it."""
    publish(origin, OLD, NEW, SOURCE)
    online = await make_proxy(origin.url, **settings)
    assert 3 == len(await files(http, online))
    await keep(http, online, OLD)
    await online.close()
    origin.forget()
    return await make_proxy(origin.url, offline=True, **settings)


async def test_page__lists_what_is_here(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """In each form; and upstream is never asked."""
    running = await filled(make_proxy, origin, http)
    got = await ask(http, running, "/simple/demo/")
    assert [OLD.filename] == [file["filename"] for file in got.json["files"]]
    assert "hit" == got.cache
    shown = (await ask(http, running, "/simple/demo/", HTML)).body
    assert (True, False) == (OLD.filename.encode() in shown, NEW.filename.encode() in shown)
    assert 0 == origin.count()


async def test_file_and_metadata(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The file is served, and metadata that was never asked for is read from it."""
    running = await filled(make_proxy, origin, http)
    assert (200, "hit") == ((got := await ask(http, running, of(OLD))).status, got.cache)
    assert OLD.metadata == (await ask(http, running, f"{of(OLD)}.metadata")).body
    assert 0 == origin.count()
    assert 0 == scrape.metric(running, "pullthrough_upstream_errors_total", upstream="pypi", reason="unreachable")


@pytest.mark.parametrize(
    ("path", "named", "command"),
    [
        (of(NEW), NEW.filename, f"with: pullthrough warm {NEW.filename}\n"),
        (f"{of(NEW)}.metadata", f"{NEW.filename}.metadata", f"with: pullthrough warm {NEW.filename}\n"),
        ("/simple/other/", "other", "with: pullthrough warm other\n"),
        ("/simple/", "The list of projects", "this cache is offline.\n"),
    ],
)
async def test_missing(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, path: str, named: str, command: str
) -> None:
    """It is said at once what is missing, of which index, and what gets it; pip shows the reason phrase."""
    running = await filled(make_proxy, origin, http)
    async with http.get(f"{running.url}/pypi{path}") as answer:
        text = await answer.text()
        assert 404 == answer.status
        assert named in text
        assert "of the index pypi" in text
        assert text.endswith(command)
        assert "offline" in str(answer.reason)
    assert 0 == origin.count()


async def test_missing__of_a_channel(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """An index below that of the mount is a part of the command."""
    running = await make_proxy(origin.url, index="whl/", offline=True)
    text = (await ask(http, running, "/whl/cu126/other/")).body
    assert text.endswith(b"with: pullthrough warm other --index pypi/whl/cu126\n")
    assert (await ask(http, running, "/whl/other/")).body.endswith(b"with: pullthrough warm other\n")


async def test_revalidation(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A client that asks for a revalidation gets what is here."""
    running = await filled(make_proxy, origin, http)
    got = await get(http, f"{running.url}/pypi/simple/demo/", accept=JSON, cache_control="no-cache")
    assert (200, "hit") == (got.status, got.cache)
    assert 0 == origin.count()


async def test_stored_later__is_listed_then(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A page has another validator when there is more of it."""
    running = await filled(make_proxy, origin, http)
    before = await ask(http, running, "/simple/demo/")
    await running.close()
    online = await make_proxy(origin.url)
    await keep(http, online, SOURCE)
    await online.close()
    running = await make_proxy(origin.url, offline=True)
    after = await ask(http, running, "/simple/demo/")
    assert [OLD.filename, SOURCE.filename] == sorted(file["filename"] for file in after.json["files"])
    assert before.headers["etag"] != after.headers["etag"]


async def test_wrong_file__is_not_listed(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file that is here under the name, and is not what the page promises now, cannot be had."""
    running = await filled(make_proxy, origin, http)
    await running.close()
    publish(origin, wheel("demo", "1.0", padding=10), NEW)
    online = await make_proxy(origin.url, ttl=0)
    assert 2 == len([name for name in await files(http, online) if name in {OLD.filename, NEW.filename}])
    await online.close()
    running = await make_proxy(origin.url, offline=True)
    assert [] == await files(http, running)


async def test_group__ends_with_the_first_member_that_is_not_here(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """That an internal index cannot be asked does not make its names another's."""
    publish(other_origin, wheel("secret"))
    settings: dict[str, Any] = {
        "upstreams": [{"mount": "second", "url": other_origin.url}],
        "groups": [{"mount": "all", "members": ["pypi", "second"]}],
    }
    online = await make_proxy(origin.url, **settings)
    assert 200 == (await ask(http, online, "/simple/secret/", mount="second")).status
    await online.close()
    running = await make_proxy(origin.url, offline=True, **settings)
    assert 404 == (await ask(http, running, "/simple/secret/", mount="all")).status
    assert 200 == (await ask(http, running, "/simple/secret/", mount="second")).status
    assert (await ask(http, running, "/simple/other/", mount="all")).body.endswith(b" warm other --index all\n")


async def test_group__member_with_pins(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A member to which other projects are pinned does not have this one; those that are pinned to it are its own."""
    publish(other_origin, wheel("public"), wheel("inhouse"))
    settings: dict[str, Any] = {
        "upstreams": [{"mount": "second", "url": other_origin.url}],
        "groups": [{"mount": "all", "members": ["pypi", "second"], "pins": {"in*": "pypi"}}],
    }
    online = await make_proxy(origin.url, **settings)
    for project in ("public", "inhouse"):
        assert 200 == (await ask(http, online, f"/simple/{project}/", mount="second")).status
    await online.close()
    running = await make_proxy(origin.url, offline=True, **settings)
    assert 200 == (await ask(http, running, "/simple/public/", mount="all")).status
    assert 404 == (await ask(http, running, "/simple/inhouse/", mount="all")).status


async def test_index_that_cannot_be_reached(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Its page lists what is here, and all of it again when the index is back."""
    publish(origin, OLD, NEW)
    running = await make_proxy(origin.url, ttl=0)
    await keep(http, running, OLD)
    assert "max-age=0, public" == (await get(http, f"{running.url}/pypi/simple/demo/")).headers["cache-control"]
    await origin.stop()
    assert [OLD.filename] == await files(http, running)
    assert "no-cache" == (await get(http, f"{running.url}/pypi/simple/demo/")).headers["cache-control"]
    await origin.start()
    while await files(http, running) == [OLD.filename]:
        await asyncio.sleep(0.1)
    assert [OLD.filename, NEW.filename] == await files(http, running)


async def test_index_that_answers_with_errors(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Its files may be had: the page lists all."""
    publish(origin, OLD, NEW)
    running = await make_proxy(origin.url, ttl=0)
    await keep(http, running, OLD)
    origin.misbehave("/simple/demo/", faults.status(500))
    assert 2 == len(await files(http, running))


async def test_archive(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A suite and a package that are here are served; for what is not, apt gets an answer after which it goes on."""
    archive = Archive(origin)
    archive.publish(deb("kept", Noise(1000)), deb("other", Noise(1000, 1)))
    settings: dict[str, Any] = {"apt": {"hosts": {f"{origin.host}:{origin.port}"}, "window": 0}}
    paths = [archive.folder + "InRelease", archive.folder + archive.binary + "Packages.gz"]
    package = f"{archive.root}pool/main/d/demo/kept_1.0_amd64.deb"
    online = await make_proxy(origin.url, **settings)
    for path in (*paths, package):
        assert 200 == (await get(http, online.url + archive.url(path))).status
    while (await get(http, online.url + archive.url(package))).cache != "hit":
        await asyncio.sleep(0.01)
    await online.close()
    origin.forget()
    running = await make_proxy(origin.url, offline=True, **settings)
    for path in (*paths, package):
        assert 200 == (await get(http, running.url + archive.url(path))).status, path
    other = f"{archive.root}pool/main/d/demo/other_1.0_amd64.deb"
    async with http.get(running.url + archive.url(other)) as answer:
        assert 502 == answer.status
        assert f"with: pullthrough warm {origin.url}{other})" in str(answer.reason)
    assert 0 == origin.count()


APT_PATHS = "dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.gz"


async def left(make_proxy: MakeProxy, archive: Archive, *paths: str) -> Running:
    """A cache that is offline, and was asked for these paths of the archive before."""
    origin = archive.origin
    settings: dict[str, Any] = {"apt": {"hosts": {f"{origin.host}:{origin.port}"}, "window": 0}}
    online = await make_proxy(origin.url, **settings)
    async with aiohttp.ClientSession() as http:
        for path in paths:
            assert 200 == (await get(http, online.url + archive.url(archive.root + path))).status
    await online.close()
    origin.forget()
    return await make_proxy(origin.url, offline=True, **settings)


async def test_suite__past_its_valid_until(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """It is served: apt looks at the date itself, and can be told to take it."""
    archive = Archive(origin, valid_until=LONG_AGO + 86_400)
    archive.publish(deb("kept"))
    running = await left(make_proxy, archive, *APT_PATHS)
    for path in APT_PATHS:
        got = await get(http, running.url + archive.url(archive.root + path))
        assert (200, "hit") == (got.status, got.cache)
    assert 0 == origin.count()


async def test_suite__no_list_of_packages(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A Release file alone is no suite: it is said what is not here."""
    archive = Archive(origin)
    archive.publish(deb("kept"))
    running = await left(make_proxy, archive, APT_PATHS[0])
    async with http.get(running.url + archive.url(archive.root + APT_PATHS[0])) as answer:
        assert 502 == answer.status
        assert "no list of packages of this suite is here" in str(answer.reason)
        assert b"" == await answer.read()
    assert 0 == origin.count()


async def test_suite__empty(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Of a suite without packages apt asks for no list, as of one for updates of a new release."""
    archive = Archive(origin)
    archive.publish()
    running = await left(make_proxy, archive, APT_PATHS[0])
    got = await get(http, running.url + archive.url(archive.root + APT_PATHS[0]))
    assert (200, "hit") == (got.status, got.cache)
    assert 0 == origin.count()


async def test_suite__list_that_is_not_here(make_proxy: MakeProxy, origin: Origin) -> None:
    """apt needs each that it wants and the Release file lists: it is said which one, and what gets it, by its name."""
    archive = Archive(origin)
    archive.publish(deb("kept"), more="texts")
    running = await left(make_proxy, archive, *APT_PATHS)
    path = "main/i18n/Translation-en"
    by_hash = f"main/i18n/by-hash/SHA256/{hashlib.sha256(b'texts').hexdigest()}"
    for asked in (path, by_hash):
        async with (
            aiohttp.ClientSession() as http,
            http.get(running.url + archive.url(archive.folder + asked)) as answer,
        ):
            assert 502 == answer.status
            assert "Translation-en is not here" in str(answer.reason)
            assert f"with: pullthrough warm {origin.url}{archive.folder}{path})" in str(answer.reason)


async def test_suite__never_seen(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """It is not gone: apt would drop its lists after a 404."""
    archive = Archive(origin)
    running = await left(make_proxy, archive)
    async with http.get(running.url + archive.url(archive.root + APT_PATHS[0])) as answer:
        assert (502, True) == (answer.status, "this suite is not here" in str(answer.reason))


async def test_suite__list_and_signature_apart(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """apt asks for the form that is here after it heard that the other one is not."""
    archive = Archive(origin, inline=False, by_hash=False)
    archive.publish(deb("kept"))
    pair = "dists/stable/Release", "dists/stable/Release.gpg"
    running = await left(make_proxy, archive, *pair, APT_PATHS[1])
    assert 404 == (await get(http, running.url + archive.url(archive.root + APT_PATHS[0]))).status
    for path in (*pair, APT_PATHS[1]):
        assert 200 == (await get(http, running.url + archive.url(archive.root + path))).status, path
    assert 0 == origin.count()


async def test_tunnel(make_proxy: MakeProxy, origin: Origin) -> None:
    """None is opened."""
    running = await make_proxy(origin.url, offline=True, apt={"tunnels": {f"{origin.host}:{origin.port}"}})
    host, _, port = running.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"CONNECT {origin.host}:{origin.port} HTTP/1.1\r\nHost: {origin.host}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert b" 502 " in head.partition(b"\r\n")[0]
    assert b"offline" in head
    assert 0 == origin.count()
