"""What `doctor` says of Docker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proxy.builds import engine_checks
from proxy.builds.builders import Builder
from proxy.builds.docker_command import CommandFacts
from proxy.builds.engine import EngineFacts
from proxy.builds.findings import Health

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _engine(version: str = "20.10.24", least: str = "1.12") -> EngineFacts:
    return EngineFacts("default", "unix:///x", version, "1.41", least, "Debian", rootless=False, time=_NOW)


@pytest.mark.parametrize(
    ("client", "least", "health"),
    [("1.41", "1.12", Health.OK), ("1.41", "1.44", Health.WRONG), ("1.52", "1.44", Health.OK), ("", "1.44", Health.OK)],
)
def test_engine__common_api(client: str, least: str, health: Health) -> None:
    """Engine 29 speaks no API before 1.44: an older docker is of no use to it."""
    found = engine_checks.engine(_engine("29.0.0", least), CommandFacts("x", client, ""))

    assert health is found.health
    assert (health is Health.WRONG) == ("Install a docker of version 25 or later" in found.remedy)


def test_engine__without_a_docker() -> None:
    """The engine is told all the same."""
    assert "version 20.10.24 at unix:///x, context default (Debian)" == engine_checks.engine(_engine(), None).text


@pytest.mark.parametrize(
    ("client", "variables", "health", "said"),
    [
        (CommandFacts("28.2.2", "1.50", ""), {}, Health.WRONG, "docker-buildx-plugin"),
        (CommandFacts("28.2.2", "1.50", "v0.24"), {"DOCKER_BUILDKIT": "0"}, Health.DOUBTFUL, "turns it off"),
        (CommandFacts("20.10.24", "1.41", ""), {}, Health.OK, "plain `docker build` needs DOCKER_BUILDKIT=1"),
        (CommandFacts("20.10.24", "1.41", ""), {"DOCKER_BUILDKIT": "1"}, Health.OK, "on"),
    ],
)
def test_buildkit__on_or_off(client: CommandFacts, variables: dict[str, str], health: Health, said: str) -> None:
    """Without it there are neither secrets nor cache mounts."""
    found = engine_checks.buildkit(_engine(), client, variables)

    assert health is found.health
    assert said in found.text


def test_builder__and_where_it_is() -> None:
    """The driver decides how it reaches the cache."""
    assert "far, driver remote at tcp://10.0.0.1:1234" == (
        engine_checks.builder(Builder("far", "remote", "tcp://10.0.0.1:1234")).text
    )
    assert "default, driver docker" == engine_checks.builder(Builder("default", "docker", "default")).text
    assert "/bin/docker, version unknown, buildx v0.30.1" == (
        engine_checks.command(CommandFacts("", "", "v0.30.1"), "/bin/docker").text
    )


@pytest.mark.parametrize(
    ("skew", "desktop", "health", "said"),
    [
        (29, False, Health.OK, "agrees"),
        (-29, False, Health.OK, "agrees"),
        (31, False, Health.WRONG, "timedatectl"),
        (-3600, True, Health.WRONG, "Restart Docker Desktop"),
    ],
)
def test_clock__of_the_engine(skew: int, desktop: bool, health: Health, said: str) -> None:
    """A virtual machine's clock stops while the computer sleeps; apt then refuses archives."""
    found = engine_checks.clock("engine's clock", _NOW + timedelta(seconds=skew), _NOW, desktop=desktop)

    assert found is not None
    assert health is found.health
    assert said in f"{found.text} {found.remedy}"
    assert engine_checks.clock("engine's clock", None, _NOW) is None


@pytest.mark.parametrize(
    ("configured", "health", "said"),
    [
        ({"httpProxy": "http://me:secret@proxy.example:3128"}, Health.DOUBTFUL, "the proxy http://proxy.example:3128;"),
        ({"httpProxy": "http://p:1", "noProxy": "localhost,pullthrough"}, Health.OK, "leaves pullthrough out"),
        ({"allProxy": "socks5://p:1"}, Health.DOUBTFUL, "socks5://p:1"),
    ],
)
def test_proxies__of_dockers_configuration(configured: dict[str, str], health: Health, said: str) -> None:
    """It would get what goes to the cache; its password is nobody's matter."""
    found = engine_checks.proxies({"proxies": {"default": configured}})

    assert found is not None
    assert health is found.health
    assert said in found.text
    assert "secret" not in found.text


@pytest.mark.parametrize("config", [{}, {"proxies": None}, {"proxies": {"default": {"noProxy": "x"}}}])
def test_proxies__none(config: dict[str, object]) -> None:
    """Then there is nothing to say."""
    assert engine_checks.proxies(config) is None
