"""What happens when the process has no descriptors left (row 22 of the faults)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.flows.reading import get
from tests.origin import Origin
from tests.storage.disk import digests
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

PAGE = "/pypi/simple/demo/"


@contextlib.contextmanager
def exhausted(address: tuple[str, int]) -> Iterator[None]:
    """Connections to the address until no descriptor is left, in a process that may have only a few more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        few = probe.fileno() + 24
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    taken: list[socket.socket] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(socket.socket())
                taken[-1].setblocking(False)
                taken[-1].connect_ex(address)
        yield
    finally:
        for one in taken:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_no_descriptors(
    caplog: pytest.LogCaptureFixture, proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Stored files are not lost, open connections get an error, new ones are accepted later; the log has one line."""
    package = wheel(padding=1 << 20)
    origin.publish(package)
    file = f"{proxy.url}/pypi/packages/{package.filename}"
    await get(http, proxy.url + PAGE)
    await get(http, file)
    while not proxy.store.keys("file:"):
        await asyncio.sleep(0)
    known = (list(proxy.store.keys("")), sorted(map(str, digests(proxy.store))))
    parts = urlsplit(proxy.url)
    with exhausted((parts.hostname or "", parts.port or 0)):
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)
        while "no descriptor is left" not in caplog.text:
            await asyncio.sleep(0)
        within = [(await get(http, file)).status for _ in range(20)]
    got = await get(http, file)
    assert [503] * 20 == within
    assert 1 == caplog.text.count("no descriptor is left")
    assert (package.body.read(0, package.body.size), "hit") == (got.body, got.cache)
    assert known == (list(proxy.store.keys("")), sorted(map(str, digests(proxy.store))))
    async with aiohttp.ClientSession() as newcomer:
        assert (await get(newcomer, proxy.url + PAGE)).status == 200
