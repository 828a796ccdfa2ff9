"""Marks in addresses on the cache: what an address upstream says, and a path of names cannot say by itself. Pure.

Clients join and clean addresses in their own ways, so a link must survive all of them. `urllib.parse.urljoin`, which
pip uses, drops empty segments; pip takes a file's name from the end of the path, and adds `.metadata` behind a query;
a name without a known ending could be a project's page; and a name may not say whose file it is. So a path on the cache
has

    +empty            for an empty segment that is not the last
    +of/<project>     before the name of a file that does not say whose it is: on that project's page it is listed
    +file             before the name of a file that could be taken for a page
    +name             before a name that is not part of the path upstream: the page says what is

A segment of upstream's own that reads like one of these gets one more plus sign in front. Encoded slashes stand as
`address_text.SLASH`, and need no mark.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_EMPTY, _OF, _FILE, _NAME = "+empty", "+of", "+file", "+name"
_LIKE_A_MARK = re.compile(r"\++(?:empty|of|file|name)")
_PROJECT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")  # a normalised name (PEP 503)


class Unmarked(NamedTuple):
    """What a path on the cache says: upstream's path, decoded, and what marks added to it."""

    path: str
    name: str | None = None  # the file's name, where it is not the end of the path
    project: str | None = None  # whose page lists it, where the name does not say
    file: bool = False  # whether any mark says that it is a file and no page


def marked(path: str, *, name: str | None = None, project: str | None = None, file: bool = False) -> str:
    """The path on the cache that says all this; `unmarked` is its inverse."""
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
    """Whether upstream's path stands on the cache as it is; quick, for pages with thousands of links."""
    return "/+" not in path and "//" not in path and not path.startswith(("+", "/"))


def without_empties(path: str) -> str:
    """A path on the cache without the marks of empty segments: what it leads to, if upstream does not care for them."""
    if _EMPTY not in path:
        return path
    return "/".join([segment for segment in path.split("/") if segment != _EMPTY])


def _escaped(segment: str) -> str:
    return f"+{segment}" if _LIKE_A_MARK.fullmatch(segment) else segment


def _upstream(segment: str) -> str:
    if segment == _EMPTY:
        return ""
    return segment[1:] if _LIKE_A_MARK.fullmatch(segment) else segment
