"""Whether the engine has any cache in a container, asked without its library."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.builds.engine_answers import ROLE_LABEL
from proxy.builds.engine_question import _place, none_contained
from tests import fake_engine
from tests.fake_engine import FakeEngine

_ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An engine that has no containers."""
    with fake_engine.running() as running:
        yield running


def _local(engine: FakeEngine) -> bool:
    return engine.address.startswith("unix:")


def test_question__none(engine: FakeEngine) -> None:
    """An engine without caches says so, and is asked nothing else."""
    assert _local(engine) is none_contained(engine.environ)
    if _local(engine):
        (request,) = engine.requests
        assert ["1"] == request.query["all"]
        assert [json.dumps({"label": [f"{ROLE_LABEL}=cache"]})] == request.query["filters"]


@pytest.mark.parametrize(("answer", "status"), [([{"Id": "a"}], 200), ([], 500), ({}, 200), (None, 200)])
def test_question__not_for_certain(engine: FakeEngine, answer: object, status: int) -> None:
    """A container, an error, an answer of another form: the library is to ask."""
    engine.answer("GET", "/containers/json", answer, status)

    assert not none_contained(engine.environ)


def test_question__no_engine(tmp_path: Path) -> None:
    """Where nothing listens, there are no containers: neither without a socket, nor with one that was left."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(f"{tmp_path}/left.sock")

    assert none_contained({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    assert none_contained({"DOCKER_HOST": f"unix://{tmp_path}/left.sock"})


def test_question__that_cannot_be_asked(tmp_path: Path) -> None:
    """The library is to say what is wrong."""
    (tmp_path / "file").touch()

    assert not none_contained({"DOCKER_HOST": f"unix://{tmp_path}/file/no.sock"})


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"DOCKER_HOST": "unix:///run/a.sock", "DOCKER_CONTEXT": "b"}, "/run/a.sock"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:1"}, None),
        ({"DOCKER_HOST": "ssh://host"}, None),
        ({"DOCKER_CONTEXT": "b", "HOME": "/nowhere"}, None),
        ({"HOME": "/nowhere"}, "/var/run/docker.sock"),
        ({"DOCKER_HOST": "", "HOME": "/nowhere"}, "/var/run/docker.sock"),
        ({}, None),
    ],
)
def test_place__of_the_socket(environ: dict[str, str], place: str | None) -> None:
    """Only a socket that is meant for certain is asked."""
    assert place == _place(environ)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (json.dumps({"auths": {}}), True),
        (json.dumps({"currentContext": ""}), True),
        (json.dumps({"currentContext": "colima"}), False),
        ("[]", False),
        ("no JSON", False),
        ("\udcff", False),
    ],
)
def test_place__contexts(tmp_path: Path, text: str, plain: bool) -> None:
    """A context that docker's configuration chose is a matter for the library, and so is one that cannot be read."""
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    assert plain is (_place({"DOCKER_CONFIG": str(tmp_path)}) is not None)


def test_question__loads_no_library() -> None:
    """That is what it is for."""
    script = "import sys, proxy.builds.contained_cache; print(sorted({'docker', 'requests'} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=True)

    assert "[]" == result.stdout.strip()
