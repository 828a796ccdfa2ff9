"""What projects in folders require, as their pyproject.toml says (PEP 518, 621). Reads files, and builds nothing.

A lock file has what its project requires, and not what its build does: who installs the project where there is no
internet needs that, too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.pylock import Pylock
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from proxy.warming import text_files
from proxy.warming.text_files import UnreadableFile
from proxy.warming.uv_lock import UvLock

NAME = "pyproject.toml"
_DEFAULT = ("setuptools>=40.8.0", "wheel")  # of a build of which nothing is said (PEP 517)
# What backends ask for besides when they build a project that stays editable, and say only when they run.
_WHEN_EDITABLE = {"hatchling": "editables"}


def required(path: Path, extras: Sequence[str]) -> tuple[list[str], str | None]:
    """What a project requires, with its build; and why that is not all, if it is not. `path`: of its pyproject.toml."""
    try:
        table = _table(path)
        project = table.get("project", {})
        lines = [*_named(project, [""]), *_of_build(table), *_named(project, extras)]
        dynamic = {"dependencies", *(["optional-dependencies"] if extras else [])} & set(project.get("dynamic", ()))
    except (UnreadableFile, ValueError, AttributeError, TypeError) as error:
        return [], f"{path} cannot be read: {error}"
    # Without a table of its own the rest stands in a setup.py, or where another tool has it.
    unsaid = f"what {path} requires is known only when it is built" if dynamic or "project" not in table else None
    return lines, unsaid


def _named(project: dict[str, Any], extras: Sequence[str]) -> Iterator[str]:
    """What these extras of a project require; an empty one stands for what is always required.

    An extra that names the project with further ones (`all = ["demo[x,y]"]`) stands for those.
    """
    offered = {canonicalize_name(name): lines for name, lines in project.get("optional-dependencies", {}).items()}
    offered[canonicalize_name("")] = project.get("dependencies", ())
    waiting = [canonicalize_name(extra) for extra in extras]
    for extra in waiting:  # which grows meanwhile
        for line in offered.get(extra, ()):
            own = _further(str(line), str(project.get("name", "")))
            if own is None:
                yield str(line)
            else:
                waiting += [one for one in own if one not in waiting]


def _further(line: str, project: str) -> list[NormalizedName] | None:
    """The extras in a requirement of the project itself; None: it is of another one."""
    try:
        read = Requirement(line)
    except (InvalidRequirement, RecursionError):  # the latter of deep parentheses
        return None  # who resolves it says what is wrong
    same = canonicalize_name(read.name) == canonicalize_name(project)
    return sorted(map(canonicalize_name, read.extras)) if same else None


def builds(path: Path, lock: Pylock | UvLock) -> list[list[str]]:
    """What the builds of the projects require that a lock file at `path` installs out of folders, each for itself."""
    found: list[list[str]] = []
    for folder in _folders(lock):
        file = path.parent / folder / NAME
        try:
            table = _table(file) if file.is_file() else {}
            lines = _of_build(table) if {"project", "build-system"} & set(table) else []
        except (UnreadableFile, ValueError, AttributeError, TypeError):
            continue  # who builds it will hear of it
        if lines and lines not in found:
            found.append(lines)
    return found


def _folders(lock: Pylock | UvLock) -> Iterator[str]:
    if isinstance(lock, UvLock):
        yield from lock.folders
    elif lock.created_by == "pdm":
        yield "."
    else:
        yield from (package.directory.path for package in lock.packages if package.directory is not None)


def _of_build(table: dict[str, Any]) -> list[str]:
    lines = [str(line) for line in table.get("build-system", {}).get("requires", _DEFAULT)]
    backend = str(table.get("build-system", {}).get("build-backend", "")).partition(".")[0]
    return [*lines, *([_WHEN_EDITABLE[backend]] if backend in _WHEN_EDITABLE else [])]


def _table(path: Path) -> dict[str, Any]:
    return tomllib.loads(text_files.read(path))
