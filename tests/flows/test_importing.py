"""What is imported is served: pages, files, metadata and suites, by a cache that runs meanwhile and has no upstream."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from proxy.bundles import layout
from proxy.bundles.importing import Imported, ImportWish
from proxy.bundles.manifest import BundleMember
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.control.opened_folder import OpenedFolder
from proxy.model import Entry
from proxy.python.supplements import REMOVED
from tests.archive import LONG_AGO, Archive, deb
from tests.bodies import sha256
from tests.bundles.tars import bundle, tar
from tests.conftest import MakeProxy
from tests.control.stores import aside, asked
from tests.flows.apting import client, start, update
from tests.flows.asking import SteppedClock, until_idle
from tests.flows.conftest import MakeClocked
from tests.flows.test_offline import NEW, OLD, SOURCE, ask, files, keep, of, publish
from tests.flows.test_removed import listed
from tests.origin import Origin
from tests.pages import HTML
from tests.wheels import Package

if TYPE_CHECKING:
    from proxy.app import Running

_ONE, _TWO = deb("one"), deb("two")


async def bundled(running: Running) -> bytes:
    """All that a cache has, as a bundle."""
    await until_idle(running)
    bodies, entries = dict[str, bytes](), dict[str, list[Entry]]()
    for key in running.store.keys(""):
        entry = running.store.find(key)
        blob = running.store.blob(entry.digest) if entry is not None else None
        assert entry is not None
        assert blob is not None
        with running.store.lease(blob) as descriptor:
            bodies[blob.digest.value] = os.pread(descriptor, blob.size, 0)
        entries.setdefault(blob.digest.value, []).append(entry)
    return bundle(
        *((BundleMember(layout.spare(one), len(bodies[one]), one, tuple(entries[one])), bodies[one]) for one in bodies)
    )


async def imported(running: Running, data: bytes, *, loose: bool = False) -> Imported:
    """Have a running cache take a tar in, as the verb does."""
    folder = running.store.folder
    return await aside(lambda: asked(folder).take_in([data], ImportWish(loose=loose)))


def body_of(package: Package) -> bytes:
    """The bytes of a distribution."""
    return package.body.read(0, package.body.size)


async def test_index__in_a_cache_without_upstream(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Pages list what came with the bundle, and files and metadata are those of the first cache, byte for byte."""
    publish(origin, OLD, NEW, SOURCE)
    online = await make_proxy(origin.url)
    await files(http, online)
    await keep(http, online, OLD, SOURCE)
    data = await bundled(online)
    running = await make_proxy(origin.url, data=tmp_path / "elsewhere", offline=True)
    asked_before = origin.count()
    assert 404 == (await ask(http, running, "/simple/demo/")).status

    done = await imported(running, data)

    assert (0, 0) == (done.newer, done.missing)
    assert {OLD.filename, SOURCE.filename} == set(await files(http, running))
    assert body_of(OLD) == (await ask(http, running, of(OLD))).body
    assert body_of(SOURCE) == (await ask(http, running, of(SOURCE))).body
    assert OLD.metadata == (await ask(http, running, f"{of(OLD)}.metadata")).body
    assert asked_before == origin.count()


