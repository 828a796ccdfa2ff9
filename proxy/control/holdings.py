"""What a key of the store stands for, in a person's words: index, kind, project, version, name. Pure.

The keys are those of docs/formats.md. A key of a form that is not known here still counts: its index is "-". Called by
`selection` and `caretaker`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.utils import canonicalize_name, parse_sdist_filename
from packaging.version import Version

from proxy.apt import versions
from proxy.apt.policy import MOUNT as ARCHIVES
from proxy.model import Kind
from proxy.python.filenames import project_of
from proxy.python.store_keys import name_in_key

_APT_KINDS = {
    "release": Kind.RELEASE,
    "signature": Kind.RELEASE,
    "index": Kind.INDEX,
    "file": Kind.FILE,
    "document": Kind.OTHER,
}
_ARCHIVE_HOST = re.compile(r"[a-z]+://([^/]+)/")
_BESIDE = {"removed": " (removed files)", "outline": " (outline)"}  # what is not the page itself
_ATTACHED = (".metadata", ".asc", ".sig", ".provenance")
_DEBIAN = re.compile(
    r"([a-z0-9][a-z0-9+.-]+)_([^_]+?)(?:_[a-z0-9-]+\.u?deb|\.dsc|(?:\.orig(?:-[a-z0-9-]+)?|\.debian)?\.tar\.[a-z0-9]+"
    r"|\.diff\.gz)"
)


@dataclass(frozen=True, slots=True)
class Holding:
    """What is stored under one key. `host`: of an archive, for which all of apt is one index."""

    index: str  # the mount, "apt", or "-"
    kind: Kind
    name: str
    project: str | None = None  # normalised (PEP 503); for apt, a package
    version: str | None = None
    host: str | None = None

    def of_index(self, wanted: str) -> bool:
        """Whether it is of this index: a mount, "apt", or the host of an archive."""
        return wanted in (self.index, self.host)

    def of_project(self, wanted: str) -> bool:
        """Whether it is of this project or package."""
        return self.project is not None and self.project in (wanted, canonicalize_name(wanted))

    def of_version(self, wanted: str) -> bool:
        """Whether it is of this version. Without a local part, it means all local versions, too (PEP 440)."""
        if self.version is None or versions.same(self.version, wanted):
            return self.version is not None
        try:
            own, other = Version(self.version), Version(wanted)
        except ValueError:  # InvalidVersion, and more digits than Python reads
            return False
        return own == other or (other.local is None and Version(own.public) == other)


def holding(key: str) -> Holding | None:
    """What this key stands for; None for a second name of a file, by a digest, which goes with the file."""
    form, _, rest = key.partition(":")
    match form:
        case "digest":  # as `is_second_name` says
            return None
        case "page" | "removed" | "outline" if rest.count(":") > 1:
            mount, project, path = rest.split(":", 2)
            return Holding(mount, Kind.PAGE, f"{path}{_BESIDE.get(form, '')}", project or None)
        case "form" if rest.count(":") > 2:  # noqa: PLR2004 - mount, project, form, path
            mount, project, written, path = rest.split(":", 3)
            return Holding(mount, Kind.PAGE, f"{path} ({written.rpartition('-')[0]})", project or None)
        case "file" if rest.count(":") > 2:  # noqa: PLR2004 - mount, project, host, path
            mount, project, _ = rest.split(":", 2)
            name = name_in_key(key)
            kind = Kind.METADATA if name.endswith(".metadata") else Kind.FILE
            return Holding(mount, kind, name, project or None, version_of(name))
        case "apt" if (kind_of := _APT_KINDS.get(rest.partition(":")[0])) is not None:
            return _of_archive(kind_of, rest.partition(":")[2])
        case _:
            return Holding("-", Kind.OTHER, key)


def place_of(key: str) -> tuple[str, Kind] | None:
    """Index and kind of `holding`, without the rest, which takes much longer to find out."""
    form, _, rest = key.partition(":")
    if form == "digest":
        return None
    parts = rest.split(":", 3)
    if form == "file" and len(parts) > 3:  # noqa: PLR2004 - mount, project, host, path
        return parts[0], Kind.METADATA if key.endswith(".metadata") else Kind.FILE
    if (form in {"page", "removed", "outline"} and len(parts) > 2) or (form == "form" and len(parts) > 3):  # noqa: PLR2004
        return parts[0], Kind.PAGE
    if form == "apt" and (kind := _APT_KINDS.get(parts[0])) is not None:
        return ARCHIVES, kind
    return "-", Kind.OTHER


def is_second_name(key: str) -> bool:
    """Whether a key stands for nothing by itself: `holding` gives None."""
    return key.startswith("digest:")


def named(index: str, name: str) -> tuple[str | None, str | None]:
    """Project and version of a file of an index, or of an archive, as far as its name tells."""
    if index == ARCHIVES:
        package = _DEBIAN.fullmatch(name)
        return (package[1], package[2].replace("%3a", ":")) if package else (None, None)
    return project_of(name), version_of(name)


def _of_archive(kind: Kind, address: str) -> Holding:
    found = _ARCHIVE_HOST.match(address)
    name = address.rpartition("/")[2]
    package = _DEBIAN.fullmatch(name) if kind is Kind.FILE else None
    shown = name if package else address.partition("://")[2]
    return Holding(
        ARCHIVES,
        kind,
        shown or address,
        package[1] if package else None,
        package[2].replace("%3a", ":") if package else None,
        found[1] if found else None,
    )


def version_of(name: str) -> str | None:
    """The version in the name of a distribution, or of a file that belongs to one; None if none can be read."""
    stem = name
    while ending := next((ending for ending in _ATTACHED if stem.endswith(ending)), None):
        stem = stem.removesuffix(ending)
    if stem.lower().endswith((".whl", ".egg")):
        parts = stem.split("-")
        return parts[1] if len(parts) > 2 else None  # noqa: PLR2004 - name, version, tag
    try:
        return str(parse_sdist_filename(stem)[1])
    except ValueError:  # InvalidSdistFilename, and more digits than Python reads
        return None
