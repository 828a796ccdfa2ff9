"""The head of a request, read into a `Query`: range, conditions, accepted formats, and the client (RFC 9110).

The edge calls it once for each request. Pure, but for `Clients`, the memory of one connection.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import parse_qs

from aiohttp import web
from multidict import CIMultiDictProxy

from proxy import user_agent
from proxy.clients import BUILD_HOST
from proxy.errors import BadTarget
from proxy.model import Client, Query, Span
from proxy.python.metadata import MOST_WAITS
from proxy.user_agent import UserAgent

T = TypeVar("T")

_ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII | re.IGNORECASE)
_FAR = 10**18 - 2  # bytes: beyond the end of any file
_CLIENTS = 64  # remembered for one connection
_LENGTH = 512  # characters of a header field that count
_NOBODY = Client()
_PASSED_ON = ("X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host")  # what servers in front add besides


def query_of(
    request: web.BaseRequest, target: T, parameters: str = "", client: Client = _NOBODY, base: str = ""
) -> Query[T]:
    """What `request` asks for at `target`. `parameters`: the text behind the question mark, undecoded.

    `base`: by which the client surely reaches this cache, as `own_base` says. Raises BadTarget for a malformed range
    or parameters.
    """
    headers = request.headers
    method = request.method
    return Query(
        target,
        method,
        # RFC 9110 §14.2: only a GET has a range.
        parse_range(headers.get("Range")) if method == "GET" else None,
        headers.get("If-Range"),
        headers.get("If-None-Match"),
        headers.get("If-Modified-Since"),
        "no-cache" in headers.get("Cache-Control", "").lower(),
        headers.get("Accept"),
        headers.get("Accept-Encoding"),
        _format_of(parameters) if "format" in parameters else None,
        _waited(parameters) if "waited" in parameters else 0,
        headers.get("User-Agent"),
        authorization(headers.getall("Authorization", ())),
        client,
        base=base,
    )


def parse_range(header: str | None) -> Span | None:
    """The single range of a `Range` header. None for no range, several, or another unit: the answer is whole then.

    Raises BadTarget for a malformed single byte range, such as `bytes=9-3` or `bytes=-`.
    """
    if header is None or "," in header or not header.lower().startswith("bytes"):
        return None
    match = _ONE_RANGE.fullmatch(header)
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        raise BadTarget("The Range header is malformed; send one range, such as bytes=0-99.")
    if not first:
        return Span(suffix=_number(last))
    if last and _number(last) < _number(first):
        raise BadTarget("The range ends before it begins; send one range, such as bytes=0-99.")
    return Span(_number(first), _number(last) + 1 if last else None)


def authorization(values: Sequence[str]) -> str | None:
    """The credentials of a request (RFC 9110 §11.6.2): one field of printable ASCII, else None."""
    value = values[0] if len(values) == 1 else ""
    return value if value.isascii() and value.isprintable() and value else None


class Clients:
    """The clients of one connection. Several share it where a proxy passes their requests on.

    Mutable state: the snapshots that each client was handed; clients are in order of their last request.
    """

    __slots__ = ("_handed_out",)

    def __init__(self) -> None:
        self._handed_out: OrderedDict[str, dict[str, str]] = OrderedDict()

    def client(self, address: str, headers: CIMultiDictProxy[str]) -> Client:
        """Who sends a request with these header fields from `address`."""
        name = name_of(address, headers)
        handed_out = self._handed_out.setdefault(name, {})
        self._handed_out.move_to_end(name)
        if len(self._handed_out) > _CLIENTS:
            self._handed_out.popitem(last=False)
        return Client(name, is_shared(headers), handed_out)


def agent_of(headers: CIMultiDictProxy[str]) -> UserAgent:
    """The program that sends a request with these header fields."""
    return user_agent.read(headers.get("User-Agent"), in_build=in_build(headers))


def in_build(headers: CIMultiDictProxy[str]) -> bool:
    """Whether the request came by the name that builds reach the cache by."""
    return headers.get("Host", "").partition(":")[0] == BUILD_HOST


def name_of(address: str, headers: CIMultiDictProxy[str]) -> str:
    """A client's name: the connection's `address`, the client that a proxy names (RFC 7239), and the user agent."""
    names = (",".join(headers.getall(name, ())) for name in ("X-Forwarded-For", "Forwarded", "User-Agent"))
    return " ".join([address, *(name[:_LENGTH] for name in names)])


def name_alone(address: str, said: str) -> str:
    """The same of a request that no proxy passed on, by what its program `said` of itself."""
    return f"{address}   {said[:_LENGTH]}"


def is_shared(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a proxy passed the request on (RFC 9110 §7.6.3), so that other clients may share the connection."""
    return any(name in headers for name in ("Via", "X-Forwarded-For", "Forwarded"))


def came_straight(request: web.BaseRequest) -> bool:
    """Whether nothing seems to stand between the client and this cache.

    Servers that pass requests on say so, or they ask as pip does not: nginx by HTTP/1.0, with `close`, or, in its later
    versions, without a word on the connection. That one word is the client's own, and no server hands it on.
    """
    headers = request.headers
    passed_on = is_shared(headers) or any(name in headers for name in _PASSED_ON)
    return request.version >= (1, 1) and not passed_on and headers.get("Connection", "").lower() == "keep-alive"


def _number(digits: str) -> int:
    """A number of any length (RFC 9110 §14.1.1). All positions beyond the end of any file are the same."""
    digits = digits.lstrip("0")
    return min(int(digits or 0), _FAR) if len(digits) < len(str(_FAR)) + 1 else _FAR


def _format_of(parameters: str) -> str | None:
    try:
        return parse_qs(parameters, max_num_fields=20).get("format", [None])[0]
    except ValueError:
        raise BadTarget("The query has too many fields; this cache understands only format=.") from None


def _waited(parameters: str) -> int:
    """How often the client was redirected here to wait. Anything but a number that this cache wrote is the maximum."""
    match = re.fullmatch(r"waited=([0-9]{1,2})", parameters)
    return int(match[1]) if match else MOST_WAITS
