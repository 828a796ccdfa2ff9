"""What there is for a build on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy.app import Running
from proxy.builds import build_options
from proxy.builds.build_site import CachePlace, survey
from proxy.builds.candidates import Candidate
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.engine_trouble import EngineTrouble
from proxy.builds.probe import Ground
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine
from tests.origin import Origin

_NOWHERE = CachePlace((), 0)


def test_survey__engine_and_its_own_builder(engine: FakeEngine, environ: dict[str, str]) -> None:
    """Command, engine and builder; no cache runs."""
    with survey(environ | engine.environ, _NOWHERE) as site:
        assert site.engine is not None
        assert ("20.10.24", "docker", None) == (site.engine.facts.version, site.builder.driver, site.cache)


def test_survey__no_engine(docker: FakeDocker, environ: dict[str, str]) -> None:
    """The engine's own builder needs it; a builder elsewhere does not."""
    gone = environ | {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    with pytest.raises(EngineTrouble, match="no Docker engine answers"):
        with survey(gone, _NOWHERE):
            pass

    docker.with_buildx(far="Name: far\nDriver: remote\n\nNodes:\nName: far0\nEndpoint: tcp://10.0.0.1:1234\n")
    with survey(gone, _NOWHERE, "far") as site:
        assert (None, "remote") == (site.engine, site.builder.driver)


def test_survey__engine_beyond_ssh(docker: FakeDocker, environ: dict[str, str]) -> None:
    """`docker` builds there: the cache is asked here, and each such engine has an address of its own for it."""
    place = CachePlace((), 0, named=Candidate("127.0.0.1", 9))
    keys = set()
    for host in ("ssh://me@far", "ssh://me@further"):
        with survey(environ | {"DOCKER_HOST": host}, place) as site:
            assert (None, "docker") == (site.engine, site.builder.driver)
            assert site.cache is not None
            keys.add(site.reacher(site.cache).key)
            assert Ground("base") == site.ground(Dockerfile.read("FROM base\nRUN true\n"))

    assert 2 == len(keys)


def test_survey__no_buildkit(docker: FakeDocker, engine: FakeEngine, environ: dict[str, str]) -> None:
    """A newer docker without its plugin would build without secrets, or not at all."""
    docker.rule("version", stdout='{"Version": "28.2.2"}\n')

    with pytest.raises(EngineTrouble, match="docker-buildx-plugin"):
        with survey(environ | engine.environ, _NOWHERE):
            pass


def test_ground__image_that_the_engine_has(engine: FakeEngine, environ: dict[str, str]) -> None:
    """It comes before those that would have to be pulled."""
    engine.answer("GET", "/images/stored/json", {"Id": "sha256:1", "Config": {"Env": None}})
    file = Dockerfile.read("FROM remote\nRUN true\nFROM stored\nRUN true\n")

    with survey(environ | engine.environ, _NOWHERE) as site:
        assert Ground("stored", "mine", "linux/arm64", triggers=False) == site.ground(file, "mine", "linux/arm64")
        assert Ground("remote") == site.ground(Dockerfile.read("FROM remote\nRUN true\n"))
        assert site.ground(Dockerfile.read("FROM scratch\n")) is None
        assert site.ground(None) is None


def test_ground__image_in_which_something_runs(engine: FakeEngine, environ: dict[str, str]) -> None:
    """An image that only gets files may have no shell, also where it is the only one that the engine has."""
    engine.answer("GET", "/images/distroless/json", {"Id": "sha256:1", "Config": {"Env": None}})
    file = Dockerfile.read("FROM python AS build\nRUN true\nFROM distroless\nCOPY --from=build / /\n")

    with survey(environ | engine.environ, _NOWHERE) as site:
        assert Ground("python") == site.ground(file)
        assert Ground("distroless", triggers=False) == site.ground(Dockerfile.read("FROM distroless\n"))


def test_ground__image_without_triggers(engine: FakeEngine, environ: dict[str, str]) -> None:
    """Of two that the engine has, the one that runs nothing of its own in whatever is built on it."""
    engine.answer("GET", "/images/team/json", {"Id": "sha256:1", "Config": {"OnBuild": ["COPY . /app"]}})
    engine.answer("GET", "/images/plain/json", {"Id": "sha256:2", "Config": {"OnBuild": None}})
    file = Dockerfile.read("FROM team\nRUN true\nFROM plain\nRUN true\n")

    with survey(environ | engine.environ, _NOWHERE) as site:
        assert Ground("plain", triggers=False) == site.ground(file)
        assert Ground("team", triggers=True) == site.ground(Dockerfile.read("FROM team\nRUN true\n"))


def test_ground__no_name_of_an_image(engine: FakeEngine, environ: dict[str, str]) -> None:
    """The engine refuses it, and that ends no build: docker says what is wrong, if anything is."""
    name = "python:${VERSION#v}"
    engine.answer("GET", f"/images/{quote(name, safe=':')}/json", {"message": "invalid reference format"}, 400)

    with survey(environ | engine.environ, _NOWHERE) as site:
        assert Ground(name) == site.ground(Dockerfile.read(f"FROM {name}\nRUN true\n"))


_INLINE = ["--build-arg", "BUILDKIT_INLINE_CACHE=1"]


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        (["-t", "stored:1"], [*_INLINE, "--cache-from", "stored:1"]),
        (["-t", "new", "-t", "stored:1"], [*_INLINE, "--cache-from", "stored:1"]),
        (["-t", "new"], _INLINE),
        (["-t", "stored:1", "--no-cache"], []),
        (["-o", "out"], []),
    ],
)
def test_own_layers__of_the_last_build(
    engine: FakeEngine, environ: dict[str, str], tmp_path: Path, arguments: list[str], added: list[str]
) -> None:
    """The image that is there under a tag is named, and each image says what its layers are made of."""
    engine.answer("GET", "/images/stored:1/json", {"Id": "sha256:1"})
    (tmp_path / "Dockerfile").touch()

    with survey(environ | engine.environ, _NOWHERE) as site:
        assert added == site.own_layers(build_options.read(arguments, tmp_path))


