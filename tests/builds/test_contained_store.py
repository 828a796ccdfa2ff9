"""The store of a cache in a container: the same verbs run inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from proxy.builds.contained_cache import ContainedCache
from proxy.builds.contained_store import ContainedStore, arguments_of
from proxy.builds.containers import EngineContainer
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine_trouble import EngineTrouble
from proxy.cli import cli
from proxy.control.protocol import (
    CleanEnd,
    CleanPlan,
    ControlError,
    DamagedFile,
    NamedFile,
    Progress,
    Refusal,
    Stats,
    VerifyEnd,
    Wish,
)
from tests.fake_docker import FakeDocker

_STATS = Stats("0.1.0", "/data", 1.0, 2, 3, 4, 5, 6, (), ())
_PLAN = CleanPlan(1, 2, 0, 0, 3, (), ())


@pytest.fixture
def store(environ: dict[str, str]) -> ContainedStore:
    """In the container `c`."""
    return ContainedStore(ContainedCache(EngineContainer("c", "cache", "x", "running"), DockerCommand.find(environ)))


def _lines(*messages: Any) -> str:
    return "".join(f"{msgspec.json.encode(message).decode()}\n" for message in messages)


def test_stats__of_the_verb_inside(store: ContainedStore, docker: FakeDocker) -> None:
    """What it prints as JSON is what was found."""
    docker.rule("exec", stdout=msgspec.json.encode(_STATS).decode())

    assert _STATS == store.stats(7)
    assert ["exec", "c", "pullthrough", "stats", "--json", "--largest", "7"] == docker.calls("exec")[0]["arguments"]


def test_plan_and_clean__with_the_same_conditions(store: ContainedStore, docker: FakeDocker) -> None:
    """First what would go, then that it goes: there is nobody to ask inside."""
    wish = Wish(project="torch", older_than=60.0)
    docker.rule("exec", stdout=msgspec.json.encode(_PLAN).decode())
    assert _PLAN == store.plan(wish)
    steps = [Progress(1, 2), CleanEnd(1, 2, 0)]
    docker.rule("exec", stdout=_lines(*steps))

    assert steps == list(store.clean(wish))

    conditions = ["--project=torch", "--older-than=60.000s"]
    assert [
        ["exec", "c", "pullthrough", "clean", "--json", *conditions],
        ["exec", "c", "pullthrough", "clean", "--json", "--yes", *conditions],
    ] == [call["arguments"] for call in docker.calls("exec")]


def test_verify__line_by_line(store: ContainedStore, docker: FakeDocker) -> None:
    """As the verb prints them."""
    steps = [DamagedFile(NamedFile("a", "pypi", "file", 1)), Progress(1, 1), VerifyEnd(1, 1, 1, 0, 0, 0)]
    docker.rule("exec", stdout=_lines(*steps))

    assert steps == list(store.verify())
    store.close()


def test_verify__refused(store: ContainedStore, docker: FakeDocker) -> None:
    """The reason is the error."""
    docker.rule("exec", stdout=_lines(Refusal("The disk fails.")))

    with pytest.raises(ControlError, match=r"^The disk fails\.$"):
        list(store.verify())


@pytest.mark.parametrize("text", ["", "{}", '{"type": "Other"}\n', "no JSON\n"])
def test_answers__of_another_version(store: ContainedStore, docker: FakeDocker, text: str) -> None:
    """It says so, and in which container."""
    docker.rule("exec", stdout=text)

    with pytest.raises(EngineTrouble, match="in the container cache answers in another form"):
        store.stats()
    if text:
        with pytest.raises(EngineTrouble, match="in the container cache answers in another form"):
            list(store.verify())


@pytest.mark.parametrize(
    "wish",
    [
        Wish(index="--index", project="torch", version="1!2+cu126", older_than=0.5),
        Wish(larger_than=1, down_to=10**12),
        Wish(everything=True),
    ],
)
def test_arguments__mean_the_wish(wish: Wish, tmp_path: Path) -> None:
    """The verb reads them as they were meant: what is not there yet is all that it complains of."""
    alone = {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}

    result = CliRunner(env=alone).invoke(cli, ["clean", "--data", str(tmp_path / "none"), *arguments_of(wish)])

    assert 1 == result.exit_code, result.output
    assert "There is no cache in" in result.output
