"""Which status an error has, and short answers in plain text. One table, looked up over the MRO.

Called by the edge, `admission` and `own_pages`. The texts of errors come from where they are raised.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from proxy import errors

# The header fields of every answer that the program makes itself.
OWN_HEADERS = {"Server": "pullthrough", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_ERROR = "X-Error"  # the text of an error, also where the answer has no body
_REASON_MOST = 250  # characters of a reason phrase: apt reads 359
STATUSES: dict[type[errors.PullthroughError], int] = {
    errors.BadTarget: 400,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.RangeNotSatisfiable: 416,
    errors.UpstreamError: 502,
    errors.ClientDenied: 401,
    errors.UpstreamThrottled: 503,
    errors.Unsettled: 503,
    errors.UpstreamTimeout: 504,
    errors.StoreError: 503,
}


def status_of(error: errors.PullthroughError) -> int:
    """The status that answers `error`."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def error_response(
    error: errors.PullthroughError, *, in_status_line: bool = False, final: bool = False
) -> web.Response:
    """The answer: plain text for a person, and the headers that help a program.

    `in_status_line`: the text is in the reason phrase too, for apt, which shows that and no body. `final`: apt has to
    fail without this file. It takes a 5xx with a body for a passing failure, after which `apt update` succeeds without
    the lists; for a 5xx without a body it fails.
    """
    headers, status, text = dict(OWN_HEADERS), status_of(error), str(error)
    if isinstance(error, errors.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, errors.UpstreamThrottled):
        headers["Retry-After"] = str(error.retry_after or 5)
    if isinstance(error, errors.ClientDenied):
        headers["WWW-Authenticate"] = 'Basic realm="archive"'
    if isinstance(error, errors.Unsettled):
        headers["Retry-After"] = "5"
    if isinstance(error, errors.NotHere):
        headers["Cache-Status"] = "pullthrough; detail=offline"  # RFC 9211: a cache that has this one as its parent
    reason = None
    if in_status_line:
        line = " ".join(text.split()).encode("ascii", "replace").decode()
        headers[_ERROR] = line
        reason = f"{HTTPStatus(status).phrase} ({line[:_REASON_MOST]})"
    body = None if final and status >= HTTPStatus.INTERNAL_SERVER_ERROR else f"{text}\n"
    return web.Response(status=status, reason=reason, text=body, headers=headers)


def text_response(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """A short answer of the program itself."""
    return web.Response(status=status, text=f"{text}\n", headers={**OWN_HEADERS, **(headers or {})})
