"""What a distribution requires in an environment, read from its core metadata (`Requires-Dist`, PEP 508). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import accumulate

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from proxy.bounded import short_cache
from proxy.foresight.environments import Environment

_MOST = 1000  # requirements of one distribution that are read
_LONGEST = 2000  # characters of a requirement that is read,
_REMEMBERED, _SHORT = 4096, 200  # requirements that stay read, and characters of one
_CHARACTERS = 256 << 10  # and of all of them together
_CLAUSES = 128  # of a specifier, and
_EXTRAS = 64  # of one project, however many require it
_FIELD = re.compile(rb"^Requires-Dist:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE | re.IGNORECASE)
_NAMES_EXTRA, _OF_AN_EXTRA = re.compile(r"\bextra\b"), re.compile(r"\bextra\s*==")  # in a marker
_NO_EXTRA = ""  # as markers are held against it where none was asked for


@dataclass(frozen=True, slots=True)
class Wanted:
    """A project that is required, by its normalised name, in which versions, and with which extras."""

    project: str
    specifier: SpecifierSet
    extras: frozenset[str]


def read(metadata: bytes) -> tuple[str, ...]:
    """The requirements in a metadata file, as they are written there; no more than any real one has."""
    headers = metadata.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    texts = (match[1].decode(errors="replace").replace("\n", " ") for match in _FIELD.finditer(headers))
    found = [text for _, text in zip(range(_MOST), texts, strict=False) if len(text) <= _LONGEST]
    sums = accumulate(len(text) for text in found)
    return tuple(text for text, so_far in zip(found, sums, strict=True) if so_far <= _CHARACTERS)


def wanted(
    requirements: Iterable[str], environment: Environment, extras: Collection[str], own: str = ""
) -> list[Wanted]:
    """Those that apply in an environment, where these extras of the distribution were asked for; each project once.

    `own`: the distribution's project, which may require itself with further extras: theirs apply, too. What cannot be
    read is left out, and so is what has an address.
    """
    found: dict[str, Wanted] = {}
    left, asked, new = list(requirements), frozenset[str](), frozenset({_NO_EXTRA, *extras})
    while new:
        asked |= new
        left = [text for text in left if not _taken_in(found, text, environment, new)]
        again = found.get(own)
        new = again.extras - asked if again is not None else frozenset()
    return list(found.values())


def narrowed(specifier: SpecifierSet, by: SpecifierSet) -> SpecifierSet:
    """What both take, unless that becomes longer than anything real: then it stays as it is."""
    if specifier == by:
        return specifier
    clauses = dict.fromkeys((*specifier, *by))
    return SpecifierSet(clauses) if len(clauses) <= _CLAUSES else specifier


def extended(extras: frozenset[str], by: frozenset[str]) -> frozenset[str]:
    """Both, unless they become more than anything real has: then they stay as they are."""
    both = extras | by
    return both if len(both) <= _EXTRAS else extras


def _taken_in(found: dict[str, Wanted], text: str, environment: Environment, extras: Collection[str]) -> bool:
    """Take a requirement in that applies with one of these extras. False: it may apply with others."""
    marker = text.partition(";")[2]
    if not any(extras) and _OF_AN_EXTRA.search(marker):
        return False  # most are of extras, and reading one costs more than all the rest
    requirement = _parsed(text)
    if requirement is None or requirement.url is not None:
        return True
    of_extra = _NAMES_EXTRA.search(marker) is not None
    if not _applies(requirement, environment, extras if of_extra else (_NO_EXTRA,)):
        return not of_extra
    project = canonicalize_name(requirement.name)
    before = found.get(project) or Wanted(project, SpecifierSet(), frozenset())
    asked = frozenset(canonicalize_name(extra) for extra in requirement.extras)
    found[project] = Wanted(project, narrowed(before.specifier, requirement.specifier), extended(before.extras, asked))
    return True


@short_cache(_REMEMBERED, _SHORT)
def _parsed(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError):  # the latter of deep parentheses
        return None


def _applies(requirement: Requirement, environment: Environment, extras: Collection[str]) -> bool:
    marker = requirement.marker
    if marker is None:
        return True
    try:
        return any(marker.evaluate({**environment.markers, "extra": extra}) for extra in extras)
    except (ValueError, UndefinedEnvironmentName, RecursionError):  # the first one: more digits than Python reads, too
        return False