def test_own_layers__out_of_reach(
    docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """An engine that would ask a registry is not told to, nor a builder that has no images."""
    (tmp_path / "Dockerfile").touch()
    options = build_options.read(["-t", "x"], tmp_path)
    info = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    engine.answer("GET", "/info", info)
    with survey(environ | engine.environ, _NOWHERE) as site:
        assert [] == site.own_layers(options)

    engine.answer("GET", "/info", {})
    docker.with_buildx(far="Name: far\nDriver: remote\n\nNodes:\nName: far0\nEndpoint: tcp://10.0.0.1:1234\n")
    with survey(environ | engine.environ, _NOWHERE, "far") as site:
        assert [] == site.own_layers(options)


def test_prove__docker_that_hangs(docker: FakeDocker, engine: FakeEngine, environ: dict[str, str]) -> None:
    """What fails in the proof is its problem, and not the end of the build."""
    place = CachePlace((), 0, named=Candidate("127.0.0.1", 9))
    with survey(environ | engine.environ, place) as site:
        assert site.cache is not None
        (docker.folder / "docker").unlink()
        found = site.prove(site.reacher(site.cache), Ground("base"))

    assert "cannot be run" in found.problem


async def test_place__named_or_found(proxy: Running) -> None:
    """A named cache that this machine cannot ask is taken as it is: a build has to prove it."""
    port = int(proxy.url.rpartition(":")[2])
    named = CachePlace(["127.0.0.1"], 0, named=Candidate("127.0.0.1", port))
    elsewhere = CachePlace(["127.0.0.1"], port, named=Candidate("127.0.0.1", 9))

    found = await asyncio.to_thread(named.find, None)
    unknown = await asyncio.to_thread(elsewhere.find, None)

    assert found is not None
    assert found.started
    assert unknown is not None
    assert ("", 9) == (unknown.started, unknown.port)
    assert "127.0.0.1:9" == str(elsewhere)
    assert "port 3142 of 127.0.0.1 or ::1" == str(CachePlace(["127.0.0.1", "::1"], 3142))


async def test_place__port_of_another_program(origin: Origin) -> None:
    """It is told with the place; of a named address nothing is."""
    port = int(origin.url.rstrip("/").rpartition(":")[2])

    said = await asyncio.to_thread(CachePlace(["127.0.0.1"], port).stranger)

    assert said.startswith(" (another program does: ")
    assert "" == CachePlace(["127.0.0.1"], port, named=Candidate("127.0.0.1", port)).stranger()
    assert "" == CachePlace(["127.0.0.1"], 9).stranger()
