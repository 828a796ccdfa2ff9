"""`pullthrough build`, as a process: what is printed where, and the exit status. Docker is played."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.app import Running
from proxy.builds.build import BuildReport
from proxy.builds.build_site import CachePlace
from proxy.builds.candidates import Candidate
from proxy.builds.docker_command import BuildEnd
from proxy.builds.figures import Saving, Savings
from proxy.commands import output
from proxy.commands.build import BuildFlags, as_json, cache_place, show
from proxy.config.groups import GroupSettings
from proxy.config.settings import Settings
from proxy.errors import WrongUsage
from tests import fake_engine
from tests.conftest import MakeProxy
from tests.fake_docker import FakeDocker
from tests.fake_engine import BRIDGE, FakeEngine
from tests.origin import Origin

_ROOT = Path(__file__).parents[2]
_GOLDEN = _ROOT / "tests" / "golden"
_LIMIT = 60  # seconds: only for a process that hangs

Build = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An engine whose bridge leads to this machine's loopback."""
    with fake_engine.running() as started:
        started.answer(
            "GET",
            "/networks/bridge",
            {**BRIDGE, "IPAM": {"Config": [{"Gateway": "127.0.0.1", "Subnet": "127.0.0.0/8"}]}},
        )
        yield started


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    """A docker 20.10."""
    return FakeDocker.make(tmp_path / "docker-bin")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of which every build is a success."""
    folder = tmp_path / "project"
    folder.mkdir()
    secret = "--mount=type=secret,id=pip,target=/etc/pip.conf,mode=0444"
    (folder / "Dockerfile.cached").write_text(f"FROM x\nRUN {secret} pip install x\n", encoding="utf-8")
    return folder


@pytest.fixture
def environ(docker: FakeDocker, engine: FakeEngine, tmp_path: Path) -> dict[str, str]:
    """The variables of somebody with an empty home."""
    return {
        "PATH": f"{docker.folder}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(_ROOT),
        "COLUMNS": "100",
        "PULLTHROUGH_PORT": "9",
        **engine.environ,
    }


@pytest.fixture
def run(environ: dict[str, str], project: Path) -> Build:
    """Runs the verb in the project's folder, with further variables."""

    def run_it(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "proxy", "build", *arguments],
            cwd=project,
            env=environ | variables,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )

    return run_it


def test_build__status_and_streams(docker: FakeDocker, run: Build) -> None:
    """The status is the build's; what docker prints goes where docker prints it, and the rest to standard error."""
    docker.rule("build", stdout="sha256:1\n", stderr="#1 DONE\n", status=7)

    result = run("-t", "a:1", ".")

    assert (7, "sha256:1\n") == (result.returncode, result.stdout)
    lines = result.stderr.splitlines()
    assert lines[0].startswith("pullthrough: no cache answers at port 9 of 127.0.0.1: this build goes without one.")
    assert "#1 DONE" == lines[1]
    assert "\x1b" not in result.stderr


async def test_build__table_at_the_end(
    docker: FakeDocker, run: Build, proxy: Running, origin: Origin, project: Path
) -> None:
    """By upstream and in sum, with seconds and tag; `--json` says the same, alone on standard output."""
    port = proxy.url.rpartition(":")[2]
    origin.page("/simple/x/", [])
    docker.rule("build", "--no-cache", exports={"answer": f"127.0.0.1:{port} 127.0.0.1\n"})
    docker.rule("build", "--add-host", stdout="sha256:1\n", fetches=[f"{proxy.url}/pypi/simple/x/"])
    await asyncio.to_thread(run, PULLTHROUGH_PORT=port)

    result = await asyncio.to_thread(run, PULLTHROUGH_PORT=port)
    as_json = await asyncio.to_thread(run, "--json", PULLTHROUGH_PORT=port)

    words = result.stderr.split()
    assert (0, "sha256:1\n") == (result.returncode, result.stdout)
    assert {"from", "cache", "upstream", "saved", "pypi", "all", "project-cached:latest"} <= set(words)
    report = json.loads(as_json.stdout)
    assert (0, proxy.url, f"127.0.0.1:{port}") == (report["status"], report["cache"], report["reached_at"])
    assert report["from_cache"] == report["saved"] > 0
    assert 0 == report["from_upstream"]
    assert ["pypi"] == list(report["upstreams"])
    assert "sha256:1" in as_json.stderr


