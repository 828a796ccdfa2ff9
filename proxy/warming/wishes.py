"""What a person names to be warmed → what is to be resolved, and what is to be fetched as it is named.

Called by `commands.warm`. Reads the files that are named, and asks nobody.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from packaging.pylock import Pylock
from packaging.requirements import InvalidRequirement
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from proxy.errors import BadTarget, WrongUsage
from proxy.warming import archives, dockerfiles, lock_files, platforms, projects
from proxy.warming.archives import ArchiveFile, Packages
from proxy.warming.choice import Chosen, LeftOut
from proxy.warming.requirement_files import Requirements, elsewhere
from proxy.warming.sboms import Sbom
from proxy.warming.text_files import UnreadableFile, without_user
from proxy.warming.uv_lock import UvLock

_FILES = (".whl", ".tar.gz", ".zip")
_FILES_OF_WISHES = (".lock", ".toml", ".txt", ".in", ".json", ".xml", ".sources", ".list")
_SOURCES_NEEDED = (
    "name the sources of its image with --apt-source, such as 'http://mirror.example/debian bookworm main'"
)


@dataclass(frozen=True, slots=True)
class AptWish:
    """Names of packages; each text may have several. `sources`: as `archives.sources` takes them."""

    names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    architecture: str | None = None
    recommends: bool = True


class AskedCache(Protocol):
    """The cache: its address without a slash at the end, that of its usual index, and where it has another one."""

    cache: str

    @property
    def usual(self) -> str: ...

    def on_cache(self, index: str) -> str | None: ...


@dataclass(slots=True)
class Wishes:
    """What is to be resolved for each platform, what is fetched as it is named, and packages of archives.

    `pythons`: versions of Python that Dockerfiles name; `platforms`: those of their images, if none is this machine's;
    `unread`: lines of theirs that are not warmed for; `left_out`: what is from no index, and files that name nothing.
    """

    distributions: list[Pylock | UvLock | Requirements] = field(default_factory=list)
    files: list[Chosen | ArchiveFile] = field(default_factory=list)
    packages: list[Packages] = field(default_factory=list)
    pythons: list[str] = field(default_factory=list)
    platforms: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def gather(wanted: Sequence[str], apt: AptWish, site: AskedCache, variables: Mapping[str, str] | None = None) -> Wishes:
    """What the arguments of the verb name. `variables`: for requirements files. Raises WrongUsage, UnreadableFile."""
    found, together = Wishes(), Requirements(variables=variables or {})
    for text in wanted:
        path = Path(text)
        if text.endswith(_FILES) and "://" not in text:
            found.files.append(_named(path.name))
        elif (there := _is_file(path)) and dockerfiles.is_dockerfile(path):
            _add_dockerfile(path, apt, site, found)
        elif there:
            _add_file(path, site, found, together)
        elif text.startswith(("http://", "https://")):
            found.files.append(_archive_file(text, site.cache))
        elif (other := _elsewhere(text)) is not None:
            found.left_out.append(other)
        else:
            together.lines.append(text)
    found.left_out += together.left_out
    if together.lines:
        found.distributions.append(together)
    names = tuple(word for text in apt.names for word in text.split())
    if names:
        sources = archives.sources(apt.sources, site.cache, found.left_out)
        found.packages.append(Packages(names, sources, apt.architecture, apt.recommends))
    return found


def _is_file(path: Path) -> bool:
    """Whether a text is the path of a file. One that is too long for a path, such as with a marker, is none."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _add_file(path: Path, site: AskedCache, found: Wishes, together: Requirements) -> None:
    """Take in a lock file, or requirements, which are resolved together. Raises UnreadableFile."""
    read = lock_files.read(path)
    before = len(together.lines) + len(together.left_out)
    if isinstance(read, Pylock | UvLock):
        found.distributions += [read, *map(Requirements, projects.builds(path, read))]
        if read.packages:
            return
    elif isinstance(read, Sbom):
        together.lines += read.lines
        found.distributions += [Requirements([line]) for line in read.apart]
        together.left_out += [LeftOut(name, f"it is from {without_user(where)}") for name, where in read.left_out]
        for url in read.indexes:
            index = site.on_cache(url)
            if index is None:
                raise UnreadableFile(
                    f"{path}: {without_user(url)} is not behind the cache. Add an [[upstream]] with this url to it."
                )
            together.indexes += [index] if index not in together.indexes else []
    else:
        made = Requirements(variables=together.variables)
        made.add(path, site.on_cache)
        if made.index in {None, site.usual}:
            together.join(made)
        else:  # it is installed from there alone, and the rest is not
            found.distributions += [made] if made.lines else []
            found.left_out += made.left_out
            return
    if len(together.lines) + len(together.left_out) == before:
        found.left_out.append(LeftOut(str(path), "it names nothing of an index"))


def _add_dockerfile(path: Path, apt: AptWish, site: AskedCache, found: Wishes) -> None:
    read = dockerfiles.read(path, site.on_cache)
    found.distributions += [*read.locks, *(one for one in read.requirements if one.lines)]
    found.left_out += [one for requirements in read.requirements for one in requirements.left_out]
    found.platforms += [one for one in platforms.of_images(musl=read.musl) if one not in found.platforms]
    found.pythons += [one for one in read.pythons if one not in found.pythons]
    found.files += [_archive_file(url, site.cache) for url in read.keys]
    found.unread += [f"{path}, {one}" for one in read.unread]
    if not apt.sources:
        found.unread += [f"{path}: apt-get install {' '.join(one.names)}: {_SOURCES_NEEDED}" for one in read.packages]
        return
    sources = archives.sources(apt.sources, site.cache, found.left_out, read.sources)
    found.packages += [
        Packages(one.names, sources, apt.architecture, one.recommends, one.release) for one in read.packages
    ]


def _named(filename: str) -> Chosen:
    """A file of the index by its name, as the cache names it while it is offline."""
    try:
        if filename.endswith(".whl"):
            project, version = parse_wheel_filename(filename)[:2]
        else:
            project, version = parse_sdist_filename(filename)
    except ValueError:  # of its name, and more digits than Python reads
        raise WrongUsage(
            f"{filename}: this is no name of a file of an index, such as demo-1.0-py3-none-any.whl"
        ) from None
    return Chosen(project, str(version), filename, {})


def _archive_file(url: str, cache: str) -> ArchiveFile:
    try:
        return archives.archive_file(url, cache)
    except BadTarget:
        raise WrongUsage(f"{without_user(url)}: this is no address of a file of an archive") from None


def _elsewhere(text: str) -> LeftOut | None:
    """What is to be said of a requirement that is from no index. Raises WrongUsage if it is none."""
    if text.endswith(_FILES_OF_WISHES) or dockerfiles.is_dockerfile(Path(text)):
        raise WrongUsage(
            f"{without_user(text)}: there is no such file"
        )  # and not a project of that name, which may be anybody's
    try:
        return elsewhere(text)
    except (InvalidRequirement, RecursionError):  # the latter of deep parentheses
        raise WrongUsage(
            f"{without_user(text)}: there is no such file, and it is no requirement such as demo==1.0"
        ) from None
