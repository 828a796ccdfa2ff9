"""What is wanted of setup, and where the cache can listen."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.builds.build_site import CachePlace
from proxy.builds.setup_plan import SetupFailed, SetupPlan, look, serve_arguments, settings_text, wrote
from tests.fake_engine import INFO, FakeEngine

_PLAN = SetupPlan(CachePlace(("127.0.0.1",), 3142), Path('/da"ta é'))


def test_look__loopback_and_the_bridge(engine: FakeEngine) -> None:
    """Builds reach the bridge's address; the network around this machine reaches neither."""
    ways = look(_PLAN, engine.environ)

    assert ways.engine is not None
    ways.engine.close()
    assert ("127.0.0.1", "172.17.0.1") == ways.hosts
    address = ways.address(_PLAN.place)
    assert ("http://127.0.0.1:3142", "http://172.17.0.1:3142") == (address.base_url, address.for_containers)


def test_look__docker_desktop(engine: FakeEngine) -> None:
    """It forwards to loopback, and has a name for its host."""
    engine.answer("GET", "/info", INFO | {"OperatingSystem": "Docker Desktop"})

    ways = look(_PLAN, engine.environ)

    assert ways.engine is not None
    ways.engine.close()
    assert ("127.0.0.1",) == ways.hosts
    assert "http://host.docker.internal:3142" == ways.address(_PLAN.place).for_containers


def test_look__rootless(engine: FakeEngine) -> None:
    """Its bridge is in a network of its own: nobody can listen there."""
    engine.answer("GET", "/info", INFO | {"SecurityOptions": ["name=rootless"]})

    ways = look(_PLAN, engine.environ)

    assert ways.engine is not None
    ways.engine.close()
    assert ("127.0.0.1",) == ways.hosts


def test_look__as_told(engine: FakeEngine) -> None:
    """A person who names addresses gets these alone."""
    ways = look(replace(_PLAN, hosts=("0.0.0.0",)), engine.environ)

    assert ways.engine is not None
    ways.engine.close()
    assert ("0.0.0.0",) == ways.hosts
    assert "http://127.0.0.1:3142" == ways.address(_PLAN.place).base_url


def test_look__no_engine() -> None:
    """A process needs none; why there is none is known."""
    ways = look(_PLAN, {"DOCKER_HOST": "unix:///nowhere/docker.sock"})

    assert (None, ("127.0.0.1",)) == (ways.engine, ways.hosts)
    assert "no Docker engine answers" in ways.trouble


def test_look__any_free_port() -> None:
    """Builds could not know it."""
    with pytest.raises(SetupFailed, match="--port 0"):
        look(replace(_PLAN, place=CachePlace((), 0)), {})


def test_settings__are_what_the_plan_says() -> None:
    """TOML, whatever the folder is called; addresses only where a person named them."""
    assert {"data": '/da"ta é', "port": 3142} == tomllib.loads(settings_text(_PLAN))
    assert ["::1", "10.0.0.7"] == tomllib.loads(settings_text(replace(_PLAN, hosts=("::1", "10.0.0.7"))))["host"]


def test_arguments__of_serve() -> None:
    """All that the plan says, and the settings file that is in force."""
    ways = look(_PLAN, {"DOCKER_HOST": "unix:///nowhere/docker.sock"})

    assert ["--host=127.0.0.1", "--port=3142", '--data=/da"ta é'] == serve_arguments(_PLAN, ways)
    own = replace(_PLAN, own_file=Path("/own"))
    assert "--config=/own" == serve_arguments(own, ways)[0]
    assert "--config=/in-force" == serve_arguments(replace(own, settings_file=Path("/in-force")), ways)[0]


def test_wrote__settings_of_setup(tmp_path: Path) -> None:
    """Its first line says so; a folder that it does not name is the one that setup makes."""
    file = tmp_path / "pullthrough.toml"
    assert not wrote(file)
    file.write_text("port = 1\n")
    assert not wrote(file)
    file.write_text(settings_text(_PLAN, in_folder=False))
    assert wrote(file)
    assert {"port": 3142} == tomllib.loads(file.read_text())
