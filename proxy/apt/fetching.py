"""Fetching a Release file: one conditional request, and the body, within a limit.

`snapshots` calls it. Keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from proxy.apt import release
from proxy.cache.bodies import Bodies
from proxy.cache.conditional import conditional
from proxy.errors import UpstreamBroken
from proxy.model import Ask, Kind, Site, Validator
from proxy.ports import Upstream


@dataclass(frozen=True, slots=True)
class Sent:
    """What upstream sent. `date`: its own clock, as it wrote it."""

    url: str  # after redirects
    body: bytes
    validator: Validator
    date: str | None


async def fetch(upstream: Upstream, bodies: Bodies, url: str, site: Site, conditions: dict[str, str]) -> Sent | None:
    """Ask for `url`; None if upstream says that what the conditions name is still right.

    Raises TooLarge, UpstreamBroken, UpstreamTimeout, and what `Upstream.get` raises.
    """
    # As apt asks: caches on the way to the archive are to ask it (RFC 9111 §5.2.1.1).
    ask = Ask(url, site, {"Cache-Control": "max-age=0"}, Kind.RELEASE)
    async with conditional(upstream, ask, conditions) as reply:
        if reply.status == HTTPStatus.NOT_MODIFIED and conditions:
            return None
        if reply.status != HTTPStatus.OK:
            raise UpstreamBroken("Upstream gave part of a Release file, or nothing, where the whole was asked.")
        async with bodies.whole(reply, url, text=True, most=release.MOST) as body:
            return Sent(reply.url, body, reply.validator, reply.headers.get("date"))
