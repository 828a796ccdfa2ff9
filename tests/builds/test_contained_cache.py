"""The cache in a container: which one it is, and verbs that run inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.builds.contained_cache import find
from proxy.builds.engine_trouble import EngineTrouble
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine


def _container(name: str, source: str, state: str = "running") -> dict[str, Any]:
    mounts = [{"Type": "bind", "Source": source, "Destination": "/data"}]
    return {"Id": f"id-{name}", "Names": [f"/{name}"], "State": state, "Mounts": mounts}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of a cache."""
    made = tmp_path / "cache"
    made.mkdir()
    (made / "format").write_text("1\n", encoding="utf-8")
    return made


@pytest.fixture
def machine(engine: FakeEngine, environ: dict[str, str]) -> dict[str, str]:
    """An engine and a command."""
    return environ | engine.environ


def test_find__container_that_has_the_folder(machine: dict[str, str], engine: FakeEngine, folder: Path) -> None:
    """Not another cache's."""
    listed = [_container("other", "/elsewhere"), _container("mine", str(folder))]
    engine.answer("GET", "/containers/json", listed)

    found = find(folder, machine)

    assert found is not None
    assert "mine" == found.container.name


@pytest.mark.parametrize("sources", [(), ("/elsewhere",), ("/elsewhere", "/further")])
def test_find__none_has_the_folder(
    machine: dict[str, str], engine: FakeEngine, folder: Path, sources: tuple[str, ...]
) -> None:
    """A folder that is a cache's is nobody else's."""
    engine.answer("GET", "/containers/json", [_container(f"c{at}", one) for at, one in enumerate(sources)])

    assert find(folder, machine) is None


@pytest.mark.parametrize(("count", "found"), [(1, True), (2, False)])
def test_find__data_in_a_volume(
    machine: dict[str, str], engine: FakeEngine, tmp_path: Path, count: int, found: bool
) -> None:
    """Where this machine has no data, the only cache in a container is meant; of two, nobody knows which."""
    engine.answer("GET", "/containers/json", [_container(f"c{at}", "") for at in range(count)])

    assert found is (find(tmp_path / "nothing", machine) is not None)


@pytest.mark.parametrize("state", ["exited", "created", "dead"])
def test_find__container_that_ended(machine: dict[str, str], engine: FakeEngine, folder: Path, state: str) -> None:
    """It has let go of the folder."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder), state)])

    assert find(folder, machine) is None


def test_find__container_that_pauses(machine: dict[str, str], engine: FakeEngine, folder: Path) -> None:
    """It still has the folder, and cannot be asked."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder), "paused")])

    with pytest.raises(EngineTrouble, match="the container mine has the data folder, and is paused"):
        find(folder, machine)


def test_find__no_docker(folder: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """Without a command or an engine nothing runs in a container."""
    assert find(folder, {"PATH": str(tmp_path)}) is None
    assert find(folder, environ | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}) is None


def test_run__streams_and_status(
    machine: dict[str, str], engine: FakeEngine, docker: FakeDocker, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The verb's output and status are this process's; how it is to look is passed on."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder))])
    docker.rule("exec", stdout="removed\n", status=1)
    found = find(folder, machine | {"NO_COLOR": "1"})
    assert found is not None

    status = found.run(["clean", "--all"], terminal=False)

    arguments = docker.calls("exec")[0]["arguments"]
    assert (1, "removed\n") == (status, capfd.readouterr().out)
    assert ["exec", "-i", "--env=NO_COLOR=1", "id-mine", "pullthrough", "clean", "--all"] == arguments


def test_run__with_a_terminal(machine: dict[str, str], engine: FakeEngine, docker: FakeDocker, folder: Path) -> None:
    """The verb gets one, so that it can ask."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder))])
    docker.rule("exec")
    found = find(folder, machine)
    assert found is not None

    assert 0 == found.run(["verify"], terminal=True)
    assert ["exec", "-it", "id-mine", "pullthrough", "verify"] == docker.calls("exec")[0]["arguments"]


def test_read__what_a_verb_prints(
    machine: dict[str, str], engine: FakeEngine, docker: FakeDocker, folder: Path
) -> None:
    """As text; a failure is an error that names the container."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder))])
    docker.rule("exec", stdout='{"files": 1}\n')
    docker.rule("exec", "id-mine", "pullthrough", "verify", stderr="pullthrough: no.\n", status=1)
    found = find(folder, machine)
    assert found is not None

    assert '{"files": 1}\n' == found.read("stats", "--json")
    with pytest.raises(EngineTrouble, match=r"in the container mine: .*no"):
        found.read("verify")
