"""The disk goes wrong: damaged files heal themselves, a full disk means serving through (rows 19 to 21)."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.model import Digest
from proxy.storage.opening import PendingStore
from tests.conftest import MakeProxy
from tests.faults import chunked, ignores_range
from tests.flows.asking import SEGMENT, SMALL, address, check_bytes, get, until_idle, until_kept
from tests.origin import Origin
from tests.storage.disk import digests, usable
from tests.wheels import Package, wheel

if TYPE_CHECKING:
    from proxy.app import Running

PATH = "/packages/"


# ---------------------------------------------------------------------- damaged copies


def flip(path: Path) -> None:
    """One wrong byte, of the right length."""
    with path.open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 0xFF]))
    # A file system's clock is coarse: without this the change may bear the time at which the file was stored.
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


def halve(path: Path) -> None:
    """Half of it."""
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    """Nothing."""
    os.truncate(path, 0)


def lengthen(path: Path) -> None:
    """More than it was."""
    with path.open("ab") as file:
        file.write(b"more")


def delete(path: Path) -> None:
    """Not there."""
    path.unlink()


def folder(path: Path) -> None:
    """A folder there, with something in it."""
    path.unlink()
    path.mkdir()
    (path / "x").write_bytes(b"x")


def link(path: Path) -> None:
    """A link to something else there."""
    path.unlink()
    path.symlink_to("/etc/hostname")


def forbid(path: Path) -> None:
    """Nobody may read it; the superuser may."""
    path.chmod(0)


DAMAGES = [flip, halve, empty, lengthen, delete, folder, link, forbid]


def blob_path(running: Running, package: Package) -> Path:
    """Where the store has the file."""
    blob = running.store.blob(Digest("sha256", package.sha256))
    assert blob is not None
    return Path(blob.path)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("size", [20_000, 200_000, 2_000_000])
async def test_damaged__while_it_runs(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    damage: Callable[[Path], None],
    size: int,
) -> None:
    """A copy that was damaged is noticed, dropped and fetched again; the client gets right bytes (row 19)."""
    package = wheel(padding=size)
    origin.publish(package)
    running = await make_proxy(origin.url)
    url = address(running, package)
    await get(http, url)
    await until_kept(http, url)
    await until_idle(running)
    damage(blob_path(running, package))

    answers = await asyncio.gather(*(get(http, url) for _ in range(5)))
    await until_idle(running)
    again = await get(http, url)

    assert [(200, package.sha256)] * 6 == [(got.status, got.sha256) for got in [*answers, again]]
    assert origin.count(PATH + package.filename) <= 2


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_damaged__between_two_runs(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, damage: Callable[[Path], None]
) -> None:
    """What happened to a copy while nobody looked is noticed by the next process (row 19)."""
    package = wheel(padding=300_000)
    origin.publish(package)
    first = await make_proxy(origin.url)
    await get(http, address(first, package))
    await until_kept(http, address(first, package))
    path = blob_path(first, package)
    await first.close()
    damage(path)

    second = await make_proxy(origin.url)
    got = [await get(http, address(second, package)) for _ in range(2)]

    assert [(200, package.sha256)] * 2 == [(each.status, each.sha256) for each in got]


async def test_damaged__range_of_it(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A part of a damaged copy is as right as the whole (row 19)."""
    package = wheel(padding=300_000)
    origin.publish(package)
    running = await make_proxy(origin.url)
    url = address(running, package)
    await get(http, url)
    await until_kept(http, url)
    await until_idle(running)
    flip(blob_path(running, package))

    got = await get(http, url, range="bytes=4990-5009")

    assert (206, package.body.read(4990, 5010)) == (got.status, got.body)


