"""What an address below a mount is: the list of projects, a page, or a file. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.errors import NotFound
from proxy.model import Site, Target
from proxy.python import addresses, filenames, marks
from proxy.spelling import quoted

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # of a project (PEP 508)


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
    last = addresses.name_of(target)
    if target.host is not None:
        if not last:
            raise NotFound("There is no page at this address; files lie below +files/<host>/.")
        return PackageFile(last)
    if last and addresses.is_marked(target):
        return PackageFile(last)
    if filenames.is_page(last) or (site.flat and not last):
        return FlatPage()
    if site.flat:
        # Without the slash a listing's links would lead beside it. Quoted, it is a path whatever it is called.
        return PackageFile(last) if filenames.is_file(last) else Elsewhere(f"./{quoted(last)}/")
    return _of_index(marks.without_empties(target.path), site)


def _of_index(path: str, site: Site) -> Route:
    folder, _, last = path.rpartition("/")
    if path in (site.index, site.index.rstrip("/")):
        index = quoted(site.index.rstrip("/").rpartition("/")[2])
        return ProjectList() if path == site.index else Elsewhere(f"{index}/")
    if last and filenames.is_file(last):
        return PackageFile(last)
    if not path.startswith(site.index):
        raise NotFound("There is nothing at this address; an index page is at /<mount>/simple/<project>/.")
    project = last or folder.rpartition("/")[2]
    if not _NAME.fullmatch(project):
        # Nothing else gets into a Location: `https:evil.example` would be another place.
        raise NotFound("No project has such a name: letters, digits, dots, dashes and underscores.")
    normalized = addresses.normalize(project)
    if not last and normalized == project:
        return ProjectPage(normalized)
    return Elsewhere(f"../{normalized}/" if not last else f"{normalized}/")


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
    host = (target.host or "").replace(":", "/")
    return f"{file_keys(target.mount, project)}{host}:{target.path}"


def file_keys(mount: str, project: str | None = None) -> str:
    """The front of the keys of all files of a project on a mount, or of all its files."""
    return f"file:{mount}:" if project is None else f"file:{mount}:{project}:"
