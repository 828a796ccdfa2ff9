"""Requests that are refused by their head, whatever they ask for: other methods, bodies, loops.

The edge asks before it reads an address. Pure.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from proxy.web import failures


def refusal(request: web.BaseRequest, via: str) -> web.StreamResponse | None:
    """Why a request is not looked at any further."""
    if request.method not in ("GET", "HEAD", "CONNECT", "OPTIONS") or request.raw_path == "*":
        return no_such_method()
    if _has_body(request):
        answer = failures.plain(400, "A request with a body is not answered: send GET or HEAD without one.")
    elif len(hosts := request.headers.getall("Host", ())) > 1 or (not hosts and request.version >= (1, 1)):
        answer = failures.plain(400, "A request needs exactly one Host header.")
    elif any(via in passed for passed in request.headers.getall("Via", ())):
        # RFC 9110 §7.6.3: it would ask itself again, for ever.
        answer = failures.plain(508, "This cache has itself for a proxy to upstream: see `proxy` in its settings.")
    else:
        return None
    answer.force_close()
    return answer


def no_such_method() -> web.Response:
    """The answer to what is neither GET nor HEAD."""
    answer = failures.plain(405, "This cache only reads: use GET or HEAD.", {"Allow": "GET, HEAD"})
    answer.force_close()
    return answer


def _has_body(request: web.BaseRequest) -> bool:
    if request.method != "CONNECT":
        return request.body_exists
    # RFC 9110 §9.3.6: what follows the head of a CONNECT is no body, and the head announces none.
    return hdrs.CONTENT_LENGTH in request.headers or hdrs.TRANSFER_ENCODING in request.headers
