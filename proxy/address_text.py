"""The grammar of addresses: hosts, ports and percent-encoded paths, read in one way wherever they come from. Pure.

Settings, links, requests and redirects are all read with these rules, so that what one reader refuses no other lets
through. Never decides what may be fetched, and never repeats a piece of the address in a message: it may hold a
password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote_to_bytes, urlsplit

from proxy.errors import BadTarget

PORTS = {"http": 80, "https": 443}  # of addresses that name none
LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"  # of a host name
_NAME = rf"{LABEL}(?:\.{LABEL})*"
_HOST = re.compile(rf"(?P<name>{_NAME}|\[(?P<v6>[0-9a-f:.]+)\])(?::(?P<port>[1-9][0-9]{{0,4}}))?")
_HOST_NAME = re.compile(_NAME)
_ROOT = re.compile(r"(?<=[^.\]])\.(?=(?::[0-9]+)?$)")  # the final dot of a complete name (RFC 1034 §3.1)
HOST_LIMIT = 253  # characters (RFC 1035 §2.3.4, in text form)
LAST_PORT = 65535
_SEGMENT_LIMIT = 255  # bytes, decoded: the longest file name that clients' file systems take
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)
_ANY_SLASH = re.compile("(/|%2f)", re.IGNORECASE)
_COLON, _AT = re.compile(":|%3a", re.IGNORECASE), re.compile("@|%40")
_BEFORE_HOSTS = frozenset(("", "HTTPS", "~files", "+files"))  # segments of a path on the cache that a host may follow
SLASH = "\\"  # stands for an encoded slash in a decoded path, where it parts no segments: no path may have a backslash
# No decoded path may have these: a backslash, which some programs take for a slash, and control characters.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


def host(text: str, *, rooted: bool = False) -> tuple[str, int | None]:
    """`name`, `name:port`, `[address]` or `[address]:port`: the host as keys and permissions have it, and its port.

    The host is in lower case; an IPv6 address is in brackets and in its shortest form. `rooted`: a name may end in the
    dot of the root, which is left out. Raises BadTarget.
    """
    match = _HOST.fullmatch((_ROOT.sub("", text) if rooted else text).lower())
    if match is None or len(match["name"]) > HOST_LIMIT or int(match["port"] or 1) > LAST_PORT:
        raise BadTarget("The address has no plain host: a name or [address], and a port if need be.")
    name = match["name"]
    if match["v6"] is not None:
        try:
            name = f"[{ipaddress.IPv6Address(match['v6'])}]"
        except ValueError:
            raise BadTarget("The brackets of the address hold no IPv6 address.") from None
    return name, int(match["port"]) if match["port"] else None


def host_name(text: str) -> str:
    """A host name or IPv4 address alone, in lower case and without the dot of the root. Raises BadTarget."""
    name = _ROOT.sub("", text).lower()
    if not _HOST_NAME.fullmatch(name) or len(name) > HOST_LIMIT:
        raise BadTarget("The address has no plain host name.")
    return name


def parsed_host(hostname: str) -> str:
    """The host of a parsed address (`urlsplit(url).hostname`), as `host` gives it.

    A name in another script is put into ASCII (IDNA, UTS 46). Raises BadTarget.
    """
    if ":" in hostname:
        return host(f"[{hostname}]")[0]
    if not hostname.isascii():
        import idna  # noqa: PLC0415 - late: such names are rare, and its tables are large

        try:
            hostname = idna.encode(hostname, uts46=True).decode()
        except idna.IDNAError:
            raise BadTarget("The host name of the address cannot be written in ASCII (IDNA).") from None
    return host(hostname.removesuffix("."))[0]


def bracketed(name: str) -> str:
    """A host as addresses write it: an IPv6 address in brackets."""
    return f"[{name}]" if ":" in name else name


def authority(url: str) -> str:
    """`host` or `host:port` of an address, in lower case: servers are remembered by it."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address (RFC 6454 §4), the same whether or not the default port is written out.

    The host is in lower case, without brackets and without the dot of the root. The port is 0 if the address has none
    and its scheme no default. Raises ValueError for a port that is none.
    """
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").removesuffix("."), parts.port or PORTS.get(parts.scheme, 0)


def decoded(path: str, *, slashes: bool = False) -> str:
    """A percent-encoded path, decoded once (RFC 3986 §2.1). Raises BadTarget for one that can be read in two ways.

    `slashes`: encoded slashes are allowed, and become `SLASH`.
    """
    pieces = [path]
    if "%" in path:
        if _BAD_ESCAPE.search(path):
            raise BadTarget("Invalid percent-encoding in the address: two hexadecimal digits must follow each `%`.")
        pieces = _ENCODED_SLASH.split(path)
        if len(pieces) > 1 and not slashes:
            raise BadTarget("The address has an encoded slash.")
        try:
            pieces = [unquote_to_bytes(piece).decode() for piece in pieces]
        except UnicodeError:
            raise BadTarget("The address is not UTF-8.") from None
    if any(map(_FORBIDDEN.search, pieces)):
        raise BadTarget("The address has a backslash or a control character.")
    return SLASH.join(pieces)


def quoted(path: str, safe: str = "/") -> str:
    """A decoded path, percent-encoded: all but unreserved characters (RFC 3986 §2.3) and those in `safe`.

    `SLASH` becomes an encoded slash.
    """
    return quote(path, safe=safe).replace("%5C", "%2F")


def target_without_user(target: str) -> str:
    """A request's target as a log may have it: what may be a user and a password is left out (RFC 3986 §3.2.1).

    An address may stand in a path, well formed or not, and in a query, encoded once more.
    """
    if _AT.search(target) is None:
        return target
    path, mark, query = target.partition("?")
    fields = [field.partition("=") for field in query.split("&")]
    return _plain_hosts(path) + mark + "&".join("".join(map(_plain_hosts, field)) for field in fields)


def _plain_hosts(text: str) -> str:
    pieces = _ANY_SLASH.split(text)  # segments, and between them what parts them
    for number in range(0, len(pieces), 2):
        ends = [match.end() for match in _AT.finditer(pieces[number])]
        user = pieces[number][: ends[-1]] if ends else ""
        if _COLON.search(user) or (number and pieces[number - 2] in _BEFORE_HOSTS):
            pieces[number] = pieces[number][len(user) :]
    return "".join(pieces)


def bounded(segments: Sequence[str], most: int) -> None:
    """Raise BadTarget for a decoded path of more than `most` bytes, or with a segment too long for a file name."""
    try:
        sizes = [len(segment.encode()) for segment in segments]
    except UnicodeError:
        raise BadTarget("The address is not UTF-8.") from None
    if max(sizes, default=0) > _SEGMENT_LIMIT or sum(sizes) + len(sizes) - 1 > most:
        raise BadTarget(f"The address is too long: at most {_SEGMENT_LIMIT} bytes a segment, and {most} bytes in all.")


def unmapped(address: str) -> str:
    """The IPv4 address that an IPv6 socket gives as `::ffff:…` (RFC 4291 §2.5.5.2); any other address as it is."""
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address
