"""Requests through a proxy: what they carry for it, and what its failures mean.

The client and `tunnel_connections` use it. A request of an http address goes to the proxy in absolute form. For https
the proxy opens a tunnel (CONNECT), and what is meant for the proxy stays outside. Its credentials go to nobody else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from proxy.config.proxies import Proxy
from proxy.errors import NoDescriptor, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.upstream import failures

_UNAUTHORIZED = 407
_LOOP = 508
_OWN = frozenset((_UNAUTHORIZED, _LOOP))
_UNTRUSTED = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)
_ESTABLISHED = range(200, 300)
_HIGHEST_REFUSAL = 499  # above it the proxy tried, and failed
# RFC 9112 §4: the first line of an answer.
_STATUS = re.compile(rb"HTTP/1\.[01] (?P<status>[0-9]{3})[ \r]")


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure on the way through a proxy. `own`: the proxy fails, whatever the host."""

    error: UpstreamError
    own: bool
    again: bool = False  # a retry at once may help


def addressed(proxy: Proxy, url: URL, headers: Mapping[str, str], via: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers of a request, and the other arguments with which aiohttp sends it through the proxy.

    `via` names this cache to the proxies (RFC 9110 §7.6.3), so that it notices its own requests.
    """
    own = _own(proxy, via)
    if url.scheme == "http":
        return {**headers, **own}, {"proxy": URL(proxy.url)}
    return dict(headers), {"proxy": URL(proxy.url), "proxy_headers": own}


def fault(error: Exception, proxy: Proxy) -> Fault:
    """What an exception of aiohttp means for a request through the proxy."""
    found = failures.failure(error)
    if isinstance(found, NoDescriptor):
        return Fault(found, own=False, again=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return refused(error.status, proxy)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return unreachable(proxy)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        unknown = f"The name of the proxy that {proxy.source} names is not known here; check it, and the network."
        return Fault(UpstreamUnreachable(unknown), own=True, again=True)
    if isinstance(error, _UNTRUSTED) and (error.host, error.port) == (URL(proxy.url).raw_host, URL(proxy.url).port):
        return untrusted(error, proxy)
    if isinstance(found, (UpstreamUnreachable, UpstreamTimeout)):
        # Which of the two failed is not known here.
        found = type(found)(f"{found} The way led through the proxy that {proxy.source} names.")
    return Fault(found, own=False, again=failures.soon_again(error))


def untrusted(error: Exception, proxy: Proxy) -> Fault:
    """What a failure of TLS with a proxy at an https address means."""
    wrong = failures.wrong_certificate(error)
    text = (
        f"The proxy that {proxy.source} names does not speak TLS there. Most proxies do not, also those for https; "
        "write http:// in front of its host."
        if wrong is None
        else f"The TLS certificate of the proxy that {proxy.source} names {wrong}"
    )
    return Fault(UpstreamUnreachable(text), own=True)


def answered(status: int, url: URL, proxy: Proxy) -> Fault | None:
    """What a status of the proxy's own means; None if it may be upstream's, as all are that come through a tunnel."""
    return refused(status, proxy) if url.scheme == "http" and status in _OWN else None


def unreachable(proxy: Proxy) -> Fault:
    """No connection to the proxy."""
    error = UpstreamUnreachable(
        f"The proxy that {proxy.source} names cannot be reached; check the address, and that it is up."
    )
    return Fault(error, own=True, again=True)


def refused(status: int, proxy: Proxy) -> Fault:
    """What a proxy's refusal means: of CONNECT, or a 407 to any request."""
    if status == _LOOP:
        circle = f"The proxy that {proxy.source} names sends requests back to this cache; name the one behind it there."
        return Fault(UpstreamUnreachable(circle), own=True)
    if status == _UNAUTHORIZED:
        wrong = "refuses the user and password that it was given" if proxy.authorization else "wants user and password"
        return Fault(
            UpstreamUnreachable(
                f"The proxy that {proxy.source} names {wrong} (407); write them as "
                "http://user:password@host:port there. Only the scheme Basic is supported."
            ),
            own=True,
        )
    if status <= _HIGHEST_REFUSAL:
        error = UpstreamUnreachable(
            f"The proxy that {proxy.source} names opens no way to upstream's host and port ({status}); allow it there, "
            "or name the host in NO_PROXY."
        )
        return Fault(error, own=False)
    error = UpstreamUnreachable(
        f"The proxy that {proxy.source} names could not reach upstream ({status}). Try again later."
    )
    return Fault(error, own=False, again=True)


async def connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: Proxy, authority: str, via: str
) -> None:
    """Ask a proxy, on a fresh connection, for a tunnel to `host:port`. Raises UpstreamUnreachable, OSError."""
    fields = {"Host": authority, **_own(proxy, via)}
    lines = (f"CONNECT {authority} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()))
    writer.write("\r\n".join((*lines, "", "")).encode("ascii"))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        head = b""
    match = _STATUS.match(head)
    if match is None:
        raise UpstreamUnreachable(f"The proxy that {proxy.source} names gave no answer that can be read.")
    status = int(match["status"])
    if status not in _ESTABLISHED:
        raise refused(status, proxy).error


def _own(proxy: Proxy, via: str) -> dict[str, str]:
    """The header fields for the proxy."""
    fields = {"Via": f"1.1 {via}"} if via else {}
    return {**fields, "Proxy-Authorization": proxy.authorization} if proxy.authorization else fields
