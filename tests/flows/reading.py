"""An answer of the program as a client library gives it, read whole: where the wire itself does not matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import aiohttp
import msgspec


@dataclass(frozen=True, slots=True)
class Got:
    """Status, header fields under their lower-case names, and the body as it came, undecoded."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def cache(self) -> str:
        """What `X-Cache` says."""
        return self.headers.get("x-cache", "-")

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return msgspec.json.decode(self.body)


async def get(http: aiohttp.ClientSession, url: str, method: str = "GET", **headers: str) -> Got:
    """As `get_once`, but asks again where it is told to because metadata takes long, as it does on a slow machine."""
    got = await get_once(http, url, method, **headers)
    if got.status == 302 and "?waited=" in (location := got.headers["location"]):
        return await get(http, urljoin(url, location), method, **headers)
    return got


async def get_once(http: aiohttp.ClientSession, url: str, method: str = "GET", **headers: str) -> Got:
    """Ask, following no redirect. `accept_encoding="gzip"` becomes the header `Accept-Encoding`."""
    given = {name.replace("_", "-").title(): value for name, value in headers.items()}
    async with http.request(method, url, headers=given, allow_redirects=False) as answer:
        body = await answer.read()
        return Got(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)
