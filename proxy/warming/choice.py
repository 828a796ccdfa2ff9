"""Which files of a lock file are installed on which platforms (PEP 425, 751). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.tags import parse_tag

from proxy.foresight.environments import Environment

_LOCKED = {"extras": frozenset[str](), "dependency_groups": frozenset[str]()}  # what markers of PEP 751 may name


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform to be warmed for. `own`: it is that of this machine, where source distributions can be built."""

    name: str
    environment: Environment
    own: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A file to be fetched. `index`: where the lock file has it from; None: it does not say. `hashes` by algorithm."""

    project: str
    version: str
    filename: str
    hashes: Mapping[str, str]
    index: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """What cannot be had for a platform, and why."""

    what: str
    why: str


def choose(lock: Pylock, platforms: Sequence[Platform]) -> Iterator[Chosen | Refused]:
    """The files for all platforms, each once, and what has none."""
    seen: set[tuple[str, str]] = set()
    for platform in platforms:
        for package in lock.packages:
            if package.version is None or not _applies(package, platform.environment):
                continue
            found = _file(package, platform)
            key = (found.filename, "") if isinstance(found, Chosen) else (found.what, found.why)
            if key not in seen:
                seen.add(key)
                yield found


def _applies(package: Package, environment: Environment) -> bool:
    if package.requires_python is not None and not package.requires_python.contains(
        environment.python, prereleases=True
    ):
        return False
    try:
        return package.marker is None or package.marker.evaluate({**environment.markers, **_LOCKED}, "lock_file")
    except (UndefinedComparison, UndefinedEnvironmentName):
        return True  # rather one too many


def _file(package: Package, platform: Platform) -> Chosen | Refused:
    best = min(_ranked(package.wheels or (), platform.environment), key=lambda ranked: ranked[0], default=None)
    name = f"{package.name} {package.version}"
    if best is not None:
        return _chosen(package, best[1].filename, best[1].hashes)
    if package.sdist is None:
        return Refused(name, f"the lock file has no file of it for {platform.name}")
    if not platform.own:
        return Refused(
            name,
            f"there is no wheel for {platform.name}, and its source can only be built there: warm it on such a machine",
        )
    return _chosen(package, package.sdist.filename, package.sdist.hashes)


def _ranked(wheels: Iterable[PackageWheel], environment: Environment) -> Iterator[tuple[int, PackageWheel]]:
    for wheel in wheels:
        tags = parse_tag("-".join(wheel.filename.removesuffix(".whl").split("-")[-3:]))
        ranks = [environment.ranks[tag] for tag in tags if tag in environment.ranks]
        if ranks:
            yield min(ranks), wheel


def _chosen(package: Package, filename: str, hashes: Mapping[str, str]) -> Chosen:
    return Chosen(package.name, str(package.version), filename, dict(hashes), package.index)
