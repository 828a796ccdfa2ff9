"""Keys of the store: of a page, of what a page dropped, of what is made of a page, and of a file. Pure.

Their form is part of the format of the data folder (docs/formats.md). A change of it orphans everything that is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from proxy.errors import BadTarget
from proxy.model import Entry, Site, Target
from proxy.python import addresses, urls
from proxy.python.page import File

_INDEX = "index.html"  # what web servers without an own idea of it call the page of a folder


@dataclass(frozen=True, slots=True)
class PageAddress:
    """The address of a page, as a path below a mount. A flat page, with files of any project, has the project ''."""

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

    @property
    def folder(self) -> str:
        """The folder that the page is of, the same for all spellings: `a/demo` of `a//Demo/`, `a/demo/index.html`."""
        path = addresses.without_empties(self.path).removesuffix(_INDEX)
        if not path.endswith("/"):
            return path
        above, _, name = path[:-1].rpartition("/")
        return f"{above}/{addresses.normalize(name)}"


def page_key(mount: str, project: str, path: str) -> str:
    """The key of a page. The keys of all pages of a project on a mount begin with `page_keys`."""
    return f"{page_keys(mount, project)}{path}"


def newest_copies(pages: Iterable[Entry]) -> list[Entry]:
    """The entries of pages, the newest first.

    Of several that came from one address the newest alone counts: upstream redirects other spellings of a name to it.
    """
    newest: dict[str, Entry] = {}
    for entry in sorted(pages, key=lambda entry: -entry.checked):
        newest.setdefault(entry.url, entry)
    return list(newest.values())


def page_keys(mount: str, project: str) -> str:
    """How the keys of all pages of a project on a mount begin; of its flat pages, if `project` is empty."""
    return f"page:{mount}:{project}:"


def project_of_page(key: str) -> str:
    """The project in the key of a page, or in that of what a page dropped; empty for a flat page."""
    return "".join(key.split(":", 3)[2:3])


def removed_key(key: str) -> str:
    """The key of what the page with this key does not list any more."""
    return f"removed:{key.removeprefix('page:')}"


def outline_key(key: str) -> str:
    """The key of the outline of the page with this key."""
    return f"outline:{key.removeprefix('page:')}"


def form_key(key: str, form: str) -> str:
    """The key of a rendered form of the page with this key. `form`, without a colon, tells it from others."""
    mount, project, path = key.removeprefix("page:").split(":", 2)
    return f"form:{mount}:{project}:{form}:{path}"


def made_of(key: str) -> str | None:
    """The key of the page that this cache made something of, if `key` is that of such a thing: it can be made again."""
    kind, _, rest = key.partition(":")
    if kind == "outline":
        return f"page:{rest}"
    if kind == "form" and rest.count(":") > 2:  # noqa: PLR2004 - mount, project, form, path
        mount, project, _, path = rest.split(":", 3)
        return page_key(mount, project, path)
    return None


def file_key(target: Target) -> str:
    """The key of a file. The keys of all files of a project on a mount begin with `file_keys`."""
    project = addresses.project_of(target) or ""
    # With a slash before the port, a host cannot be confused with the beginning of a path.
    host, path = (target.host or "").replace(":", "/"), target.path
    if host and addresses.MARKER in path:  # upstream is a cache of this kind (ADR 12)
        path = "/".join([addresses.EARLIER_MARKER if part == addresses.MARKER else part for part in path.split("/")])
    return f"{file_keys(target.mount, project)}{host}:{path}"


def file_keys(mount: str, project: str | None = None) -> str:
    """How the keys of all files of a project on a mount begin, or of all files of the mount."""
    return f"file:{mount}:" if project is None else f"file:{mount}:{project}:"


def name_in_key(key: str) -> str:
    """The name of the file with this key."""
    return key.rpartition("/")[2].rpartition(":")[2]


def located(file: File, site: Site) -> Target | None:
    """The address on the cache of a file that a page lists; None if the cache could not fetch it."""
    try:
        return urls.locate_file(file.url, site, file.filename, file.project)
    except BadTarget:
        return None
