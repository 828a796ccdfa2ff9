"""Fetching a Release file: one conditional request, and the body as it came, within a limit.

`snapshots` calls it. Never decodes a body, and keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from proxy.errors import TooLarge, UpstreamBroken
from proxy.model import Ask, Site, Validator
from proxy.ports import Upstream


@dataclass(frozen=True, slots=True)
class Sent:
    """What upstream sent. `date`: its own clock, as it wrote it."""

    url: str  # after redirects
    body: bytes
    validator: Validator
    date: str | None


async def fetch(upstream: Upstream, url: str, site: Site, conditions: dict[str, str], most: int) -> Sent | None:
    """Ask for `url`; None if upstream says that what the conditions name is still right.

    `most`: bytes that are taken, at most. Raises TooLarge, UpstreamBroken, and what `Upstream.get` raises.
    """
    # As apt asks: caches on the way to the archive are to ask it (RFC 9111 §5.2.1.1).
    async with upstream.get(Ask(url, site, {"Cache-Control": "max-age=0", **conditions})) as reply:
        if reply.status == HTTPStatus.NOT_MODIFIED and conditions:
            return None
        if reply.status != HTTPStatus.OK:
            raise UpstreamBroken("Upstream gave part of a Release file, or nothing, where the whole was asked.")
        body = bytearray()
        async for chunk in reply.chunks():
            body += chunk
            if len(body) > most:
                raise TooLarge(f"Upstream's Release file is larger than {most} bytes; apt would not take it either.")
        headers = reply.headers
        validator = Validator(headers.get("etag"), headers.get("last-modified"))
        return Sent(reply.url, bytes(body), validator, headers.get("date"))
