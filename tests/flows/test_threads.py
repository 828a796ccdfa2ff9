"""Work in threads: each kind has its own, and however much of one kind stands still, the others go on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from proxy.storage.verification import SYNCED_FROM
from tests import system
from tests.archive import Archive, deb
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.flows.asking import SMALL, get, until_kept
from tests.origin import Origin
from tests.pages import JSON, Link
from tests.wheels import Package, wheel

if TYPE_CHECKING:
    from proxy.app import Running

HERD = min(32, (os.cpu_count() or 1) + 4) + 2  # more at once than the default executor, or any other, has threads


class NoThreads(ThreadPoolExecutor):
    """The event loop's default executor, which all kinds of work would share."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"the default executor was given {fn}")


@dataclass
class Standstill:
    """Lets a function of the system or of a library stand still in every thread but the event loop's."""

    arrived: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which waits first."""

        def waiting(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                self.arrived.set()
                self.over.wait(50)
            return function(*args, **kwargs)

        return waiting


class Hash:
    """A running hash whose `update` stands still."""

    def __init__(self, real: Any, still: Standstill) -> None:
        self._real = real
        self.update = still.before(real.update)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture
def still() -> Iterator[Standstill]:
    """A standstill that ends with the test."""
    made = Standstill()
    yield made
    made.over.set()


def hold(kind: str, still: Standstill, patch: pytest.MonkeyPatch) -> None:
    """Let one kind of work stand still where it leaves this program."""
    match kind:
        case "fsync":
            patch.setattr(os, system.SYNC, still.before(getattr(os, system.SYNC)))
        case "hashing":
            make = hashlib.new
            patch.setattr(hashlib, "new", lambda *args, **kwargs: Hash(make(*args, **kwargs), still))
        case "parsing":
            gzip = sys.modules.get("isal.isal_zlib", zlib)
            patch.setattr(gzip, "compress", still.before(gzip.compress))
        case "tables":
            patch.setattr(zlib, "decompressobj", still.before(zlib.decompressobj))
        case "wheels":
            patch.setattr(zipfile, "ZipFile", still.before(zipfile.ZipFile))


@dataclass
class Bed:
    """The program in front of an index and an archive, and one request for each kind of work, by a number."""

    running: Running
    origin: Origin
    http: aiohttp.ClientSession
    archives: list[Archive]
    wheels: list[Package]

    async def fsync(self, number: int) -> None:
        """A file of an archive that is fetched, and kept: so long that its sync is waited for."""
        path = f"/debian/pool/{number}_1.0_amd64.deb"
        self.origin.file(path, Noise(SYNCED_FROM + 1, number))
        url = self.running.url + self.archives[0].url(path)
        assert (await get(self.http, url)).status == 200
        await until_kept(self.http, url)

    async def hashing(self, number: int) -> None:
        """A file that is fetched and checked. Whether it is kept is another matter."""
        package = wheel(f"hashed{number}", padding=100_000)
        self.origin.publish(package)
        got = await get(self.http, f"{self.running.url}/pypi/packages/{package.filename}")
        assert package.sha256 == got.sha256

    async def parsing(self, number: int) -> None:
        """A long page that is parsed, rendered and coded."""
        links = [Link(f"paged{number}-1.{minor}.tar.gz", f"/packages/{minor}") for minor in range(2000)]
        self.origin.page(f"/simple/paged{number}/", links)
        url = f"{self.running.url}/pypi/simple/paged{number}/"
        got = await get(self.http, url, accept=JSON, accept_encoding="gzip")
        assert zlib.decompress(got.body, wbits=31).count(b'"filename"') == 2000

    async def tables(self, number: int) -> None:
        """A package of a suite: its digest stands in the suite's index."""
        archive = self.archives[number]
        for path in (archive.folder + "InRelease", archive.folder + archive.binary + "Packages.gz"):
            assert (await get(self.http, self.running.url + archive.url(path))).status == 200
        path = f"{archive.root}pool/main/d/demo/tabled{number}_1.0_amd64.deb"
        assert (await get(self.http, self.running.url + archive.url(path))).status == 200

    async def unpacking(self, number: int) -> None:
        """Metadata that is read out of a kept wheel."""
        package = self.wheels[number]
        got = await get(self.http, f"{self.running.url}/pypi/packages/{package.filename}.metadata")
        assert package.metadata == got.body

    def of(self, kind: str) -> Callable[[int], Coroutine[Any, Any, None]]:
        """The request that makes this kind of work."""
        return {
            "fsync": self.fsync,
            "hashing": self.hashing,
            "parsing": self.parsing,
            "tables": self.tables,
            "wheels": self.unpacking,
        }[kind]


KINDS = ["fsync", "hashing", "parsing", "tables", "wheels"]


@pytest.fixture
async def bed(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> Bed:
    """A program that holds some wheels already."""
    hosts = {f"{origin.host}:{origin.port}"}
    running = await make_proxy(origin.url, apt={"hosts": hosts, "window": 0}, fetch=SMALL)
    archives = [Archive(origin, root=f"/debian{number or ''}/") for number in range(HERD)]
    for number, archive in enumerate(archives):
        archive.publish(deb(f"tabled{number}", Noise(1000, number)))
    wheels = [wheel(f"held{number}") for number in range(HERD)]
    origin.publish(*wheels)
    for package in wheels:
        await get(http, f"{running.url}/pypi/packages/{package.filename}")
    for package in wheels:
        await until_kept(http, f"{running.url}/pypi/packages/{package.filename}")
    return Bed(running, origin, http, archives, wheels)


async def test_default_executor(bed: Bed) -> None:
    """No kind of work uses it, nor does closing."""
    asyncio.get_running_loop().set_default_executor(NoThreads(1))
    for kind in KINDS:
        await bed.of(kind)(0)
    await bed.running.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_herd_of_one_kind(bed: Bed, still: Standstill, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """It stands still, and all other kinds of work are done meanwhile; when it goes on, it is done too."""
    hold(kind, still, monkeypatch)
    herd = [asyncio.create_task(bed.of(kind)(number)) for number in range(HERD - 1)]
    while not still.arrived.is_set():
        await asyncio.sleep(0)
    # What is not hashed is not kept, and a file is not let go before it was hashed.
    needing = {"hashing": {"fsync", "tables"}}.get(kind, set())
    others = [other for other in KINDS if other not in {kind, *needing}]
    for other in others:
        await bed.of(other)(HERD - 1)
    assert kind == "tables" or not any(task.done() for task in herd)  # packages wait some seconds for theirs
    still.over.set()
    await asyncio.gather(*herd)
