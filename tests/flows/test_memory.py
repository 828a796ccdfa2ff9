"""What is remembered costs little, and holds nothing of the work that it is remembered of."""

from __future__ import annotations

import gc
import types

import aiohttp
import pytest

from tests.conftest import MakeProxy
from tests.flows.asking import get
from tests.origin import Origin

_NAMES = 300
_APT = "127.0.0.1:{port}/debian"


def _tracebacks() -> int:
    gc.collect()
    return sum(isinstance(thing, types.TracebackType) for thing in gc.get_objects())


@pytest.mark.parametrize(
    "path",
    [
        "pypi/simple/demo{number}/",
        "pypi/packages/demo{number}-1.0-py3-none-any.whl",
        "pypi/packages/demo{number}-1.0-py3-none-any.whl.metadata",
        f"{_APT}/dists/suite{{number}}/InRelease",
        f"{_APT}/dists/suite{{number}}/main/binary-amd64/Packages.xz",
        f"{_APT}/pool/main/d/demo{{number}}_1_all.deb",
        f"{_APT}/demo{{number}}.asc",
    ],
)
async def test_misses__hold_no_frames(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, path: str
) -> None:
    """What is remembered of names that upstream does not have are plain facts: no traceback, no frame."""
    running = await make_proxy(origin.url, apt={"hosts": [f"127.0.0.1:{origin.port}"]})
    statuses: set[int] = set()

    async def ask(first: int, last: int) -> None:
        for number in range(first, last):
            got = await get(http, f"{running.url}/{path.format(number=number, port=origin.port)}")
            statuses.add(got.status)

    await ask(0, 10)
    before = _tracebacks()
    await ask(10, _NAMES)

    assert {404} == statuses
    assert _tracebacks() - before < 10
