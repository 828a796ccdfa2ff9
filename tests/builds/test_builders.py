"""Which builder builds, and what caches of their own builders have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.builds.builders import (
    Builder,
    chosen,
    others,
    prune,
    read_builder,
    read_docker_config,
    read_records,
    records,
    size,
)
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine_answers import CACHE_MOUNT
from proxy.builds.engine_trouble import EngineTrouble
from tests.fake_docker import FakeDocker

_CONTAINER = """\
Name:          mine
Driver:        docker-container
Last Activity: 2022-11-30 12:42:47 +0100 CET

Nodes:
Name:           mine0
Endpoint:       unix:///var/run/docker.sock
Driver Options: env.X="y" network="cloud"
Status:         running
Platforms:      linux/amd64
Name:           mine1
Endpoint:       ssh://elsewhere
"""
_DEFAULT = "Name:   default\nDriver: docker\n\nNodes:\nName:      default\nEndpoint:  default\nStatus:    running\n"
_DESKTOP = _DEFAULT.replace("default", "desktop-linux")
_LS = """\
NAME/NODE           DRIVER/ENDPOINT                   STATUS    BUILDKIT   PLATFORMS
mine*               docker-container
 \\_ mine0            \\_ unix:///var/run/docker.sock   running   v0.10.3    linux/amd64
far                 remote
  far0              tcp://10.0.0.1:1234               inactive
default             docker
 \\_ default          \\_ default                       running   v0.8.2     linux/amd64
"""
_DU = """\
ID:\t\ta1
Created at:\t2026-01-02 03:04:05.123 +0000 UTC
Mutable:\ttrue
Reclaimable:\ttrue
Shared:\t\tfalse
Size:\t\t1.297GB
Description:\tcached mount /var/cache/pip from exec /bin/sh -c pip install a: b with id "/pullthrough-pip"
Usage count:\t3
Last used:\t36 minutes ago
Type:\t\texec.cachemount

ID:\t\tb2
Parents:
 - a1
Mutable:\tfalse
Reclaimable:\tfalse
Shared:\t\ttrue
Size:\t\t8.224kB
Description:\tRUN true
Type:\t\tregular

Shared:\t\t8.224kB
Private:\t1.297GB
Reclaimable:\t1.297GB
Total:\t\t1.297GB
"""


@pytest.mark.parametrize(
    ("given", "variables", "config", "name", "driver"),
    [
        (None, {}, {}, "default", "docker"),
        (None, {}, {"currentContext": "desktop-linux"}, "desktop-linux", "docker"),
        (None, {"DOCKER_CONTEXT": "desktop-linux"}, {}, "desktop-linux", "docker"),
        (None, {"DOCKER_HOST": "unix:///x"}, {"currentContext": "desktop-linux"}, "default", "docker"),
        (None, {"BUILDX_BUILDER": "mine"}, {}, "mine", "docker-container"),
        ("mine", {"BUILDX_BUILDER": "default"}, {}, "mine", "docker-container"),
        (None, {}, {"aliases": {"builder": "buildx"}}, "mine", "docker-container"),
    ],
)
def test_chosen__as_docker_build_does(
    docker: FakeDocker,
    environ: dict[str, str],
    given: str | None,
    variables: dict[str, str],
    config: dict[str, Any],
    name: str,
    driver: str,
) -> None:
    """The option, the variable, the context; the one of `buildx use` only where that stands for `docker build`."""
    docker.with_buildx(mine=_CONTAINER, default=_DEFAULT, desktop_linux=_DESKTOP)
    docker.rule("buildx", "inspect", stdout=_CONTAINER)  # the chosen one of buildx
    docker.rule("buildx", "inspect", "default", stdout=_DEFAULT)
    docker.rule("buildx", "inspect", "desktop-linux", stdout=_DESKTOP)
    command = DockerCommand.find(environ | variables)

    builder = chosen(command, command.facts(), given, config)

    assert (name, driver) == (builder.name, builder.driver)


def test_chosen__without_the_plugin(docker: FakeDocker, environ: dict[str, str]) -> None:
    """It is the engine's own, and there are no others."""
    command = DockerCommand.find(environ)

    assert Builder("default", "docker") == chosen(command, command.facts(), None, {})
    with pytest.raises(EngineTrouble, match="--builder mine: this docker builds with the engine alone"):
        chosen(command, command.facts(), "mine", {})


