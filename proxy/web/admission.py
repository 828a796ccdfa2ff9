"""Which requests are looked at: refusals by method, body, loop, and the browser's page that sends them. Pure.

Pages of other sites may read public indexes (pip in the browser), and no other ones (the Fetch standard's CORS).
Indexes and archives with credentials answer browsers only under names that are this cache's own: a page on the
internet can let its name lead here (DNS rebinding), and its browser takes the cache for the page's own site then.
Called by the edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from proxy import address_text
from proxy.errors import BadTarget, NotAllowed
from proxy.web.error_responses import OWN_HEADERS, text_response

# Fetch standard §3.3: any page may read the answer, and all of its header fields.
READABLE = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "*"))
_PREFLIGHT = {
    **dict(READABLE),
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
    "Allow": "GET, HEAD, OPTIONS",
}


def refusal(request: web.BaseRequest, via: str) -> web.StreamResponse | None:
    """The answer to a request that is refused by its head; None for all others. `via`: this cache's name in `Via`."""
    if request.method not in ("GET", "HEAD", "CONNECT", "OPTIONS") or request.raw_path == "*":
        return no_such_method()
    if _has_body(request):
        answer = text_response(400, "A request with a body is not answered: send GET or HEAD without one.")
    elif len(hosts := request.headers.getall("Host", ())) > 1 or (not hosts and request.version >= (1, 1)):
        answer = text_response(400, "A request needs exactly one Host header.")
    elif any(via in passed for passed in request.headers.getall("Via", ())):
        # RFC 9110 §7.6.3: it would ask itself again, for ever.
        answer = text_response(508, "This cache has itself for a proxy to upstream: see `proxy` in its settings.")
    else:
        return None
    answer.force_close()
    return answer


def no_such_method() -> web.Response:
    """The answer to what is neither GET nor HEAD."""
    answer = text_response(405, "This cache only reads: use GET or HEAD.", {"Allow": "GET, HEAD"})
    answer.force_close()
    return answer


def preflight() -> web.Response:
    """The answer to the preflight request of a browser (Fetch standard §4.8)."""
    return web.Response(status=204, headers={**OWN_HEADERS, **_PREFLIGHT})


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


def _has_body(request: web.BaseRequest) -> bool:
    if request.method != "CONNECT":
        return request.body_exists
    # RFC 9110 §9.3.6: what follows the head of a CONNECT is no body, and the head announces none.
    return hdrs.CONTENT_LENGTH in request.headers or hdrs.TRANSFER_ENCODING in request.headers


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
