"""Verbs ask a cache that serves: over the socket in its data folder, and never over its port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from proxy.control.protocol import Amount, CleanEnd, Wish
from tests.archive import Archive, deb
from tests.conftest import MakeProxy
from tests.control.stores import aside, asked, last
from tests.flows.apting import client, start, update
from tests.flows.asking import SEGMENT, SMALL, address, get, until_idle
from tests.origin import Origin
from tests.wheels import Package, wheel

_ROUNDS = 25
_CLIENTS = 4


def _packages(origin: Origin) -> list[Package]:
    packages = [wheel(f"package{number}", padding=number * SEGMENT) for number in range(4)]
    for package in packages:
        origin.publish(package)
    return packages


async def test_stats__of_a_cache_that_serves(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """A file that two clients got is one hit; its bytes were saved once."""
    package = wheel(padding=SEGMENT)
    origin.publish(package)
    running = await make_proxy(origin.url)
    for _ in range(2):
        await get(http, address(running, package))
        await until_idle(running)

    stats = await aside(lambda: asked(data_folder).stats())

    size = package.body.size
    assert Amount("pypi", "file", 1, size, 2, 1, size) in stats.amounts
    assert [package.filename] == [file.name for file in stats.largest if file.kind == "file"]


async def test_stats__of_what_a_client_has(make_proxy: MakeProxy, origin: Origin, data_folder: Path) -> None:
    """A package that a client has is told of, though packages are stored together, a moment later."""
    archive, package = Archive(origin), deb("demo")
    archive.show(archive.state(package))
    running = await start(make_proxy, origin)
    async with client(running) as apt:
        await update(apt, archive)
        assert package.body.read(0, package.body.size) == (await apt.get(archive.url(archive.root + package.path))).body
        stats = await aside(lambda: asked(data_folder).stats())

    assert "demo_1.0_amd64.deb" in [file.name for file in stats.largest]


@pytest.mark.timeout(120)
async def test_clean__under_load(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """While clients fetch, all is removed again and again: every client gets every byte, and nothing is left behind."""
    packages = _packages(origin)
    running = await make_proxy(origin.url, fetch=SMALL)
    cleaning = asyncio.Event()

    async def fetch(package: Package) -> None:
        while not cleaning.is_set():
            got = await get(http, address(running, package))
            assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)

    clients = [asyncio.create_task(fetch(package)) for package in packages for _ in range(_CLIENTS)]
    removed = 0
    for _ in range(_ROUNDS):
        end = await aside(lambda: last(asked(data_folder).clean(Wish(everything=True))))
        assert isinstance(end, CleanEnd)
        removed += end.files
        end = await aside(lambda: last(asked(data_folder).verify()))
    cleaning.set()
    await asyncio.gather(*clients)
    await until_idle(running)

    assert removed > 0
    await aside(lambda: list(asked(data_folder).clean(Wish(everything=True))))
    stats = await aside(lambda: asked(data_folder).stats())
    assert (0, 0, 0) == (stats.files, stats.size, stats.broken_off)
    assert [] == list((data_folder / "index" / "sha256").iterdir())


async def test_clean__is_fetched_again(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """What was removed comes from upstream, also to a client whose request was answered before, byte for byte."""
    package = wheel()
    origin.publish(package)
    running = await make_proxy(origin.url)
    url = address(running, package)
    for _ in range(3):
        await get(http, url)
        await until_idle(running)

    await aside(lambda: list(asked(data_folder).clean(Wish(project=package.filename.partition("-")[0]))))
    got = await get(http, url)

    assert ("miss", package.sha256) == (got.source, got.sha256)


async def test_clean__a_page_that_is_ready_to_send(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """A page that is fresh, and that is answered without being parsed, is gone from memory too."""
    origin.publish(wheel(version="1.0"))
    running = await make_proxy(origin.url)
    page = f"{running.url}/pypi/simple/demo/"
    for _ in range(3):
        await get(http, page)
    origin.publish(wheel(version="2.0"))
    assert b"demo-2.0" not in (await get(http, page)).body

    await aside(lambda: last(asked(data_folder).clean(Wish(project="demo"))))

    assert b"demo-2.0" in (await get(http, page)).body


async def test_control__not_by_the_port(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What the socket answers, the port does not know."""
    running = await make_proxy(origin.url)

    for method, target in (("GET", "/stats"), ("POST", "/clean"), ("POST", "/verify"), ("POST", "/plan")):
        got = await get(http, running.url + target, method)
        assert got.status in {404, 405}, target


async def test_control__ends_with_the_cache(make_proxy: MakeProxy, origin: Origin, data_folder: Path) -> None:
    """After the end there is no socket; the next start makes a new one."""
    running = await make_proxy(origin.url)
    name = data_folder / "control.sock"
    assert name.is_symlink() or name.is_socket()
    await running.close()

    assert not name.is_symlink()
    assert not name.exists()
    await make_proxy(origin.url)
    assert 0 == (await aside(lambda: asked(data_folder).stats())).files
