"""The cache in a container: which one it is, and verbs that run inside it."""

from __future__ import annotations

import time
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

    found = find([folder], machine)

    assert found is not None
    assert "mine" == found.container.name


@pytest.mark.parametrize("sources", [(), ("/elsewhere",), ("/elsewhere", "/further")])
def test_find__none_has_the_folder(
    machine: dict[str, str], engine: FakeEngine, folder: Path, sources: tuple[str, ...]
) -> None:
    """A folder that is a cache's is nobody else's."""
    engine.answer("GET", "/containers/json", [_container(f"c{at}", one) for at, one in enumerate(sources)])

    assert find([folder], machine) is None


@pytest.mark.parametrize(
    ("count", "chosen", "found"), [(1, False, True), (2, False, False), (0, False, False), (1, True, False)]
)
def test_find__data_elsewhere(
    machine: dict[str, str], engine: FakeEngine, tmp_path: Path, count: int, chosen: bool, found: bool
) -> None:
    """The only cache in a container is meant where nobody named a folder; of two, nobody knows which."""
    engine.answer("GET", "/containers/json", [_container(f"c{at}", "") for at in range(count)])

    assert found is (find([tmp_path / "nothing"], machine, chosen=chosen) is not None)


@pytest.mark.parametrize("state", ["exited", "created", "dead"])
def test_find__container_that_ended(machine: dict[str, str], engine: FakeEngine, folder: Path, state: str) -> None:
    """It has let go of the folder."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder), state)])

    assert find([folder], machine) is None


def test_find__container_that_pauses(machine: dict[str, str], engine: FakeEngine, folder: Path) -> None:
    """It still has the folder, and cannot be asked."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder), "paused")])

    with pytest.raises(EngineTrouble, match="the container mine has the data folder, and is paused"):
        find([folder], machine)


def test_find__no_docker(folder: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """Without a command or an engine nothing runs in a container."""
    assert find([folder], {"PATH": str(tmp_path)}) is None
    assert find([folder], environ | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}) is None


def test_lines__as_they_come(machine: dict[str, str], engine: FakeEngine, docker: FakeDocker, folder: Path) -> None:
    """Each is there before the verb ends; a verb that fails is an error, with what it says."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder))])
    docker.rule("exec", stdout="1\n2\n", stderr="pullthrough: The disk is full.\n", status=1)
    found = find([folder], machine)
    assert found is not None

    seen = []
    with pytest.raises(EngineTrouble, match=r"^in the container mine: The disk is full\.$"):
        for line in found.lines("clean", "--all"):
            seen.append(line)  # noqa: PERF402 - what came before the error counts

    assert ["1\n", "2\n"] == seen
    assert ["exec", "id-mine", "pullthrough", "clean", "--all"] == docker.calls("exec")[0]["arguments"]


def test_lines__that_nobody_reads_on(
    machine: dict[str, str], engine: FakeEngine, docker: FakeDocker, folder: Path
) -> None:
    """The command is ended, and leaves nothing behind."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder))])
    docker.rule("exec", stdout="1\n", waits=True)
    found = find([folder], machine)
    assert found is not None

    lines = iter(found.lines("verify"))
    assert "1\n" == next(lines)
    while not docker.waiting.exists():
        time.sleep(0.01)
    del lines  # a generator that is dropped is closed

    assert 1 == len(docker.calls("exec"))


def test_read__what_a_verb_prints(
    machine: dict[str, str], engine: FakeEngine, docker: FakeDocker, folder: Path
) -> None:
    """As text; a failure is an error that names the container."""
    engine.answer("GET", "/containers/json", [_container("mine", str(folder))])
    docker.rule("exec", stdout='{"files": 1}\n')
    docker.rule("exec", "id-mine", "pullthrough", "verify", stderr="pullthrough: no.\n", status=1)
    found = find([folder], machine)
    assert found is not None

    assert '{"files": 1}\n' == found.read("stats", "--json")
    with pytest.raises(EngineTrouble, match=r"in the container mine: .*no"):
        found.read("verify")
