"""A build through the cache: what docker gets, what stays, and what the person is told. Docker itself is played."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from proxy.app import Running
from proxy.builds import build_options
from proxy.builds.build import BuildCaller, BuildReport, build, read_file
from proxy.builds.build_site import CachePlace
from proxy.builds.candidates import Candidate
from proxy.builds.engine_trouble import EngineTrouble
from tests.fake_docker import FakeDocker
from tests.fake_engine import BRIDGE, FakeEngine
from tests.origin import Origin

_SECRETS = (
    "--mount=type=secret,id=pip,target=/etc/pip.conf,mode=0444 "
    "--mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/01pullthrough,mode=0444 "
)
_DOCKERFILE = f"FROM python:3.12-slim\nRUN {_SECRETS} pip install x\n"

Build = Callable[..., tuple[BuildReport, list[str]]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a Dockerfile that knows the secrets."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(_DOCKERFILE, encoding="utf-8")
    return folder


@pytest.fixture
def run(engine: FakeEngine, environ: dict[str, str], project: Path, tmp_path: Path) -> Build:
    """Builds the project; gives the report and the lines for the person."""
    engine.answer(
        "GET", "/networks/bridge", {**BRIDGE, "IPAM": {"Config": [{"Gateway": "127.0.0.1", "Subnet": "127.0.0.0/8"}]}}
    )
    runtime = tmp_path / "runtime"
    runtime.mkdir()

    def build_it(place: CachePlace, *arguments: str) -> tuple[BuildReport, list[str]]:
        said: list[str] = []
        variables = {**environ, **engine.environ, "XDG_RUNTIME_DIR": str(runtime)}
        report = build(build_options.read(arguments, project), place, BuildCaller(variables, project, said.append))
        assert [] == list(runtime.iterdir()), "no secret file is left"
        return report, said

    return build_it


def _place(proxy: Running) -> CachePlace:
    return CachePlace(["127.0.0.1"], int(proxy.url.rpartition(":")[2]))


def _reached(docker: FakeDocker, place: CachePlace) -> None:
    """Builds reach the cache at the bridge's gateway."""
    docker.rule("build", "--no-cache", exports={"answer": f"127.0.0.1:{place.port} 127.0.0.1\n"})


@pytest.mark.parametrize("context", ["-", "https://github.example/a.git"])
async def test_build__dockerfile_elsewhere(
    docker: FakeDocker, engine: FakeEngine, proxy: Running, run: Build, context: str
) -> None:
    """Which images it names is not known here: the way is proved on one that the engine has."""
    place = _place(proxy)
    _reached(docker, place)
    engine.answer("GET", "/images/json", [{"RepoTags": ["debian:12"]}])
    docker.rule("build", "--add-host")

    report, _ = await asyncio.to_thread(run, place, context)

    assert f"127.0.0.1:{place.port}" == report.reached_at
    assert docker.calls("build", "--no-cache")[0]["dockerfile"].startswith("FROM debian:12 ")


async def test_build__secrets_and_name(docker: FakeDocker, proxy: Running, run: Build) -> None:
    """Docker gets the person's arguments, the name with its address, and the three files, which only the user reads."""
    place = _place(proxy)
    _reached(docker, place)

    report, said = await asyncio.to_thread(run, place, "--target", "last", ".")

    probe, call = docker.calls("build")
    assert "--no-cache" in probe["arguments"]
    assert ["--target", "last", "."] == call["arguments"][-3:]
    assert "pullthrough:127.0.0.1" == call["arguments"][call["arguments"].index("--add-host") + 1]
    assert {"pip", "uv", "apt"} == set(call["secrets"])
    assert {"0o600"} == set(call["modes"].values())
    assert f"index-url = http://pullthrough:{place.port}/pypi/simple/" in call["secrets"]["pip"]
    assert (0, proxy.url, f"127.0.0.1:{place.port}") == (report.end.status, report.cache, report.reached_at)
    assert ["trying how builds reach the cache, once for this builder"] == said
    assert () == report.notes


async def test_build__docker_of_a_snap(docker: FakeDocker, proxy: Running, run: Build, environ: dict[str, str]) -> None:
    """It reads the secret files where it may."""
    (docker.folder / "docker").rename(docker.folder / "snap")
    (docker.folder / "docker").symlink_to("snap")
    place = _place(proxy)
    _reached(docker, place)

    await asyncio.to_thread(run, place)

    call = docker.calls("build")[-1]
    own = Path(environ["HOME"], "snap/docker/common")
    given = [one.partition("src=")[2] for one in call["arguments"] if "src=" in one]
    assert {own} == {Path(one).parents[1] for one in given}
    assert [] == list(own.iterdir())


async def test_build__second_time_proves_nothing(docker: FakeDocker, proxy: Running, run: Build) -> None:
    """The way is remembered; a failed build has it proved anew."""
    place = _place(proxy)
    _reached(docker, place)
    await asyncio.to_thread(run, place)
    docker.rule("build", "--add-host", status=7)

    report, said = await asyncio.to_thread(run, place)
    assert (7, []) == (report.end.status, said)
    await asyncio.to_thread(run, place)

    assert 2 == len(docker.calls("build", "--no-cache"))


