"""Every byte of a body that a client received is counted, however the client's connection ends (invariant 9)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests import scrape
from tests.bodies import Noise
from tests.conftest import MakeProxy
from tests.flows.asking import SMALL, get, until_idle, until_kept
from tests.origin import Origin
from tests.pages import JSON
from tests.wheels import Package, wheel

if TYPE_CHECKING:
    from proxy.app import Running

_SIZE = 700_000


@dataclass
class Client:
    """Asks over bare connections, and closes each as soon as it has what it wants."""

    running: Running
    received: int = 0
    answers: int = 0

    async def ask(self, path: str, headers: dict[str, str], *, method: str = "GET", stop: int | None = None) -> bytes:
        """The body; all of it, or its first `stop` bytes and then a reset."""
        parts = urlsplit(self.running.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if stop is not None:
                return await reader.readexactly(stop)
            if method == "HEAD" or " 304 " in head.splitlines()[0]:
                return b""
            if "transfer-encoding: chunked" in head:
                return await _unchunked(reader)
            return await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        finally:
            writer.transport.abort()

    async def take(self, path: str, *, method: str = "GET", **headers: str) -> bytes:
        """A whole body, which is exactly what is counted once the answer is over."""
        body = await self.ask(path, headers, method=method)
        self.received += len(body)
        await self.over()
        assert self.received == self.sent
        return body

    async def break_off(self, path: str, stop: int, most: int, **headers: str) -> None:
        """A body of which only the beginning is taken: what is counted lies between that and all of it."""
        await self.ask(path, headers, stop=stop)
        await self.over()
        assert self.received + stop <= self.sent <= self.received + most
        self.received = self.sent

    async def over(self) -> None:
        """Wait until one more answer is counted."""
        self.answers += 1
        while self.running.metrics.answers < self.answers:  # rendering takes long
            await asyncio.sleep(0)

    @property
    def sent(self) -> int:
        """What the program says that it sent, from all sources."""
        return int(scrape.metric(self.running, "pullthrough_sent_bytes_total"))


async def _unchunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:size]
    assert b"\r\n" == await reader.readline()
    return body


def _published(origin: Origin, number: int, *, length: bool = True) -> Package:
    package = wheel(f"demo{number}", padding=_SIZE)
    origin.file(f"/packages/{package.filename}", package.body, length=length)
    return package


@pytest.fixture
async def client(make_proxy: MakeProxy, origin: Origin) -> Client:
    """A client of a program that takes files in several ranges."""
    return Client(await make_proxy(origin.url, fetch=SMALL))


async def test_range_of_a_cold_file(client: Client, origin: Origin) -> None:
    """Passed on, and closed with its last byte."""
    for number in range(30):
        package = _published(origin, number)
        body = await client.take(f"/pypi/packages/{package.filename}", Range="bytes=0-299999")
        assert package.body.read(0, 300_000) == body


@pytest.mark.parametrize("length", [True, False], ids=["of known length", "in chunks"])
async def test_cold_and_kept_file(client: Client, origin: Origin, http: aiohttp.ClientSession, length: bool) -> None:
    """A file while it is fetched, and when it is here; with a length, and without."""
    for number in range(5):
        package = _published(origin, number, length=length)
        path = f"/pypi/packages/{package.filename}"
        for _ in range(2):
            assert package.body.read(0, package.body.size) == await client.take(path)
            await until_idle(client.running)
        assert b"" == await client.take(path, method="HEAD")


async def test_list_of_projects(client: Client, origin: Origin) -> None:
    """Passed through and rewritten, in chunks whose framing does not count."""
    origin.resource("/simple/", Noise(_SIZE), content_type=JSON)
    assert Noise(_SIZE).read(0, _SIZE) == await client.take("/pypi/simple/", Accept=JSON)


@pytest.mark.parametrize("seed", range(4))
async def test_any_mix(client: Client, origin: Origin, http: aiohttp.ClientSession, seed: int) -> None:
    """Wholes, ranges, heads, pages and transfers that break off anywhere, cold and kept, in any order."""
    chance = random.Random(seed)
    packages = [wheel(f"demo{number}", padding=chance.choice([100, 60_000, 300_000, _SIZE])) for number in range(8)]
    origin.publish(*packages)
    for _ in range(40):
        package = chance.choice(packages)
        path, size = f"/pypi/packages/{package.filename}", package.body.size
        start, end = sorted(chance.sample(range(size), 2))
        match chance.randrange(6):
            case 0:
                await client.take(path)
            case 1:
                await client.take(path, Range=f"bytes={start}-{end}")
            case 2:
                await client.take(path, method="HEAD", Range=f"bytes={start}-{end}")
            case 3:
                await client.take(f"/pypi/simple/{package.project}/", Accept=JSON)
            case 4:
                await client.break_off(path, start, size)
            case _:
                await client.break_off(path, (end - start) // 2, end - start + 1, Range=f"bytes={start}-{end}")
    for package in packages:
        url = f"{client.running.url}/pypi/packages/{package.filename}"
        assert package.sha256 == (await get(http, url)).sha256
        await until_kept(http, url)
