"""An index page and a file fetched through the cache, as pip fetches them: the file's digest has to be the page's.

Called by `doctor`. It asks over the open port, and follows the page's own link.
"""

from __future__ import annotations

import hashlib
import http.client
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from proxy.builds import running_cache
from proxy.builds.findings import Finding, doubtful, ok, wrong
from proxy.builds.running_cache import RunningCache

_PAGE = "application/vnd.pypi.simple.v1+json"
_LOG = "The cache's log says why: upstream, a proxy on the way, or its settings."
_WAIT = 60.0  # seconds: upstream may be slow
_LARGEST = 20 << 20  # bytes of a page, or of a file that is tried


def fetched(cache: RunningCache, mount: str, index: str, project: str) -> list[Finding]:
    """A page of the index and the smallest file on it."""
    path = f"/{mount}/{index}{project}/"
    try:
        status, body = _get(cache, path)
        listed = _files(body) if status == http.client.OK else []
        page = _page(path, status, body, len(listed))
        if not listed:
            return [page]
        one = min(listed, key=lambda file: file.get("size") or _LARGEST)
        status, content = _get(cache, urlsplit(urljoin(f"{cache.url}{path}", one["url"])).path)
    except (OSError, http.client.HTTPException) as error:
        return [wrong("page", f"{cache.url}{path} gives no answer: {error}", "pullthrough setup")]
    return [page, _file(one, status, content)]


def _page(path: str, status: int, body: bytes, files: int) -> Finding:
    other = "pullthrough doctor --project NAME"
    if status == http.client.NOT_FOUND:
        return doubtful("page", f"{path}: this index has no such project", other)
    if status != http.client.OK:
        return wrong("page", f"{path}: status {status}: {_line(body)}", _LOG)
    if not files:
        return doubtful("page", f"{path}: no file on it has a sha256", other)
    return ok("page", f"{path}: {files} files")


def _file(promised: dict[str, Any], status: int, content: bytes) -> Finding:
    name = promised["filename"]
    if status != http.client.OK:
        return wrong("file", f"{name}: status {status}: {_line(content)}", _LOG)
    if hashlib.sha256(content).hexdigest() != promised["hashes"]["sha256"]:
        return wrong("file", f"{name}: its digest is not the page's", "pullthrough verify")
    return ok("file", f"{name}: {len(content)} bytes, and their digest is the page's")


def _files(body: bytes) -> list[dict[str, Any]]:
    try:
        page = msgspec.json.decode(body)
        listed = page["files"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return []
    return [one for one in listed if one.get("hashes", {}).get("sha256")]


def _get(cache: RunningCache, path: str) -> tuple[int, bytes]:
    answer = running_cache.get(cache.host, cache.port, path, accept=_PAGE, wait=_WAIT, longest=_LARGEST)
    return answer.status, answer.body


def _line(body: bytes) -> str:
    return " ".join(body[:200].decode("utf-8", "replace").split())
