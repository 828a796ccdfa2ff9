"""The address by which builds reach the cache: proved, remembered, proved again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.app import Running
from proxy.builds.builders import Builder
from proxy.builds.candidates import Candidate, Surroundings
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine import Engine
from proxy.builds.probe import Ground
from proxy.builds.reach import Reach, Reacher, RememberedAddresses, surroundings
from proxy.builds.running_cache import RunningCache, answers_at
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine

_CACHE = RunningCache("127.0.0.1", 3199, started="1.7e+09", version="0.1.0", heard_on=("127.0.0.1",))
_GROUND = Ground("python:3.12-slim")
_GATEWAY = Candidate("172.17.0.1", 3199)
_DESKTOP = Surroundings(desktop=True)


def _reacher(
    environ: dict[str, str], around: Surroundings, cache: RunningCache = _CACHE, builder: str = "default"
) -> Reacher:
    memory = RememberedAddresses.of_user(environ)
    return Reacher(DockerCommand.find(environ), Builder(builder, "docker"), cache, around, memory, "unix:///x")


def test_prove__is_remembered(docker: FakeDocker, environ: dict[str, str]) -> None:
    """The next build of the same builder believes it; another builder does not, nor one for another port."""
    docker.rule("build", exports={"answer": "host.docker.internal:3199 192.168.65.254\n"})
    reacher = _reacher(environ, _DESKTOP)
    assert reacher.remembered() is None

    proved = reacher.prove(_GROUND)

    assert Reach(Candidate("192.168.65.254", 3199)) == proved
    assert Reach(Candidate("192.168.65.254", 3199), remembered=True) == _reacher(environ, _DESKTOP).remembered()
    assert _reacher(environ, _DESKTOP, builder="mine").remembered() is None
    other = RunningCache("127.0.0.1", 3200, started="1", version="0.1.0")
    assert _reacher(environ, _DESKTOP, cache=other).remembered() is None


def test_remembered__surroundings_changed(docker: FakeDocker, environ: dict[str, str]) -> None:
    """An address that would not be tried today is not believed, as after a change of the network."""
    docker.rule("build", exports={"answer": "10.0.0.7:3199 10.0.0.7\n"})
    assert _reacher(environ, Surroundings(own_addresses=("10.0.0.7",), desktop=True)).prove(_GROUND).address is not None

    assert _reacher(environ, Surroundings(own_addresses=("10.0.0.8",), desktop=True)).remembered() is None


async def test_remembered__cache_has_to_answer_there(
    docker: FakeDocker, environ: dict[str, str], proxy: Running
) -> None:
    """An address of this machine is asked: the cache may have been started anew, for 127.0.0.1 alone."""
    port = int(proxy.url.rpartition(":")[2])
    started = await asyncio.to_thread(answers_at, "127.0.0.1", port)
    assert started is not None
    docker.rule("build", exports={"answer": f"127.0.0.1:{port} 127.0.0.1\n"})
    around = Surroundings(gateway="127.0.0.1")
    right = _reacher(environ, around, RunningCache("127.0.0.1", port, started, "0.1.0"))
    other = _reacher(environ, around, RunningCache("127.0.0.1", port, "1.0", "0.1.0"))
    right.prove(_GROUND)

    assert Reach(Candidate("127.0.0.1", port), remembered=True) == await asyncio.to_thread(right.remembered)
    assert await asyncio.to_thread(other.remembered) is None


def test_prove__named_address(docker: FakeDocker, environ: dict[str, str]) -> None:
    """What a person names is tried alone, and is not mixed up with what was found."""
    docker.rule("build", exports={"answer": "10.9.9.9:80 10.9.9.9\n"})
    named = Candidate("10.9.9.9", 80)
    reacher = _reacher(environ, Surroundings(gateway="172.17.0.1"))

    assert named == reacher.prove(_GROUND, named).address
    assert reacher.remembered() is None
    assert Reach(named, remembered=True) == reacher.remembered(named)
    assert "PLACES=10.9.9.9:80 " in docker.calls("build")[0]["dockerfile"]


def test_prove__named_address_that_is_wrong(docker: FakeDocker, environ: dict[str, str]) -> None:
    """There is nothing to say of this machine's own addresses."""
    found = _reacher(environ, Surroundings(gateway="172.17.0.1")).prove(_GROUND, Candidate("10.9.9.9", 80))

    said = "builds of the builder default (driver docker) reach no cache at 10.9.9.9:80. Check the address,"
    assert found.problem.startswith(said)


