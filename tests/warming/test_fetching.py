"""Files are asked for as a client asks, and are in the cache afterwards."""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.warming.archives import archive_file
from proxy.warming.choice import Chosen, Refused
from proxy.warming.fetching import NoCache, Wanted, Warmed, Warming
from tests import faults
from tests.archive import Archive, deb
from tests.bodies import sha256
from tests.conftest import MakeProxy
from tests.flows.reading import get
from tests.gates import Gate
from tests.origin import Origin
from tests.wheels import Package, sdist, wheel

if TYPE_CHECKING:
    from proxy.app import Running

WHEEL, SOURCE = wheel("demo", "1.0", padding=100_000), sdist("demo", "1.0")


class Watch:
    """Bytes by name, and what ended."""

    def __init__(self) -> None:
        self.sizes: dict[str, int | None] = {}
        self.bytes: dict[str, int] = {}
        self.over: list[str] = []
        self.files = 0

    def planned(self, files: int) -> None:
        """See `fetching.Watcher`."""
        self.files += files

    def began(self, name: str, size: int | None) -> None:
        """See `fetching.Watcher`."""
        self.sizes[name] = size

    def brought(self, name: str, size: int) -> None:
        """See `fetching.Watcher`."""
        self.bytes[name] = self.bytes.get(name, 0) + size

    def ended(self, name: str) -> None:
        """See `fetching.Watcher`."""
        self.over.append(name)


def chosen(package: Package, *, index: str | None = None, sha256: str | None = None) -> Chosen:
    """A file of a lock."""
    return Chosen(package.project, package.version, package.filename, {"sha256": sha256 or package.sha256}, index)


def warming(running: Running, origin: Origin, watch: Watch | None = None) -> Warming:
    """What asks a cache with one upstream."""
    return Warming(running.url, "/pypi/simple/", {f"{origin.url}/": "pypi"}, watch or Watch())


async def fetch(running: Running, origin: Origin, *wanted: Wanted, check: bool = False) -> Warmed:
    """Have these files in the cache."""
    return await warming(running, origin).fetch(wanted, check=check)


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin) -> Running:
    """A cache in front of an origin with a wheel and a source distribution."""
    origin.publish(WHEEL, SOURCE, fmt="both", metadata=True)
    return await make_proxy(origin.url)


