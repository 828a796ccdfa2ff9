"""What a distribution requires in an environment, read from its core metadata (`Requires-Dist`, PEP 508). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from proxy.foresight.environments import Environment

_MOST = 1000  # requirements of one distribution that are read
_LONGEST = 2000  # characters of a requirement that is read
_FIELD = re.compile(rb"^Requires-Dist:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE | re.IGNORECASE)
_OF_AN_EXTRA = re.compile(r";.*\bextra\s*==")


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
    return tuple(text for _, text in zip(range(_MOST), texts, strict=False) if len(text) <= _LONGEST)


def wanted(requirements: Iterable[str], environment: Environment, extras: Collection[str]) -> list[Wanted]:
    """Those that apply in an environment, where these extras of the distribution were asked for.

    What cannot be read is left out, and so is what has an address.
    """
    found = []
    for text in requirements:
        if not extras and _OF_AN_EXTRA.search(text):
            continue  # most are of extras, and reading one costs more than all the rest
        requirement = _parsed(text)
        if requirement is not None and requirement.url is None and _applies(requirement, environment, extras):
            asked = frozenset(canonicalize_name(extra) for extra in requirement.extras)
            found.append(Wanted(canonicalize_name(requirement.name), requirement.specifier, asked))
    return found


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _applies(requirement: Requirement, environment: Environment, extras: Collection[str]) -> bool:
    marker = requirement.marker
    if marker is None:
        return True
    try:
        return any(marker.evaluate({**environment.markers, "extra": extra}) for extra in ("", *extras))
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        return False
