"""Addresses upstream: taken apart and put together, and the targets that stand for them on the cache. Pure.

`dissect` and `absolute` are each other's inverse for whatever a target can stand for, and so are `locate` and
`upstream_url`. Never decides what may be fetched. Messages contain no part of an address, which may hold a password.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, urlsplit

from proxy import address_text
from proxy.address_text import HOST_LIMIT, LABEL, LAST_PORT, PORTS
from proxy.errors import BadTarget
from proxy.model import Site, Target
from proxy.python import addresses
from proxy.python.addresses import EARLIER_MARKER, MARKER, canonical, checked, quoted

_HTTPS = PORTS["https"]
_QUERY = "!$&'()*+,;=:@/?%"  # characters of a query that stay as they are (RFC 3986 §3.4), and what is encoded already
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# The links that nearly all pages have: nothing to decode but plus signs, no empty segment or one of dots, no long name.
_PLAIN = re.compile(
    rf"(https?)://({LABEL}(?:\.{LABEL})*)(?::([1-9][0-9]{{0,4}}))?"
    r"((?:/[A-Za-z0-9_~+-][A-Za-z0-9._~+-]{0,250}){1,10})(?:[?#].*)?"
)


def dissect(url: str) -> tuple[str, str, str]:
    """Scheme, host (with its port, unless https has it by default) and decoded path, without the leading slash.

    Query, fragment, user and password are ignored. Raises BadTarget for a scheme other than http and https, and
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
        raise BadTarget("The address of a link has port 0, which no server has.")
    # Browsers and pip read a percent sign that begins no escape as itself.
    path = checked(address_text.decoded(_STRAY_PERCENT.sub("%25", parts.path[1:]), slashes=True))
    return scheme, host if number == _HTTPS == PORTS[scheme] else f"{host}:{number}", path


def plainly(url: str) -> tuple[str, str, str] | None:
    """What `dissect` gives for the usual address, whose path has no character to encode but plus signs; else None."""
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
    """The address with the parts that `dissect` gives; `query` is already encoded where it needs to be."""
    if scheme == "http":
        host = host.removesuffix(":80")
    # A plus sign is %2B, as pip writes it: S3-like stores read a bare one as a space.
    front = f"{scheme}://{host}/{quoted(path)}"
    return f"{front}?{quote(query, safe=_QUERY)}" if query else front


def upstream_url(target: Target, site: Site, scheme: str | None = None) -> str:
    """Upstream's address of `target`. `scheme` is for a file on another host: https, unless its port is http's.

    For a target whose name is not the end of its path (`is_named`), only the page has the address.
    """
    path = addresses.path_of(target)
    if target.host is None:
        return site.base + quoted(path)
    if scheme is None:
        scheme = "http" if target.host.endswith(":80") else "https"
    return absolute(scheme, target.host, path)


def locate(url: str, site: Site) -> Target:
    """The target that stands for an absolute address upstream; query and fragment are ignored.

    Raises BadTarget for a scheme other than http and https, and for a path that no target can have.
    """
    return _located(url, site, None, "", file=False)


def path_on_cache(url: str, site: Site) -> str:
    """The path, on a cache that has the site's mount, of what is at an absolute address upstream. Raises BadTarget."""
    return addresses.format_path(locate(url, site))


def locate_file(url: str, site: Site, name: str, project: str = "") -> Target:
    """The target of the file `name` at an address upstream. `project`: whose page lists it. Raises BadTarget."""
    return _located(url, site, name, project, file=True)


def _located(url: str, site: Site, name: str | None, project: str, *, file: bool) -> Target:
    scheme, host, path = dissect(url)
    base_scheme, base_host, base_path = base_parts(site.base)
    if host == base_host and scheme == base_scheme and path.startswith(base_path):
        below = path[len(base_path) :]
        # Upstream is a cache of this kind. Its marker must not be read as ours, so the address has the host before it.
        if below.partition("/")[0] not in (MARKER, EARLIER_MARKER):
            return Target(site.mount, None, canonical(below, name, project, file=file, foreign=False))
    return Target(site.mount, foreign_host(host), canonical(path, name, project, file=file, foreign=True))


def foreign_host(host: str) -> str:
    """A host that `dissect` gave, if a target can have it. Raises BadTarget."""
    if host.endswith(f":{_HTTPS}"):
        raise BadTarget("An http address at the port of https cannot be told from an https address.")
    return host


@lru_cache(maxsize=64)
def base_parts(base: str) -> tuple[str, str, str]:
    """What `dissect` gives for the base of a mount."""
    return dissect(base)
