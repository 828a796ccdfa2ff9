"""Requirements files as pip has them → requirements, what bounds them, and where to look for them.

They are read here, and not by uv alone, since their lines of indexes and addresses would lead it past the cache.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from proxy.warming import projects, text_files
from proxy.warming.choice import LeftOut
from proxy.warming.text_files import UnreadableFile

_DEEPEST = 10  # requirements files that name others
_DEFAULT_INDEX = frozenset({"-i", "--index-url", "--pypi-url"})
_INDEX = _DEFAULT_INDEX | {"--extra-index-url"}
_INCLUDED = {"-r": False, "--requirement": False, "-c": True, "--constraint": True}
_FORMATS = frozenset({"--no-binary", "--only-binary"})
_EDITABLE = frozenset({"-e", "--editable"})
_FIND_LINKS = frozenset({"-f", "--find-links"})
_VALUED = _INDEX | _FORMATS | _EDITABLE | _FIND_LINKS | frozenset(_INCLUDED) | {"--trusted-host", "--use-feature"}
_PLAIN = frozenset({"--require-hashes", "--prefer-binary", "--trusted-host", "--use-feature"})  # nothing follows
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_HASH = re.compile(r"--hash[=\s]\s*(\w+:[0-9A-Fa-f]+)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_ELSEWHERE = re.compile(r"(?:[./~]|[a-z+]+:(?://|[./]))|.*\.(?:whl|zip|tar\.\w+|tgz)$", re.IGNORECASE)


@dataclass(slots=True)
class Requirements:
    """Requirements as text, what bounds them, and the addresses of further indexes, on the cache.

    `index`: in place of the usual one; `first`: of each project only the first index counts that has it, as for uv.
    `options`: of pip and uv, that say which files count; `hashes`: what is allowed, by the name of the project;
    `left_out`: what is from no index. `variables` are filled in where a file names them.
    """

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    hashes: dict[str, set[str]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    index: str | None = None
    first: bool = False
    variables: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def add(self, path: Path, on_cache: Callable[[str], str | None]) -> None:
        """Take a requirements file in. `on_cache`: where the cache has an index, or None. Raises UnreadableFile."""
        self.take(path, on_cache, bounds=False)

    def take(self, path: Path, on_cache: Callable[[str], str | None], *, bounds: bool) -> None:
        """As `add`, or take its lines as `bounds` of what is wanted."""
        self._add(path, on_cache, self.constraints if bounds else self.lines, _DEEPEST)

    def join(self, other: Requirements) -> None:
        """Take in others, that are looked for in the same place."""
        self.lines += other.lines
        self.constraints += other.constraints
        self.indexes += [one for one in other.indexes if one not in self.indexes]
        self.options += other.options
        self.left_out += other.left_out
        for name, hashes in other.hashes.items():
            self.hashes.setdefault(name, set()).update(hashes)

    def _add(self, path: Path, on_cache: Callable[[str], str | None], to: list[str], depth: int) -> None:
        if not depth:
            raise UnreadableFile(f"{path}: requirements files that name each other")
        for number, line in _lines(text_files.read(path), self.variables):
            if not line.startswith("-"):
                self._requirement(line, to, path, f"{path}, line {number}")
                continue
            for option, value in _options(line, f"{path}, line {number}"):
                if option in _INCLUDED:
                    there = self.constraints if _INCLUDED[option] else to
                    self._add(path.parent / value, on_cache, there, depth - 1)
                elif option in _INDEX:
                    self._index(path, option, value, on_cache)
                elif option in _EDITABLE:
                    self._leave_out(f"{option} {value}", value, to, path)
                else:
                    self._option(option, value)

    def _index(self, path: Path, option: str, value: str, on_cache: Callable[[str], str | None]) -> None:
        index = on_cache(value)
        if index is None:
            raise UnreadableFile(
                f"{path}: {option} {text_files.without_user(value)} is not behind the cache. Add an [[upstream]] with "
                "this url to it."
            )
        if option in _DEFAULT_INDEX:
            self.index = index
        elif index not in self.indexes:
            self.indexes.append(index)

    def _option(self, option: str, value: str) -> None:
        shown = text_files.without_user(f"{option} {value}".strip())
        if option in _FIND_LINKS:
            self.left_out.append(LeftOut(shown, "what is there is of no index"))
        elif option == "--pre" or option in _FORMATS:
            self.options += which_files(option, value)
        elif option not in _PLAIN:
            self.left_out.append(LeftOut(shown, "this option is not known here"))

    def _leave_out(self, line: str, place: str, to: list[str], path: Path) -> None:
        """Of a project in a folder beside the file take what it requires; else say that it is of no index."""
        folder, _, extras = place.partition("[")
        project = path.parent / folder / projects.NAME
        why: str | None = _why(place)
        if "://" not in place and os.path.isfile(project):  # noqa: PTH113 - a text that is too long for a path is none
            named = [one.strip() for one in extras.rstrip("]").split(",") if one.strip()]
            lines, why = projects.required(project, named)
            to += lines
        if why is not None:
            self.left_out.append(LeftOut(text_files.without_user(line), why))

    def _requirement(self, line: str, to: list[str], path: Path, where: str) -> None:
        """Take a line with a requirement in, as pip reads it: from the first word with a dash on it has options."""
        text, _, options = line.partition(" -")
        text = text.strip()
        place = text.partition(" ;")[0].rstrip()  # a folder may have a marker, too
        try:
            read = None if _ELSEWHERE.match(text) else Requirement(text)
        except (InvalidRequirement, RecursionError) as error:  # the latter of deep parentheses
            if not _is_folder(path.parent, place):
                shown = text_files.without_user(text)
                raise UnreadableFile(f"{where}: this is no requirement such as demo==1.0: {shown}") from error
            read = None
        if read is None or read.url is not None:
            self._leave_out(text, read.url or "" if read else place, to, path)
            return
        to.append(text)
        allowed = {one.lower() for one in _HASH.findall(f"-{options}")}
        if allowed:
            self.hashes.setdefault(canonicalize_name(read.name), set()).update(allowed)


def which_files(option: str, value: str) -> list[str]:
    """An option of pip's that says which files count, as uv has it."""
    if option == "--pre":
        return ["--prerelease", "allow"]
    return [word for one in value.split(",") for word in (option, one)]


