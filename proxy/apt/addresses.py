"""Addresses of apt archives: text → `ArchiveAddress` → text, for the cache's side and for upstream's.

`parse` reads the prefix form, `/<host>/<path>` and `/HTTPS///<host>/<path>`, and `prefix` writes it; `parse_proxied`
reads the proxy form, `http://<host>/<path>` and `http://HTTPS///<host>/<path>`. All give one value, so that all share
what is cached. A path is decoded once, here. What flat repositories add to it (`/./`, `//`) is removed, since apt asks
both ways. Upstream is asked in the client's own spelling, since some servers tell spellings apart. Never decides
whether a host or a path is allowed, and never repeats a part of the address in a message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import zip_longest
from typing import TypeAlias

from proxy import address_text
from proxy.address_text import PORTS
from proxy.errors import BadTarget
from proxy.model import Query

_SECURE = "HTTPS"  # in place of a host: the archive is fetched by https, as users of apt-cacher-ng write it
_SCHEMES = frozenset(f"{scheme}:" for scheme in PORTS)
_PATH_LIMIT = 2048  # bytes, decoded
# What stands for itself in a segment (RFC 3986 §3.3), except the plus sign, which S3-like stores read as a space.
_USUAL = "/:@!$&'()*,;="
_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")  # a path that has one spelling only
_REMOVED = frozenset(("", "."))  # segments
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
_HOST_PORT = re.compile(r":[0-9]+$")


@dataclass(frozen=True, slots=True)
class ArchiveAddress:
    """A file of an archive. `host` is in lower case, with its port unless the scheme has it by default.

    `path` is decoded, does not begin with a slash, and has no empty, `.` or `..` segment; a trailing slash is kept.
    `spelt` is the path as the client wrote it, where that is not the usual spelling. It does not count in comparisons.
    """

    scheme: str
    host: str
    path: str
    spelt: str = field(default="", compare=False, repr=False)

    @property
    def url(self) -> str:
        """Upstream's address, encoded."""
        return f"{self.scheme}://{self.host}/{_encoded(self)}"

    def at(self, path: str) -> ArchiveAddress:
        """Another path of the same host; segments that both begin with are spelt alike."""
        return replace(self, path=path)

    @property
    def key(self) -> str:
        """The address as keys of the store have it: decoded."""
        return f"{self.scheme}://{self.host}/{self.path}"

    @property
    def has_usual_port(self) -> bool:
        """Whether the port is the one that the scheme has by default."""
        return _HOST_PORT.search(self.host) is None

    @property
    def host_and_port(self) -> str:
        """The host, with its port in any case."""
        return f"{self.host}:{PORTS[self.scheme]}" if self.has_usual_port else self.host


ArchiveQuery: TypeAlias = Query[ArchiveAddress]  # what a client asks of an archive


def is_prefix(path: str) -> bool:
    """Whether an undecoded path in origin form begins with a host: hosts have a dot, a port or brackets, mounts none.

    A path of one segment, such as `/favicon.ico`, is not a file of an archive.
    """
    first, slash, _ = path[1:].partition("/")
    return bool(slash) and (first == _SECURE or any(mark in first for mark in ".:["))


def parse(path: str) -> ArchiveAddress:
    """Read the undecoded path of a request in prefix form. Raises BadTarget."""
    if not path.startswith("/") or "?" in path or "#" in path:
        raise BadTarget("The address of an archive is a plain path, without a query.")
    first, _, rest = path[1:].partition("/")
    return _address(first, rest)


@lru_cache(maxsize=256)  # a client shows with each request what it has asked for behind it
def parse_proxied(url: str) -> ArchiveAddress:
    """Read the undecoded address of a request in proxy form. Raises BadTarget.

    Credentials in front of the host are ignored: apt sends the same in `Authorization`. Several clients write hosts in
    lower case (wget, and so debootstrap), what stands in place of one with them.
    """
    scheme, separator, rest = url.partition("://")
    if scheme.lower() != "http" or not separator or "?" in rest or "#" in rest:
        # For an https address, a client of a proxy has to use CONNECT.
        raise BadTarget("The address of an archive in proxy form is http://<host>/<path>, without a query.")
    first, _, rest = rest.partition("/")
    host = first.rpartition("@")[2]
    return _address(_SECURE if host.upper() == _SECURE else host, rest)


def prefix(address: ArchiveAddress) -> str:
    """The path that `parse` reads as `address`."""
    front = f"/{_SECURE}///" if address.scheme == "https" else "/"
    return f"{front}{address.host}/{_encoded(address)}"


def _address(first: str, rest: str) -> ArchiveAddress:
    scheme, host = "http", first
    if first.lower() in _SCHEMES:
        raise BadTarget(
            "An archive's address on the cache is /<host>/<path>, or /HTTPS///<host>/<path> where the archive has "
            "https: no http:// or https:// is in front of the host."
        )
    if first == _SECURE:
        scheme = "https"
        host, _, rest = rest.lstrip("/").partition("/")
    if "@" in host:
        raise BadTarget(
            "The address has credentials in front of the archive's host. Leave them out: an [[archive]] of the "
            "settings has them, or apt's auth.conf."
        )
    return ArchiveAddress(scheme, _host(host, scheme), *_path(rest))


def _host(text: str, scheme: str) -> str:
    """A host in the one spelling that keys and settings use."""
    name, port = address_text.host(text, rooted=True)
    if port in (None, PORTS[scheme]):
        return name
    if port in PORTS.values():
        raise BadTarget("The address has the port of http with https, or the other way round.")
    return f"{name}:{port}"


def _path(text: str) -> tuple[str, str]:
    """The decoded path, without empty segments and those of one dot, and its spelling where that is not the usual one.

    Raises BadTarget.
    """
    plain = _PLAIN.fullmatch(text) is not None
    decoded = text if plain else address_text.decoded(text, slashes=True)
    segments = [segment for segment in decoded.split("/") if segment not in _REMOVED]
    if ".." in (segments if plain else decoded.replace(address_text.SLASH, "/").split("/")):
        raise BadTarget("The address has a segment of two dots.")
    address_text.bounded(segments, _PATH_LIMIT)
    end = "/" if segments and decoded.endswith(("/", "/.")) else ""
    path = "/".join(segments) + end
    if plain:
        return path, ""
    pairs = zip(decoded.split("/"), text.split("/"), strict=True)
    spelt = "/".join(raw for segment, raw in pairs if segment not in _REMOVED) + end
    return path, "" if spelt == address_text.quoted(path, _USUAL) else spelt


def _encoded(address: ArchiveAddress) -> str:
    """The path, percent-encoded: each segment as the client spelt it, if it did in its own way (RFC 3986 §2.2).

    The path may be derived from another one, so a segment's spelling counts only if it means the same.
    """
    if not address.spelt:
        return address_text.quoted(address.path, _USUAL)
    segments, spelt = address.path.split("/"), address.spelt.split("/")
    return "/".join(
        raw if _SEGMENT.fullmatch(raw) and address_text.decoded(raw, slashes=True) == segment else _quoted(segment)
        for segment, raw in zip_longest(segments, spelt[: len(segments)], fillvalue="")
    )


def _quoted(segment: str) -> str:
    return address_text.quoted(segment, _USUAL)