async def test_damaged__with_the_origin_down(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Where nothing can heal it a damaged copy is an error, never wrong bytes (row 19)."""
    package = wheel(padding=300_000)
    origin.publish(package)
    running = await make_proxy(origin.url)
    url = address(running, package)
    await get(http, url)
    await until_kept(http, url)
    await until_idle(running)
    flip(blob_path(running, package))
    await origin.stop()

    got = await get(http, url)

    assert got.status == 502


@pytest.mark.parametrize("damage", [flip, halve, empty, delete], ids=lambda damage: damage.__name__)
async def test_damaged__page(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, damage: Callable[[Path], None]
) -> None:
    """A kept page is a copy like any other."""
    origin.publish(*(wheel("demo", f"1.{number}") for number in range(80)))
    running = await make_proxy(origin.url)
    first = await get(http, f"{running.url}/pypi/simple/demo/")
    (digest,) = digests(running.store)
    blob = running.store.blob(digest)
    assert blob is not None
    damage(Path(blob.path))

    got = await get(http, f"{running.url}/pypi/simple/demo/", accept="text/html;q=0.5")

    assert 200 == got.status
    assert first.body.count(b"<a ") == got.body.count(b"<a ") == 80


# ---------------------------------------------------------------------- no room


@pytest.mark.parametrize("fmt", ["json", "html"])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("clients", [1, 4])
async def test_full__file_beyond_the_bound(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    fmt: str,
    ranges: bool,
    clients: int,
) -> None:
    """A file larger than the whole bound is served through, to each who asks, and not kept (row 21)."""
    package, small = wheel(padding=3_000_000), wheel("small", padding=1000)
    origin.publish(package, small, fmt=fmt)  # type: ignore[arg-type]
    origin.file(PATH + package.filename, package.body, ranges=ranges)
    running = await make_proxy(origin.url, fetch=SMALL, disk=2_900_000)

    answers = await asyncio.gather(*(get(http, address(running, package)) for _ in range(clients)))
    await get(http, address(running, small))
    await until_kept(http, address(running, small))

    assert [(200, False, package.sha256)] * clients == [(got.status, got.broken, got.sha256) for got in answers]
    assert package.sha256 not in {digest.value for digest in digests(running.store)}


async def test_full__length_unknown(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A body whose length nobody said, larger than the bound, arrives all the same (row 21)."""
    package = wheel(padding=3_000_000)
    origin.publish(package)
    origin.misbehave(PATH + package.filename, ignores_range(), chunked())
    running = await make_proxy(origin.url, fetch=SMALL, disk=2_900_000)

    got = await get(http, address(running, package))

    assert (200, False, package.sha256) == (got.status, got.broken, got.sha256)


async def test_full__wrong_bytes_are_still_refused(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Past the store, a whole file is checked as well."""
    from tests.faults import flipped  # noqa: PLC0415

    package = wheel(padding=3_000_000)
    origin.publish(package, fmt="json")
    origin.misbehave(PATH + package.filename, flipped(2_000_000))
    running = await make_proxy(origin.url, fetch=SMALL, disk=2_900_000)

    got = await get(http, address(running, package))

    assert got.broken


async def test_full__is_counted_rightly(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What was served through counts as upstream's."""
    package = wheel(padding=3_000_000)
    origin.publish(package, fmt="json")
    running = await make_proxy(origin.url, fetch=SMALL, disk=2_900_000)

    received = sum([len((await get(http, address(running, package))).body) for _ in range(2)])

    sources = await check_bytes(running, origin, received, 2)
    assert received == sources["upstream"]


# ---------------------------------------------------------------------- a disk of its own


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("fmt", ["json", "html"])
@pytest.mark.parametrize("ranges", [True, False])
async def test_tiny_disk__file_larger_than_it(
    tiny: Path, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, fmt: str, ranges: bool
) -> None:
    """A disk that has no room, whatever the bound says: clients get all of it, and small files are kept (row 21)."""
    package, small = wheel(padding=9_000_000), wheel("small", padding=1000)
    origin.publish(package, small, fmt=fmt)  # type: ignore[arg-type]
    origin.file(PATH + package.filename, package.body, ranges=ranges)
    running = await make_proxy(origin.url, fetch={"segment": 1 << 20}, data=tiny / "data")

    answers = await asyncio.gather(*(get(http, address(running, package)) for _ in range(3)))
    await until_idle(running)
    await get(http, address(running, small))
    await until_kept(http, address(running, small))

    assert [(200, False, package.sha256)] * 3 == [(got.status, got.broken, got.sha256) for got in answers]


async def test_tiny_disk__filled_by_somebody_else(
    tiny: Path, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Somebody else fills the disk: what is kept is served, what is not is served through, and it recovers (21)."""
    kept, package = wheel("kept", padding=500_000), wheel(padding=1_000_000)
    origin.publish(kept, package)
    running = await make_proxy(origin.url, fetch=SMALL, data=tiny / "data")
    await get(http, address(running, kept))
    await until_kept(http, address(running, kept))
    other = tiny / "other"
    with other.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))

    answers = [await get(http, address(running, each)) for each in (kept, package, package)]
    await until_idle(running)
    other.unlink()
    after = await get(http, address(running, package))
    await until_idle(running)
    last = await get(http, address(running, package))

    assert [each.sha256 for each in (kept, package, package)] == [got.sha256 for got in answers]
    assert (package.sha256, "hit") == (after.sha256, last.source)


async def test_start__on_a_full_disk(
    tiny: Path, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A start that can make nothing on its disk serves all past it and says so; with room again, it keeps (row 21)."""
    package = wheel(padding=400_000)
    origin.publish(package, metadata=True)
    ballast = tiny / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    running = await make_proxy(origin.url, fetch=SMALL, data=tiny / "data")
    url = address(running, package)

    paths = [f"{running.url}/pypi/simple/demo/", url, f"{url}.metadata"]
    answers = [await get(http, path) for path in paths * 2]
    health = (await get(http, f"{running.url}/healthz")).body
    ballast.unlink()
    assert isinstance(running.opened, PendingStore)
    await usable(running.opened)
    await get(http, url)
    await until_kept(http, url)

    assert {200} == {answer.status for answer in answers}
    assert [package.sha256] * 2 == [answers[1].sha256, answers[4].sha256]
    assert [package.metadata] * 2 == [answers[2].body, answers[5].body]
    assert health.startswith(b"degraded")
    assert b"ok\n" == (await get(http, f"{running.url}/healthz")).body


async def test_read_only__serves_and_recovers(
    tiny: Path, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """On a disk that became read-only kept files are served and others served through; then it recovers (row 21)."""
    kept, package = wheel("kept", padding=300_000), wheel(padding=400_000)
    origin.publish(kept, package)
    running = await make_proxy(origin.url, fetch=SMALL, data=tiny / "data")
    await get(http, address(running, kept))
    await until_kept(http, address(running, kept))
    remount = ["mount", "-o", "remount,{}", str(tiny)]
    done = subprocess.run([word.format("ro") for word in remount], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("remounting is not possible while files are open for writing")

    answers = [await get(http, address(running, each)) for each in (kept, package)]
    await until_idle(running)
    subprocess.run([word.format("rw") for word in remount], check=True)
    after = await get(http, address(running, package))
    await until_kept(http, address(running, package))

    assert [kept.sha256, package.sha256, package.sha256] == [got.sha256 for got in (*answers, after)]


def test_segment__is_smaller_than_the_files() -> None:
    """The files of these tests come in several segments."""
    assert wheel(padding=200_000).body.size > 3 * SEGMENT


@pytest.mark.parametrize("padding", [100_000, 5_000_000], ids=["on the event loop", "in a sender thread"])
async def test_reading_fails(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    padding: int,
) -> None:
    """A sector that cannot be read breaks one transfer off; the file is dropped, and fetched again. Others go on."""
    package, other = wheel(padding=padding), wheel("other", padding=padding)
    origin.publish(package, other)
    running = await make_proxy(origin.url)
    urls = [f"{running.url}/pypi/packages/{one.filename}" for one in (package, other)]
    for url in urls:
        await get(http, url)
        await until_kept(http, url)
    send, read = os.sendfile, os.pread
    blob = running.store.blob(Digest("sha256", package.sha256))
    assert blob is not None

    def refuse(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), os.fstat(sector.fileno())):
            raise OSError(errno.EIO, "Input/output error")

    def sendfile(out: int, descriptor: int, offset: int, count: int) -> int:
        refuse(descriptor)
        return send(out, descriptor, offset, count)

    def pread(descriptor: int, count: int, offset: int) -> bytes:
        refuse(descriptor)
        return read(descriptor, count, offset)

    monkeypatch.setattr(os, "sendfile", sendfile)
    monkeypatch.setattr(os, "pread", pread)
    with Path(blob.path).open("rb") as sector:  # a file that is open keeps its number: no other one gets it
        broken, fine = await asyncio.gather(*(get(http, url, range="bytes=1-99999") for url in urls))
        assert (True, b"", 99_999) == (broken.broken, broken.body, len(fine.body))
        while running.store.blob(Digest("sha256", package.sha256)) is not None:
            await asyncio.sleep(0)
        again = await get(http, urls[0])
        assert (package.sha256, 2) == (again.sha256, origin.count(f"/packages/{package.filename}"))


async def test_folder_is_away(
    tmp_path: Path, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """While the disk is away files come from upstream, and afterwards what was stored is there as before."""
    package, data = wheel(padding=100_000), tmp_path / "data"
    origin.publish(package)
    running = await make_proxy(origin.url, data=data)
    url = address(running, package)
    await get(http, url)
    await until_kept(http, url)
    while any((data / "spool").iterdir()):
        await asyncio.sleep(0.01)
    data.rename(tmp_path / "aside")
    away = [await get(http, url) for _ in range(2)]
    health = (await get(http, f"{running.url}/healthz")).body
    (tmp_path / "aside").rename(data)
    await running.store._upkeep.probe()
    origin.forget()
    back = await get(http, url)

    assert [package.sha256] * 3 == [got.sha256 for got in (*away, back)]
    assert health.startswith(b"degraded")
    assert (0, "hit") == (origin.count(), back.headers["x-cache"])
