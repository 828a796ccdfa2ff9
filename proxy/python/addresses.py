"""Addresses of Python indexes: text → `Target` → text, for the cache's side and for upstream's.

`parse` and `format_path` are each other's inverse on the cache's side, `locate` and `upstream_url` on upstream's;
`relative` joins the two. Everybody else speaks in targets. Never decides whether an address may be fetched, and never
repeats a piece of the address in a message.
"""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache
from urllib.parse import quote, urlsplit

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from proxy import spelling
from proxy.errors import BadTarget, NotFound
from proxy.model import Site, Target
from proxy.spelling import HOST_LIMIT, LABEL, LAST_PORT

MARKER = "+files"  # the segment behind a mount that begins the address of a file on another host

_PATH_LIMIT = 4096  # bytes, decoded
_PORTS = {"http": 80, "https": 443}

_QUERY = "!$&'()*+,;=:@/?%"  # characters of a query that stay as they are (RFC 3986 §3.4), and what is encoded already
_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]*")
# The links that nearly all pages have: nothing to decode but plus signs, no empty segment or one of dots, no long name.
_PLAIN = re.compile(
    rf"(https?)://({LABEL}(?:\.{LABEL})*)(?::([1-9][0-9]{{0,4}}))?"
    r"((?:/[A-Za-z0-9_~+-][A-Za-z0-9._~+-]{0,250}){1,10})(?:[?#].*)?"
)


# ---------------------------------------------------------------------- on the cache's side


def parse(raw_path: str, mounts: Container[str]) -> Target:
    """Read the path of a request, undecoded and without query; it is decoded exactly once, here.

    Raises BadTarget for what is malformed, NotFound for a mount that the settings do not have.
    """
    if not raw_path.startswith("/") or "?" in raw_path or "#" in raw_path:
        raise BadTarget("The address is not a plain path that begins with a slash.")
    mount, *rest = _decode(raw_path[1:]) or [""]
    if mount not in mounts:
        raise NotFound("There is no index at this address. An [[upstream]] of the settings adds one, by its mount.")
    if not rest:
        raise NotFound("The address of an index ends in a slash.")
    # pip writes every plus sign as %2B, so the marker is known by its decoded form.
    if rest[0] != MARKER:
        return Target(mount, None, _join(rest))
    if len(rest) < 3:  # noqa: PLR2004 — marker, host, path
        raise BadTarget("A file on another host has the address /<mount>/+files/<host>/<path>.")
    return Target(mount, _host(rest[1]), _join(rest[2:]))


def format_path(target: Target) -> str:
    """The path that `parse` reads as `target`, encoded as pip would, but for the marker's plus sign."""
    return _front(target.mount, target.host) + _quote(target.path)


@lru_cache(maxsize=256)
def _front(mount: str, host: str | None) -> str:
    front = f"/{quote(mount, safe='')}/"
    return front if host is None else f"{front}{MARKER}/{quote(host, safe=':')}/"


def relative(page: Target, to: Target) -> str:
    """The link on the page at `page` that leads to `to`: encoded, relative, without a query (RFC 3986 §4.2).

    A bare file name where the file lies beside the page: build back ends of NVIDIA's packages take it for one.
    """
    there, folder, up = format_path(to), _folder(page), 0
    while not there.startswith(folder):
        folder = folder[: folder.rindex("/", 0, -1) + 1]
        up += 1
    link = "../" * up + there[len(folder) :]
    # A colon in the first segment would make it a scheme, and an empty link would mean the page itself.
    return f"./{link}" if not link or ":" in link.partition("/")[0] else link


@lru_cache(maxsize=64)
def _folder(page: Target) -> str:
    path = format_path(page)
    return path[: path.rindex("/") + 1]


# ---------------------------------------------------------------------- on upstream's side


def upstream_url(target: Target, site: Site, scheme: str | None = None) -> str:
    """Upstream's address of `target`. `scheme` is for a file on another host: https, unless its port is http's."""
    if target.host is None:
        return site.base + _quote(target.path)
    if scheme is None:
        scheme = "http" if target.host.endswith(":80") else "https"
    return absolute(scheme, target.host, target.path)


def absolute(scheme: str, host: str, path: str, query: str = "") -> str:
    """The address whose parts are as `dissect` gives them; `query` is encoded already, where it needs to be."""
    if scheme == "http":
        host = host.removesuffix(":80")
    # A plus sign is %2B, as pip writes it: stores of objects take a bare one for a space.
    front = f"{scheme}://{host}/{_quote(path)}"
    return f"{front}?{quote(query, safe=_QUERY)}" if query else front