def test_build__quiet(docker: FakeDocker, run: Build) -> None:
    """With `-q` the image's id is all of standard output, and no table follows."""
    docker.rule("build", stdout="sha256:1\n", stderr="")

    result = run("-q")

    assert "sha256:1\n" == result.stdout
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "the context nowhere is not a folder"),
        (["--index", "none"], "--index none: there is no such mount; there are .*pypi"),
        (["--cache", "host:port"], "--cache host:port: write HOST or HOST:PORT"),
        (["--cache", "127.0.0.1:65536"], "--cache 127.0.0.1:65536: write HOST or HOST:PORT"),
        (["--cache", "127.0.0.1:-1"], "--cache 127.0.0.1:-1: write HOST or HOST:PORT"),
        (["-t"], "-t needs a value"),
    ],
)
def test_build__wrong_usage(docker: FakeDocker, run: Build, arguments: list[str], said: str) -> None:
    """Status 2, one line, and docker is not called."""
    result = run(*arguments)

    assert (2, "") == (result.returncode, result.stdout)
    with pytest.raises(ValueError, match=f"^pullthrough: {said}"):
        raise ValueError(result.stderr)
    assert [] == docker.calls("build")


def test_build__wrong_settings(docker: FakeDocker, run: Build) -> None:
    """They are named as `serve` names them."""
    result = run(PULLTHROUGH_PORT="many")

    assert (2, "pullthrough: PULLTHROUGH_PORT: must be a whole number\n") == (result.returncode, result.stderr)
    assert [] == docker.calls()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, "no Docker engine answers at unix:///nowhere/docker.sock"),
        ({"PATH": "/nowhere"}, "the command docker is not on the PATH"),
    ],
)
def test_build__cannot_be_run(run: Build, variables: dict[str, str], said: str) -> None:
    """Status 1, and one line that says what to do."""
    result = run(**variables)

    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith(f"pullthrough: {said}")
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("everybody", [True, False], ids=["from a terminal", "alone"])
def test_build__interrupted(
    docker: FakeDocker, environ: dict[str, str], project: Path, tmp_path: Path, number: signal.Signals, everybody: bool
) -> None:
    """The build ends first; then nothing is left, and no table is shown."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    docker.rule("build", waits=True)
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", "build"],
        cwd=project,
        env=environ | {"XDG_RUNTIME_DIR": str(runtime)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not docker.waiting.exists():
            assert process.poll() is None
            time.sleep(0.01)
        if everybody:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, said = process.communicate(timeout=_LIMIT)

    assert 128 + number == process.returncode
    assert "saved" not in said
    assert [] == list(runtime.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(int(docker.waiting.read_text(encoding="utf-8")), 0)


def _flags(cache: str | None = None, index: str | None = None) -> BuildFlags:
    return BuildFlags(Settings(data=Path("/nowhere")), cache=cache, index=index)


def test_cache_place__of_the_settings() -> None:
    """PyPI's index by default, another mount by its name."""
    assert CachePlace(("127.0.0.1",), 3142, "pypi", "simple/") == cache_place(_flags(), {})
    assert "pytorch" == cache_place(_flags(index="pytorch"), {}).mount


def _cache_with_a_group(make_proxy: MakeProxy, origin: Origin) -> Awaitable[Running]:
    """A cache whose settings are not those of the verb, as in a container."""
    return make_proxy(origin.url, groups=(GroupSettings(mount="cuda", members=("pypi",)),))


