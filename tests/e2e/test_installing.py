"""The program as people get it: by uvx, by pipx, by pip; and its dependencies for a Mac."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.clients import Failed, Uv, clean_environment, run
from tests.e2e.mirror import free_port

_ROOT = Path(__file__).parents[2]
_LIMIT = 60.0  # seconds; a start takes one, an installation some

pytestmark = pytest.mark.e2e


def _serves(command: Sequence[str], home: Path) -> None:
    """Start the program by a command that may install it first; it answers, and ends well."""
    port = free_port()
    process = subprocess.Popen(
        [*command, "serve", f"--port={port}", f"--data={home / 'data'}"],
        env=clean_environment(home),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(int(_LIMIT * 10)):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_LIMIT) as answer:
                    assert 200 == answer.status
                break
            except OSError:
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        else:
            raise Failed("the program did not answer in time")
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=_LIMIT)
    assert "pullthrough serves at" in said, said
    assert "Traceback" not in said, said


@pytest.mark.parametrize("way", ["uvx", "pipx", "pip"])
def test_installed(tmp_path: Path, uv: Uv, way: str) -> None:
    """Each way from a checkout to a running server, without the repository's own environment."""
    run_once = (str(uv.program), "tool", "run", "--no-config", "--python", sys.executable, "--from")
    match way:
        case "uvx":
            _serves([*run_once, str(_ROOT), "pullthrough"], tmp_path)
        case "pipx":
            own = ("pipx", "run", "--python", sys.executable, "--spec", str(_ROOT))
            _serves([*run_once, "pipx", *own, "pullthrough"], tmp_path)
        case _:
            run([sys.executable, "-m", "venv", str(tmp_path / "venv")], tmp_path)
            run([str(tmp_path / "venv" / "bin" / "pip"), "install", "--quiet", str(_ROOT)], tmp_path)
            _serves([str(tmp_path / "venv" / "bin" / "pullthrough")], tmp_path)


@pytest.mark.parametrize("platform", ["aarch64-apple-darwin", "x86_64-apple-darwin"])
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_lock__wheels_for_macos(tmp_path: Path, uv: Uv, platform: str, version: str, lock: str) -> None:
    """The index has a wheel of each locked dependency, with a digest of the lock: nothing is compiled on a Mac.

    The tests' extra zeroconf has none for x86-64: there it is compiled, by what comes with `make`.
    """
    options: tuple[str, ...] = (
        "--no-config",
        "--dry-run",
        "--target",
        str(tmp_path / "target"),
        "--only-binary",
        ":all:",
    )
    if lock == "requirements-dev.txt" and platform.startswith("x86_64"):
        options = (*options, "--no-binary", "zeroconf")
    chosen = ("--python-platform", platform, "--python-version", version)
    run([str(uv.program), "pip", "install", *options, *chosen, "--require-hashes", "-r", str(_ROOT / lock)], tmp_path)
