"""`build-cached.sh` on a machine that has Python and nothing of this program: it installs itself, once, from PyPI."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import version
from tests.e2e.clients import clean_environment
from tests.e2e.composing import ROOT

pytestmark = pytest.mark.e2e

_LIMIT = 600.0  # seconds: only for what hangs
_OF_THE_CHECKOUT = ("build-cached.sh", "LICENSE", "README.md", "pyproject.toml", "requirements.txt")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what it needs, in a folder with a space in its name, without an environment."""
    copy = tmp_path / "check out"
    shutil.copytree(ROOT / "proxy", copy / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*_OF_THE_CHECKOUT, "requirements-build.txt"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.mark.timeout(900)
def test_script__first_time_and_again(checkout: Path, home: Path) -> None:
    """The first call makes the environment, and the second one is the command at once."""
    environ = clean_environment(home) | {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(checkout / "build-cached.sh"), *arguments],
            cwd=home,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )

    first = call("--version")
    again = call("--version")
    wrong = call("build", "no-such-folder")

    assert (0, f"pullthrough {version()}\n") == (first.returncode, first.stdout), first.stderr
    assert first.stderr.startswith(f"build-cached.sh: installing into {checkout}/.venv, once\n")
    assert (0, f"pullthrough {version()}\n", "") == (again.returncode, again.stdout, again.stderr)
    assert (2, "") == (wrong.returncode, wrong.stdout)
    assert "the context no-such-folder is not a folder" in wrong.stderr