def locate(url: str, site: Site) -> Target:
    """The target that stands for an absolute address upstream; query and fragment count for nothing.

    Raises BadTarget for a scheme other than http and https, and for a path that no target can have.
    """
    scheme, host, path = dissect(url)
    base_scheme, base_host, base_path = _base(site.base)
    if scheme == base_scheme and host == base_host and path.startswith(base_path):
        below = path[len(base_path) :]
        # Another cache of this kind is upstream: its marker must not be read as ours, so the host goes before it.
        if below != MARKER and not below.startswith(f"{MARKER}/"):
            return Target(site.mount, None, below)
    return Target(site.mount, host, path)


def dissect(url: str) -> tuple[str, str, str]:
    """Scheme, host (with its port, unless https has it by default) and decoded path, without the leading slash.

    Raises BadTarget as `locate` does.
    """
    plain = _PLAIN.fullmatch(url.replace("%2B", "+"))
    if plain is not None:
        scheme, host, given, path = plain.groups()
        if len(host) <= HOST_LIMIT and int(given or 1) <= LAST_PORT:
            number = given or str(_PORTS[scheme])
            if number != "443":
                return scheme, f"{host}:{number}", path[1:]
            if scheme == "https":
                return scheme, host, path[1:]
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadTarget("The address of a link cannot be read.") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise BadTarget("Only http and https addresses can be fetched.")
    if "\\" in parts.netloc:
        raise BadTarget("The address of a link has a backslash where browsers and libraries read different hosts.")
    if scheme == "http" and port == _PORTS["https"]:
        raise BadTarget("An http address at the port of https cannot be told from an https address.")
    host = f"[{name}]" if ":" in name else name
    return scheme, _host(f"{host}:{_PORTS[scheme] if port is None else port}"), _join(_decode(parts.path[1:]))


@lru_cache(maxsize=64)
def _base(base: str) -> tuple[str, str, str]:
    return dissect(base)


# ---------------------------------------------------------------------- names


def normalize(name: str) -> NormalizedName:
    """The name of a project as addresses have it (PEP 503)."""
    return canonicalize_name(name)


_BESIDE = (".metadata", ".metadata.json", ".asc", ".sig", ".provenance", ".attestation", "-variants.json")
_ARCHIVE = re.compile(r"\.(?:tar(?:\.[a-z0-9]+)?|tgz|tbz2?|txz|zip|exe|msi|rpm|deb|dmg)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LOOSE = re.compile(r"(.+?)[-_]v?[0-9]")


def project_of(filename: str) -> NormalizedName | None:
    """The project that a distribution, or a file beside one, belongs to; a best guess for old names, else None."""
    stem = filename
    while beside := next((ending for ending in _BESIDE if stem.endswith(ending)), None):
        stem = stem.removesuffix(beside)
        if beside == "-variants.json":  # PEP 825: <name>-<version>-variants.json
            return _named(stem.partition("-")[0])
    lowered = stem.lower()
    if lowered.endswith((".whl", ".egg")):
        return _named(stem.partition("-")[0]) if "-" in stem else None
    dot = next((match.start() for match in _ARCHIVE.finditer(stem) if match.end() == len(stem)), None)
    if dot is None:
        return None
    stem = stem[:dot]
    # Old names have dashes in the project and in the version: the first dash behind which all is a version parts them.
    for dash in (match.start() for match in re.finditer("-", stem)):
        if _is_version(stem[dash + 1 :]):
            return _named(stem[:dash])
    loose = _LOOSE.match(stem)
    return _named(loose[1] if loose else stem.rpartition("-")[0])


def _named(name: str) -> NormalizedName | None:
    return canonicalize_name(name) if _NAME.fullmatch(name) else None


def _is_version(text: str) -> bool:
    if not text[:1].isdigit():
        return False
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


# ---------------------------------------------------------------------- parts


def _quote(path: str) -> str:
    """The path encoded as pip would: only unreserved characters stay (RFC 3986 §2.3)."""
    if _UNRESERVED.fullmatch(path.replace("+", "")):
        return path.replace("+", "%2B")  # nearly all are so, and there are thousands
    return quote(path)


def _decode(path: str) -> list[str]:
    """Segments of an encoded path without its leading slash; the last is empty behind a trailing slash."""
    return spelling.decoded(path).split("/") if path else []


def _join(segments: list[str]) -> str:
    """The path that the decoded segments make, checked."""
    for segment in segments[:-1]:
        if not segment:
            raise BadTarget("The address has an empty segment: two slashes, one after the other.")
    if "." in segments or ".." in segments:
        raise BadTarget("The address has a segment of dots.")
    spelling.bounded(segments, _PATH_LIMIT)
    return "/".join(segments)


def _host(text: str) -> str:
    """A host in the one spelling that keys and permissions know: lower case, no default port. Raises BadTarget."""
    name, port = spelling.host(text)
    return name if port in (None, _PORTS["https"]) else f"{name}:{port}"
