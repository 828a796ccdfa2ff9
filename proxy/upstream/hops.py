"""Hops: which address a request goes to next (RFC 9110 §15.4), with which headers, and with which credentials.

The client follows redirects by hand, hop by hop, and checks each with the guard. Credentials stay with the origin that
they are meant for. They expire, and are renewed where they are kept: so a response that may mean "unknown credentials"
is reason for one look there, and for one more request if something else is there by now; never for a third.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import quote

from yarl import URL

from proxy.errors import NotAllowed, UpstreamBroken
from proxy.ports import Credentials
from proxy.upstream.reply import AiohttpReply

REDIRECTS = frozenset((301, 302, 303, 307, 308))
LIMIT = 5  # hops that are followed
_SCHEMES = ("http", "https")
_CREDENTIALS = frozenset(("authorization", "cookie", "proxy-authorization"))
# RFC 3986 §2: all characters that may stand in an address, and "%"; others are sent percent-encoded.
_PLAIN = ":/?#[]@!$&'()*+,;=-._~%"

_CONTROL = frozenset((*range(0x20), 0x7F))
# What an index may answer a request without the right credentials: ask for a name and a password, deny that there is
# anything, redirect to a page for signing in, or on to a public index.
_UNAUTHENTICATED = REDIRECTS | frozenset((401, 403, 404))

Hop = Callable[[dict[str, str]], Awaitable[AiohttpReply]]


@lru_cache(maxsize=256)  # one request asks several times
def parse(text: str) -> URL:
    """The address of the first request, without its fragment. Raises NotAllowed for one that may not be requested."""
    url = _url(text.encode())
    if url is None or url.scheme not in _SCHEMES or url.raw_host is None:
        raise NotAllowed("The address to be fetched is not a plain http or https address.")
    return url


def follow(url: URL, location: str | None) -> URL:
    """Where a response of `url` with this `Location` leads. Raises UpstreamBroken if it must not be followed."""
    if not location:
        raise UpstreamBroken("Upstream redirects without saying where to.")
    # RFC 9110 §5.5: what is not ASCII came as bytes and was decoded one by one; an address has them percent-encoded.
    reference = _url(location.encode("latin-1", "replace"))
    target = url.join(reference) if reference is not None else None
    if target is None or target.scheme not in _SCHEMES or target.raw_host is None:
        raise UpstreamBroken("Upstream redirects to something that is not a plain http or https address.")
    if url.scheme == "https" and target.scheme == "http":
        raise UpstreamBroken("Upstream redirects from https to http; what came back could not be trusted.")
    return target


def headers_for(target: URL, url: URL, headers: dict[str, str]) -> dict[str, str]:
    """The headers for the next hop: credentials stay with the origin (scheme, host, port) that they are meant for."""
    if _origin(target) == _origin(url):
        return headers
    return {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}


def _origin(url: URL) -> tuple[str, str, int | None]:
    """Scheme, host and port (RFC 6454 §4), the same whether or not a default port is written out."""
    return url.scheme, (url.raw_host or "").lower(), url.port


def _url(raw: bytes) -> URL | None:
    """Parse an address or a relative reference, keeping its percent-encoding. None if it is neither."""
    if not _CONTROL.isdisjoint(raw):
        return None
    try:
        url = URL(quote(raw.strip(), safe=_PLAIN), encoded=True).with_fragment(None)
        authority = url.raw_host or ""
        port = url.explicit_port
    except ValueError:
        return None
    # A user name before the host makes one host look like another, and would be credentials from elsewhere.
    return None if url.raw_user is not None or url.raw_password is not None or "%" in authority or port == 0 else url


class Authentication:
    """Sends requests with the credentials that the settings have for them, if any."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    async def send(self, hop: Hop, mount: str, url: str, headers: dict[str, str]) -> tuple[AiohttpReply, bool]:
        """The response of a hop, and whether the request carried credentials."""
        if self._credentials is None:
            return await hop(headers), False
        authorization = self._credentials.authorization(mount, url)
        reply = await hop(_with(headers, authorization))
        if reply.status not in _UNAUTHENTICATED:
            return reply, authorization is not None
        try:
            renewed = await self._credentials.renewed(mount, url, authorization)
            if renewed is None:
                return reply, authorization is not None
            await reply.drain()
        except BaseException:
            reply.close()
            raise
        return await hop(_with(headers, renewed)), True


def _with(headers: dict[str, str], authorization: str | None) -> dict[str, str]:
    return headers if authorization is None else {**headers, "Authorization": authorization}
