"""What projects in folders require, and their builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.pylock import Pylock

from proxy.warming import lock_files
from proxy.warming.projects import builds, required
from proxy.warming.uv_lock import UvLock

HATCHLING = '[build-system]\nrequires = ["hatchling>=1"]\nbuild-backend = "hatchling.build"\n'
PROJECT = f"""
{HATCHLING}
[project]
name = "own"
dependencies = ["a"]
[project.optional-dependencies]
x = ["b"]
"""
UV = """
version = 1
requires-python = ">=3.11"
[[package]]
name = "own"
source = { editable = "." }
[[package]]
name = "other"
source = { directory = "libs/other" }
[[package]]
name = "only-locked"
source = { virtual = "virtual" }
[[package]]
name = "gone"
source = { editable = "gone" }
"""
PYLOCK = """
lock-version = "1.0"
created-by = "uv"
[[packages]]
name = "own"
directory = { path = ".", editable = true }
"""


def project(folder: Path, text: str) -> Path:
    """A project in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_required(tmp_path: Path) -> None:
    """Itself, the extras that are asked for, and its build."""
    path = project(tmp_path, PROJECT)
    assert (["a", "hatchling>=1", "editables"], None) == required(path, [])
    assert (["a", "hatchling>=1", "editables", "b"], None) == required(path, ["X", "unknown"])


@pytest.mark.parametrize(
    "text",
    [
        *("[tool.x]\n", "[project]\ndynamic = ['dependencies']", "[project]\ndynamic = ['optional-dependencies']"),
        *("[project", "project = 1", "[project]\ndependencies = 1"),
    ],
)
def test_required__not_known(tmp_path: Path, text: str) -> None:
    """It is said why."""
    assert required(project(tmp_path, text), ["x"])[1] is not None


def test_required__extras_of_its_own(tmp_path: Path) -> None:
    """An extra may name the project with others: these are taken, and no project of its name from an index."""
    more = 'y = ["c", "Own[x]"]\nall = ["own[y,all]", "no requirement !"]\n'
    path = project(tmp_path, PROJECT + more)
    assert ["a", "hatchling>=1", "editables", "no requirement !", "c", "b"] == required(path, ["all"])[0]


def test_required__what_its_build_needs(tmp_path: Path) -> None:
    """That is known where the rest is not: it stands in a setup.py, or in another tool's table."""
    assert ["setuptools>=40.8.0", "wheel"] == required(project(tmp_path, "[tool.x]\n"), [])[0]


@pytest.mark.parametrize(("name", "text"), [("uv.lock", UV), ("pylock.toml", PYLOCK), ("pdm.lock", "")])
def test_builds(tmp_path: Path, name: str, text: str) -> None:
    """Of all projects that a lock file has built, each set once; a project that is not built needs none."""
    project(tmp_path, PROJECT)
    project(tmp_path / "libs" / "other", PROJECT.replace("own", "other"))
    project(tmp_path / "virtual", '[build-system]\nrequires = ["virtual"]\n')
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    lock = lock_files.read(path)
    assert isinstance(lock, Pylock | UvLock)
    assert [["hatchling>=1", "editables"]] == builds(path, lock)


@pytest.mark.parametrize("text", ["", "[tool.x]\n", "[project", "[project]\n[build-system]\nrequires = []\n"])
def test_builds__nothing_said(tmp_path: Path, text: str) -> None:
    """A file that says of no project, or cannot be read, and a build that needs nothing."""
    project(tmp_path, text)
    path = tmp_path / "pylock.toml"
    path.write_text(PYLOCK, encoding="utf-8")
    lock = lock_files.read(path)
    assert isinstance(lock, Pylock)
    assert [] == builds(path, lock)