async def test_build__figures_of_this_build(
    docker: FakeDocker, proxy: Running, run: Build, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What other builds got before does not count."""
    place = _place(proxy)
    _reached(docker, place)
    origin.page("/simple/x/", [])
    async with http.get(f"{proxy.url}/pypi/simple/x/") as answer:
        assert 200 == answer.status

    docker.rule("build", "--add-host", fetches=[f"{proxy.url}/pypi/simple/x/"] * 2)
    report, _ = await asyncio.to_thread(run, place)

    assert report.savings is not None
    total = report.savings.total
    assert 0 == total.from_upstream
    assert total.saved == total.from_cache > 0
    assert 0 == total.sent % 2


async def test_build__own_secrets_of_the_person(docker: FakeDocker, proxy: Running, run: Build, project: Path) -> None:
    """A secret with the same id is theirs."""
    place = _place(proxy)
    _reached(docker, place)
    (project / "own.conf").write_text("mine", encoding="utf-8")

    await asyncio.to_thread(run, place, "--secret", f"id=pip,src={project}/own.conf")

    assert "mine" == docker.calls("build")[-1]["secrets"]["pip"]
    assert 3 == len(docker.calls("build")[-1]["secrets"])


async def test_build__foreign_dockerfile(docker: FakeDocker, proxy: Running, run: Build, project: Path) -> None:
    """apt gets the predefined argument; what of pip goes past the cache is told by its line."""
    place = _place(proxy)
    _reached(docker, place)
    (project / "Dockerfile").write_text("FROM x\nRUN apt-get update\nRUN pip install x\n", encoding="utf-8")

    report, said = await asyncio.to_thread(run, place)

    assert f"http_proxy=http://pullthrough:{place.port}" in docker.calls("build")[-1]["arguments"]
    assert [line for line in said if line.startswith("line 3: pip goes past the cache.")] == list(report.notes)


def test_build__cache_is_down(docker: FakeDocker, run: Build) -> None:
    """One line, and the build goes without; the name is there all the same, since it is a part of layer keys."""
    report, said = run(CachePlace(["127.0.0.1"], 9))

    (call,) = docker.calls("build")
    assert "pullthrough:127.0.0.1" == call["arguments"][call["arguments"].index("--add-host") + 1]
    assert {} == call["secrets"]
    assert (None, None, 0) == (report.cache, report.savings, report.end.status)
    assert ["no cache answers at port 9 of 127.0.0.1: this build goes without one. Start it: pullthrough setup"] == said


async def test_build__cache_out_of_reach(docker: FakeDocker, proxy: Running, run: Build) -> None:
    """One line says what to do, and the build goes without."""
    report, said = await asyncio.to_thread(run, _place(proxy))

    assert {} == docker.calls("build")[-1]["secrets"]
    assert report.cache is None
    assert said[1].startswith("this build goes without the cache: builds of the builder default (driver docker)")


async def test_build__nothing_is_run(docker: FakeDocker, proxy: Running, run: Build, project: Path) -> None:
    """A Dockerfile without a RUN needs no cache, and no proof."""
    (project / "Dockerfile").write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")

    _, said = await asyncio.to_thread(run, _place(proxy))

    assert [] == said
    assert 1 == len(docker.calls("build"))


async def test_build__named_cache(docker: FakeDocker, proxy: Running, run: Build) -> None:
    """Only that address is tried."""
    port = int(proxy.url.rpartition(":")[2])
    docker.rule("build", "--no-cache", exports={"answer": f"127.0.0.1:{port} 127.0.0.1\n"})

    report, _ = await asyncio.to_thread(run, CachePlace(["127.0.0.1"], 9, named=Candidate("127.0.0.1", port)))

    assert f"127.0.0.1:{port}" == report.reached_at
    assert f"PLACES=127.0.0.1:{port} " in docker.calls("build", "--no-cache")[0]["dockerfile"]


async def test_build__cache_ends_meanwhile(docker: FakeDocker, proxy: Running, run: Build) -> None:
    """There are no figures then, and the build's end is its own."""
    place = _place(proxy)
    _reached(docker, place)
    docker.rule("build", "--add-host", waits=True, status=0)
    running = asyncio.create_task(asyncio.to_thread(run, place))
    while not docker.waiting.exists():
        await asyncio.sleep(0.01)

    await proxy.close()
    os.kill(int(docker.waiting.read_text(encoding="utf-8")), signal.SIGINT)
    report, _ = await running

    assert (0, None) == (report.end.status, report.savings)


def test_build__no_engine(environ: dict[str, str], project: Path) -> None:
    """There is no build without one, and no file is left."""
    caller = BuildCaller(environ | {"DOCKER_HOST": "unix:///nowhere/docker.sock"}, project, lambda _: None)

    with pytest.raises(EngineTrouble, match="no Docker engine answers at unix:///nowhere"):
        build(build_options.read([], project), CachePlace((), 0), caller)


def test_read_file__build_argument_of_a_variable(project: Path) -> None:
    """As docker reads it: an argument without a value has that of the caller's variable."""
    (project / "Dockerfile").write_text("ARG BASE=x\nFROM $BASE\nRUN true\n", encoding="utf-8")
    options = build_options.read(["--build-arg", "BASE"], project)

    read = read_file(options, {"BASE": "debian:12"})
    without = read_file(options, {})

    assert read is not None
    assert without is not None
    assert (["debian:12"], ["x"]) == (read.bases, without.bases)
    (project / "Dockerfile").unlink()
    assert read_file(options, {}) is None
    assert read_file(build_options.read(["-"], project), {}) is None
