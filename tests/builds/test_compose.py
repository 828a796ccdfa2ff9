"""Compose: the command, its variables, starting and stopping."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.builds.compose import GRAFANA, NAME, PROJECT, Compose, plain_variables, variables_text
from proxy.builds.engine_trouble import EngineTrouble
from tests.fake_docker import FakeDocker


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a compose.yaml."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project/compose.yaml").touch()
    return tmp_path / "project"


def test_find__plugin(docker: FakeDocker, environ: dict[str, str], project: Path) -> None:
    """`docker compose`, where there is one."""
    docker.rule("compose", "version", "--short", stdout="2.40.3\n")

    assert (str(docker.folder / "docker"), "compose") == Compose.find(environ, project).command


def test_find__command_of_its_own(docker: FakeDocker, environ: dict[str, str], project: Path) -> None:
    """`docker-compose` of version 2 and later, which some install without the plugin."""
    alone = docker.folder / "docker-compose"
    alone.write_text('#!/bin/sh\necho "v5.0.1"\n')
    alone.chmod(0o755)

    assert (str(alone),) == Compose.find(environ, project).command


@pytest.mark.parametrize("answer", ["echo 1.29.2", "exit 1", "echo unknown"])
def test_find__none_that_is_new_enough(docker: FakeDocker, environ: dict[str, str], project: Path, answer: str) -> None:
    """The line says what to install, and that it goes without."""
    alone = docker.folder / "docker-compose"
    alone.write_text(f"#!/bin/sh\n{answer}\n")
    alone.chmod(0o755)

    with pytest.raises(EngineTrouble, match=r"Install Docker Desktop.*--process"):
        Compose.find(environ, project)


def test_find__no_file(environ: dict[str, str], tmp_path: Path) -> None:
    """A wheel has no compose.yaml; a checkout has."""
    with pytest.raises(EngineTrouble, match=r"build-cached\.sh"):
        Compose.find(environ, tmp_path)

    assert (PROJECT / "compose.yaml").is_file()


def test_up__variables_reach_it(docker: FakeDocker, environ: dict[str, str], project: Path) -> None:
    """Also where the person's own variables say something else: setup was told last."""
    docker.rule("compose", stdout="2.40.3\n")
    compose = Compose.find(environ | {"PULLTHROUGH_PORT": "1"}, project)

    compose.up(["cache"], {"PULLTHROUGH_PORT": "4000"})
    compose.down({}, volumes=True)

    up, down = docker.calls("compose", "--file")
    start = ["compose", "--file", str(project / "compose.yaml"), "--project-directory", str(project)]
    assert [*start, "up", "--detach", "--build", "cache"] == up["arguments"]
    assert "4000" == up["environ"]["PULLTHROUGH_PORT"]
    assert [*start, "down", "--volumes"] == down["arguments"]


def test_up__fails(docker: FakeDocker, environ: dict[str, str], project: Path) -> None:
    """Compose has said why; a log that cannot be had is empty."""
    docker.rule("compose", "version", stdout="2.40.3\n")
    docker.rule("compose", "--file", stderr="port is already allocated\n", status=17)
    compose = Compose.find(environ, project)

    with pytest.raises(EngineTrouble, match=r"could not start the cache \(status 17\)"):
        compose.up(["cache"], {})
    assert "port is already allocated" == compose.last_lines("cache")


def test_variables__values_are_themselves() -> None:
    """Nothing in a value is replaced by Compose."""
    values = {"A": "127.0.0.1", "B": "/a b/$c", "C": 'it\'s $x "y" \\z'}

    assert 'A=127.0.0.1\nB=\'/a b/$c\'\nC="it\'s \\$x \\"y\\" \\\\z"\n' == variables_text(values)
    assert {"A": "127.0.0.1"} == plain_variables(variables_text(values))


def test_published__as_compose_says(docker: FakeDocker, environ: dict[str, str], project: Path) -> None:
    """A variable may have given Grafana another port; a service that does not run has none."""
    docker.rule("compose", "version", stdout="2.40.3\n")
    docker.rule("compose", "--file", stdout="127.0.0.1:3001\n")
    compose = Compose.find(environ, project)

    assert "127.0.0.1:3001" == compose.published(*GRAFANA)
    assert ["port", "grafana", "3000"] == docker.calls("compose", "--file")[-1]["arguments"][5:]

    docker.rule("compose", "--file", stderr='service "grafana" is not running\n', status=1)
    assert "" == compose.published(*GRAFANA)


@pytest.mark.parametrize("name", ["compose.override.yaml", "docker-compose.override.yml"])
def test_up__file_of_the_persons_own(docker: FakeDocker, environ: dict[str, str], project: Path, name: str) -> None:
    """Credentials and certificates are in it: Compose, which is given a file, would not look for it."""
    docker.rule("compose", stdout="2.40.3\n")
    (project / name).touch()

    Compose.find(environ, project).up(["cache"], {})

    (up,) = docker.calls("compose", "--file")
    assert ["--file", str(project / "compose.yaml"), "--file", str(project / name)] == up["arguments"][1:5]


def test_name__as_the_file_has_it() -> None:
    """By it the volumes of the project are known."""
    assert f"\nname: {NAME}\n" in (PROJECT / "compose.yaml").read_text(encoding="utf-8")
