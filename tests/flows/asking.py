"""Asking the program for files as a client does, and holding its figures against the origin's own counters."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import aiohttp

from tests import scrape
from tests.bodies import Body, pieces
from tests.origin import Origin
from tests.wheels import Package

if TYPE_CHECKING:
    from proxy.app import Running

SEGMENT = 1 << 16  # bytes: the smallest that the settings take, so that small files come in several ranges
SMALL = {"segment": SEGMENT}


@dataclass(frozen=True, slots=True)
class Got:
    """What a client received. `broken`: the transfer ended before its framing said so."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def source(self) -> str:
        """How the cache says that the answer came about."""
        return self.headers["x-cache"]


class SteppedClock:
    """`ports.Clock` on the loop's own time, which a test may put forward, or its wall time anywhere."""

    def __init__(self) -> None:
        self.wall = 1_790_000_000.0
        self._steps = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self._steps += seconds

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self._steps


def address(running: Running, package: Package, folder: str = "packages/", mount: str = "pypi") -> str:
    """Where the cache has a file of the origin."""
    return f"{running.url}/{mount}/{folder}{package.filename}"


async def get(http: aiohttp.ClientSession, url: str, method: str = "GET", **headers: str) -> Got:
    """Ask, and read to the end or the break. `if_range="…"` becomes the header `If-Range`.

    It asks again where it is told to because metadata takes long, as it does on a slow machine.
    """
    fields = {name.replace("_", "-").title(): value for name, value in headers.items()}
    async with http.request(method, url, headers=fields, allow_redirects=False) as response:
        body = bytearray()
        broken = False
        try:
            async for piece in response.content.iter_any():
                body += piece
        except aiohttp.ClientError:
            broken = True
        got = Got(response.status, {k.lower(): v for k, v in response.headers.items()}, bytes(body), broken)
    if got.status == 302 and "?waited=" in (location := got.headers["location"]):
        return await get(http, urljoin(url, location), method, **headers)
    return got


async def until_kept(http: aiohttp.ClientSession, url: str) -> Got:
    """Ask for the head until the file comes from the disk."""
    while (got := await get(http, url, "HEAD")).headers.get("x-cache") not in {"hit", "revalidated"}:
        assert got.status == 200, got
    return got


async def until_idle(running: Running) -> None:
    """Wait until no download is under way."""
    while scrape.metric(running, "pullthrough_downloads_in_flight"):
        await asyncio.sleep(0)


async def check_bytes(running: Running, origin: Origin, received: int, requests: int) -> dict[str, int]:
    """Hold the figures against what was counted outside, when `requests` answers are counted; gives the sources.

    What was sent is what clients `received`, from three sources; what was fetched is what the origin sent.
    """
    while scrape.metric(running, "pullthrough_requests_total") < requests:
        await asyncio.sleep(0)
    await until_idle(running)
    sources = {
        source: int(scrape.metric(running, "pullthrough_sent_bytes_total", source=source))
        for source in ("cache", "shared", "upstream")
    }
    assert received == sum(sources.values()), sources
    assert origin.sent_body_bytes() == int(scrape.metric(running, "pullthrough_fetched_bytes_total"))
    return sources


def content(body: Body) -> bytes:
    """All of a body; for small ones."""
    return b"".join(pieces(body))
