"""What Docker takes for builds: of the engine, and of other builders."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.builds.docker_caches import look, prune
from proxy.builds.engine_answers import CACHE_MOUNT
from proxy.builds.engine_trouble import EngineTrouble
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine

_USAGE = {
    "LayersSize": 5000,
    "Images": [{"Id": "sha256:1", "RepoTags": ["app:latest"], "Size": 5000}],
    "BuildCache": [
        {"ID": "a", "Type": CACHE_MOUNT, "Size": 100, "InUse": False, "Description": 'x with id "/pullthrough-uv"'},
        {"ID": "b", "Type": CACHE_MOUNT, "Size": 300, "InUse": True},
        {"ID": "c", "Type": "regular", "Size": 70, "InUse": False},
        {"ID": "d", "Type": "source.local", "Size": 5, "InUse": False},
    ],
}
_LS = """\
NAME/NODE       DRIVER/ENDPOINT   STATUS    BUILDKIT   PLATFORMS
default*        docker
 \\_ default     \\_ default       running   v0.12.0    linux/amd64
far             remote
 \\_ far0        \\_ tcp://far     running   v0.12.0    linux/amd64
mine            docker-container
 \\_ mine0       \\_ unix:///x     running   v0.12.0    linux/amd64
"""
_DU = f"ID:\t\ta1\nReclaimable:\ttrue\nShared:\t\tfalse\nSize:\t\t1.5GB\nType:\t\t{CACHE_MOUNT}\n\nTotal:\t\t1.5GB\n"


@pytest.fixture
def both(engine: FakeEngine, environ: dict[str, str], docker: FakeDocker) -> dict[str, str]:
    """An engine with caches, and two more builders, of which one is down."""
    engine.answer("GET", "/system/df", _USAGE)
    engine.answer("POST", "/build/prune", {"SpaceReclaimed": 100})
    docker.with_buildx()
    docker.rule("buildx", "ls", stdout=_LS)
    docker.rule("buildx", "du", "--builder", "mine", stdout=_DU)
    docker.rule("buildx", "prune", "--builder", "mine", stdout="Total:\t1.5GB\n")
    for verb in ("du", "prune"):
        docker.rule("buildx", verb, "--builder", "far", stderr="ERROR: no connection\n", status=1)
    return environ | engine.environ


def test_look__engine_and_other_builders(both: dict[str, str]) -> None:
    """Mounts and layers of each; the one that is down is named."""
    found = look(both)

    own, mine = found.caches
    assert (1, 5000) == (found.images, found.image_layers)
    assert ("docker", ["b", "a"], ["a"], 75) == (
        own.builder,
        [record.id for record in own.mounts],
        [record.id for record in own.removable],
        own.layers,
    )
    assert ("mine", [1_500_000_000], 0) == (mine.builder, [record.size for record in mine.mounts], mine.layers)
    assert ["the builder far does not tell its cache: no connection"] == [text.rstrip(".") for text in found.troubles]


def test_prune__of_the_builders_that_were_shown(both: dict[str, str], engine: FakeEngine, docker: FakeDocker) -> None:
    """Cache mounts alone, and of no other builder."""
    freed, troubles = prune(both, ["docker", "mine"])

    assert (1_500_000_100, []) == (freed, troubles)
    assert {"type": [CACHE_MOUNT]} == engine.asked("POST", "/build/prune")[0].filters
    assert [] == docker.calls("buildx", "prune", "--builder", "far")


def test_prune__builder_that_fails(both: dict[str, str], engine: FakeEngine) -> None:
    """It is named, and the engine is left alone where it was not asked for."""
    freed, troubles = prune(both, ["far"])

    assert 0 == freed
    assert "far" in troubles[0]
    assert [] == engine.asked("POST", "/build/prune")


def test_look__without_the_command(engine: FakeEngine, tmp_path: Path) -> None:
    """The engine alone is enough."""
    engine.answer("GET", "/system/df", _USAGE)

    found = look({**engine.environ, "PATH": str(tmp_path)})

    assert (["docker"], ()) == ([one.builder for one in found.caches], found.troubles)


def test_look__no_engine(tmp_path: Path) -> None:
    """It says what to do."""
    with pytest.raises(EngineTrouble, match="no Docker engine answers"):
        look({"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": ""})
