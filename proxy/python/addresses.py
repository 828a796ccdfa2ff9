"""Addresses of Python indexes on the cache: text → `Target` → text. Pure.

`parse` and `format_path` are each other's inverse. All other modules use targets, whose paths are those on the cache.
Never decides whether an address may be fetched. Messages contain no part of an address, which may hold a password.

**Marks** are segments of a path that say what a path of names cannot (ADR 8). Clients join and clean addresses in their
own ways, and a link must survive all of them. `urllib.parse.urljoin`, which pip uses, drops empty segments. pip takes a
file's name from the end of the path, and adds `.metadata` behind a query. A name without a known ending could be a
project's page. And a file's name may not tell the project. So a path on the cache has

    +empty            for an empty segment that is not the last
    +of/<project>     before the name of a file that does not tell its project: that project's page lists it
    +file             before the name of a file that could be taken for a page
    +name             before a name that is not part of the path upstream: the page has the address

A segment of upstream's own path that looks like a mark gets one more plus sign in front. An encoded slash is written as
`address_text.SLASH`, and needs no mark.
"""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from packaging.utils import NormalizedName, canonicalize_name

from proxy import address_text
from proxy.address_text import PORTS, SLASH
from proxy.errors import BadTarget, NotFound
from proxy.model import Target
from proxy.python import filenames

# The segment behind a mount that begins the address of a file on another host. Without a plus sign pip reads it faster.
MARKER = "~files"
EARLIER_MARKER = "+files"  # the same, in keys of the store, and in the addresses of an older cache that is upstream
PATH_LIMIT = 4096  # bytes, decoded
_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]*")
_SLASHES = re.compile(rf"[/{re.escape(SLASH)}]")
_EMPTY, _OF, _FILE, _NAME = "+empty", "+of", "+file", "+name"
_LIKE_A_MARK = re.compile(r"\++(?:empty|of|file|name)")
_PROJECT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")  # a normalised name (PEP 503)


def parse(raw_path: str, mounts: Container[str]) -> Target:
    """Read the path of a request, as it came and without the query. It is decoded here, exactly once.

    Raises BadTarget for a malformed path, NotFound for a mount that the settings do not have.
    """
    if not raw_path.startswith("/") or "?" in raw_path or "#" in raw_path:
        raise BadTarget("The address is not a plain path that begins with a slash.")
    mount, slash, path = checked(address_text.decoded(raw_path[1:], slashes=True)).partition("/")
    if mount not in mounts:
        raise NotFound(
            "There is no index at this address: an [[upstream]] of the settings adds one, by its mount. "
            "An archive for apt is at /<host>/<path>."
        )
    if not slash:
        raise NotFound("The address of an index ends in a slash.")
    first, _, behind = path.partition("/")
    if first != MARKER:
        return Target(mount, None, _rewritten(path, foreign=False))
    host, slash, path = behind.partition("/")
    if not slash:
        raise BadTarget("A file on another host has the address /<mount>/~files/<host>/<path>.")
    return Target(mount, _host(host), _rewritten(path, foreign=True))


def _host(text: str) -> str:
    """A host in the spelling of keys and permissions: lower case, no default port. Raises BadTarget."""
    name, port = address_text.host(text)
    return name if port in (None, PORTS["https"]) else f"{name}:{port}"


def _rewritten(path: str, *, foreign: bool) -> str:
    """The canonical form of a path, whose empty segments and marks may be as a client wrote them."""
    if plain(path):
        return path
    read = unmarked(path)
    return canonical(read.path, read.name, read.project or "", file=read.file, foreign=foreign)


def canonical(path: str, name: str | None, project: str, *, file: bool, foreign: bool) -> str:
    """The path on the cache of what is at `path` upstream, with as few marks as possible.

    `project`: whose page lists the file, if one does. `foreign`: it is on another host, which has no pages.
    """
    last = path.rpartition("/")[2]
    called = last if name is None else name
    if file and (foreign or filenames.is_file(called) or filenames.is_page(called)):
        file = False
    if project and filenames.tells(called, project):
        project = ""
    if called == last and not (file or project) and plain(path):
        return path  # the usual case, and a page has thousands
    return marked(path, name=None if called == last else called, project=project or None, file=file)


def format_path(target: Target) -> str:
    """The path that `parse` reads as `target`, encoded as pip would."""
    return front(target.mount, target.host) + quoted(target.path)


@lru_cache(maxsize=256)
def front(mount: str, host: str | None) -> str:
    """How all paths below a mount begin, or all of files on another host."""
    below = f"/{quote(mount, safe='')}/"
    return below if host is None else f"{below}{MARKER}/{quote(host, safe=':')}/"


def relative(page: Target, to: Target) -> str:
    """The link from the page at `page` to `to`: encoded, relative, without a query (RFC 3986 §4.2).

    It is a bare file name where the file is in the page's folder: build back ends of NVIDIA's packages rely on it.
    """
    return between(page_folder(page), format_path(to))


