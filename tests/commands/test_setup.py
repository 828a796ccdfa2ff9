"""`pullthrough setup`, as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.builds.setup_plan import SetupPlan
from proxy.commands.setup import SetupFlags, planned
from proxy.config.loading import resolve
from tests.fake_engine import FakeEngine, running

_ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the verb in an empty home; `variables` are added to its environment."""

    def run_it(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/nowhere", "HOME": str(tmp_path), "PYTHONPATH": str(_ROOT), **variables}
        return subprocess.run(
            [sys.executable, "-m", "proxy", "setup", *arguments],
            cwd=tmp_path,
            env={"DOCKER_HOST": "unix:///nowhere/docker.sock", **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_it


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An empty engine 20.10."""
    with running() as started:
        yield started


def test_setup__print_changes_nothing(run: Run, engine: FakeEngine, tmp_path: Path) -> None:
    """The golden text: where it listens, how it is started, and the lines for each client."""
    result = run("--print", "--monitoring", **engine.environ)

    assert (0, "") == (result.returncode, result.stderr)
    said = result.stdout.replace(str(tmp_path), "HOME").replace(str(_ROOT), "PROJECT")
    said = said.replace("HOME/Library/Application Support", "HOME/.config")
    assert (_ROOT / "tests/golden/setup-print.txt").read_text(encoding="utf-8") == said
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "no Docker engine answers"),
        (("--process",), "neither systemd nor launchd runs here"),
        (("--port", "0"), "--port 0: builds have to know the port"),
    ],
)
def test_setup__fails_in_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    """Status 1, nothing on standard output, and nothing is left behind but the record that there is nothing."""
    result = run(*arguments)

    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith(f"pullthrough: {line}")
    assert 1 == result.stderr.count("\n")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [("--write", "npm"), ("--remove", "--print"), ("--port", "x"), ("--index", "none"), ("--what",), ("extra",)],
)
def test_setup__wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    """Status 2, and nothing on standard output."""
    result = run(*arguments)

    assert (2, "") == (result.returncode, result.stdout)
    assert result.stderr


def test_setup__remove_with_nothing_to_remove(run: Run) -> None:
    """Doing it twice is no failure."""
    result = run("--remove")

    assert (0, "") == (result.returncode, result.stderr)
    assert result.stdout.startswith("there is nothing to take back")


def test_planned__folder_and_addresses(tmp_path: Path) -> None:
    """`~/.docker-cache` unless a setting says otherwise; addresses only if somebody named them; all but one client."""
    environ = {"HOME": str(tmp_path)}

    def plan(environ: dict[str, str], **flags: str) -> SetupPlan:
        resolved = resolve(flags, environ, tmp_path)
        return planned(SetupFlags(resolved, clients="all"), environ, tmp_path)

    first = plan(environ)
    told = plan(environ | {"PULLTHROUGH_DATA": "/elsewhere"}, host="10.0.0.7")

    assert (tmp_path / ".docker-cache", None) == (first.data, first.hosts)
    assert ("pip", "uv", "apt") == first.write
    assert (Path("/elsewhere"), ("10.0.0.7",)) == (told.data, told.hosts)
