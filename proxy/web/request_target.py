"""A request's target (RFC 9112 §3.2): a path on this cache, or a file of an apt archive, in origin or proxy form.

The edge reads each target here, once. A target in proxy form that names this cache means the same as its path in
origin form. Pure; never decides whether an address is allowed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy import address_text
from proxy.address_text import PORTS, unmapped
from proxy.apt import addresses
from proxy.apt.addresses import ArchiveAddress
from proxy.errors import BadTarget, NotAllowed

_HTTP = PORTS["http"]
_SECURE = "https"  # in place of a host: apt-cacher-ng's users write HTTPS/// before an archive with TLS


@dataclass(frozen=True, slots=True)
class OwnTarget:
    """A path on this cache, undecoded, and its query."""

    path: str
    query: str

    @property
    def logged(self) -> str:
        """The target as the access log has it."""
        return address_text.target_without_user(f"{self.path}?{self.query}" if self.query else self.path)


@dataclass(frozen=True, slots=True)
class ArchiveTarget:
    """A file of an apt archive. `proxied`: it is asked for as from a proxy, and not as a path on this cache."""

    address: ArchiveAddress
    proxied: bool = False

    @property
    def logged(self) -> str:
        """The target as the access log has it."""
        return addresses.prefix(self.address)


def parse(
    raw: str, local_address: tuple[str, int] | None, mounts: Container[str], names: Container[str] = ()
) -> OwnTarget | ArchiveTarget:
    """Read a request's target. Raises BadTarget, NotAllowed.

    `local_address`: the one that the client connected to; `names`: the cache's other host names, in lower case.
    """
    if raw.startswith("/"):
        return _origin(raw)
    try:
        parts = urlsplit(raw)
        port = parts.port or _HTTP
    except ValueError:
        raise BadTarget("The host or port of the address is malformed.") from None
    if not parts.scheme or not parts.netloc:
        raise BadTarget("The address is neither a path that begins with a slash nor a whole address.")
    if parts.scheme != "http":
        raise NotAllowed("Ask for an https archive as http://HTTPS///<host>/<path>; this cache is not an open proxy.")
    _, slash, rest = raw[raw.index("//") + 2 :].partition("/")
    path = slash + rest or "/"
    if parts.hostname in names and _is_own(path, mounts):
        return _origin(path)  # by the port at which it is published
    if local_address is not None and port == local_address[1]:
        host = unmapped(parts.hostname or "").removesuffix(".")
        if port != _HTTP or (host != _SECURE and (host == local_address[0] or host in names or _is_own(path, mounts))):
            return _origin(path)
    return ArchiveTarget(addresses.parse_proxied(raw), proxied=True)


def logged_unread(raw: str) -> str:
    """A target as the access log has it until it was read. In proxy form it may hold a password anywhere."""
    return address_text.target_without_user(raw) if raw.startswith("/") else "-"


def archive_addresses(
    targets: Iterable[str],
    local_address: tuple[str, int] | None,
    mounts: Container[str],
    names: Container[str] = (),
) -> Iterator[ArchiveAddress]:
    """The archives' addresses among pipelined targets. Malformed targets are skipped: they get their errors later."""
    for raw in targets:
        try:
            target = parse(raw, local_address, mounts, names)
        except (BadTarget, NotAllowed):
            continue
        if isinstance(target, ArchiveTarget):
            yield target.address


def _is_own(path: str, mounts: Container[str]) -> bool:
    """Whether a path in proxy form, sent to a host that may be an archive's, is one on this cache.

    A folder of an archive may look like a host: `4.x`.
    """
    return path[1:].partition("/")[0] in mounts


def _origin(raw: str) -> OwnTarget | ArchiveTarget:
    if "#" in raw:
        raise BadTarget("The address has a fragment; leave out the number sign and what follows it.")
    path, mark, query = raw.partition("?")
    if addresses.is_prefix(path):
        return ArchiveTarget(addresses.parse(path + mark))
    return OwnTarget(path, query)
