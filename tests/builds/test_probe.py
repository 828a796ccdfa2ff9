"""The proof by a tiny RUN: what is built, and what is read of it. A real build has it in tests/e2e/test_build.py."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.builds.candidates import DESKTOP_NAME, GATEWAY_ALIAS, Candidate
from proxy.builds.docker_command import DockerCommand
from proxy.builds.probe import Ground, Proof, prove
from tests.fake_docker import FakeDocker

_GROUND = Ground("python:3.12-slim", triggers=False)
_PLACES = (Candidate("172.17.0.1", 3142), Candidate("10.0.0.7", 3142))


def _prove(environ: dict[str, str], *places: Candidate, ground: Ground = _GROUND) -> Proof:
    return prove(DockerCommand.find(environ), places, ground, "1.7e+09")


def test_prove__second_address(docker: FakeDocker, environ: dict[str, str]) -> None:
    """The one that the build found, and the candidate that it was."""
    docker.rule("build", exports={"answer": "10.0.0.7:3142 10.0.0.7\n"})

    assert Proof(_PLACES[1], _PLACES[1]) == _prove(environ, *_PLACES)


def test_prove__name_becomes_literal(docker: FakeDocker, environ: dict[str, str]) -> None:
    """`--add-host` takes addresses alone: the build looks the name up."""
    docker.rule("build", exports={"answer": f"{DESKTOP_NAME}:3142 192.168.65.254\n"})

    proof = _prove(environ, Candidate(DESKTOP_NAME, 3142))

    assert (Candidate("192.168.65.254", 3142), Candidate(DESKTOP_NAME, 3142)) == (proof.address, proof.candidate)


def test_prove__another_cache(docker: FakeDocker, environ: dict[str, str]) -> None:
    """An address at which something else answers is no proof."""
    docker.rule("build", exports={"other": "172.17.0.1:3142\n"})

    assert Proof(None, other=("172.17.0.1:3142",)) == _prove(environ, *_PLACES)


def test_prove__nobody_answers(docker: FakeDocker, environ: dict[str, str]) -> None:
    """That is a result, and no trouble of the probe."""
    assert Proof(None) == _prove(environ, *_PLACES)
    assert Proof(None) == _prove(environ)


def test_prove__image_without_a_client(docker: FakeDocker, environ: dict[str, str]) -> None:
    """What is missing is said."""
    docker.rule("build", exports={"no-client": ""})

    assert "neither curl, wget, python3" in _prove(environ, *_PLACES).problem


def test_prove__what_is_built(docker: FakeDocker, environ: dict[str, str], tmp_path: Path) -> None:
    """One RUN on the base image, never from the layer cache, by the builder and platform that will build."""
    _prove(environ, *_PLACES, ground=replace(_GROUND, builder="mine", platform="linux/arm64"))

    (call,) = docker.calls("build")
    arguments = call["arguments"]
    assert call["dockerfile"].startswith("FROM python:3.12-slim AS probe\nUSER 0:0\nRUN [")
    assert {"--no-cache", "--builder", "mine", "--platform", "linux/arm64"} <= set(arguments)
    assert "--add-host" not in arguments
    assert not Path(arguments[-1]).exists()


def test_prove__alias_of_the_gateway(docker: FakeDocker, environ: dict[str, str]) -> None:
    """Where the engine refuses the alias, the others are tried without it."""
    docker.rule("build", stderr='ERROR: invalid IP address in add-host: "host-gateway"\n', status=1)

    proof = _prove(environ, Candidate(DESKTOP_NAME, 3142), Candidate(GATEWAY_ALIAS, 3142))

    first, second = docker.calls("build")
    assert "pullthrough-gateway:host-gateway" in first["arguments"]
    assert "--add-host" not in second["arguments"]
    assert 'ERROR: invalid IP address in add-host: "host-gateway"' == proof.problem


def test_prove__build_that_fails(docker: FakeDocker, environ: dict[str, str]) -> None:
    """The last line of what docker said, without the RUN that it repeats."""
    docker.rule("build", stderr="#5 ERROR\nexecutor failed running [/bin/sh -c a; b]: exit code: 127\n", status=1)

    assert "exit code: 127" == _prove(environ, *_PLACES).problem


def test_prove__docker_of_a_snap(docker: FakeDocker, environ: dict[str, str]) -> None:
    """It sees another /tmp: context and result are in its own folder of the home, and nothing is left there."""
    (docker.folder / "docker").rename(docker.folder / "snap")
    (docker.folder / "docker").symlink_to("snap")
    docker.rule("build", exports={"answer": "172.17.0.1:3142 172.17.0.1\n"})

    assert _PLACES[0] == _prove(environ, *_PLACES).address

    own = Path(environ["HOME"], "snap/docker/common")
    arguments = docker.calls("build")[0]["arguments"]
    output = next(one.partition("dest=")[2] for one in arguments if "dest=" in one)
    assert {own} == {Path(one).parents[1] for one in (arguments[-1], output)}
    assert [] == list(own.iterdir())


def test_prove__base_with_triggers(docker: FakeDocker, environ: dict[str, str]) -> None:
    """ONBUILD of the base image would want files of the project: its files are copied, which triggers nothing."""
    docker.rule("build", exports={"answer": "172.17.0.1:3142 172.17.0.1\n"})

    proof = _prove(environ, *_PLACES, ground=Ground("team/base", triggers=True))

    assert _PLACES[0] == proof.address
    (call,) = docker.calls("build")
    assert call["dockerfile"].startswith("FROM scratch AS probe\nCOPY --from=team/base / /\nUSER 0:0\nRUN [")


def test_prove__base_that_may_have_triggers(docker: FakeDocker, environ: dict[str, str]) -> None:
    """Only the builder has the image: where it fails, its files alone are tried; the reason is that of the first."""
    docker.rule("build", stderr='failed to solve: "/requirements.txt" not found\n', status=1)

    proof = _prove(environ, *_PLACES, ground=Ground("team/base"))

    starts = [call["dockerfile"].partition("\n")[0] for call in docker.calls("build")]
    assert ["FROM team/base AS probe", "FROM scratch AS probe"] == starts
    assert '"/requirements.txt" not found' in proof.problem


@pytest.mark.parametrize("base", ["", "a b", "x\nRUN true", "--platform=x", "$BASE"])
def test_prove__base_that_is_no_image(docker: FakeDocker, environ: dict[str, str], base: str) -> None:
    """A base that a Dockerfile could take for something else is not built on."""
    assert "not the name of an image" in _prove(environ, *_PLACES, ground=Ground(base)).problem
    assert [] == docker.calls("build")


def test_script__is_one_for_a_plain_shell(docker: FakeDocker, environ: dict[str, str], tmp_path: Path) -> None:
    """dash reads it; the RUN's words are what the Dockerfile's JSON gives."""
    _prove(environ, *_PLACES)
    run = docker.calls("build")[0]["dockerfile"].splitlines()[2]
    words = json.loads(run.removeprefix("RUN "))

    assert ["/bin/sh", "-c"] == words[:2]
    checked = subprocess.run(["/bin/sh", "-n"], input=words[2], capture_output=True, text=True, check=False)
    assert (0, "") == (checked.returncode, checked.stderr)
