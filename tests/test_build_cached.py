"""build-cached.sh: which pullthrough it runs, with the shells that it is for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[1] / "build-cached.sh"
# dash is Debian's sh; bash in its POSIX mode is what macOS has as sh.
_SHELLS = [shell for shell in (["dash"], ["bash", "--posix"], ["sh"]) if shutil.which(shell[0])]
_SAYS = '#!/bin/sh\nprintf "%s|" "$0" "$PWD" "$@"\nexit 7\n'


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment is ready for this Python."""
    checkout = tmp_path / "check out"
    checkout.mkdir()
    shutil.copy(_SCRIPT, checkout)
    for name in ("requirements.txt", "requirements-build.txt", "pyproject.toml"):
        (checkout / name).touch()
        os.utime(checkout / name, (1, 1))
    _program(checkout / ".venv/bin/pullthrough", _SAYS)
    (checkout / f".venv/.serve-ready-{sys.version_info[0]}.{sys.version_info[1]}").touch()
    return checkout


def _run(shell: list[str], checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (checkout.parent / "bin").mkdir(exist_ok=True)
    environ = {"PATH": f"{checkout.parent}/bin:/usr/bin:/bin", "PYTHON": sys.executable, **variables}
    return subprocess.run(
        [*shell, str(checkout / "build-cached.sh"), *arguments],
        cwd=checkout.parent,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("shell", _SHELLS, ids=" ".join)
def test_script__hands_over(checkout: Path, shell: list[str]) -> None:
    """Arguments, working folder and exit status are those of the command."""
    result = _run(shell, checkout, "build", "-t", "a b", "")

    assert (7, "") == (result.returncode, result.stderr)
    assert f"{checkout}/.venv/bin/pullthrough|{checkout.parent}|build|-t|a b||" == result.stdout


@pytest.mark.parametrize("shell", _SHELLS, ids=" ".join)
def test_script__installed_command_first(checkout: Path, shell: list[str]) -> None:
    """Whoever has installed it gets that."""
    _program(checkout.parent / "bin/pullthrough", _SAYS)

    assert _run(shell, checkout, "help").stdout.startswith(f"{checkout.parent}/bin/pullthrough|")


@pytest.mark.parametrize("shell", _SHELLS, ids=" ".join)
def test_script__setup_is_the_checkouts(checkout: Path, shell: list[str]) -> None:
    """An installed wheel has no compose.yaml, and would only say to run this script."""
    _program(checkout.parent / "bin/pullthrough", _SAYS)

    assert _run(shell, checkout, "setup", "--print").stdout.startswith(f"{checkout}/.venv/bin/pullthrough|")


@pytest.mark.parametrize("shell", _SHELLS, ids=" ".join)
def test_script__no_python(checkout: Path, shell: list[str]) -> None:
    """One line says what to do."""
    result = _run(shell, checkout, "help", PYTHON="no-python-here")

    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith("build-cached.sh: no Python 3.11 or later was found: install one")


@pytest.mark.parametrize("shell", _SHELLS, ids=" ".join)
def test_script__installs_as_make_serve_does(checkout: Path, shell: list[str]) -> None:
    """What changed since the last time is installed, hash-locked; a failing install is tried again the next time."""
    calls, version = checkout.parent / "calls", f"{sys.version_info[0]}.{sys.version_info[1]}"
    _program(
        checkout / ".venv/bin/python",
        f'#!/bin/sh\ncase "$*" in *--version) echo "pip 1 (python {version})"; exit;; '
        f'esac\necho "$*" >>"{calls}"\n[ ! -e "{checkout.parent}/fails" ]\n',
    )
    os.utime(checkout / "requirements.txt")
    os.utime(next(checkout.glob(".venv/.serve-ready-*")), (2, 2))
    (checkout.parent / "fails").touch()

    assert 1 == _run(shell, checkout, "help").returncode
    (checkout.parent / "fails").unlink()
    calls.unlink()
    result = _run(shell, checkout, "help")

    assert 7 == result.returncode
    quiet = "-m pip install --quiet --disable-pip-version-check"
    assert [
        f"{quiet} --require-hashes -r {checkout}/requirements.txt -r {checkout}/requirements-build.txt",
        f"{quiet} --no-deps --no-build-isolation --editable {checkout}",
    ] == calls.read_text().splitlines()
    calls.unlink()
    assert 7 == _run(shell, checkout, "help").returncode
    assert not calls.exists()
