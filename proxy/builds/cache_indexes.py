"""The indexes of a running cache, as it says itself: a container reads other settings than the verbs of this machine.

Called by the verbs that take `--index`. Whoever answers is asked over its open port, as clients ask it.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

import msgspec

from proxy.builds import running_cache
from proxy.builds.build_site import CachePlace
from proxy.builds.engine import Engine
from proxy.builds.engine_trouble import EngineTrouble

# What `/` tells all who are no browser: an address below the mount for each index, indented, up to the next heading.
_LISTED = re.compile(r"^Indexes:\n((?:  \S+\n)+)", re.MULTILINE)
_PAGES = ("page", "list of projects")
_FILES = "/~files/"


def at_place(place: CachePlace, environ: Mapping[str, str]) -> dict[str, str] | None:
    """The path of the index below each mount of the cache at a place, also in a container; None where none answers."""
    try:
        with Engine.connect(environ) as engine:
            cache = place.find(engine)
    except EngineTrouble:
        cache = place.find(None)
    return of(cache.host, cache.port) if cache is not None else None


def of(host: str, port: int) -> dict[str, str] | None:
    """The path of the index below each mount and group of a cache; None where it does not answer."""
    try:
        answer = running_cache.get(host, port, "/")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    found = _LISTED.search(answer.body.decode("utf-8", "replace"))
    if found is None:
        return None
    paths = (unquote(urlsplit(line).path) for line in found[1].split())
    return {mount: index for mount, _, index in (path[1:].partition("/") for path in paths)}


def path_of(host: str, port: int, url: str) -> str | None:
    """Where a cache has the index at an address upstream, as it says itself; None where it has none."""
    with suppress(OSError, http.client.HTTPException, ValueError, LookupError, TypeError, msgspec.MsgspecError):
        answer = running_cache.get(host, port, f"/api/v1/explain?url={quote(url, safe='')}")
        forecast = msgspec.json.decode(answer.body)["forecast"]
        path = forecast["address"]
        if forecast["kind"] in _PAGES and forecast["verdict"] != "refuse" and _FILES not in path:
            return f"{str(path).rstrip('/')}/"
    return None
