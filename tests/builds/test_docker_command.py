"""The command `docker`, as a process."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from proxy.builds.docker_command import BuildEnd, CommandFacts, DockerCommand, absent_traces, remove_traces, said
from proxy.builds.engine_trouble import EngineTrouble
from tests.fake_docker import FakeDocker


def test_find__none_on_the_path(tmp_path: Path) -> None:
    """The line says what to install."""
    with pytest.raises(EngineTrouble, match=r"docker is not on the PATH\. Install"):
        DockerCommand.find({"PATH": str(tmp_path)})


def test_find__switches_buildkit_on(docker: FakeDocker, environ: dict[str, str]) -> None:
    """Whatever the caller's variables say: without it a build has no secrets."""
    DockerCommand.find({**environ, "DOCKER_BUILDKIT": "0"}).ask("version")

    assert "1" == docker.calls("version")[0]["environ"]["DOCKER_BUILDKIT"]


def test_own_folder__of_a_snap(docker: FakeDocker, environ: dict[str, str]) -> None:
    """All commands of snaps are links to one program. Without a home there is no such folder."""
    assert DockerCommand.find(environ).own_folder is None
    (docker.folder / "docker").rename(docker.folder / "snap")
    (docker.folder / "docker").symlink_to("snap")

    assert Path(environ["HOME"], "snap/docker/common") == DockerCommand.find(environ).own_folder
    assert DockerCommand.find({"PATH": environ["PATH"]}).own_folder is None


def test_facts__old_docker_and_new(docker: FakeDocker, environ: dict[str, str]) -> None:
    """Versions and API are those of the command; a plugin that does not work is none."""
    command = DockerCommand.find(environ)
    assert CommandFacts("20.10.24", "1.41", "") == command.facts()

    docker.with_buildx("29.0.0")
    assert CommandFacts("29.0.0", "1.52", "v0.30.1") == command.facts()


def test_facts__says_nothing(docker: FakeDocker, environ: dict[str, str]) -> None:
    """A docker that cannot tell its version is no failure."""
    docker.rule("version", stdout="template parsing error", status=64)

    assert CommandFacts("", "", "") == DockerCommand.find(environ).facts()


@pytest.mark.parametrize(
    ("version", "buildx", "able"),
    [("20.10.24", "", True), ("28.2.2", "", False), ("28.2.2", "v0.24.0", True), ("", "", True), ("23.0.0", "", False)],
)
def test_no_buildkit__newer_docker_without_plugin(version: str, buildx: str, able: bool) -> None:
    """From version 23 on BuildKit comes by the plugin alone."""
    trouble = CommandFacts(version, "", buildx).no_buildkit

    assert able is (trouble is None)
    assert able or "docker-buildx-plugin" in (trouble or "")


def test_ask__too_long(docker: FakeDocker, environ: dict[str, str]) -> None:
    """A docker that hangs is ended."""
    docker.rule("buildx", "ls", waits=True)

    with pytest.raises(EngineTrouble, match="`docker buildx ls` gives no answer within 1 seconds"):
        DockerCommand.find(environ).ask("buildx", "ls", wait=1)


@pytest.mark.parametrize("status", [0, 1, 17])
def test_build__status_is_the_builds(docker: FakeDocker, environ: dict[str, str], tmp_path: Path, status: int) -> None:
    """Arguments, folder and standard output are those that were given."""
    docker.rule("build", stdout="sha256:1\n", status=status)
    command = DockerCommand.find(environ)

    with (tmp_path / "out").open("wb") as out:
        end = command.build(["-t", "x y", "."], tmp_path, out)

    assert BuildEnd(status, interrupted=False) == end
    assert "sha256:1\n" == (tmp_path / "out").read_text(encoding="utf-8")
    call = docker.calls("build")[0]
    assert (["build", "-t", "x y", "."], str(tmp_path)) == (call["arguments"], call["cwd"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_build__signal_is_passed_on(
    docker: FakeDocker, environ: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """The build ends by itself and is waited for; the handlers are then as they were."""
    docker.rule("build", waits=True)
    before = signal.getsignal(number)

    def interrupt() -> None:
        while not docker.waiting.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    end = DockerCommand.find(environ).build(["."], tmp_path)
    thread.join()

    assert BuildEnd(128 + number, interrupted=True) == end
    assert before == signal.getsignal(number)


def test_build__signal_that_is_ignored(docker: FakeDocker, environ: dict[str, str], tmp_path: Path) -> None:
    """A build with `nohup` goes on when its terminal is closed."""
    docker.rule("build", waits=True)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def close() -> None:
        while not docker.waiting.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=close)
    thread.start()
    try:
        end = DockerCommand.find(environ).build(["."], tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    thread.join()

    assert BuildEnd(128 + signal.SIGTERM, interrupted=True) == end


def test_said__one_line(docker: FakeDocker, environ: dict[str, str]) -> None:
    """What docker printed, without its marks; where versions do not meet, what helps."""
    command = DockerCommand.find(environ)
    docker.rule("buildx", stderr="ERROR: no builder\n  found\n", status=1)
    assert "no builder found" == said(command.ask("buildx"))

    docker.rule("buildx", stderr="client version 1.41 is too old. Minimum supported API version is 1.44", status=1)
    assert "Install a newer docker" in said(command.ask("buildx"))

    docker.rule("buildx", stderr="", status=3)
    assert "status 3" == said(command.ask("buildx"))


def _first_build(folder: Path) -> None:
    """Leave what a first build leaves."""
    (folder / "buildx/instances").mkdir(parents=True)
    (folder / "buildx/refs/default").mkdir(parents=True)
    (folder / "buildx/current").touch()
    (folder / ".buildNodeID").write_text("1")


@pytest.mark.parametrize("variable", ["HOME", "DOCKER_CONFIG"])
def test_traces__of_a_first_build(tmp_path: Path, variable: str) -> None:
    """All of it goes, wherever Docker's client has its folder."""
    environ = {variable: str(tmp_path if variable == "HOME" else tmp_path / ".docker")}
    before = absent_traces(environ)
    _first_build(tmp_path / ".docker")

    remove_traces(before)

    assert [] == list(tmp_path.iterdir())


def test_traces__that_were_there_before(tmp_path: Path) -> None:
    """They stay, and so does what was beside them."""
    _first_build(tmp_path / ".docker")
    before = absent_traces({"HOME": str(tmp_path)})

    remove_traces(before)

    assert [] == before
    assert {"buildx", ".buildNodeID"} == {path.name for path in (tmp_path / ".docker").iterdir()}


def test_traces__builders_made_since(tmp_path: Path) -> None:
    """A builder is somebody's work; so is a login."""
    before = absent_traces({"HOME": str(tmp_path)})
    _first_build(tmp_path / ".docker")
    (tmp_path / ".docker/buildx/instances/mine").touch()
    (tmp_path / ".docker/config.json").touch()

    remove_traces(before)

    assert {"buildx", "config.json"} == {path.name for path in (tmp_path / ".docker").iterdir()}


def test_traces__never_left(tmp_path: Path) -> None:
    """No build was run."""
    remove_traces(absent_traces({"HOME": str(tmp_path)}))

    assert [] == list(tmp_path.iterdir())