async def test_build__group_that_only_the_cache_knows(
    docker: FakeDocker, run: Build, make_proxy: MakeProxy, origin: Origin
) -> None:
    """docs/compose.md puts it into the container's own settings file: the cache is asked whether it has the mount."""
    running = await _cache_with_a_group(make_proxy, origin)
    port = running.url.rpartition(":")[2]
    docker.rule("build", "--no-cache", exports={"answer": f"127.0.0.1:{port} 127.0.0.1\n"})

    result = await asyncio.to_thread(run, "--index", "cuda", ".", PULLTHROUGH_PORT=port)
    other = await asyncio.to_thread(run, "--index", "none", ".", PULLTHROUGH_PORT=port)

    assert 0 == result.returncode, result.stderr
    secrets = docker.calls("build", "--add-host")[-1]["secrets"]
    assert f"http://pullthrough:{port}/cuda/simple/" in secrets["pip"]
    assert 2 == other.returncode
    assert "--index none: there is no such mount; there are " in other.stderr
    assert "cuda, " in other.stderr


async def test_cache_place__of_a_named_cache(make_proxy: MakeProxy, origin: Origin) -> None:
    """It is asked; one that does not answer this machine may answer builds, and is believed."""
    running = await _cache_with_a_group(make_proxy, origin)
    address = running.url.removeprefix("http://")

    place = await asyncio.to_thread(cache_place, _flags(address, "cuda"), {})
    assert ("cuda", "simple/") == (place.mount, place.index)
    with pytest.raises(WrongUsage, match=r"--index none: there is no such mount; there are .*cuda"):
        await asyncio.to_thread(cache_place, _flags(address, "none"), {})
    unseen = cache_place(_flags("127.0.0.1:9", "none"), {})
    assert ("none", "simple/") == (unseen.mount, unseen.index)


@pytest.mark.parametrize(
    ("cache", "named"),
    [
        ("10.0.0.7", Candidate("10.0.0.7", 3142)),
        ("cache.example:80", Candidate("cache.example", 80)),
    ],
)
def test_cache_place__named(cache: str, named: Candidate) -> None:
    """A host, with or without a port."""
    assert named == cache_place(_flags(cache), {}).named


@pytest.mark.parametrize("cache", ["", "a b", "host:", ":80", "http://host", "host;id", "$(id):80"])
def test_cache_place__no_address(cache: str) -> None:
    """It gets into a RUN of the proof: nothing but a host and a port is one."""
    with pytest.raises(WrongUsage, match="write HOST or HOST:PORT"):
        cache_place(_flags(cache), {})


_REPORT = BuildReport(
    BuildEnd(0, interrupted=False),
    seconds=12.34,
    builder="default",
    tags=("app-cached:latest", "app:1"),
    cache="http://127.0.0.1:3142",
    reached_at="172.17.0.1:3142",
    savings=Savings({"apt": Saving(0, 7_000_000, 7_000_000), "pypi": Saving(1_844_000_000, 0, 1_844_000_000)}),
    notes=("line 3: pip goes past the cache.",),
)


def _shown(report: BuildReport) -> str:
    printed = io.StringIO()
    show(report, output.console(printed))
    return printed.getvalue()


def test_show__golden_text() -> None:
    """Exactly this is printed at the end of a build."""
    assert (_GOLDEN / "build.txt").read_text(encoding="utf-8") == _shown(_REPORT)


def test_as_json__golden_text() -> None:
    """And exactly this with `--json`."""
    assert (_GOLDEN / "build.json").read_text(encoding="utf-8") == output.json_text(as_json(_REPORT))


def test_show__without_the_cache() -> None:
    """There is no table of what a cache did not give; a build that failed says so, and names no image."""
    failed = replace(_REPORT, end=BuildEnd(17, interrupted=False), savings=None)

    assert "\nfailed with status 17 in 12.3 s\n" == _shown(failed)
    assert as_json(failed)["saved"] is None
