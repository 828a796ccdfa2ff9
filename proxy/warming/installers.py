"""What a command of pip, uv, poetry, pdm or apt would install, by its words. Pure.

Called by `dockerfiles`. What cannot be known without running the command is said, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from packaging.requirements import InvalidRequirement, Requirement

from proxy.warming.requirement_files import which_files
from proxy.warming.shell_commands import Command, unknown

_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")
_PIP = re.compile(r"pip(?:3(?:\.\d+)?)?")
_APT = frozenset({"apt", "apt-get"})
# Options that have a value behind them. What pip, uv and apt have besides stands alone, or has an equals sign.
_FILES = {
    "-r": False,
    "--requirement": False,
    "--requirements": False,
    "-c": True,
    "--constraint": True,
    "--constraints": True,
}
_DEFAULT_INDEX = frozenset({"-i", "--index-url", "--default-index"})
_INDEXES = _DEFAULT_INDEX | {"--extra-index-url", "--index"}
_EDITABLE = frozenset({"-e", "--editable"})
_CHOICES = frozenset({"--pre", "--prerelease", "--no-binary", "--only-binary"})
_GROUPS = frozenset({"--group", "--only-group"})
_ELSEWHERE = frozenset({"-f", "--find-links"})
_PIP_WORDS = """
--abi --build-constraint --cache-dir --cert --client-cert --color --config-file --config-setting
--config-settings --dest --directory --exclude-newer --extra --global-option --group --implementation
--index-strategy --keyring-provider --link-mode --log --no-binary --no-build-isolation-package --no-group
--only-binary --only-group --output-file --override --package --platform --prefix --prerelease --progress-bar
--project --proxy --python --python-platform --python-version --refresh-package --reinstall-package --report
--resolution --retries --root --src --target --timeout --torch-backend --trusted-host --upgrade-package
--upgrade-strategy --use-feature --wheel-dir -C -P -b -d -o -p -t -w
"""
_PIP_VALUED = frozenset(_PIP_WORDS.split()) | {*_FILES, *_INDEXES, *_EDITABLE, *_ELSEWHERE, "--from"}
_FOLDERS = frozenset({"--project", "--directory"})
_APT_VALUED = frozenset({"-o", "--option", "-t", "--target-release", "--default-release", "-c", "--config-file", "-a"})
_RELEASE = frozenset({"-t", "--target-release", "--default-release"})
_APT_QUIET = frozenset(
    {"update", "clean", "autoclean", "autoremove", "purge", "remove", "list", "show", "search", "download"}
)
_FILE_ENDINGS = (".whl", ".tar.gz", ".zip")
_LOCKS = {"poetry": "poetry.lock", "pdm": "pdm.lock", "uv": "uv.lock"}
_UV_QUIET = frozenset({"venv", "cache", "version", "--version", "help", "self"})
_NO_RECOMMENDS = re.compile(r"APT::Install-Recommends=\"?(?:0|false|no)\"?;?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FromIndex:
    """Requirements, requirements files (path, whether it is one of constraints), projects in folders, further indexes.

    `index`: in place of the usual one; `first`: only the first index counts that has a project. `options`: which files
    count, as uv has them.
    """

    wanted: tuple[str, ...] = ()
    files: tuple[tuple[str, bool], ...] = ()
    projects: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    index: str | None = None
    first: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FromArchive:
    """Names of packages. `release`: the suite that comes first, as with `-t`."""

    names: tuple[str, ...]
    recommends: bool = True
    release: str | None = None


@dataclass(frozen=True, slots=True)
class FromLock:
    """The lock file of a folder, by its name."""

    name: str
    folder: str = "."


@dataclass(frozen=True, slots=True)
class Nothing:
    """It fetches nothing that a cache could have."""


@dataclass(frozen=True, slots=True)
class Unread:
    """It is not known what it installs, and why."""

    why: str


Installed: TypeAlias = FromIndex | FromArchive | FromLock | Nothing | Unread


def installed(command: Command) -> Installed | None:
    """What a command installs; None: it is no installer that is known here."""
    program, rest = command.program, list(command.words[1:])
    if _PYTHON.fullmatch(program):
        if rest[:1] != ["-m"] or len(rest) < 2:  # noqa: PLR2004 the module's name
            return None
        program, rest = rest[1], rest[2:]
        if program in {"venv", "compileall", "ensurepip", "site"}:
            return Nothing()
    try:
        return _of(program, rest)
    except _NotKnown as why:
        return Unread(str(why))


def without_name(index: str) -> str:
    """The address of an index, to which uv may give a name: `name=https://…`."""
    return index.partition("=")[2] if "=" in index.partition("://")[0] else index


class _NotKnown(Exception):
    """It is not known what a command installs. The text says why."""


def _of(program: str, rest: Sequence[str]) -> Installed | None:
    """What a program installs that gets these words. Raises _NotKnown."""
    if _PIP.fullmatch(program):
        return _pip(rest)
    if program in _APT:
        return _apt(rest)
    if program == "uvx":
        return _tool(rest)
    if program == "uv":
        return _uv(rest)
    if program in {"poetry", "pdm"}:
        if {"install", "sync"} & set(rest):
            return FromLock(_LOCKS[program])
        raise _NotKnown(f"{program} does something else than to install a lock file")
    return None


def _uv(rest: Sequence[str]) -> Installed:
    verb = next((word for word in rest if not word.startswith("-")), "version")
    after = list(rest[rest.index(verb) + 1 :]) if verb in rest else []
    if verb in _UV_QUIET:
        return Nothing()
    if verb == "pip":
        return _pip(after, first=True)
    if {"--with", "--with-requirements", "--with-editable"} & {word.partition("=")[0] for word in rest}:
        raise _NotKnown("it installs more than a lock file has: name that, too")
    if verb in {"sync", "export", "run"}:
        folder = next((value for option, value in _pairs(rest, _PIP_VALUED) if option in _FOLDERS), ".")
        return FromLock(_LOCKS["uv"], _known(folder))
    if verb == "tool" and after[:1] in (["install"], ["run"]):
        return _tool(after[1:])
    raise _NotKnown(f"uv {verb} is not known here")


def _tool(rest: Sequence[str]) -> Installed:
    """`uvx` and `uv tool`: a program of a package, with options before it and its own words behind it."""
    pairs = list(_pairs(rest, _PIP_VALUED))
    given = [value for option, value in pairs if option == "--from"]
    named = [value.replace("@", "==", 1) for option, value in pairs if not option][:1]
    return _Requirements(wanted=given or named).done(first=True)


@dataclass(slots=True)
class _Requirements:
    """What a command of pip names, one option after the other."""

    wanted: list[str] = field(default_factory=list)
    files: list[tuple[str, bool]] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    index: str | None = None
    options: list[str] = field(default_factory=list)

    def take(self, option: str, value: str, *, sync: bool) -> None:
        """Take an option in, or a word without one. `sync`: such words are files. Raises _NotKnown."""
        if option in _FILES:
            self.files.append((value, _FILES[option]))
        elif option in _INDEXES:
            if option in _DEFAULT_INDEX:
                self.index = without_name(value)
            else:
                self.indexes.append(without_name(value))
        elif option in _GROUPS:
            raise _NotKnown(f"it installs the group {value} of a pyproject.toml: name what that requires")
        elif option in _ELSEWHERE:
            raise _NotKnown(f"it takes files from {value}, which is no index")
        elif option in _CHOICES:
            self.options += which_files(option, value)
        elif not option and sync:
            self.files.append((value, False))
        elif option in _EDITABLE or (not option and _is_folder(value)):
            self.projects.append(value)
        elif not option:
            self.wanted.append(value)

    def done(self, *, first: bool) -> Installed:
        """What all of it comes to. `first`: as of `FromIndex`. Raises _NotKnown."""
        for word in (*self.wanted, *(name for name, _ in self.files), *self.projects, *self.indexes, self.index or ""):
            _known(word)
        for word in self.wanted:
            try:
                elsewhere = Requirement(word).url is not None or word.endswith(_FILE_ENDINGS)
            except (InvalidRequirement, RecursionError):  # the latter of deep parentheses
                elsewhere = True
            if elsewhere:
                raise _NotKnown(f"{word} comes from no index")
        if not self.wanted and not self.files and not self.projects:
            return Nothing()
        parts = tuple(self.wanted), tuple(self.files), tuple(self.projects), tuple(self.indexes)
        return FromIndex(*parts, self.index, first, tuple(self.options))


def _pip(rest: Sequence[str], *, first: bool = False) -> Installed:
    verb = next((word for word in rest if word in {"install", "download", "wheel", "sync"}), None)
    if verb is None or "--no-index" in rest:
        return Nothing()
    found = _Requirements()
    for option, value in _pairs(rest[rest.index(verb) + 1 :], _PIP_VALUED):
        found.take(option, value, sync=verb == "sync")
    return found.done(first=first)


def _apt(rest: Sequence[str]) -> Installed:
    pairs = list(_pairs(rest, _APT_VALUED))
    plain = [value for option, value in pairs if not option]
    if not plain or plain[0] in _APT_QUIET:
        return Nothing()
    if plain[0] != "install":
        raise _NotKnown(f"which packages `{plain[0]}` concerns depends on what the image has")
    names = tuple(word for word in map(_known, plain[1:]) if not word.endswith("-"))
    for word in names:
        if word.startswith(("/", ".")):
            raise _NotKnown(f"{word} comes from no archive")
    recommends = not any(
        option == "--no-install-recommends" or _NO_RECOMMENDS.fullmatch(value) for option, value in pairs
    )
    release = next((value for option, value in pairs if option in _RELEASE), None)
    return FromArchive(names, recommends, release) if names else Nothing()


def _known(word: str) -> str:
    if unknown(word):
        raise _NotKnown(f"{word} is known only when it runs")
    return word


def _is_folder(word: str) -> bool:
    """Whether it names a project in a folder, as pip tells: `.`, `./demo`, `/src[extra]`."""
    return word.partition("[")[0].startswith((".", "/")) and not word.endswith(_FILE_ENDINGS)


def _pairs(words: Sequence[str], valued: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Options with their values, and words without an option."""
    following = iter(words)
    for word in following:
        name, equals, value = word.partition("=")
        if word.startswith("--") and equals:
            yield name, value
        elif word in valued:
            yield word, next(following, "")
        elif word.startswith("--"):
            yield word, ""
        elif word.startswith("-"):
            yield from _letters(word, following, valued)
        else:
            yield "", word


def _letters(word: str, following: Iterator[str], valued: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The options of a word with one dash: `-qq`, `-rrequirements.txt`, `-Ur requirements.txt`, `-t=stable`."""
    for place, letter in enumerate(word[1:], 2):
        option = f"-{letter}"
        if option in valued:
            yield option, word[place:].removeprefix("=") or next(following, "")
            return
        if letter == "=":  # `-q=2`
            return
        yield option, ""