async def test_index__page_that_was_just_served(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A newer page is served at once, also to who got the older one a moment ago; the older one does not come back."""
    publish(origin, OLD)
    first = await make_proxy(origin.url, data=tmp_path / "first")
    await files(http, first)
    old = await bundled(first)
    publish(origin, OLD, NEW)
    second = await make_proxy(origin.url, data=tmp_path / "second")
    await files(http, second)
    new = await bundled(second)
    running = await make_proxy(origin.url, data=tmp_path / "third")
    await imported(running, old)
    for _ in range(3):
        assert NEW.filename.encode() not in (await ask(http, running, "/simple/demo/", HTML)).body

    await imported(running, new)
    assert NEW.filename.encode() in (await ask(http, running, "/simple/demo/", HTML)).body
    assert 1 == (await imported(running, old)).newer
    assert NEW.filename.encode() in (await ask(http, running, "/simple/demo/", HTML)).body


async def test_index__newer_page_that_dropped_a_file(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """What a page dropped that came in a bundle is shown as after a refresh from upstream, whoever is told of it."""
    refreshed = await make_clocked(origin.url, data=tmp_path / "refreshed")
    running = await make_clocked(origin.url, data=tmp_path / "running")
    stopped = await make_clocked(origin.url, data=tmp_path / "stopped")
    publish(origin, OLD, NEW)
    for one in (refreshed, running, stopped):
        await files(http, one)
        await keep(http, one, OLD, NEW)
    await stopped.close()
    clock.advance(601)
    publish(origin, NEW, SOURCE)
    other = await make_clocked(origin.url, data=tmp_path / "other")
    await files(http, other)
    await keep(http, other, SOURCE)
    data = await bundled(other)
    await imported(running, data)
    settings = Settings(data=tmp_path / "stopped", upstreams=(UpstreamSettings(mount="pypi", url=origin.url),))

    def take_in() -> Imported:
        with closing(OpenedFolder.open(tmp_path / "stopped", 1 << 30, settings)) as folder:
            return folder.take_in([data], ImportWish())

    await asyncio.to_thread(take_in)
    stopped = await make_clocked(origin.url, data=tmp_path / "stopped")

    asked_before = origin.count("/simple/demo/")
    shown = [await listed(http, one, "/pypi/simple/demo/") for one in (running, stopped)]
    assert asked_before == origin.count("/simple/demo/")
    assert {OLD.filename: REMOVED, NEW.filename: False, SOURCE.filename: False} == shown[0] == shown[1]
    assert shown[0] == await listed(http, refreshed, "/pypi/simple/demo/")
    for one in (running, stopped):
        assert (body_of(OLD), "hit") == ((got := await ask(http, one, of(OLD))).body, got.cache)


async def test_index__file_that_only_an_older_page_lists(
    make_clocked: MakeClocked, clock: SteppedClock, origin: Origin, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The index has dropped a version, and a bundle of earlier has it: an exact pin can be installed from it."""
    earlier = await make_clocked(origin.url, data=tmp_path / "earlier")
    publish(origin, OLD, NEW)
    await files(http, earlier)
    await keep(http, earlier, OLD, NEW)
    bundle_of_earlier = await bundled(earlier)
    clock.advance(601)
    origin.remove(f"/packages/{OLD.filename}")
    publish(origin, NEW)
    running = await make_clocked(origin.url, data=tmp_path / "running")
    assert {NEW.filename: False} == await listed(http, running, "/pypi/simple/demo/")

    for _ in range(2):
        assert 1 == (await imported(running, bundle_of_earlier)).newer
        assert {OLD.filename: REMOVED, NEW.filename: False} == await listed(http, running, "/pypi/simple/demo/")
    assert (body_of(OLD), "hit") == ((got := await ask(http, running, of(OLD))).body, got.cache)


async def test_loose_files__are_not_downloaded(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file that came without an address is the one that a page gives its digest."""
    publish(origin, OLD, NEW)
    running = await make_proxy(origin.url)

    assert 1 == (await imported(running, tar({"any name": body_of(OLD)}), loose=True)).files

    got = await ask(http, running, of(OLD))
    assert (body_of(OLD), "hit") == (got.body, got.cache)
    assert 0 == origin.count(of(OLD))


async def test_loose_files__are_listed_offline(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A page lists them, since they can be had."""
    publish(origin, OLD, NEW)
    online = await make_proxy(origin.url)
    await files(http, online)
    await online.close()
    running = await make_proxy(origin.url, offline=True)
    assert [] == await files(http, running)

    await imported(running, tar({"any name": body_of(NEW), "truncated": body_of(OLD)[:-1]}), loose=True)

    assert [NEW.filename] == await files(http, running)
    assert body_of(NEW) == (await ask(http, running, of(NEW))).body


async def test_suite__newer_than_the_one_that_is_served(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> None:
    """A cache without upstream goes over to the whole suite that it is brought, while clients use it."""
    archive = Archive(origin)
    online = await start(make_proxy, origin)
    before = archive.publish(_ONE)
    async with client(online) as apt:
        await update(apt, archive)
        await apt.get(archive.url(archive.root + _ONE.path))
    first = await bundled(online)
    after = archive.publish(_ONE, _TWO, modified=LONG_AGO + 3600)
    async with client(online) as apt:
        await update(apt, archive)
        await apt.get(archive.url(archive.root + _TWO.path))
    second = await bundled(online)
    await online.close()
    hosts = {f"{origin.host}:{origin.port}"}
    running = await make_proxy("https://index.example/", data=tmp_path / "b", offline=True, apt={"hosts": hosts})

    async with client(running) as apt:
        assert 200 != (await update(apt, archive))[0].status
        await imported(running, first)
        release, _, whole = await update(apt, archive)
        assert (before.inrelease, True) == (release.body, whole)
        assert sha256(_ONE.body) == (await apt.get(archive.url(archive.root + _ONE.path))).sha256
        assert 200 != (await apt.get(archive.url(archive.root + _TWO.path))).status

        await imported(running, second)
        release, index, whole = await update(apt, archive)
        assert index is not None
        assert (after.inrelease, after.indexes["main/binary-amd64/Packages.gz"], True) == (
            release.body,
            index.body,
            whole,
        )
        assert sha256(_TWO.body) == (await apt.get(archive.url(archive.root + _TWO.path))).sha256
        assert (await imported(running, first)).newer
        assert after.inrelease == (await update(apt, archive))[0].body


async def test_loose_packages__are_not_downloaded(make_proxy: MakeProxy, origin: Origin) -> None:
    """A package that came without an address is the one that an index of its archive gives its sha256."""
    archive = Archive(origin)
    running = await start(make_proxy, origin)
    archive.publish(_ONE, _TWO)

    await imported(running, tar({"one.deb": _ONE.body.read(0, _ONE.body.size)}), loose=True)

    async with client(running) as apt:
        await update(apt, archive)
        got = await apt.get(archive.url(archive.root + _ONE.path))
        await apt.get(archive.url(archive.root + _TWO.path))
    assert (sha256(_ONE.body), "hit") == (got.sha256, got.headers["x-cache"])
    assert [0, 1] == [origin.count(f"/debian/{one.path}") for one in (_ONE, _TWO)]