def test_chosen__old_docker_with_the_plugin(docker: FakeDocker, environ: dict[str, str]) -> None:
    """Before version 23 `docker build` does not ask the plugin, unless it was installed in its place."""
    docker.with_buildx("20.10.24", mine=_CONTAINER)
    docker.rule("buildx", "inspect", stdout=_CONTAINER)
    command = DockerCommand.find(environ)

    assert "docker" == chosen(command, command.facts(), None, {}).driver
    assert "docker-container" == chosen(command, command.facts(), None, {"aliases": {"builder": "buildx"}}).driver


def test_chosen__one_that_is_gone(docker: FakeDocker, environ: dict[str, str]) -> None:
    """Docker's own words, in one line."""
    docker.with_buildx()
    command = DockerCommand.find(environ)

    with pytest.raises(EngineTrouble, match="the builder gone cannot be used: no builder found"):
        chosen(command, command.facts(), "gone", {})


def test_read_builder__first_node() -> None:
    """Endpoint and network are those of the first node."""
    builder = read_builder(_CONTAINER)

    assert Builder("mine", "docker-container", "unix:///var/run/docker.sock", "cloud") == builder
    assert (False, True) == (builder.engines_own, read_builder(_DEFAULT).engines_own)


def test_others__builders_with_caches_of_their_own(docker: FakeDocker, environ: dict[str, str]) -> None:
    """Nodes and the engines' own are left out; without the plugin there are none."""
    command = DockerCommand.find(environ)
    assert [] == others(command)

    docker.rule("buildx", "ls", stdout=_LS)
    assert ["mine", "far"] == others(command)


def test_records__of_another_builder(docker: FakeDocker, environ: dict[str, str]) -> None:
    """The blocks of the answer, without the totals behind them."""
    docker.rule("buildx", "du", stdout=_DU)

    first, second = records(DockerCommand.find(environ), "mine")

    assert ["buildx", "du", "--builder", "mine", "--verbose"] == docker.calls("buildx", "du")[0]["arguments"]
    assert ("a1", CACHE_MOUNT, 1_297_000_000, False) == (first.id, first.kind, first.size, first.in_use)
    assert (True, "pullthrough-pip") == (first.own, first.mount_id)
    assert ("b2", "regular", 8224, True, True) == (second.id, second.kind, second.size, second.in_use, second.shared)
    assert [] == read_records("Total:\t0B\n")


def test_prune__cache_mounts_of_another_builder(docker: FakeDocker, environ: dict[str, str]) -> None:
    """Only cache mounts, and without a question."""
    docker.rule("buildx", "prune", stdout="ID\tRECLAIMABLE\tSIZE\na1*\ttrue\t1.3GB\nTotal:\t1.3GB\n")
    command = DockerCommand.find(environ)

    assert 1_300_000_000 == prune(command, "mine")

    expected = ["--builder", "mine", "--force", "--filter", f"type={CACHE_MOUNT}"]
    assert ["buildx", "prune", *expected] == docker.calls("buildx", "prune")[0]["arguments"]


def test_records__builder_that_is_down(docker: FakeDocker, environ: dict[str, str]) -> None:
    """It is named."""
    command = DockerCommand.find(environ)
    for ask in (records, prune):
        with pytest.raises(EngineTrouble, match=r"the builder far .*not a docker command"):
            ask(command, "far")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0B", 0), ("8.224kB*", 8224), ("1.5MiB", 1_572_864), ("2TB", 2 * 10**12), ("", 0), ("much", 0)],
)
def test_size__as_docker_writes_it(text: str, value: int) -> None:
    """Decimal units, binary ones where they say so."""
    assert value == size(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_docker_config__that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """It is as good as none."""
    (tmp_path / "config.json").write_text(text, encoding="utf-8")

    assert {} == read_docker_config({"DOCKER_CONFIG": str(tmp_path)})


def test_docker_config__where_docker_looks(tmp_path: Path) -> None:
    """The folder of DOCKER_CONFIG, else `.docker` at home."""
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "x"}', encoding="utf-8")

    assert {"currentContext": "x"} == read_docker_config({"HOME": str(tmp_path)})
    assert {"currentContext": "x"} == read_docker_config({"DOCKER_CONFIG": str(tmp_path / ".docker"), "HOME": "/none"})
    assert {} == read_docker_config({})
