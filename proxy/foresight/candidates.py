"""Which wheel of a page a resolver tries first: the newest that fits (PEP 425, 440, 592, 700). Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from math import prod
from typing import TypeVar

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.version import Version

from proxy.bounded import short_cache
from proxy.foresight.environments import Environment
from proxy.python.plain_links import Link

T = TypeVar("T")

_SOURCES = (".tar.gz", ".zip")  # of source distributions (PEP 625, and before it)
_PARTS = (5, 6)  # of a wheel's name: with and without a build number
_TAGS = 256  # that one name may stand for (PEP 425): ten times as many as any real one;
_FEW_TAGS = 16  # and up to which they stay read


def first(files: Iterable[Link], specifier: SpecifierSet, environment: Environment) -> Link | None:
    """The wheel that pip and uv try first; None where that is a source distribution, or nothing fits.

    Pre-releases count only where the specifier names one, or where there is nothing else.
    """
    by_version = _by_version(files)
    versions = sorted(by_version, reverse=True)
    wanted = bool(specifier.prereleases)
    for early in (wanted, True):
        for version in versions:
            if (version.is_prerelease and not early) or not specifier.contains(version, prereleases=True):
                continue
            fitting = [file for file in by_version[version] if _fits(file, environment)]
            wheels = sorted(_ranked(fitting, environment), key=lambda ranked: ranked[0])
            if wheels:
                return wheels[0][1]
            if any(not file.filename.endswith(".whl") for file in fitting):
                return None
    return None


def first_listed(
    listed: Iterable[tuple[T, Sequence[Link]]], specifier: SpecifierSet, environment: Environment
) -> tuple[Link, T] | None:
    """The same of the files that several pages list; with its page."""
    chosen = first(chain.from_iterable(links for _, links in listed), specifier, environment)
    if chosen is None:
        return None
    return chosen, next(page for page, links in listed if any(link is chosen for link in links))


def _by_version(files: Iterable[Link]) -> dict[Version, list[Link]]:
    found: dict[Version, list[Link]] = defaultdict(list)
    for file in files:
        text = _version_of(file.filename)
        version = _version(text) if text is not None and file.fetchable else None
        if version is not None:
            found[version].append(file)
    return found


def _version_of(filename: str) -> str | None:
    """The version in a distribution's name, as it is written there."""
    if filename.endswith(".whl"):
        parts = filename.removesuffix(".whl").split("-")
        return parts[1] if len(parts) in _PARTS else None
    for ending in _SOURCES:
        if filename.endswith(ending):
            return filename.removesuffix(ending).rpartition("-")[2]
    return None


@short_cache(8192, longest=64)
def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except ValueError:  # InvalidVersion, and more digits than Python reads
        return None


def _fits(file: Link, environment: Environment) -> bool:
    return file.yanked is False and (file.requires_python is None or _takes(file.requires_python, environment.python))


@short_cache(1024, longest=128)
def _takes(requires_python: str, python: Version) -> bool:
    """Whether a Python fits. What cannot be read excludes none, as in pip."""
    try:
        return SpecifierSet(requires_python).contains(python, prereleases=True)
    except ValueError:  # InvalidSpecifier, and more digits than Python reads
        return True


def _ranked(files: Iterable[Link], environment: Environment) -> Iterator[tuple[int, Link]]:
    """The wheels that can be installed, each with its place in the order of preference."""
    for file in files:
        if file.filename.endswith(".whl"):
            ranks = [environment.ranks[tag] for tag in tags(file.filename) if tag in environment.ranks]
            if ranks:
                yield min(ranks), file


def tags(filename: str) -> frozenset[Tag]:
    """The tags of a wheel; none of one whose name stands for more than any real one."""
    parts = filename.removesuffix(".whl").split("-")[-3:]
    count = prod(part.count(".") + 1 for part in parts)
    if count > _TAGS:
        return frozenset()
    return (_tags if count <= _FEW_TAGS else _tags.__wrapped__)("-".join(parts))


@lru_cache(maxsize=4096)
def _tags(text: str) -> frozenset[Tag]:
    try:
        return parse_tag(text)
    except ValueError:
        return frozenset()
