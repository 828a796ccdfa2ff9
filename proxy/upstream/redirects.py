"""Addresses and redirects as values: what may be asked next, and with which headers (RFC 9110 §15.4).

The client follows redirects by hand, hop by hop, and checks each with the guard. Never asks anything itself.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from yarl import URL

from proxy.errors import NotAllowed, UpstreamBroken

STATUSES = frozenset((301, 302, 303, 307, 308))
LIMIT = 5  # hops that are followed
_SCHEMES = ("http", "https")
_CREDENTIALS = frozenset(("authorization", "cookie", "proxy-authorization"))
# RFC 3986 §2: all characters that may stand in an address, and "%"; others are sent percent-encoded.
_PLAIN = ":/?#[]@!$&'()*+,;=-._~%"

_CONTROL = frozenset((*range(0x20), 0x7F))


@lru_cache(maxsize=256)  # one request asks several times
def parse(text: str) -> URL:
    """The address to ask first, without its fragment. Raises NotAllowed where it is none that may be asked."""
    url = _url(text.encode())
    if url is None or url.scheme not in _SCHEMES or url.raw_host is None:
        raise NotAllowed("The address to be fetched is not a plain http or https address.")
    return url


def follow(url: URL, location: str | None) -> URL:
    """Where an answer of `url` with this `Location` leads. Raises UpstreamBroken where it must not be followed."""
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
    """What may be sent on: credentials stay with the origin (scheme, host, port) that they were meant for."""
    if _origin(target) == _origin(url):
        return headers
    return {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}


def _origin(url: URL) -> tuple[str, str, int | None]:
    """Scheme, host and port (RFC 6454 §4), the same whether or not a default port is written out."""
    return url.scheme, (url.raw_host or "").lower(), url.port


def _url(raw: bytes) -> URL | None:
    """Parse an address or a relative reference, keeping its percent-encoding as it is. None if it is neither."""
    if not _CONTROL.isdisjoint(raw):
        return None
    try:
        url = URL(quote(raw.strip(), safe=_PLAIN), encoded=True).with_fragment(None)
        authority = url.raw_host or ""
        port = url.explicit_port
    except ValueError:
        return None
    # A user name in front of the host is how one host is made to look like another, and credentials by a side door.
    return None if url.raw_user is not None or url.raw_password is not None or "%" in authority or port == 0 else url
