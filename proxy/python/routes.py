"""What an address below a mount is: the list of projects, a page, or a file. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from proxy.errors import NotFound
from proxy.model import Site, Target
from proxy.python import addresses

_FILE_ENDINGS = (
    ".whl", ".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar", ".egg", ".exe", ".msi", ".rpm",
    ".deb", ".dmg", ".metadata", ".asc", ".sig", ".json", ".provenance", ".attestation", ".txt", ".gz", ".bz2", ".xz",
)  # fmt: skip
_FLAT_ENDINGS = (".html", ".htm")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # of a project (PEP 508)
_BINARY_ENDINGS = (".whl", ".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".egg", ".exe", ".msi", ".metadata", ".tar")


@dataclass(frozen=True, slots=True)
class ProjectList:
    """The root of an index: all its projects."""


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """The page of one project; `project` is its normalised name (PEP 503)."""

    project: str


@dataclass(frozen=True, slots=True)
class FlatPage:
    """A page of files of any project: what `pip --find-links` takes, or the listing of a folder."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The address is spelt differently; `location` is relative to the one asked for."""

    location: str


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A distribution, or what lies beside one."""

    name: str


Route = ProjectList | ProjectPage | FlatPage | Elsewhere | PackageFile


def classify(target: Target, site: Site) -> Route:
    """Say what `target` is. Raises NotFound for what an index cannot have."""
    last = target.path.rpartition("/")[2]
    if target.host is not None:
        if not last:
            raise NotFound("There is no page at this address; files lie below +files/<host>/.")
        return PackageFile(last)
    if last.lower().endswith(_FLAT_ENDINGS) or (site.flat and not last):
        return FlatPage()
    if site.flat:
        # Without the slash a listing's links would lead beside it. Quoted, it is a path whatever it is called.
        return PackageFile(last) if last.lower().endswith(_FILE_ENDINGS) else Elsewhere(f"./{quote(last)}/")
    return _of_index(target, site)


def _of_index(target: Target, site: Site) -> Route:
    folder, _, last = target.path.rpartition("/")
    if target.path in (site.index, site.index.rstrip("/")):
        return (
            ProjectList() if target.path == site.index else Elsewhere(f"{site.index.rstrip('/').rpartition('/')[2]}/")
        )
    if last and last.lower().endswith(_FILE_ENDINGS):
        return PackageFile(last)
    if not target.path.startswith(site.index):
        raise NotFound("There is nothing at this address; an index page is at /<mount>/simple/<project>/.")
    project = last or folder.rpartition("/")[2]
    if not _NAME.fullmatch(project):
        # Nothing else gets into a Location: `https:evil.example` would be another place.
        raise NotFound("No project has such a name: letters, digits, dots, dashes and underscores.")
    normalized = addresses.normalize(project)
    if not last and normalized == project:
        return ProjectPage(normalized)
    return Elsewhere(f"../{normalized}/" if not last else f"{normalized}/")


def is_binary(name: str) -> bool:
    """Whether an HTML answer for a file of this name cannot be the file."""
    return name.lower().endswith(_BINARY_ENDINGS)


def page_key(mount: str, project: str, path: str) -> str:
    """The store's key of a page; all pages of a project on a mount share the front of it."""
    return f"{page_keys(mount, project)}{path}"


def page_keys(mount: str, project: str) -> str:
    """The front of the keys of all pages of a project on a mount; of its flat pages for the project ''."""
    return f"page:{mount}:{project}:"


def removed_key(key: str) -> str:
    """The store's key of what the page with this key does not list any more."""
    return f"removed:{key.removeprefix('page:')}"


def file_key(target: Target) -> str:
    """The store's key of a file; all files of a project on a mount share the front of it."""
    project = addresses.project_of(target.path.rpartition("/")[2]) or ""
    # No host has a slash: so its port ends where the path begins, whatever that begins with.
    host = (target.host or "").replace(":", "/")
    return f"{file_keys(target.mount, project)}{host}:{target.path}"


def file_keys(mount: str, project: str | None = None) -> str:
    """The front of the keys of all files of a project on a mount, or of all its files."""
    return f"file:{mount}:" if project is None else f"file:{mount}:{project}:"
