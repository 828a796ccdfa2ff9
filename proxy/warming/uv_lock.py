"""uv.lock → what it locks for an environment, as `packaging.pylock.Pylock` (PEP 751).

Its packages have no markers of their own: those stand where one package needs another. So what an environment gets is
found from the project's own packages on, with all of their extras and groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.pylock import Package, Pylock
from packaging.utils import canonicalize_name
from packaging.version import Version

from proxy.foresight.environments import Environment
from proxy.warming.conditions import may_hold

_OWN = frozenset({"editable", "virtual"})  # sources of what is developed here


@dataclass(frozen=True, slots=True)
class Need:
    """That one package needs others of this name, and perhaps of this version and source, with some of its extras."""

    name: str
    version: str | None
    source: Mapping[str, Any] | None
    marker: str | None
    extras: tuple[str, ...]

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Need:
        """Read one. Raises KeyError, TypeError, InvalidMarker."""
        marker = row.get("marker")
        may_hold(marker, {})  # it is one
        if not isinstance(version := row.get("version"), str | None):
            raise TypeError("a version has to be a text")
        extras = tuple(row.get("extra", ()) or row.get("extras", ()))
        return cls(canonicalize_name(row["name"]), version, row.get("source"), marker, extras)


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """A package of the file. `package`: what is to be had of it; None: it is the project's own.

    `needs` of its extras are below their names; those of groups, which only the project's own have, below `groups`.
    """

    name: str
    version: str | None
    source: Mapping[str, Any]
    package: Package | None
    needs: tuple[Need, ...] = ()
    extras: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)
    groups: tuple[Need, ...] = ()
    forks: tuple[str, ...] = ()  # markers, of which one has to hold


@dataclass(frozen=True, slots=True)
class UvLock:
    """A whole file. `members`: names of packages that are the project's own; `wanted`: what a script needs.

    `folders`: of the projects that are built, below that of the file.
    """

    packages: tuple[LockedPackage, ...]
    members: frozenset[str] = frozenset()
    wanted: tuple[Need, ...] = ()
    folders: tuple[str, ...] = ()

    def on(self, environment: Environment) -> Pylock:
        """What of it may be installed there."""
        found = self._reached(environment.markers)
        packages = [one.package for one in self.packages if one.package is not None and id(one) in found]
        return Pylock(lock_version=Version("1.0"), created_by="uv", packages=packages)

    def _reached(self, variables: Mapping[str, str]) -> set[int]:
        """Which packages that are, by their ids."""
        by_name: dict[str, list[LockedPackage]] = {}
        for one in self.packages:
            if not one.forks or any(may_hold(fork, variables) for fork in one.forks):
                by_name.setdefault(one.name, []).append(one)
        own = [one for one in self.packages if _OWN & set(one.source) or one.name in self.members]
        waiting = [need for one in own for need in _all(one)]
        waiting += self.wanted
        found = {id(one) for one in own}
        if not waiting and not own:  # it does not say where to begin
            return {id(one) for listed in by_name.values() for one in listed}
        taken = set[tuple[int, str]]()
        while waiting:
            need = waiting.pop()
            if not may_hold(need.marker, variables):
                continue
            for one in by_name.get(need.name, ()):
                if _fits(one, need):
                    found.add(id(one))
                    for part in {"", *need.extras}:
                        if (id(one), part) not in taken:
                            taken.add((id(one), part))
                            waiting += one.extras.get(part, ()) if part else one.needs
        return found


def _all(package: LockedPackage) -> Iterator[Need]:
    yield from package.needs
    for needs in package.extras.values():
        yield from needs
    yield from package.groups


def _fits(package: LockedPackage, need: Need) -> bool:
    return need.version in (None, package.version) and need.source in (None, package.source)


def needs(rows: Iterable[Mapping[str, Any]]) -> tuple[Need, ...]:
    """What these rows need. Raises KeyError, TypeError, InvalidMarker."""
    return tuple(map(Need.read, rows))
