"""Another process has the index database locked: every kind of answer comes, is kept at once, and stays kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.config.groups import GroupSettings
from proxy.config.upstreams import UpstreamSettings
from tests.archive import Archive, deb
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.flows.asking import SMALL, get, until_idle, until_kept
from tests.origin import Origin
from tests.storage.disk import locked
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

HASHED, PLAIN, OTHER = wheel(padding=200_000), wheel("plain", padding=70_000), wheel("other", padding=1000)
DEB = deb("demo", Noise(150_000))

# By the kind of answer: the path, and what is asked for before the lock.
KINDS = {
    "page": ("pypi/simple/demo/", ()),
    "file": ("pypi/packages/" + HASHED.filename, ("pypi/simple/demo/",)),
    "file without a hash": ("pypi/packages/" + PLAIN.filename, ("pypi/simple/plain/",)),
    "file before its page": ("pypi/packages/" + OTHER.filename, ()),
    "metadata": (f"pypi/packages/{HASHED.filename}.metadata", ("pypi/simple/demo/",)),
    "metadata out of the wheel": (f"pypi/packages/{PLAIN.filename}.metadata", ("pypi/simple/plain/",)),
    "page of a group": ("all/simple/demo/", ()),
    "Release file": ("{apt}/debian/dists/stable/InRelease", ()),
    "index": ("{apt}/debian/dists/stable/main/binary-amd64/Packages.gz", ("{apt}/debian/dists/stable/InRelease",)),
    "package": (f"{{apt}}/debian/{DEB.path}", ()),
    "document": ("{apt}/debian/archive.asc", ()),
}


@pytest.fixture
def publishing(origin: Origin) -> Origin:
    """An index and an archive."""
    origin.publish(HASHED, fmt="json", metadata=True)
    origin.publish(PLAIN, OTHER)
    for package in (PLAIN, OTHER):  # no hash, no metadata
        origin.resource(
            f"/simple/{package.project}/",
            f'<!DOCTYPE html><a href="/packages/{package.filename}">{package.filename}</a>',
            content_type="text/html",
        )
    Archive(origin).publish(DEB)
    origin.file("/debian/archive.asc", "a document")
    return origin


async def start(make_proxy: MakeProxy, origin: Origin) -> Running:
    """The program; it looks upstream for a Release file once in a while only."""
    return await make_proxy(
        origin.url,
        fetch=SMALL,
        apt={"hosts": {f"{origin.host}:{origin.port}"}, "window": 600},
        upstreams=(UpstreamSettings(mount="more", url=f"{origin.url}/nothing/"),),
        groups=(GroupSettings(mount="all", members=("pypi", "more")),),
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_locked__every_kind_of_answer(
    make_proxy: MakeProxy, publishing: Origin, http: aiohttp.ClientSession, data_folder: Path, kind: str
) -> None:
    """It is kept while the lock is held, and there after the lock is gone, in another process, with upstream away."""
    origin = publishing
    running = await start(make_proxy, origin)
    path, before = (KINDS[kind][0], KINDS[kind][1])
    apt = f"{origin.host}:{origin.port}"
    for each in before:
        assert (await get(http, f"{running.url}/{each.format(apt=apt)}")).status == 200
    url = f"{running.url}/{path.format(apt=apt)}"
    with locked(data_folder):
        first = await get(http, url)
        await until_kept(http, url)
        await until_idle(running)
        asked = origin.count()
        again = await get(http, url)
        assert (200, 200, "hit") == (first.status, again.status, again.source)
        assert (first.body, asked) == (again.body, origin.count())
    await running.close()
    await origin.stop()

    other = await start(make_proxy, origin)
    got = await get(http, f"{other.url}/{path.format(apt=apt)}")
    assert (200, first.body) == (got.status, got.body)


async def test_locked__pages_confirmed_and_dropped_files(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """A page is confirmed, and one that dropped a kept file is completed, while the lock is held."""
    old, new = wheel(version="1.0", padding=1000), wheel(version="2.0", padding=1000)
    origin.publish(old)
    running = await make_proxy(origin.url, ttl=0)
    page, file = f"{running.url}/pypi/simple/demo/", f"{running.url}/pypi/packages/{old.filename}"
    await get(http, page)
    await get(http, file)
    await until_kept(http, file)
    with locked(data_folder):
        confirmed = await get(http, page)
        origin.publish(new)
        answers = [await get(http, page) for _ in range(3)]

    assert (200, "revalidated") == (confirmed.status, confirmed.source)
    assert [2] * 3 == [answer.body.count(b"<a ") for answer in answers]


async def test_locked__many_at_once_and_told(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """A herd of cold pages comes while the lock is held; the health tells of it, and that it is over."""
    names = [f"demo{number}" for number in range(100)]
    origin.publish(*(wheel(name) for name in names))
    running = await make_proxy(origin.url)
    with locked(data_folder):
        got = await asyncio.gather(*(get(http, f"{running.url}/pypi/simple/{name}/") for name in names))
        assert {200} == {answer.status for answer in got}
        while b"degraded" not in (await get(http, f"{running.url}/healthz")).body:
            await asyncio.sleep(0.01)
        again = await asyncio.gather(*(get(http, f"{running.url}/pypi/simple/{name}/") for name in names))
        assert {"hit"} == {answer.source for answer in again}
    while b"degraded" in (await get(http, f"{running.url}/healthz")).body:
        await asyncio.sleep(0.01)
    await running.close()
    await origin.stop()

    other = await make_proxy(origin.url)
    got = await asyncio.gather(*(get(http, f"{other.url}/pypi/simple/{name}/") for name in names))
    assert {"hit"} == {answer.source for answer in got}
