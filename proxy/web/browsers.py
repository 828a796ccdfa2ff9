"""What browsers are told: that pages of other sites may read public indexes (pip in the browser), and no other ones.

Whoever has credentials keeps what they open to those who ask this cache by a name that is its own: a page on the
internet can let its name lead here (DNS rebinding), and its browser takes the cache for the page's own site then.
Asked by the edge. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from proxy import address_text
from proxy.errors import BadTarget, NotAllowed
from proxy.web import failures

# Fetch standard §3.3: any page may read the answer, and all of its header fields.
READABLE = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "*"))
_PREFLIGHT = {
    **dict(READABLE),
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
    "Allow": "GET, HEAD, OPTIONS",
}


def preflight() -> web.Response:
    """What a browser asks before it asks for something that a plain link could not (Fetch standard §4.8)."""
    return web.Response(status=204, headers={**failures.FIXED, **_PREFLIGHT})


def refuse_stranger(target: str, headers: Mapping[str, str], names: AbstractSet[str]) -> None:
    """Raise NotAllowed for a browser's request that does not name this cache, at a mount with credentials.

    `names`: those of the settings. Addresses and localhost need no name service: nobody else can have them lead here.
    """
    if not _is_browser(headers):
        return
    hosts = [headers.get("Host", "")]
    if not target.startswith("/"):
        hosts.append(urlsplit(target).netloc.rpartition("@")[2])
    if not all(_is_own(host, names) for host in hosts):
        raise NotAllowed(
            "A browser asks for an index with credentials under a host name that is not in the settings. "
            "Use the address of the cache, or add the name to the setting names."
        )


def _is_browser(headers: Mapping[str, str]) -> bool:
    """Whether a browser says so: Fetch Metadata, or its name, as it sends no such fields to a site without TLS."""
    if any(name in headers for name in ("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User")):
        return True
    return headers.get("User-Agent", "").startswith("Mozilla/")


def _is_own(host: str, names: AbstractSet[str]) -> bool:
    """Whether a `Host` (RFC 9110 §7.2) is an address, localhost, or one of the names."""
    try:
        name, _ = address_text.host(host, rooted=True)
    except BadTarget:
        return False
    if name.startswith("[") or name in {"localhost", *names}:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
