"""Requests that change what is stored (POST): read, checked, carried out. The page's forms and the API share this.

A browser sends no credentials for this by itself: the token is typed into the form, or set by a program. So a page of
another site cannot send a request that counts; where the browser says that one comes from there, it is refused unread.
Called by `api` and `own_pages`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import web

from proxy.control.admin_token import TokenRefused
from proxy.control.protocol import ActionEnd, ActionWish
from proxy.errors import StoreError

_log = logging.getLogger(__name__)

MOST = 1 << 17  # bytes of a request: a thousand digests in either form
_SECONDS = 10.0  # until all of it is there
_BEARER = "bearer "
FORM, JSON = "application/x-www-form-urlencoded", "application/json"

# Does an action, given a token; None where the store is not open. Raises TokenRefused, StoreError.
Act: TypeAlias = Callable[[str, ActionWish], Awaitable[ActionEnd | None]]


class ActionRefused(Exception):
    """Nothing was done. `status`: of the answer; the text says why, for a person."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Form:
    """What a page's form has: the token, and what is to be done; None where that makes no sense."""

    token: str
    wish: ActionWish | None
    files: tuple[str, ...]


async def from_api(act: Act, request: web.BaseRequest) -> ActionEnd:
    """Do what a program asks for: an ActionWish in JSON, the token as a Bearer (RFC 6750). Raises ActionRefused."""
    check_origin(request)
    credentials = request.headers.get("Authorization", "")
    if not credentials.lower().startswith(_BEARER):
        raise ActionRefused(HTTPStatus.UNAUTHORIZED, "This takes the admin token: send Authorization: Bearer <token>.")
    if request.content_type != JSON:
        raise ActionRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send {JSON}.")
    body = await _body(request)
    try:
        wish = msgspec.json.decode(body, type=ActionWish)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ActionRefused(HTTPStatus.BAD_REQUEST, f"The body is no wish: {error}") from error
    return await carry_out(act, request, credentials[len(_BEARER) :].strip(), wish)


async def read_form(request: web.BaseRequest) -> Form:
    """What a form of the page has. Raises ActionRefused where it cannot be read."""
    check_origin(request)
    if request.content_type != FORM:
        raise ActionRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send {FORM}.")
    try:
        fields = parse_qs((await _body(request)).decode("ascii"), max_num_fields=2000)
    except ValueError as error:
        raise ActionRefused(HTTPStatus.BAD_REQUEST, "The form cannot be read.") from error
    files = tuple(dict.fromkeys(fields.get("file", [])))
    try:
        wish = msgspec.convert({"do": fields.get("do", [""])[0], "files": files}, ActionWish)
    except msgspec.ValidationError:
        wish = None
    return Form(fields.get("token", [""])[0].strip(), wish, files)


async def carry_out(act: Act, request: web.BaseRequest, token: str, wish: ActionWish) -> ActionEnd:
    """Do it, if the token is right. Raises ActionRefused."""
    try:
        end = await act(token, wish)
    except TokenRefused as refused:
        raise ActionRefused(HTTPStatus.FORBIDDEN, str(refused)) from refused
    except StoreError as error:
        raise ActionRefused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
    if end is None:
        raise ActionRefused(HTTPStatus.SERVICE_UNAVAILABLE, "The data folder is not open yet; ask again in a moment.")
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    _log.info(
        "stored files changed by the admin token",
        extra={"client": str(peer[0]) if peer else "-", "action": end.do.value, "files": end.files, "bytes": end.size},
    )
    return end


def check_origin(request: web.BaseRequest) -> None:
    """Raise ActionRefused for what a browser sends for a page of another site (Fetch standard §3.2, Fetch Metadata).

    The scheme does not count: a reverse proxy may have taken TLS away.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    host = request.headers.get("Host", "")
    if site != "same-origin" or (origin is not None and _authority(origin) != host.lower()):
        raise ActionRefused(
            HTTPStatus.FORBIDDEN, "A page of another site sent this. Open the cache's own page, and do it there."
        )


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


async def _body(request: web.BaseRequest) -> bytes:
    if (request.content_length or 0) > MOST:
        raise _too_long()
    _invite(request)
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MOST:
                    raise _too_long()
    except TimeoutError as error:
        raise ActionRefused(HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time.") from error
    return bytes(body)


def _invite(request: web.BaseRequest) -> None:
    """Have the body sent, if the client waits for a word (RFC 9110 §10.1.1): what its head said is right."""
    waits = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1)
    if waits and not request.content.is_eof() and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _too_long() -> ActionRefused:
    return ActionRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may have {MOST} bytes.")