def between(folder: str, there: str) -> str:
    """The link from a page in `folder` to the path `there`; the whole path if `folder` is empty."""
    if not folder:
        return there
    up = 0
    while not there.startswith(folder):
        folder = folder[: folder.rindex("/", 0, -1) + 1]
        up += 1
    link = "../" * up + there[len(folder) :]
    # A colon in the first segment would make it a scheme, and an empty link would mean the page itself.
    return f"./{link}" if not link or ":" in link.partition("/")[0] else link


def page_folder(page: Target) -> str:
    """The folder of a page, which relative links start from; empty if the links must be whole paths.

    Some clients leave empty segments out of a page's own address, and so count `..` differently.
    """
    path = format_path(page)
    return path[: path.rindex("/") + 1] if without_empties(page.path) == page.path else ""


def quoted(path: str) -> str:
    """The path encoded as pip would: only unreserved characters stay (RFC 3986 §2.3)."""
    if _UNRESERVED.fullmatch(path.replace("+", "")):
        return path.replace("+", "%2B")  # the usual case, and a page has thousands
    return address_text.quoted(path)


def checked(path: str) -> str:
    """A decoded path. Raises BadTarget for one with segments of dots, or too long."""
    segments = _SLASHES.split(path)
    if "." in segments or ".." in segments:
        raise BadTarget("The address has a segment of dots.")
    address_text.bounded(segments, PATH_LIMIT)
    return path


# ---------------------------------------------------------------------- marks


class Unmarked(NamedTuple):
    """A path on the cache, read: upstream's path, decoded, and what the marks say."""

    path: str
    name: str | None = None  # the file's name, where it is not the end of the path
    project: str | None = None  # whose page lists it, where the name does not tell
    file: bool = False  # whether a mark says that it is a file and no page


def marked(path: str, *, name: str | None = None, project: str | None = None, file: bool = False) -> str:
    """The path on the cache with these marks; `unmarked` is its inverse."""
    *folders, last = path.split("/")
    made = [_EMPTY if not folder else _escaped(folder) for folder in folders]
    if name is None:
        last = _escaped(last)
    elif path:
        made.append(_escaped(last) or _EMPTY)
    if project:
        made += (_OF, project)
    if name is not None:
        made.append(_NAME)
    elif file and not project:
        made.append(_FILE)
    return "/".join((*made, last if name is None else name))


def unmarked(path: str) -> Unmarked:
    """Read a path on the cache."""
    if "+" not in path:
        return Unmarked(path)
    segments = path.split("/")
    last = segments.pop()
    name = project = None
    if last == _EMPTY and segments[-1:] != [_NAME]:
        last = ""
    file = bool(segments and last) and segments[-1] in (_FILE, _NAME)
    if file and segments.pop() == _NAME:
        name = last
    if last and segments[-2:-1] == [_OF] and _PROJECT.fullmatch(segments[-1]):
        project, file = segments[-1], True
        del segments[-2:]
    if name is None:
        segments.append(last)
    return Unmarked("/".join(map(_upstream, segments)), name, project, file)


def plain(path: str) -> bool:
    """Whether upstream's path is also the path on the cache. Quick: pages have thousands of links."""
    return "/+" not in path and "//" not in path and not path.startswith(("+", "/"))


def without_empties(path: str) -> str:
    """A path on the cache without the marks of empty segments: the same page, if upstream ignores empty segments."""
    if _EMPTY not in path:
        return path
    return "/".join([segment for segment in path.split("/") if segment != _EMPTY])


def _escaped(segment: str) -> str:
    return f"+{segment}" if _LIKE_A_MARK.fullmatch(segment) else segment


def _upstream(segment: str) -> str:
    if segment == _EMPTY:
        return ""
    return segment[1:] if _LIKE_A_MARK.fullmatch(segment) else segment


# ---------------------------------------------------------------------- names


def normalize(name: str) -> NormalizedName:
    """The name of a project as addresses have it (PEP 503)."""
    return canonicalize_name(name)


def name_of(target: Target) -> str:
    """The name of the file at `target`."""
    return target.path.rpartition("/")[2]


def called(target: Target) -> str:
    """What a person calls what is at `target`: the name of the file, or of the project whose page it is."""
    return name_of(target) or project_of_folder(target)


def folder_of(target: Target) -> str:
    """The path of the folder that has the file at `target` upstream, without a slash at its end."""
    return marked(unmarked(target.path).path).rpartition("/")[0]


def parent_of(target: Target) -> str:
    """The path of the folder above the folder at `target`, with a slash at its end; empty for the base."""
    return target.path[: target.path.rfind("/", 0, -1) + 1]


def project_of(target: Target) -> str | None:
    """The project whose page lists the file at `target`: by its mark, or guessed by the file's name; else None."""
    return unmarked(target.path).project or filenames.project_of(name_of(target))


def project_of_folder(page: Target) -> NormalizedName:
    """The project whose page is at `page`, by the name of the folder."""
    return normalize(page.path.rstrip("/").rpartition("/")[2])


def path_of(target: Target) -> str:
    """The path of `target` upstream: on its host, or below the base of its mount."""
    return unmarked(target.path).path


def is_marked(target: Target) -> bool:
    """Whether a mark in the address says that it is a file."""
    return "+" in target.path and unmarked(target.path).file


def is_named(target: Target) -> bool:
    """Whether the file's name is no part of its address upstream."""
    return unmarked(target.path).name is not None
