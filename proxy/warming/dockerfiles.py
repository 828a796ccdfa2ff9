"""What the steps of a Dockerfile install, as far as its text says, and the lines that it does not (best effort).

Whatever is not surely read is listed: a build that is warmed for in part fails where nobody can help it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.pylock import Pylock

from proxy.builds.dockerfile import Dockerfile, Instruction, Stage
from proxy.warming import archives, lock_files, projects, text_files
from proxy.warming.image_files import ImageFiles
from proxy.warming.installers import FromArchive, FromIndex, FromLock, Nothing, Unread, installed, without_name
from proxy.warming.requirement_files import Requirements
from proxy.warming.shell_commands import Command, commands, filled, unknown
from proxy.warming.text_files import UnreadableFile
from proxy.warming.uv_lock import UvLock

_NAMES = re.compile(r"(?:.*\.)?(?:dockerfile|containerfile)(?:\..*)?", re.IGNORECASE)
_PYTHON = re.compile(r"\bpython:?(3\.\d+(?:\.\d+)?)")
_LARGEST = 1 << 20  # bytes
_SOURCE = re.compile(r"\bdeb[ \t]+(?:\[[^\]\n]*\][ \t]*)?https?://[^\s\"'|;>]+[ \t]+[^\s\"'|;>]+(?:[ \t]+[\w.$/{}-]+)*")
_OPTIONS = re.compile(r"\[[^\]]*\][ \t]*")  # what they say of architectures may be known only there
_KEY = re.compile(r"\.(?:asc|gpg|key|pub)$|gpg|key", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s\"'|;>]+")
_FETCHERS = frozenset({"curl", "wget", "ADD"})
# By whether it is uv that reads them: what takes the place of the usual index, and what comes beside it.
_DEFAULT_VARIABLES = {False: ("PIP_INDEX_URL",), True: ("UV_DEFAULT_INDEX", "UV_INDEX_URL")}
_INDEX_VARIABLES = {False: ("PIP_EXTRA_INDEX_URL",), True: ("UV_EXTRA_INDEX_URL", "UV_INDEX")}
# Programs that fetch nothing, and what the grammar of a shell leaves over.
_QUIET_WORDS = """
true false : . source dpkg [ [[ ] test cd echo printf mkdir rmdir rm mv cp ln ls cat chmod chown chgrp sed grep awk
egrep cut sort uniq head tail tr wc tee touch tar gzip gunzip unzip xz find set export unset umask useradd groupadd
adduser addgroup usermod install locale-gen ldconfig localedef update-ca-certificates update-alternatives
apt-mark dpkg-reconfigure gpg date sleep du df env id whoami exit return for done fi esac case shift basename
dirname readlink realpath stat which } debconf-set-selections dpkg-query uname strip fc-cache sync hash alias
trap local read wait apt-cache apt-config dpkg-architecture lsb_release
"""
_QUIET = frozenset(_QUIET_WORDS.split())


@dataclass(frozen=True, slots=True)
class UnreadLine:
    """A line of a Dockerfile that is not warmed for, and why."""

    line: int
    text: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}: {self.why}"


@dataclass(slots=True)
class Steps:
    """What the steps install. `sources`: of apt, as in sources.list, which the image has besides its own.

    `keys`: addresses of the keys of archives; `pythons`: versions of Python that its base images name; `musl`: these
    are all of Alpine.
    """

    requirements: list[Requirements] = field(default_factory=list)
    locks: list[Pylock | UvLock] = field(default_factory=list)
    packages: list[FromArchive] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    musl: bool = False
    pythons: list[str] = field(default_factory=list)
    unread: list[UnreadLine] = field(default_factory=list)


def is_dockerfile(path: Path) -> bool:
    """Whether a file is one, by its name: Dockerfile, Dockerfile.gpu, app.Dockerfile, Containerfile."""
    return _NAMES.fullmatch(path.name) is not None


def read(path: Path, on_cache: Callable[[str], str | None]) -> Steps:
    """What a Dockerfile installs; its folder is that of the build. `on_cache`: where the cache has an index, or None.

    Raises UnreadableFile.
    """
    file = Dockerfile.read(text_files.read(path, _LARGEST))
    found, reader = Steps(), _Reader(ImageFiles(path.parent), on_cache)
    for number, stage in enumerate(file.stages):
        reader.stage(stage, str(number), file.arguments, found)
    found.pythons = list(dict.fromkeys(match[1] for base in file.bases if (match := _PYTHON.search(base))))
    found.musl = bool(file.bases) and all("alpine" in base for base in file.bases)
    return found


@dataclass(slots=True)
class _Place:
    """Where a step runs: its stage, working folder and variables."""

    stage: str
    workdir: str
    variables: dict[str, str]


@dataclass(slots=True)
class _Reader:
    files: ImageFiles
    on_cache: Callable[[str], str | None]
    ends: dict[str, _Place] = field(default_factory=dict)  # by stage, with which the next one begins

    def stage(self, stage: Stage, number: str, arguments: Mapping[str, str], found: Steps) -> None:
        """Go through the steps of a stage."""
        before = self.ends.get(stage.begins)
        place = _Place(
            stage.name or number, before.workdir if before else "/", dict(before.variables) if before else {}
        )
        self.files.begin(place.stage, stage.begins)
        for one in stage.instructions:
            match one.name:
                case "ARG":
                    for name, value in one.assigned.items():
                        given = filled(value, place.variables) if "=" in one.text else arguments.get(name)
                        if given is not None:
                            place.variables.setdefault(name, given)
                case "ENV":
                    place.variables |= {name: filled(value, place.variables) for name, value in one.assigned.items()}
                case "WORKDIR":
                    place.workdir = posixpath.join(place.workdir, filled(one.text, place.variables))
                case "COPY" | "ADD":
                    self.files.add(place.stage, one, place.workdir, place.variables)
                    _fetched(Command((one.name, *filled(one.text, place.variables).split())), one.line, found)
                case "RUN":
                    self._run(one, place, found)
                case "ONBUILD":
                    found.unread += _later(one)
        self.ends[place.stage] = place
        self.files.stages.setdefault(number, self.files.stages[place.stage])

    def _run(self, run: Instruction, place: _Place, found: Steps) -> None:
        try:
            steps = list(commands(run.shell, place.variables))
        except ValueError as error:
            found.unread.append(UnreadLine(run.line, _short(run.shell), f"it cannot be read: {error}"))
            return
        document = filled(run.text.partition("\n")[2], place.variables)
        for text in (document, *(word for step in steps for word in step.words)):
            _written(text, run.line, found)
        for step in steps:
            why = self._step(step, run, place, found)
            if why is not None:
                found.unread.append(UnreadLine(run.line, _short(" ".join(step.words)), why))

    def _step(self, step: Command, run: Instruction, place: _Place, found: Steps) -> str | None:
        """Take in what a command installs; else why that is not known."""
        match installed(step):
            case Nothing():
                return None
            case Unread(why):
                return why
            case FromArchive() as packages:
                wrong = next((name for name in packages.names if not archives.is_name(name)), None)
                found.packages += [packages] if wrong is None else []
                return wrong and f"{wrong} is no name of a package"
            case FromLock(name, folder):
                return self._lock(posixpath.normpath(f"{folder}/{name}"), run, place, found)
            case FromIndex() as wanted:
                return self._index(wanted, step, run, place, found)
            case None:
                return _fetched(step, run.line, found)

    def _lock(self, name: str, run: Instruction, place: _Place, found: Steps) -> str | None:
        path = self.files.found(place.stage, run, place.workdir, name)
        if path is None:
            return f"{name} is not copied from the folder of the Dockerfile"
        try:
            lock = lock_files.read(path)
        except UnreadableFile as error:
            return str(error)
        assert isinstance(lock, Pylock | UvLock), "its name says so"
        found.locks.append(lock)
        builds = map(Requirements, projects.builds(path, lock))
        found.requirements += [one for one in builds if one not in found.requirements]
        return None

    def _index(self, wanted: FromIndex, step: Command, run: Instruction, place: _Place, found: Steps) -> str | None:
        variables = {**place.variables, **step.variables}
        made = Requirements(list(wanted.wanted), variables=variables)
        made.first = wanted.first
        made.options += wanted.options
        if (why := self._indexes(wanted, variables, made)) is not None:
            return why
        for name, bounds in wanted.files:
            if (why := self._file(name, made, run, place, found, bounds=bounds)) is not None:
                return why
        for project in wanted.projects:
            folder, _, extras = project.partition("[")
            path = self.files.found(place.stage, run, place.workdir, f"{folder}/{projects.NAME}")
            if path is None:
                return f"there is no {projects.NAME} that is copied to {folder}"
            named = [one.strip() for one in extras.rstrip("]").split(",") if one.strip()]
            needs, unsaid = projects.required(path, named)
            made.lines += needs
            if unsaid is not None:
                found.unread.append(UnreadLine(run.line, _short(" ".join(step.words)), unsaid))
        if made not in found.requirements and (made.lines or made.left_out):
            found.requirements.append(made)
        return None

    def _indexes(self, wanted: FromIndex, variables: Mapping[str, str], made: Requirements) -> str | None:
        """Take in where a command looks, by its words and by variables; else why that is not known."""
        of_variables = (variables.get(name) for name in _DEFAULT_VARIABLES[wanted.first])
        default = wanted.index or next((url for url in of_variables if url), None)
        named = [word for name in _INDEX_VARIABLES[wanted.first] for word in variables.get(name, "").split()]
        for index in (*wanted.indexes, *map(without_name, named), *([default] if default else [])):
            there = self.on_cache(index)
            if there is None:
                shown = text_files.without_user(index)
                return f"{shown} is not behind the cache. Add an [[upstream]] with this url to it."
            if index == default:
                made.index = there
            else:
                made.indexes.append(there)
        return None

    def _file(  # noqa: PLR0913 - where it is, and what takes it in
        self, name: str, made: Requirements, run: Instruction, place: _Place, found: Steps, *, bounds: bool
    ) -> str | None:
        """Take in a requirements file, or a lock file in its place; else why it is not known."""
        path = self.files.found(place.stage, run, place.workdir, name)
        if path is None:
            return f"{name} is not copied from the folder of the Dockerfile"
        try:
            lock = lock_files.read(path) if path.suffix in {".toml", ".lock"} else None
            if isinstance(lock, Pylock | UvLock):
                found.locks.append(lock)
            else:
                made.take(path, self.on_cache, bounds=bounds)
        except UnreadableFile as error:
            return str(error)
        return None


def _later(one: Instruction) -> list[UnreadLine]:
    """What an ONBUILD leaves to those who build on the image."""
    is_run = one.text.upper().startswith("RUN")
    return [UnreadLine(one.line, _short(one.text), "it runs where others build on this image")] if is_run else []


def _written(text: str, line: int, found: Steps) -> None:
    """Take in the sources of apt in a text that a step writes, in either form."""
    for source in (*_SOURCE.findall(text), *(archives.of_stanzas(text) if "URIs:" in text else ())):
        plain = _OPTIONS.sub(lambda options: "" if unknown(options[0]) else options[0], source)
        if unknown(plain):
            found.unread.append(UnreadLine(line, _short(source), "a part of it is known only when it runs"))
        elif plain not in found.sources:
            found.sources.append(plain)


def _fetched(step: Command, line: int, found: Steps) -> str | None:
    """Take in the key that a command fetches; else why it is not known what it does."""
    if step.program == "gpg" and any(word.startswith(("--keyserver", "--recv")) for word in step.words):
        return "a server of keys is not behind the cache"
    if step.program in _QUIET or step.program == "COPY":
        return None
    if step.program not in _FETCHERS:
        return "nobody can tell what it fetches"
    for url in (match[0] for word in step.words for match in _URL.finditer(word)):
        if _KEY.search(url) and not unknown(url):
            found.keys += [url] if url not in found.keys else []
        else:
            found.unread.append(UnreadLine(line, _short(url), "it is neither a package nor the key of an archive"))
    return None


def _short(text: str) -> str:
    """One line of it for people, without passwords."""
    line = text_files.without_user(" ".join(text.split()))
    return line if len(line) <= 80 else f"{line[:79]}…"  # noqa: PLR2004 a line of a terminal
