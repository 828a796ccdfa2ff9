"""What an index dropped stays to be had by an exact pin; what it gives no hash for gets the one that was measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.python.supplements import REMOVED
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.flows.asking import SteppedClock, address, content, get, until_kept
from tests.flows.conftest import MakeClocked
from tests.origin import Origin
from tests.pages import JSON, Link
from tests.wheels import Package, wheel

if TYPE_CHECKING:
    from proxy.app import Running

PAGE = "/pypi/simple/demo/"
OLD, NEW = wheel(version="1.0", padding=5000, seed=1), wheel(version="2.0", padding=5000, seed=2)


async def listed(http: aiohttp.ClientSession, running: Running, path: str = PAGE) -> dict[str, object]:
    """By file name, whether the page calls it yanked."""
    got = await get(http, running.url + path, accept=JSON)
    assert got.status == 200, got
    return {file["filename"]: file["yanked"] for file in json.loads(got.body)["files"]}


async def take(http: aiohttp.ClientSession, running: Running, *packages: Package) -> None:
    """Have files kept."""
    for package in packages:
        await get(http, address(running, package))
        await until_kept(http, address(running, package))


async def test_dropped__kept_file_stays_listed(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A kept file that the index does not list any more is listed as yanked, with the reason; other files are not."""
    running = await make_clocked(origin.url)
    never = wheel(version="0.9")
    origin.publish(never, OLD, NEW)
    await get(http, running.url + PAGE)
    await take(http, running, OLD)
    origin.publish(NEW)
    clock.advance(601)
    assert {OLD.filename: REMOVED, NEW.filename: False} == await listed(http, running)

    got = await get(http, address(running, OLD))
    assert (content(OLD.body), "hit") == (got.body, got.source)


@pytest.mark.parametrize("offline", [False, True])
async def test_dropped__metadata_after_a_restart(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession, offline: bool
) -> None:
    """It is promised on the page, and is read out of the kept wheel, though no page has its address any more."""
    first = await make_clocked(origin.url)
    origin.file("/download/7", OLD.body)
    origin.page("/simple/demo/", [Link(OLD.filename, "/download/7", sha256=OLD.sha256)], fmt="json")
    await get(http, first.url + PAGE)
    path = f"/pypi/download/7/+name/{OLD.filename}"
    await get(http, first.url + path)
    await until_kept(http, first.url + path)
    origin.publish(NEW)
    clock.advance(601)
    assert {OLD.filename: REMOVED, NEW.filename: False} == await listed(http, first)
    await first.close()

    origin.forget()
    running = await make_clocked(origin.url, offline=offline)
    shown = json.loads((await get(http, running.url + PAGE, accept=JSON)).body)["files"]
    assert True is {file["filename"]: file.get("core-metadata") for file in shown}[OLD.filename]
    got = await get(http, f"{running.url}{path}.metadata")
    assert (200, OLD.metadata) == (got.status, got.body)
    assert 0 == origin.count()


async def test_dropped__listed_again(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """When the index lists it again, it is as it was."""
    running = await make_clocked(origin.url)
    outcomes = []
    origin.publish(OLD, NEW)
    await get(http, running.url + PAGE)
    await take(http, running, OLD)
    for packages in ((NEW,), (OLD, NEW), (NEW,)):
        origin.publish(*packages)
        clock.advance(601)
        outcomes.append((await listed(http, running))[OLD.filename])
    assert [REMOVED, False, REMOVED] == outcomes


async def test_dropped__whole_project(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A project that is gone upstream has a page with what is kept of it."""
    running = await make_clocked(origin.url)
    origin.publish(OLD, NEW)
    await get(http, running.url + PAGE)
    await take(http, running, OLD)
    origin.remove("/simple/demo/")
    clock.advance(601)
    assert {OLD.filename: REMOVED} == await listed(http, running)
    assert "stale" == (await get(http, running.url + PAGE)).source


async def test_dropped__nothing_kept(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Of a project that is gone and of which nothing is kept there is no page."""
    running = await make_clocked(origin.url)
    origin.publish(OLD)
    await get(http, running.url + PAGE)
    origin.remove("/simple/demo/")
    clock.advance(601)
    assert 404 == (await get(http, running.url + PAGE)).status


async def test_dropped__not_wanted(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The setting turns it off."""
    running = await make_clocked(origin.url, mount={"keep_removed": False})
    origin.publish(OLD, NEW)
    await get(http, running.url + PAGE)
    await take(http, running, OLD)
    origin.publish(NEW)
    clock.advance(601)
    assert {NEW.filename: False} == await listed(http, running)


async def test_no_hash__measured_one_is_published(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """From the first download on, a page says the hash of a file for which upstream gives none."""
    running = await make_proxy(origin.url)
    origin.file(f"/packages/{OLD.filename}", OLD.body)
    origin.page("/simple/demo/", [Link(OLD.filename, f"/packages/{OLD.filename}")])
    before = json.loads((await get(http, running.url + PAGE, accept=JSON)).body)["files"][0]["hashes"]
    await take(http, running, OLD)
    after = json.loads((await get(http, running.url + PAGE, accept=JSON)).body)["files"][0]["hashes"]
    text = await get(http, running.url + PAGE)
    assert ({}, {"sha256": OLD.sha256}) == (before, after)
    assert f"#sha256={OLD.sha256}".encode() in text.body


async def test_no_hash__one_that_appears_and_disagrees(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A hash that the index gives later, and that the kept file has not, makes the file be fetched again."""
    running = await make_clocked(origin.url)
    path = f"/packages/{OLD.filename}"
    origin.file(path, b"what was there first")
    origin.page("/simple/demo/", [Link(OLD.filename, path)])
    await get(http, running.url + PAGE)
    await take(http, running, OLD)
    origin.file(path, OLD.body)
    origin.page("/simple/demo/", [Link(OLD.filename, path, sha256=OLD.sha256)])
    clock.advance(601)
    await get(http, running.url + PAGE)
    got = await get(http, address(running, OLD))
    assert (content(OLD.body), "miss") == (got.body, got.source)
    assert "hit" == (await until_kept(http, address(running, OLD))).source


async def test_hash__that_changes(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file that is uploaded again under its name, with its new hash on the page, is fetched again."""
    running = await make_clocked(origin.url)
    path = f"/packages/{OLD.filename}"
    first, second = Noise(300_000, 7), Noise(300_000, 8)
    for body in (first, second):
        package = Package("demo", "1.0", OLD.filename, body)
        origin.file(path, body)
        origin.page("/simple/demo/", [package.link(path)])
        clock.advance(601)
        await get(http, running.url + PAGE)
        got = await get(http, address(running, OLD))
        assert (content(body), "miss") == (got.body, got.source)
        await until_kept(http, address(running, OLD))
