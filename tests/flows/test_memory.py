"""What is remembered costs little, and holds nothing of the work that it is remembered of."""

from __future__ import annotations

import gc
import types
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.conftest import MakeProxy
from tests.flows.asking import get
from tests.origin import Origin

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


def _tracebacks() -> int:
    return sum(isinstance(thing, types.TracebackType) for thing in gc.get_objects())


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


@pytest.mark.parametrize("path", DOCUMENTS)
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