def elsewhere(text: str) -> LeftOut | None:
    """What is to be said of a requirement that is from no index; None if it is from one. Raises InvalidRequirement."""
    url = Requirement(text).url
    return None if url is None else LeftOut(text_files.without_user(text), _why(url))


def _is_folder(base: Path, place: str) -> bool:
    """Whether it names a folder as pip takes one, without a dot in front: `libs/demo`, `libs/demo[extra]`."""
    return "/" in place and os.path.isdir(base / place.partition("[")[0])  # noqa: PTH112 - as of a file


def _why(where: str) -> str:
    if where.startswith("file:") or "://" not in where:
        return "it is a file or a folder, and of no index; name what it requires, too"
    return "it is from an address, and of no index; name what it requires, too"


def _lines(text: str, variables: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """The lines that say something, with the number of their first; those that go on in the next one joined."""
    begun, number = "", 0
    for count, line in enumerate([*text.split("\n"), ""], 1):  # the last one may go on, too
        number = number if begun else count
        comment = _COMMENT.match(line) is not None
        if line.endswith("\\") and not comment:
            begun += line[:-1] + " "
            continue
        whole, begun = begun + (f" {line}" if comment else line), ""
        said = _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), _COMMENT.sub("", whole).strip())
        if said:
            yield number, said


def _options(line: str, where: str) -> Iterator[tuple[str, str]]:
    """The options of a line, with their values. Raises UnreadableFile.

    Words that belong to none mean nothing to pip: `-e ./demo ; python_version > "3"`, as poetry writes it.
    """
    try:
        words = iter(shlex.split(line))
    except ValueError as error:
        raise UnreadableFile(f"{where}: {error}: {text_files.without_user(line)}") from error
    for word in words:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            continue
        if not re.match(r"-[a-z]|--[a-z]", word):
            raise UnreadableFile(f"{where}: this is no line of a requirements file: {text_files.without_user(line)}")
        if not word.startswith("--") and len(word) > 2:  # noqa: PLR2004 `-rbase.txt`
            yield word[:2], word[2:].removeprefix("=")
        elif equals:
            yield name, value
        else:
            yield word, next(words, "") if word in _VALUED else ""
