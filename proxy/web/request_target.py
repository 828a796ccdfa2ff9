"""The forms in which a request names what it wants (RFC 9112 §3.2): this cache's own addresses, or an archive.

The edge reads each request's target here, once. A request in proxy form that is addressed to this cache is the same as
in origin form. Pure; never decides whether an address is allowed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.address_text import unmapped
from proxy.apt import addresses
from proxy.apt.addresses import ArchiveAddress
from proxy.errors import BadTarget, NotAllowed

_HTTP = 80
_SECURE = "https"  # in place of a host: what apt-cacher-ng's users write before an archive that has TLS


@dataclass(frozen=True, slots=True)
class Own:
    """A path on this cache, undecoded, and its query."""

    path: str
    query: str

    @property
    def shown(self) -> str:
        """What the log says."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Archived:
    """A file of an apt archive."""

    address: ArchiveAddress

    @property
    def shown(self) -> str:
        """What the log says."""
        return addresses.prefix(self.address)


def read(raw: str, own: tuple[str, int] | None, mounts: Container[str], names: Container[str] = ()) -> Own | Archived:
    """Read a request's target. Raises BadTarget, NotAllowed.

    `own`: the address that the client connected to; `names`: what else the cache is called, in lower case.
    """
    if raw.startswith("/"):
        return _origin(raw)
    try:
        parts = urlsplit(raw)
        port = parts.port or _HTTP
    except ValueError:
        raise BadTarget("The address has no host and port that can be read.") from None
    if not parts.scheme or not parts.netloc:
        raise BadTarget("The address is neither a path that begins with a slash nor a whole address.")
    if parts.scheme != "http":
        raise NotAllowed("Ask for an https archive as http://HTTPS///<host>/<path>; this cache is not an open proxy.")
    behind = raw[raw.index("//") + 2 :]
    path = behind[behind.index("/") :] if "/" in behind else "/"
    if own is not None and port == own[1]:
        host = unmapped(parts.hostname or "").removesuffix(".")
        if port != _HTTP or (host != _SECURE and (host == own[0] or host in names or _is_ours(path, mounts))):
            return _origin(path)
    return Archived(addresses.parse_proxied(raw))


def archived(
    targets: Iterable[str], own: tuple[str, int] | None, mounts: Container[str], names: Container[str] = ()
) -> Iterator[ArchiveAddress]:
    """The archives' addresses among the targets of requests that wait; what cannot be read is told in its turn."""
    for raw in targets:
        try:
            target = read(raw, own, mounts, names)
        except (BadTarget, NotAllowed):
            continue
        if isinstance(target, Archived):
            yield target.address


def _is_ours(path: str, mounts: Container[str]) -> bool:
    """Whether a path in proxy form, to a cache at port 80, is one of the cache and not of an archive."""
    return addresses.is_prefix(path) or path[1:].partition("/")[0] in mounts


def _origin(raw: str) -> Own | Archived:
    if "#" in raw:
        raise BadTarget("The address has a fragment; leave out what begins with a number sign.")
    path, mark, query = raw.partition("?")
    if addresses.is_prefix(path):
        return Archived(addresses.parse(path + mark))
    return Own(path, query)
