"""Keys of the store: where a page, what it dropped, and a file are kept. Pure.

Their form is part of the format of the data folder (docs/formats.md): a change makes what is stored unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from proxy.errors import BadTarget
from proxy.model import Site, Target
from proxy.python import addresses, urls
from proxy.python.page import File


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Which page: at this path of a mount, of a project; '' for a flat page."""

    site: Site
    project: str
    path: str

    @classmethod
    def of_key(cls, key: str, site: Site) -> Self:
        """The page with this key."""
        _, _, project, path = key.split(":", 3)
        return cls(site, project, path)

    @property
    def key(self) -> str:
        """The store's key."""
        return page_key(self.site.mount, self.project, self.path)

    @property
    def url(self) -> str:
        """Upstream's address."""
        return urls.upstream_url(Target(self.site.mount, None, self.path), self.site)


def page_key(mount: str, project: str, path: str) -> str:
    """The store's key of a page; all pages of a project on a mount share the front of it."""
    return f"{page_keys(mount, project)}{path}"


def page_keys(mount: str, project: str) -> str:
    """The front of the keys of all pages of a project on a mount; of its flat pages for the project ''."""
    return f"page:{mount}:{project}:"


def project_of_page(key: str) -> str:
    """The project in the key of a page, or of what a page dropped; empty for a flat page."""
    return "".join(key.split(":", 3)[2:3])


def removed_key(key: str) -> str:
    """The store's key of what the page with this key does not list any more."""
    return f"removed:{key.removeprefix('page:')}"


def file_key(target: Target) -> str:
    """The store's key of a file; all files of a project on a mount share the front of it."""
    project = addresses.project_of(target) or ""
    # No host has a slash: so its port ends where the path begins, whatever that begins with.
    host, path = (target.host or "").replace(":", "/"), target.path
    if host and addresses.MARKER in path:  # upstream is a cache of this kind; see ADR 12
        path = "/".join([addresses.EARLIER_MARKER if part == addresses.MARKER else part for part in path.split("/")])
    return f"{file_keys(target.mount, project)}{host}:{path}"


def file_keys(mount: str, project: str | None = None) -> str:
    """The front of the keys of all files of a project on a mount, or of all its files."""
    return f"file:{mount}:" if project is None else f"file:{mount}:{project}:"


def name_in_key(key: str) -> str:
    """The name of the file with this key."""
    return key.rpartition("/")[2].rpartition(":")[2]


def located(file: File, site: Site) -> Target | None:
    """Where the cache has a file of a page; None for one that it could not fetch."""
    try:
        return urls.locate_file(file.url, site, file.filename, file.project)
    except BadTarget:
        return None
