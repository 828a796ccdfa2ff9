"""What an address below a mount is: the list of projects, a page, or a file; which members answer for a group. Pure.

The pages of a group's members are never merged: one member is asked after the other, the first that has the project
answers, and only where a member says for certain that it has not does the next one get its turn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from proxy.address_text import quoted
from proxy.errors import NotFound
from proxy.model import Group, Member, Site, Target
from proxy.python import addresses, filenames
from proxy.python.layouts import below

_CHANNEL = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9._~+-]*")  # the name of an index below a mount, as torch-2.8.0+cu126


@dataclass(frozen=True, slots=True)
class ProjectList:
    """The root of an index: all its projects."""


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """The page of one project; `project` is its normalised name (PEP 503)."""

    project: str


@dataclass(frozen=True, slots=True)
class OtherSpelling:
    """A page whose name is not normalised: the root of an index below the mount, as `rocm6.4/`, or a project's page.

    `project` is the normalised name; `location`, relative to the address asked for, is where the page of a project of
    this name is; None where no project has such a name.
    """

    project: str
    location: str | None


@dataclass(frozen=True, slots=True)
class FlatPage:
    """A page of no single project: for `pip --find-links`, the listing of a folder, or the root of an index."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The page has another address; `location` is relative to the one asked for."""

    location: str


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A distribution, or a file that belongs to one."""

    name: str


Route = ProjectList | ProjectPage | OtherSpelling | FlatPage | Elsewhere | PackageFile


def classify(target: Target, site: Site) -> Route:
    """What `target` is. Raises NotFound if an index cannot have such an address."""
    last = addresses.name_of(target)
    if target.host is not None:
        if not last:
            raise NotFound("There is no page at this address; files lie below ~files/<host>/.")
        return PackageFile(last)
    if last and addresses.is_marked(target):
        return PackageFile(last)
    if filenames.is_page(last) or (site.flat and not last):
        return FlatPage()
    if site.flat:
        # Without the slash, the links of a listing would start from the folder above. Any name, quoted, is a path.
        return PackageFile(last) if filenames.is_file(last) else Elsewhere(f"./{quoted(last)}/")
    return _of_index(addresses.without_empties(target.path), site)


def _of_index(path: str, site: Site) -> Route:
    folder, _, last = path.rpartition("/")
    if path in (site.index, site.index.rstrip("/")):
        index = quoted(site.index.rstrip("/").rpartition("/")[2])
        return ProjectList() if path == site.index else Elsewhere(f"{index}/")
    if last and filenames.is_file(last):
        return PackageFile(last)
    if not path.startswith(site.index):
        raise NotFound("There is nothing at this address; an index page is at /<mount>/simple/<project>/.")
    written = last or folder.rpartition("/")[2]
    project = written.removeprefix("+")  # devpi's indexes are at +simple/
    if not filenames.is_project(project):
        if _CHANNEL.fullmatch(written):
            return Elsewhere(f"{quoted(written)}/") if last else FlatPage()
        # No other text gets into a Location: `https:evil.example` would lead to another host.
        raise NotFound("No project has such a name: letters, digits, dots, dashes and underscores.")
    if last:
        return Elsewhere(f"{quoted(written)}/")
    normalized = addresses.normalize(project)
    if normalized == written:
        return ProjectPage(normalized)
    return OtherSpelling(normalized, f"../{normalized}/" if project == written else None)


def members_for(group: Group, project: str) -> tuple[Member, ...]:
    """The members that may have a project, by its normalised name: the one that a pattern pins it to, or all."""
    for pattern, member in group.pins:
        if fnmatchcase(project, pattern):
            return (member,)
    return group.members


def is_none_of(group: Group, member: Member, project: str) -> bool:
    """Whether the group pins other projects to this member, so that it cannot have this one."""
    patterns = [pattern for pattern, to in group.pins if to == member]
    return bool(patterns) and not any(fnmatchcase(project, pattern) for pattern in patterns)


def is_volatile(target: Target, site: Site) -> bool:
    """Whether upstream may replace the file at `target` under its name; the settings say where."""
    return bool(site.volatile) and below(target, site).path.startswith(site.volatile)
