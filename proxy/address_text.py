"""How addresses are spelt: hosts and encoded paths, read in one way wherever they come from. Pure.

Addresses of indexes and of archives are read with these rules, so that what one of them refuses no other lets through.
Never decides what may be fetched, and never repeats a piece of the address in a message.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote_to_bytes

from proxy.errors import BadTarget

LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"  # of a host's name
_HOST = re.compile(rf"(?P<name>{LABEL}(?:\.{LABEL})*|\[(?P<v6>[0-9a-f:.]+)\])(?::(?P<port>[1-9][0-9]{{0,4}}))?")
HOST_LIMIT = 253  # characters (RFC 1035 §2.3.4, in text form)
LAST_PORT = 65535
_SEGMENT_LIMIT = 255  # bytes, decoded: what file systems of clients take as a name
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)
SLASH = "\\"  # how an encoded slash, which parts no segments, stands in a decoded path: a backslash is allowed in none
# What may stand nowhere in a decoded path: a backslash, which some programs take for a slash, and control characters.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


def host(text: str) -> tuple[str, int | None]:
    """A host in the one spelling that keys and permissions know, lower case, and its port if it has one.

    Raises BadTarget.
    """
    match = _HOST.fullmatch(text.lower())
    if match is None or len(match["name"]) > HOST_LIMIT or int(match["port"] or 1) > LAST_PORT:
        raise BadTarget("The address has no plain host: a name or [address], and a port if need be.")
    name = match["name"]
    if match["v6"] is not None:
        try:
            name = f"[{ipaddress.IPv6Address(match['v6'])}]"
        except ValueError:
            raise BadTarget("The address has brackets round what is no IPv6 address.") from None
    return name, int(match["port"]) if match["port"] else None


def decoded(path: str, *, slashes: bool = False) -> str:
    """A percent-encoded path, decoded once (RFC 3986 §2.1). Raises BadTarget for what could be read in two ways.

    `slashes`: encoded slashes are allowed, and stand as `SLASH` then.
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
    """A decoded path, percent-encoded: what is neither unreserved (RFC 3986 §2.3) nor in `safe`, and each `SLASH`."""
    return quote(path, safe=safe).replace("%5C", "%2F")


def ascii_host(name: str) -> str:
    """A host's name as it is looked up: lower case, ASCII (IDNA, UTS 46), without a final dot. Raises BadTarget."""
    if not name.isascii():
        import idna  # noqa: PLC0415 - late: such names are rare, and its tables are large

        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            raise BadTarget("The address has a host whose name is none.") from None
    return name.lower().removesuffix(".")


def bounded(segments: Sequence[str], most: int) -> None:
    """Raise BadTarget for a decoded path longer than `most` bytes, or with a segment longer than a file's name."""
    try:
        sizes = [len(segment.encode()) for segment in segments]
    except UnicodeError:
        raise BadTarget("The address is not UTF-8.") from None
    if max(sizes, default=0) > _SEGMENT_LIMIT or sum(sizes) + len(sizes) - 1 > most:
        raise BadTarget(f"The address is too long: {_SEGMENT_LIMIT} bytes a segment and {most} in all are read.")


def plain(address: str) -> str:
    """An address of IPv4 as such, where a socket of IPv6 gives it (RFC 4291 §2.5.5.2)."""
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address
