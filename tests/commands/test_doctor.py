"""`pullthrough doctor`, as a process."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.builds.findings import doubtful, ok, skipped, wrong
from proxy.commands import output
from proxy.commands.doctor import dockerfile, show
from proxy.config.groups import GroupSettings
from proxy.errors import WrongUsage
from tests.conftest import MakeProxy
from tests.origin import Origin
from tests.wheels import wheel

_ROOT = Path(__file__).parents[2]
_GOLDEN = _ROOT / "tests" / "golden"
_LIMIT = 60  # seconds: only for a process that hangs

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the verb on a machine without Docker and without a cache, but for that of further variables."""
    environ = {
        "PATH": "/nowhere",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(_ROOT),
        "DOCKER_HOST": "unix:///nowhere/docker.sock",
        "PULLTHROUGH_PORT": "9",
        "PULLTHROUGH_DATA": str(tmp_path / "data"),
    }

    def run_it(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "proxy", "doctor", *arguments],
            cwd=tmp_path,
            env=environ | variables,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )

    return run_it


def test_doctor__a_line_for_each_thing(run: Run) -> None:
    """What is wrong, and below it what mends it; status 1. Nothing is coloured in a pipe."""
    result = run()

    lines = result.stdout.splitlines()
    assert (1, "") == (result.returncode, result.stderr)
    assert lines[0].startswith("wrong docker: the command docker is not on the PATH. Install")
    position = lines.index("wrong cache: none answers at port 9 of 127.0.0.1")
    assert "      → pullthrough setup" == lines[position + 1]
    assert "\x1b" not in result.stdout


async def test_doctor__group_that_only_the_cache_knows(run: Run, make_proxy: MakeProxy, origin: Origin) -> None:
    """Settings of a container are not those of this machine: the cache is asked, and its page of the group is tried."""
    package = wheel("demo")
    origin.publish(package, fmt="both", metadata=True)
    running = await make_proxy(origin.url, groups=(GroupSettings(mount="cuda", members=("pypi",)),))
    port = running.url.rpartition(":")[2]

    result = await asyncio.to_thread(run, "--index", "cuda", "--project", "demo", PULLTHROUGH_PORT=port)

    assert "ok    page: /cuda/simple/demo/: 1 files" in result.stdout.splitlines(), result.stdout + result.stderr


def test_doctor__as_json(run: Run) -> None:
    """The same, for programs."""
    result = run("--json")

    rows = json.loads(result.stdout)
    assert 1 == result.returncode
    assert {"subject", "health", "text", "remedy"} == set(rows[0])
    assert ("docker", "wrong") == (rows[0]["subject"], rows[0]["health"])


@pytest.mark.parametrize("arguments", [("-f", "none"), ("--index", "none"), ("--cache", "a b"), ("--what",)])
def test_doctor__wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    """Status 2, and nothing on standard output."""
    result = run(*arguments)

    assert (2, "") == (result.returncode, result.stdout)
    assert result.stderr


def test_dockerfile__that_build_would_build(tmp_path: Path) -> None:
    """`Dockerfile.cached` before `Dockerfile`, a named one before both."""
    assert dockerfile(None, tmp_path) is None
    (tmp_path / "Dockerfile").touch()
    assert tmp_path / "Dockerfile" == dockerfile(None, tmp_path)
    (tmp_path / "Dockerfile.cached").touch()
    assert tmp_path / "Dockerfile.cached" == dockerfile(None, tmp_path)
    assert tmp_path / "Dockerfile" == dockerfile("Dockerfile", tmp_path)
    with pytest.raises(WrongUsage, match="-f none: there is no such file"):
        dockerfile("none", tmp_path)


def test_show__golden_text() -> None:
    """Exactly this is printed of each kind of finding."""
    printed = io.StringIO()
    for finding in (
        ok("docker", "/usr/bin/docker, version 29.1.0, buildx v0.30.1"),
        wrong("cache", "none answers at port 3142 of 127.0.0.1", "pullthrough setup"),
        skipped("way", "whether builds reach the cache: something above is missing"),
        doubtful("base image", "nvcr.io/pytorch sets PIP_CONSTRAINT: \x1b[31mred", "Unset it: ENV PIP_CONSTRAINT="),
    ):
        show(finding, output.console(printed))

    assert (_GOLDEN / "doctor.txt").read_text(encoding="utf-8") == printed.getvalue()