@pytest.mark.parametrize(
    ("rule", "ground", "said"),
    [
        ({}, _GROUND, r"do not reach the cache \(172\.17\.0\.1:3199\)\. Have it listen there: .*172\.17\.0\.1"),
        ({"exports": {"other": "172.17.0.1:3199\n"}}, _GROUND, r"at 172\.17\.0\.1:3199 builds reach another cache"),
        ({"status": 1, "stderr": "no space left\n"}, _GROUND, r"not be tried on python:3\.12-slim .*: no space left"),
        ({}, None, "names no image"),
    ],
)
def test_prove__problem(
    docker: FakeDocker, environ: dict[str, str], rule: dict[str, object], ground: Ground | None, said: str
) -> None:
    """One line that says what is wrong; and nothing is remembered any more."""
    docker.rule("build", exports={"answer": "172.17.0.1:3199 172.17.0.1\n"})
    reacher = _reacher(environ, Surroundings(gateway="172.17.0.1"))
    reacher.prove(_GROUND)
    docker.rule("build", **rule)

    found = reacher.prove(ground)

    assert found.address is None
    with pytest.raises(ValueError, match=said):
        raise ValueError(found.problem)
    assert ground is None or reacher.memory.find(reacher.key) is None


def test_surroundings__of_an_engine(engine: FakeEngine) -> None:
    """The bridge's gateway, and the kind of engine; without an engine this machine's addresses alone."""
    with Engine.connect(engine.environ) as connected:
        around = surroundings(connected, _CACHE)
        connected.facts = replace(connected.facts, address="tcp://10.0.0.1:2375")  # its bridge is not this machine's
        assert surroundings(connected, _CACHE).gateway is None

    assert ("172.17.0.1", False, False) == (around.gateway, around.desktop, around.rootless)
    assert surroundings(None, _CACHE).gateway is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', '{"key": {"host": "x"}}', '{"key": {"port": "y"}}'])
def test_memory__file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """It is as good as none, and is written anew."""
    path = tmp_path / "builders.json"
    path.write_text(text, encoding="utf-8")
    memory = RememberedAddresses(path)

    assert memory.find("key") is None
    memory.put("key", Candidate("name", 1), Candidate("10.0.0.1", 1))

    assert (Candidate("name", 1), Candidate("10.0.0.1", 1)) == memory.find("key")


def test_memory__folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Then nothing is remembered, and nothing fails."""
    (tmp_path / "file").touch()
    memory = RememberedAddresses(tmp_path / "file" / "builders.json")

    memory.put("key", _GATEWAY, _GATEWAY)
    memory.forget("key")

    assert memory.find("key") is None


def test_memory__forgets_one(tmp_path: Path) -> None:
    """The others stay."""
    memory = RememberedAddresses(tmp_path / "new" / "builders.json")
    memory.put("one", _GATEWAY, _GATEWAY)
    memory.put("other", _GATEWAY, _GATEWAY)

    memory.forget("one")

    assert ["other"] == list(json.loads(memory.path.read_text(encoding="utf-8")))


def test_memory__where_it_is(tmp_path: Path) -> None:
    """In the user's folder for state."""
    given = RememberedAddresses.of_user({"HOME": "/home/me", "XDG_STATE_HOME": str(tmp_path)}).path
    default = RememberedAddresses.of_user({"HOME": "/home/me"}).path

    assert "builders.json" == given.name
    assert "pullthrough" == default.parent.name
    assert default.is_relative_to("/home/me")
