"""Which files of a lock file are installed on which platforms (PEP 425, 751). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.pylock import Package, PackageWheel, Pylock
from packaging.utils import parse_wheel_filename

from proxy.foresight.candidates import tags
from proxy.foresight.environments import Environment
from proxy.warming import text_files
from proxy.warming.conditions import may_hold

# What a package has as its `tool` if the lock file does not say on which platforms it is needed.
UNSAID = {"pullthrough": {"platforms": "unsaid"}}


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


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is no matter of the cache, and why: a build gets it elsewhere, or does without it."""

    what: str
    why: str


def choose(lock: Pylock, platforms: Sequence[Platform]) -> Iterator[Chosen | Refused | LeftOut]:
    """The files for all platforms, each once, and what has none."""
    seen: set[tuple[str, str | None]] = set()
    for platform in platforms:
        for package in lock.packages:
            if package.directory is not None or not _applies(package, platform.environment):
                continue
            found = _from_elsewhere(package) or _file(package, platform)
            key = (found.filename, found.index) if isinstance(found, Chosen) else (found.what, found.why)
            if key not in seen:
                seen.add(key)
                yield found


def _applies(package: Package, environment: Environment) -> bool:
    if package.requires_python is not None and not package.requires_python.contains(
        environment.python, prereleases=True
    ):
        return False
    return may_hold(None if package.marker is None else str(package.marker), environment.markers)


def _from_elsewhere(package: Package) -> LeftOut | None:
    source = package.archive or package.vcs
    if source is None:
        return None
    where = text_files.without_user(str(source.url or source.path))
    return LeftOut(package.name, f"it is from {where}, and from no index")


def _file(package: Package, platform: Platform) -> Chosen | Refused | LeftOut:
    best = max(_ranked(package.wheels or (), platform.environment), key=lambda ranked: ranked[0], default=None)
    name = f"{package.name} {package.version}" if package.version else package.name
    if best is not None:
        return _chosen(package, best[1].filename, best[1].hashes)
    if package.tool == UNSAID and package.wheels and (package.sdist is None or not platform.own):
        return LeftOut(name, f"it has no file for {platform.name}, and the lock file does not say whether it needs one")
    if package.sdist is None and not package.wheels:
        return Refused(name, "none of its files has a hash that the requirements allow")
    if package.sdist is None:
        return Refused(name, f"the lock file has no file of it for {platform.name}")
    if not platform.own:
        return Refused(
            name,
            f"there is no wheel for {platform.name}, and its source can only be built there: warm it on such a machine",
        )
    return _chosen(package, package.sdist.filename, package.sdist.hashes)


def _ranked(
    wheels: Iterable[PackageWheel], environment: Environment
) -> Iterator[tuple[tuple[int, int, str], PackageWheel]]:
    """Wheels that fit, the best with the highest rank: by their tags, then by their build number, as pip has it."""
    for wheel in wheels:
        ranks = [environment.ranks[tag] for tag in tags(wheel.filename) if tag in environment.ranks]
        if ranks:
            yield (-min(ranks), *_build(wheel.filename)), wheel


def _build(filename: str) -> tuple[int, str]:
    """The build number of a wheel, 0 where it has none."""
    try:
        build = parse_wheel_filename(filename)[2]
    except ValueError:  # InvalidWheelFilename, and more digits than Python reads
        return 0, ""
    return (build[0], build[1]) if build else (0, "")


def _chosen(package: Package, filename: str, hashes: Mapping[str, str]) -> Chosen:
    return Chosen(package.name, str(package.version or ""), filename, dict(hashes), package.index)
