"""What is remembered costs little, and holds nothing of the work that it is remembered of."""

from __future__ import annotations

import gc
import types
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests import faults
from tests.conftest import MakeProxy
from tests.flows.asking import address, get, until_idle
from tests.origin import Origin
from tests.wheels import Package, wheel

if TYPE_CHECKING:
    from proxy.app import Running

_NAMES = 300
_APT = "127.0.0.1:{port}/debian"


DOCUMENTS = [
    "pypi/simple/demo{number}/",
    f"{_APT}/dists/suite{{number}}/InRelease",
    f"{_APT}/dists/suite{{number}}/main/binary-amd64/Packages.xz",
    f"{_APT}/demo{{number}}.asc",
]
FILES = [
    "pypi/packages/demo{number}-1.0-py3-none-any.whl",
    "pypi/packages/demo{number}-1.0-py3-none-any.whl.metadata",
    f"{_APT}/pool/main/d/demo{{number}}_1_all.deb",
]


ROOMS = ("/proxy/cache/", "/proxy/upstream/", "/proxy/storage/")  # those that have buffers


def _tracebacks(*rooms: str) -> int:
    """How many there are, of frames in some rooms or in any."""
    found = [thing for thing in gc.get_objects() if isinstance(thing, types.TracebackType)]
    return sum(not rooms or any(room in one.tb_frame.f_code.co_filename for room in rooms) for one in found)


async def _ask(http: aiohttp.ClientSession, running: Running, origin: Origin, path: str, numbers: range) -> None:
    for number in numbers:
        got = await get(http, f"{running.url}/{path.format(number=number, port=origin.port)}")
        assert got.status == 404, got


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin) -> Running:
    """The program before an index and an archive that have nothing."""
    return await make_proxy(origin.url, apt={"hosts": [f"127.0.0.1:{origin.port}"]})


@pytest.mark.parametrize("path", [*DOCUMENTS, *FILES])
async def test_misses__hold_no_frames(running: Running, origin: Origin, http: aiohttp.ClientSession, path: str) -> None:
    """What is remembered of names that upstream does not have are plain facts: no traceback, no frame."""
    await _ask(http, running, origin, path, range(10))
    gc.collect()
    before = _tracebacks()
    await _ask(http, running, origin, path, range(10, _NAMES))
    gc.collect()

    assert _tracebacks() - before < 10


@pytest.mark.parametrize("path", [*DOCUMENTS, *FILES])
async def test_misses__need_no_collection(
    running: Running, origin: Origin, http: aiohttp.ClientSession, path: str
) -> None:
    """What failed is free at once, with the bodies that it had in hand: nothing of it waits for the collector."""
    await _ask(http, running, origin, path, range(10))
    gc.collect()
    gc.disable()
    try:
        before = _tracebacks()
        await _ask(http, running, origin, path, range(10, 50))
        assert _tracebacks() - before < 10
    finally:
        gc.enable()


@pytest.mark.parametrize("wrong", [True, False])
async def test_broken_transfers__need_no_collection(
    running: Running, origin: Origin, http: aiohttp.ClientSession, wrong: bool
) -> None:
    """A transfer that broke, or brought wrong bytes, gives back what it held when it ends."""
    packages = [wheel(f"demo{number}", padding=100_000) for number in range(20)]
    origin.publish(*packages)
    for package in packages:
        fault = faults.flipped(5000) if wrong else faults.cut(50_000)
        origin.misbehave(f"/packages/{package.filename}", fault, times=1)
    await _download(http, running, packages[:5], wrong=wrong)
    gc.collect()
    gc.disable()
    try:
        before = _tracebacks(*ROOMS)
        await _download(http, running, packages[5:], wrong=wrong)
        assert _tracebacks(*ROOMS) - before < 10
    finally:
        gc.enable()


async def _download(http: aiohttp.ClientSession, running: Running, packages: list[Package], *, wrong: bool) -> None:
    for package in packages:
        got = await get(http, address(running, package))
        assert (got.sha256 == package.sha256) is not wrong
    await until_idle(running)
