"""Which status an error has at the edge, and the short text that says what to do. One table, looked up over the MRO."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from proxy import errors

# What every answer of the program itself carries.
OWN_HEADERS = {"Server": "pullthrough", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
ERROR = "X-Error"  # the text of an error, where an answer has no body for it
_LONGEST = 250  # characters of a reason phrase: apt reads 359
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


def error_response(error: errors.PullthroughError, *, aloud: bool = False, final: bool = False) -> web.Response:
    """The answer: plain text for a person, and the headers that help a program.

    `aloud`: for apt, which shows the reason phrase of a status line and no body: the text stands there, too. `final`:
    apt is not to go on without what it asked for. A 5xx with a body counts with it as a hiccup, for which it ends
    well and without lists; one that has no body does not.
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
    reason = None
    if aloud:
        line = " ".join(text.split()).encode("ascii", "replace").decode()
        headers[ERROR] = line
        reason = f"{HTTPStatus(status).phrase} ({line[:_LONGEST]})"
    body = None if final and status >= HTTPStatus.INTERNAL_SERVER_ERROR else f"{text}\n"
    return web.Response(status=status, reason=reason, text=body, headers=headers)


def text_response(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """A short answer of the edge itself."""
    return web.Response(status=status, text=f"{text}\n", headers={**OWN_HEADERS, **(headers or {})})
