"""Which requests are refused by their head: by method, body, loop, and the page that a browser sends them for. Pure.

Pages of other sites may read public indexes (pip in the browser) and nothing else (CORS, in the Fetch standard).
Indexes and archives with credentials answer browsers only under this cache's own names. A page on the internet can let
its own name resolve to this cache (DNS rebinding); its browser then takes the cache for the page's site. Called by the
edge.
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
CORS_FIELDS = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "*"))
CHANGING = frozenset({"/", "/api/v1/stored"})  # where POST is taken, from those who have the admin token
_PREFLIGHT = {
    **dict(CORS_FIELDS),
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
    "Allow": "GET, HEAD, OPTIONS",
}


def refusal(request: web.BaseRequest, via: str) -> web.StreamResponse | None:
    """The answer to a request that is refused; None for all others. `via`: this cache's name in `Via`."""
    changing = request.raw_path.partition("?")[0] in CHANGING
    posted = changing and request.method == "POST"
    if not (posted or request.method in ("GET", "HEAD", "CONNECT", "OPTIONS")) or request.raw_path == "*":
        return method_not_allowed(changing=changing)
    if not posted and _has_body(request):
        answer = text_response(400, "Send GET or HEAD without a body.")
    elif len(hosts := request.headers.getall("Host", ())) > 1 or (not hosts and request.version >= (1, 1)):
        answer = text_response(400, "Send exactly one Host header.")
    elif any(via in passed for passed in request.headers.getall("Via", ())):
        # RFC 9110 §7.6.3: otherwise it would forward the request to itself for ever.
        answer = text_response(
            508, "This cache is its own proxy or parent: change `proxy` or `parent` in its settings."
        )
    else:
        return None
    answer.force_close()
    return answer


def method_not_allowed(*, changing: bool = False) -> web.Response:
    """The answer to any method but GET and HEAD. `changing`: the address is one of `CHANGING`."""
    text, allowed = "This cache only reads: use GET or HEAD.", "GET, HEAD"
    if changing:
        text, allowed = "Use GET, HEAD or POST.", "GET, HEAD, POST"
    answer = text_response(405, text, {"Allow": allowed})
    answer.force_close()
    return answer


def preflight() -> web.Response:
    """The answer to the preflight request of a browser (Fetch standard §4.8)."""
    return web.Response(status=204, headers={**OWN_HEADERS, **_PREFLIGHT})


def check_browser_host(target: str, headers: Mapping[str, str], names: AbstractSet[str]) -> None:
    """Raise NotAllowed for a browser's request under a host name that is not this cache's own.

    `names`: those of the settings. IP addresses and localhost are always right: no name server can redirect them.
    """
    if not _is_browser(headers):
        return
    hosts = [headers.get("Host", "")]
    if not target.startswith("/"):
        hosts.append(urlsplit(target).netloc.rpartition("@")[2])
    if not all(is_own_host(host, names) for host in hosts):
        raise NotAllowed(
            "A browser asks for an index with credentials under a host name that is not in the settings. "
            "Use the address of the cache, or add the name to the setting names."
        )


def _has_body(request: web.BaseRequest) -> bool:
    if request.method != "CONNECT":
        return request.body_exists
    # RFC 9110 §9.3.6: the bytes behind the head of a CONNECT are no body, and the head announces none.
    return hdrs.CONTENT_LENGTH in request.headers or hdrs.TRANSFER_ENCODING in request.headers


def _is_browser(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent this: by Fetch Metadata, or by its name, as sites without TLS do not get the former."""
    if any(name in headers for name in ("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User")):
        return True
    return is_browser_name(headers.get("User-Agent", ""))


def is_browser_name(agent: str) -> bool:
    """Whether a User-Agent is one that browsers have."""
    return agent.startswith("Mozilla/")


def is_own_host(host: str, names: AbstractSet[str]) -> bool:
    """Whether a `Host` (RFC 9110 §7.2) is an address, localhost, or one of the names.

    No name server can redirect these.
    """
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