async def test_fetch(running: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Page, metadata and file are there afterwards; the second time nothing comes."""
    watch = Watch()
    first = await warming(running, origin, watch).fetch([chosen(WHEEL), chosen(SOURCE, index=f"{origin.url}/simple")])
    assert ([], {True}) == (first.refused, {had.came for had in first.had})
    assert {"setuptools>=40.8.0", "wheel"} == first.needs
    assert {WHEEL.filename: WHEEL.body.size, SOURCE.filename: SOURCE.body.size} == watch.bytes == watch.sizes
    assert sorted(watch.bytes) == sorted(watch.over)
    assert 2 == watch.files
    origin.forget()
    second = await fetch(running, origin, chosen(WHEEL), chosen(SOURCE))
    assert {False} == {had.came for had in second.had}
    url = f"{running.url}/pypi/packages/{WHEEL.filename}"
    assert WHEEL.metadata == (await get(http, f"{url}.metadata")).body
    assert 0 == origin.count()


async def test_fetch__name_in_another_spelling(running: Running, origin: Origin) -> None:
    """A lock file may have the normalised name of a file; the hash says which one is meant."""
    other = replace(chosen(WHEEL), filename=WHEEL.filename.replace("demo", "DEMO"))
    found = await fetch(running, origin, other)
    assert ([], [WHEEL.body.size]) == (found.refused, [had.size for had in found.had])
    again = await fetch(running, origin, other, check=True)
    assert [] == again.missing
    assert [WHEEL.filename] * 2 == [had.chosen.filename for had in (*found.had, *again.had)]  # whoever exports has that


async def test_fetch__check(running: Running, origin: Origin) -> None:
    """It is said what is missing, and no file is fetched."""
    await fetch(running, origin, chosen(WHEEL))
    origin.forget()
    found = await fetch(running, origin, chosen(WHEEL), chosen(SOURCE), check=True)
    assert ([WHEEL.filename], [SOURCE.filename]) == (
        [had.chosen.filename for had in found.had],
        [one.filename for one in found.missing],
    )
    assert (0, set()) == (origin.count(), found.needs)
    await fetch(running, origin, chosen(SOURCE))
    assert {"setuptools>=40.8.0", "wheel"} == (await fetch(running, origin, chosen(SOURCE), check=True)).needs


async def test_fetch__check_of_another_file(running: Running, origin: Origin) -> None:
    """A file that only has the name of the one that is locked is not the one that is locked."""
    await fetch(running, origin, chosen(WHEEL))
    found = await fetch(running, origin, chosen(WHEEL, sha256="0" * 64), check=True)
    assert ([], []) == (found.had, found.missing)
    assert [f"the index has another file under this name: its sha256 is {WHEEL.sha256}"] == [
        one.why for one in found.refused
    ]


async def test_fetch__check_of_a_replaced_file(make_proxy: MakeProxy, origin: Origin) -> None:
    """What is stored is missing where the page promises another file by now: it would be fetched."""
    newer = wheel("demo", "1.0", padding=200_000)
    origin.publish(WHEEL, fmt="both", metadata=True)
    running = await make_proxy(origin.url, ttl=0)
    await fetch(running, origin, chosen(WHEEL))
    origin.publish(newer, fmt="both", metadata=True)
    found = await fetch(running, origin, chosen(newer), check=True)
    assert ([], [], [newer.filename]) == (found.had, found.refused, [one.filename for one in found.missing])


@pytest.mark.parametrize("check", [False, True])
async def test_fetch__no_room_to_read_one(
    make_proxy: MakeProxy, origin: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, check: bool
) -> None:
    """A long source distribution for which the disk has no room is refused alone; all others are had."""
    long = sdist("long", pyproject=f"# {random.Random(1).randbytes(6 << 20).hex()}")
    origin.publish(WHEEL, SOURCE, long, fmt="both", metadata=True)
    running = await make_proxy(origin.url)
    if check:
        await fetch(running, origin, chosen(long), chosen(WHEEL), chosen(SOURCE))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    found = await fetch(running, origin, chosen(long), chosen(WHEEL), chosen(SOURCE), check=check)

    (refused,) = found.refused
    assert long.filename == refused.what
    assert f"cannot be kept in {tmp_path / 'gone'} while it is read: No such file or directory. TMPDIR" in refused.why
    assert {WHEEL.filename, SOURCE.filename} <= {had.chosen.filename for had in found.had}
    assert {"setuptools>=40.8.0", "wheel"} == found.needs


async def test_fetch__index_that_only_the_cache_knows(make_proxy: MakeProxy, origin: Origin) -> None:
    """Its settings have an upstream that those of this machine do not have: it says where that is."""
    origin.publish(WHEEL, fmt="both", metadata=True)
    running = await make_proxy(origin.url)
    asked: list[str] = []

    def ask(url: str) -> str | None:
        asked.append(url)
        return "/pypi/simple/" if url == f"{origin.url}/simple" else None

    one = Warming(running.url, "/pypi/simple/", {}, Watch(), (), ask)
    found = await one.fetch([chosen(WHEEL, index=f"{origin.url}/simple"), chosen(SOURCE, index="https://b.example/")])

    assert [WHEEL.filename] == [had.chosen.filename for had in found.had]
    assert ["it is from https://b.example/; add an [[upstream]] with this url to the cache's settings"] == [
        refused.why for refused in found.refused
    ]
    assert [f"{origin.url}/simple", "https://b.example/"] == asked


async def test_fetch__what_cannot_be_had(running: Running, origin: Origin) -> None:
    """Each is said with its reason, and does not stop the others."""
    origin.misbehave(f"/packages/{SOURCE.filename}", faults.status(404))
    found = await fetch(
        running,
        origin,
        chosen(WHEEL, sha256="0" * 64),
        chosen(SOURCE),
        chosen(wheel("demo", "9.0")),
        chosen(wheel("unknown")),
        chosen(wheel("elsewhere"), index="https://other.example/simple"),
    )
    reasons = {one.what: one.why for one in found.refused}
    assert "another file" in reasons[WHEEL.filename]
    assert "404" in reasons[SOURCE.filename]
    assert "no such file" in reasons["demo-9.0-py3-none-any.whl"]
    assert "404" in reasons["unknown-1.0-py3-none-any.whl"]
    assert "[[upstream]]" in reasons["elsewhere-1.0-py3-none-any.whl"]
    assert [] == found.had
    assert all(isinstance(one, Refused) for one in found.refused)


async def test_fetch__not_kept(make_proxy: MakeProxy, origin: Origin) -> None:
    """A cache that is too small for a file says so."""
    large = wheel("demo", padding=2_000_000)
    origin.publish(large, fmt="both", metadata=True)
    running = await make_proxy(origin.url, disk=10**6)
    (refused,) = (await fetch(running, origin, chosen(large))).refused
    assert "does not keep it" in refused.why


async def test_fetch__of_an_archive(make_proxy: MakeProxy, origin: Origin) -> None:
    """A package, and a key that no index lists, are there afterwards; one that is another file is reported."""
    archive = Archive(origin)
    archive.publish(deb("kept"), deb("other"))
    origin.file("/debian/key.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    running = await make_proxy(origin.url, apt={"hosts": {f"{origin.host}:{origin.port}"}})
    for path in (archive.folder + "InRelease", archive.folder + archive.binary + "Packages.gz"):
        async with aiohttp.request("GET", running.url + archive.url(path)) as answer:
            assert 200 == answer.status
    package, key, wrong = (
        replace(archive_file(f"{origin.url}/debian/{path}"), hashes=hashes)
        for path, hashes in (
            (deb("kept").path, {"sha256": sha256(deb("kept").body)}),
            ("key.asc", {}),
            (deb("other").path, {"sha256": "0" * 64}),
        )
    )
    missing = await fetch(running, origin, package, key, check=True)
    assert {"key.asc", package.filename} == {one.filename for one in missing.missing}
    first = await fetch(running, origin, package, key, wrong)
    assert {True} == {had.came for had in first.had}
    assert [wrong.filename] == [one.what for one in first.refused]
    second = await fetch(running, origin, package, key)
    assert [False, False] == [had.came for had in second.had]
    assert [] == (await fetch(running, origin, package, key, check=True)).missing


async def test_fetch__interrupted(make_proxy: MakeProxy, origin: Origin) -> None:
    """What was under way goes on in the cache, and the next run takes it from there."""
    large, gate = wheel("demo", padding=2_000_000), Gate()
    origin.publish(large, fmt="both", metadata=True)
    origin.misbehave(f"/packages/{large.filename}", faults.hold_body(1_000_000, gate))
    running = await make_proxy(origin.url)
    watch = Watch()
    first = asyncio.create_task(warming(running, origin, watch).fetch([chosen(large)]))
    while not watch.bytes:
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert [large.filename] == watch.over
    gate.open()
    found = await fetch(running, origin, chosen(large))
    assert ([], 1) == (found.refused, len(found.had))
    assert large.body.size == origin.sent_body_bytes(f"/packages/{large.filename}")


async def test_fetch__no_cache(origin: Origin) -> None:
    """It is said how to start one."""
    nobody = Warming("http://127.0.0.1:9", "/pypi/simple/", {}, Watch())
    with pytest.raises(NoCache, match="pullthrough serve"):
        await nobody.fetch([chosen(WHEEL)])
    assert 0 == origin.count()


async def test_on_cache(running: Running, origin: Origin) -> None:
    """An index upstream, or one of its channels, by its address on the cache."""
    found = warming(running, origin)
    assert f"{running.url}/pypi/simple/" == found.on_cache(f"{origin.url}/simple") == found.usual
    assert f"{running.url}/pypi/whl/cu126/" == found.on_cache(f"{origin.url}/whl/cu126/")
    assert f"{running.url}/other/simple/" == found.on_cache(f"{running.url}/other/simple/")
    assert found.on_cache("https://other.example/") is None


def test_on_cache__other_names() -> None:
    """An index by its address upstream, or on the cache, whatever that is called there; passwords are no part of it."""
    own = ("http://localhost:3142", "https://cache.example")
    one = Warming("http://127.0.0.1:9", "/pypi/simple/", {"https://index.example/": "pypi"}, Watch(), own)
    here = "http://127.0.0.1:9/pypi/simple/"
    for index in (
        "https://index.example/simple",
        "https://user:secret@index.example/simple/",
        "http://127.0.0.1:9/pypi/simple",
        "http://localhost:3142/pypi/simple/",
        "https://user@cache.example/pypi/simple",
        "HTTPS://Index.Example/simple",
        "https://index.example:443/simple",
        "https://index.example./simple/",
        "https://user:secret@INDEX.example.:443/simple",
        "https://Cache.example:443/pypi/simple",
    ):
        assert here == one.on_cache(index)
    for index in (
        "https://other.example/simple",
        "http://localhost:31420/pypi/simple",
        "http://index.example:443/simple",
        "https://index.example:8443/simple",
        "https://index.example:none/simple",
        "https://[index.example/simple",
        "./folder",
    ):
        assert one.on_cache(index) is None
