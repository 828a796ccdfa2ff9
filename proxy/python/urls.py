"""Absolute addresses upstream: taken apart into scheme, host and decoded path, and put together again. Pure.

`dissect` and `absolute` are each other's inverse for whatever a target can stand for. Never decides what may be asked
for, and never repeats a piece of an address in a message.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from proxy import address_text
from proxy.address_text import HOST_LIMIT, LABEL, LAST_PORT, PORTS, SLASH
from proxy.errors import BadTarget

PATH_LIMIT = 4096  # bytes, decoded
HTTPS = PORTS["https"]
_QUERY = "!$&'()*+,;=:@/?%"  # characters of a query that stay as they are (RFC 3986 §3.4), and what is encoded already
_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]*")
_SLASHES = re.compile(rf"[/{re.escape(SLASH)}]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# The links that nearly all pages have: nothing to decode but plus signs, no empty segment or one of dots, no long name.
_PLAIN = re.compile(
    rf"(https?)://({LABEL}(?:\.{LABEL})*)(?::([1-9][0-9]{{0,4}}))?"
    r"((?:/[A-Za-z0-9_~+-][A-Za-z0-9._~+-]{0,250}){1,10})(?:[?#].*)?"
)


def dissect(url: str) -> tuple[str, str, str]:
    """Scheme, host (with its port, unless https has it by default) and decoded path, without the leading slash.

    Query, fragment, user and password count for nothing. Raises BadTarget for a scheme other than http and https, and
    for a path that no target can have.
    """
    plain = plainly(url)
    if plain is not None:
        return plain
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadTarget("The address of a link cannot be read.") from None
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        raise BadTarget("Only http and https addresses can be fetched.")
    if "\\" in parts.netloc:
        raise BadTarget("The address of a link has a backslash where browsers and libraries read different hosts.")
    host = address_text.parsed_host(name)
    number = port or PORTS[scheme]
    if port == 0:
        raise BadTarget("The address of a link has no port that can be asked.")
    # Browsers and pip take a percent sign that begins no escape for itself.
    path = checked(address_text.decoded(_STRAY_PERCENT.sub("%25", parts.path[1:]), slashes=True))
    return scheme, host if number == HTTPS == PORTS[scheme] else f"{host}:{number}", path


def plainly(url: str) -> tuple[str, str, str] | None:
    """What `dissect` gives for an address as nearly all are, whose path has no character to encode but plus signs."""
    match = _PLAIN.fullmatch(url.replace("%2B", "+"))
    if match is None:
        return None
    scheme, host, port, path = match.groups()
    if port is None:
        if len(host) > HOST_LIMIT:
            return None
        return scheme, host if scheme == "https" else f"{host}:80", path[1:]
    if len(host) > HOST_LIMIT or int(port) > LAST_PORT:
        return None
    return scheme, host if scheme == "https" and port == "443" else f"{host}:{port}", path[1:]


def absolute(scheme: str, host: str, path: str, query: str = "") -> str:
    """The address whose parts are as `dissect` gives them; `query` is encoded already, where it needs to be."""
    if scheme == "http":
        host = host.removesuffix(":80")
    # A plus sign is %2B, as pip writes it: stores of objects take a bare one for a space.
    front = f"{scheme}://{host}/{quoted(path)}"
    return f"{front}?{quote(query, safe=_QUERY)}" if query else front


def quoted(path: str) -> str:
    """The path encoded as pip would: only unreserved characters stay (RFC 3986 §2.3)."""
    if _UNRESERVED.fullmatch(path.replace("+", "")):
        return path.replace("+", "%2B")  # nearly all are so, and there are thousands
    return address_text.quoted(path)


def checked(path: str) -> str:
    """A decoded path. Raises BadTarget for one with segments of dots, or too long."""
    segments = _SLASHES.split(path)
    if "." in segments or ".." in segments:
        raise BadTarget("The address has a segment of dots.")
    address_text.bounded(segments, PATH_LIMIT)
    return path
