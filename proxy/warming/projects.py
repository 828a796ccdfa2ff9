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

from proxy.warming import text_files
from proxy.warming.text_files import UnreadableFile
from proxy.warming.uv_lock import UvLock

NAME = "pyproject.toml"
_DEFAULT = ("setuptools>=40.8.0", "wheel")  # of a build of which nothing is said (PEP 517)
# What backends ask for besides when they build a project that stays editable, and say only when they run.
_WHEN_EDITABLE = {"hatchling": "editables"}


def required(path: Path, extras: Sequence[str]) -> list[str] | str:
    """What a project requires, with its build; or why that is not known. `path`: of its pyproject.toml."""
    try:
        table = _table(path)
        project = table.get("project", {})
        if "dependencies" in project.get("dynamic", ()):
            return f"what {path} requires is known only when it is built"
        lines = [*project.get("dependencies", ()), *_of_build(table)]
        for extra in extras:
            lines += project.get("optional-dependencies", {}).get(extra, ())
    except (UnreadableFile, ValueError, AttributeError, TypeError) as error:
        return f"{path} cannot be read: {error}"
    return [str(line) for line in lines]


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
