"""Index pages as upstreams write them: HTML after PEP 503 and its additions, JSON after PEP 691.

`Origin.page` uses it. Written apart from the renderer of the program, so that both can be wrong only separately.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HTML = "application/vnd.pypi.simple.v1+html"
JSON = "application/vnd.pypi.simple.v1+json"
TEXT_HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Link:
    """One file of a project page. `metadata` is the digest of its `.metadata` file, or True if it has none.

    `hashes`: by algorithm, those beside a sha256; HTML has room for the first only.
    """

    filename: str
    url: str
    sha256: str | None = None
    size: int | None = None
    requires_python: str | None = None
    yanked: str | None = None
    metadata: str | bool | None = None
    upload_time: str | None = None
    hashes: tuple[tuple[str, str], ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        """All hashes by algorithm."""
        return ({"sha256": self.sha256} if self.sha256 else {}) | dict(self.hashes)


def as_html(name: str, links: Iterable[Link], version: str = "1.0") -> bytes:
    """The page that people see in a browser."""
    rows = "\n".join(_anchor(link) for link in links)
    return (
        f'<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="{version}">'
        f"<title>Links for {name}</title></head>\n<body><h1>Links for {name}</h1>\n{rows}\n</body></html>\n"
    ).encode()


def as_json(name: str, links: Iterable[Link], version: str = "1.1") -> bytes:
    """The page that pip and uv prefer."""
    return json.dumps(
        {"meta": {"api-version": version}, "name": name, "versions": [], "files": [_item(link) for link in links]}
    ).encode()


def _anchor(link: Link) -> str:
    fragment = next((f"#{name}={value}" for name, value in link.digests.items()), "")
    attributes = {"href": link.url + fragment, "data-requires-python": link.requires_python, "data-yanked": link.yanked}
    if link.metadata is not None:
        value = "true" if link.metadata is True else f"sha256={link.metadata}"
        attributes |= {"data-core-metadata": value, "data-dist-info-metadata": value}
    written = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items() if value is not None)
    return f"<a {written}>{html.escape(link.filename)}</a><br />"


def _item(link: Link) -> dict[str, Any]:
    item: dict[str, Any] = {
        "filename": link.filename,
        "url": link.url,
        "hashes": link.digests,
        "requires-python": link.requires_python,
        "yanked": False if link.yanked is None else link.yanked or True,
    }
    if link.metadata is not None:
        item["core-metadata"] = True if link.metadata is True else {"sha256": link.metadata}
    if link.size is not None:
        item["size"] = link.size
    if link.upload_time is not None:
        item["upload-time"] = link.upload_time
    return item
