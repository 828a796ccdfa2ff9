"""The shape of the code: which way imports point, how long modules are, that importing does nothing."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

import proxy
from tests.long_modules import long_modules

_ROOT = Path(__file__).parent.parent
_MODULES = sorted(module.name for module in pkgutil.walk_packages(proxy.__path__, "proxy."))
_LONGEST = 400  # lines
_ALIKE = ("utils", "helpers", "common", "base", "manager")
_TEXTS = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".cfg", ".conf", ""}
_FOLDERS = ("proxy", "tests", "bench", "docs", ".ci", "grafana")
# Classes of one name in two rooms: each is the same noun of another kind of upstream.
_TWINS = {"Catalog": {"python", "apt"}, "Files": {"python", "apt"}}

# Each module in a process of its own. What other projects' libraries do when they are loaded is not looked at: they are
# loaded before, which also makes this a matter of a second.
_IMPORT_EACH = """
import importlib, os, sys, threading, warnings
import aiohttp.web, diskcache, msgspec, packaging, prometheus_client, pydantic_settings, selectolax, typer, zeroconf
threads, environment, files = threading.active_count(), dict(os.environ), os.listdir(".")
wrong = False
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        warnings.simplefilter("error")
        importlib.import_module(name)
        assert threads == threading.active_count(), f"{name} starts a thread"
        assert environment == dict(os.environ), f"{name} changes the environment"
        assert files == os.listdir("."), f"{name} writes a file"
        os._exit(0)
    wrong |= os.waitpid(child, 0)[1] != 0
sys.exit(wrong)
"""


def _files() -> Iterator[Path]:
    yield from (path for path in _ROOT.iterdir() if path.is_file())
    for folder in _FOLDERS:
        yield from (path for path in (_ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def test_imports__point_downward() -> None:
    """The layers and the owners of libraries are those that pyproject.toml gives."""
    result = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == result.returncode, result.stdout


def test_modules__are_short() -> None:
    """A module that outgrows a screenful of screens holds a second noun."""
    assert {} == long_modules(_LONGEST)


def test_classes__mean_one_thing() -> None:
    """No class name stands for two things in two rooms, but for the honest twins."""
    rooms: dict[str, set[str]] = {}
    for path in (_ROOT / "proxy").rglob("*.py"):
        room = path.relative_to(_ROOT / "proxy").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                rooms.setdefault(node.name.lstrip("_"), set()).add(room)

    assert _TWINS == {name: found for name, found in rooms.items() if len(found) > 1}


def test_modules__are_named_by_a_noun() -> None:
    """No module is a bag."""
    assert [] == [name for name in _MODULES if name.rpartition(".")[2] in _ALIKE]


def test_modules__have_their_tests() -> None:
    """`proxy/a/b.py` is tested by `tests/a/test_b.py`."""
    tested = {
        ".".join((*path.relative_to(_ROOT / "tests").parts[:-1], path.stem.removeprefix("test_")))
        for path in (_ROOT / "tests").rglob("test_*.py")
    }
    packages = {name for name in _MODULES if (_ROOT / name.replace(".", "/")).is_dir()}
    modules = {name.removeprefix("proxy.") for name in set(_MODULES) - packages} - {"__main__"}

    assert set() == modules - tested


@pytest.mark.timeout(300)
def test_modules__import_alone() -> None:
    """A module needs no other one to be imported first, warns of nothing, prints nothing, and starts nothing."""
    names = [name for name in _MODULES if not name.endswith("__main__")]

    result = subprocess.run(
        [sys.executable, "-B", "-c", _IMPORT_EACH, *names], cwd=_ROOT, capture_output=True, text=True, check=False
    )

    assert (0, "", "") == (result.returncode, result.stdout, result.stderr)


def test_environment__is_read_in_one_place() -> None:
    """Only the command line hands the environment on; no room looks at it."""
    readers = {
        path.relative_to(_ROOT).as_posix()
        for path in (_ROOT / "proxy").rglob("*.py")
        if "os.environ" in (text := path.read_text(encoding="utf-8")) or "getenv" in text
    }

    assert {"proxy/cli.py", "proxy/bundle_verbs.py", "proxy/store_verbs.py"} == readers


def test_threads__none_are_everybodys() -> None:
    """Nothing uses the event loop's default executor: each kind of work has threads of its own (`cache/workers.py`)."""
    users = {
        path.relative_to(_ROOT).as_posix()
        for path in (_ROOT / "proxy").rglob("*.py")
        if re.search(
            r"to_thread\(|run_in_executor\(\s*None|\.getaddrinfo\(|getnameinfo\(", path.read_text(encoding="utf-8")
        )
    }

    # These look names up before the server serves, or in threads of their own.
    assert {"proxy/config/proxy_selection.py", "proxy/upstream/resolver.py", "proxy/web/listener.py"} == users


def test_files__name_no_index() -> None:
    """PyPI's address is another project's constant: no file of this one has it."""
    host = urlsplit(PYPI_SIMPLE_ENDPOINT).netloc

    assert [] == [
        path.relative_to(_ROOT).as_posix()
        for path in _files()
        if path.suffix in _TEXTS and host in path.read_text(encoding="utf-8", errors="replace")
    ]


def test_locks__hold_no_address() -> None:
    """A lock names packages, versions and hashes; where they come from is the installer's choice."""
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-build.txt"):
        lines = (_ROOT / name).read_text(encoding="utf-8").splitlines()
        assert [] == [
            line for line in lines if "://" in line or (line.lstrip().startswith(("-", "#")) and "--hash=" not in line)
        ]
