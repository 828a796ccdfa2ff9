"""Names of files on indexes: what a name tells of the kind of file, and of its project. Pure.

Never decides what is installed: clients have their own rules, and the cache serves whatever a page lists.
"""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

_FILE_ENDINGS = (
    ".whl", ".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar", ".egg", ".exe", ".msi", ".rpm",
    ".deb", ".dmg", ".metadata", ".asc", ".sig", ".json", ".provenance", ".attestation", ".txt", ".gz", ".bz2", ".xz",
)  # fmt: skip
_PAGE_ENDINGS = (".html", ".htm")
_BINARY_ENDINGS = (".whl", ".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".egg", ".exe", ".msi", ".metadata", ".tar")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]")
_REMEMBERED = 2_000  # names
_LONGEST = 255  # bytes: the most that clients' file systems take
_ATTACHED = (".metadata", ".metadata.json", ".asc", ".sig", ".provenance", ".attestation", "-variants.json")
_ARCHIVE = re.compile(r"\.(?:tar(?:\.[a-z0-9]+)?|tgz|tbz2?|txz|zip|exe|msi|rpm|deb|dmg)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSIONED = re.compile(r"-v?[0-9]")
_LOOSE = re.compile(r"(.+?)[-_]v?[0-9]")


def fits(name: str) -> bool:
    """Whether a file can have this name, in an address and on a disk."""
    return bool(name) and not _UNFIT.search(name) and name not in {".", ".."} and len(name.encode()) <= _LONGEST


def is_project(name: str) -> bool:
    """Whether a project can have this name (PEP 508)."""
    return _NAME.fullmatch(name) is not None


def is_file(name: str) -> bool:
    """Whether the ending alone tells that an address is a file's, so that it needs no mark."""
    return name.lower().endswith(_FILE_ENDINGS)


def is_page(name: str) -> bool:
    """Whether the ending tells that an address is a flat page's."""
    return name.lower().endswith(_PAGE_ENDINGS)


def is_binary(name: str) -> bool:
    """Whether an HTML response cannot be the file of this name."""
    return name.lower().endswith(_BINARY_ENDINGS)


def is_distribution(name: str) -> bool:
    """Whether a file of this name can be a distribution, or belong to one."""
    return is_file(name) and project_of(name) is not None


def tells(name: str, project: str) -> bool:
    """Whether a file's name tells for certain that it is this project's. Quick: pages have thousands of files."""
    begins = name.lower().replace("_", "-").replace(".", "-").startswith(f"{project}-")
    return (begins and not is_ambiguous(project)) or project_of(name) == project


def is_ambiguous(project: str) -> bool:
    """Whether the project's name may seem to end before it does: `foo-2-1.tar.gz` is `foo` 2.post1, or `foo-2` 1."""
    return _VERSIONED.search(project) is not None


def project_of(filename: str) -> NormalizedName | None:
    """The project of a distribution, or of a file that belongs to one. A best guess for old names; else None.

    Names that no disk takes are none: each dash of one is tried, and clients and pages may send any.
    """
    return _project_of(filename) if len(filename) <= _LONGEST else None


@lru_cache(maxsize=_REMEMBERED)  # an answer asks several times
def _project_of(filename: str) -> NormalizedName | None:
    stem = filename
    while ending := next((ending for ending in _ATTACHED if stem.endswith(ending)), None):
        stem = stem.removesuffix(ending)
        if ending == "-variants.json":  # PEP 825: <name>-<version>-variants.json
            return _named(stem.partition("-")[0])
    lowered = stem.lower()
    if lowered.endswith((".whl", ".egg")):
        return _named(stem.partition("-")[0]) if "-" in stem else None
    dot = next((match.start() for match in _ARCHIVE.finditer(stem) if match.end() == len(stem)), None)
    if dot is None:
        return None if is_file(stem) else _versioned(stem) or _versioned(stem.rpartition(".")[0])
    stem = stem[:dot]
    found = _versioned(stem)
    if found is None:
        loose = _LOOSE.match(stem)
        found = _named(loose[1] if loose else stem.rpartition("-")[0])
    return found


def version_of(filename: str) -> Version | None:
    """The version of a distribution, by a name of the present standards; else None."""
    if len(filename) > _LONGEST:
        return None
    try:
        parse = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
        return parse(filename)[1]
    except (InvalidSdistFilename, InvalidWheelFilename):
        return None


def _versioned(stem: str) -> NormalizedName | None:
    """The project of `<name>-<version>`, which may both have dashes: the version begins as early as it can."""
    for dash in (match.start() for match in re.finditer("-", stem)):
        if _is_version(stem[dash + 1 :]):
            return _named(stem[:dash])
    return None


def _named(name: str) -> NormalizedName | None:
    return canonicalize_name(name) if _NAME.fullmatch(name) else None


def _is_version(text: str) -> bool:
    if not text[:1].isdigit():
        return False
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
