"""The cache in a container: which one it is, verbs that run inside it, and its store by them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from proxy.builds.contained_cache import ContainedCache, ContainedStore, arguments_of, find
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine_answers import EngineContainer
from proxy.builds.engine_trouble import EngineTrouble
from proxy.bundles.importing import Imported, ImportWish
from proxy.cache.forecast import Forecast, Verdict
from proxy.cli import cli
from proxy.control.explanation import ExplainWish, Explanation
from proxy.control.export_wish import ExportWish
from proxy.control.protocol import (
    CleanEnd,
    CleanPlan,
    ControlError,
    DamagedFile,
    Message,
    NamedFile,
    Progress,
    Refusal,
    Stats,
    VerifyEnd,
    Wish,
)
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine

_STATS = Stats("0.1.0", "/data", 1.0, 2, 3, 4, 5, 6, (), ())
_PLAN = CleanPlan(1, 2, 0, 0, 3, (), ())


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


@pytest.mark.parametrize("chosen", [False, True])
def test_find__data_in_a_volume_now(machine: dict[str, str], engine: FakeEngine, folder: Path, chosen: bool) -> None:
    """Where the cache was moved to a volume, its old folder is still there: it is meant only where it is named."""
    mount = {"Type": "volume", "Name": "v", "Source": "/var/lib/docker/volumes/v/_data", "Destination": "/data"}
    engine.answer("GET", "/containers/json", [_container("mine", "") | {"Mounts": [mount]}])

    assert chosen is (find([folder], machine, chosen=chosen) is None)


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


def test_explain__of_the_verb_inside(store: ContainedStore, docker: FakeDocker) -> None:
    """The address is passed on as it is, whatever it begins with."""
    said = Explanation(Forecast(kind="own", verdict=Verdict.OWN, why=("The program itself answers.",)), running=True)
    docker.rule("exec", stdout=msgspec.json.encode(said).decode())

    assert said == store.explain(ExplainWish("--help"))
    assert ["exec", "c", "pullthrough", "explain", "--json", "--", "--help"] == docker.calls("exec")[0]["arguments"]


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


@pytest.mark.parametrize("end", [CleanEnd(1, 2, 0, 1, "Read-only file system"), VerifyEnd(1, 1, 0, 0, 0, 1)])
def test_messages__verb_that_did_not_do_all(store: ContainedStore, docker: FakeDocker, end: Message) -> None:
    """Its status is that of a failure, and its last line says what of: nothing more is to be said."""
    docker.rule("exec", stdout=_lines(Progress(1, 1), end), status=1)

    messages = store.clean(Wish(everything=True)) if isinstance(end, CleanEnd) else store.verify()

    assert [Progress(1, 1), end] == list(messages)


def test_verify__refused(store: ContainedStore, docker: FakeDocker) -> None:
    """The reason is the error."""
    docker.rule("exec", stdout=_lines(Refusal("The disk fails.")))

    with pytest.raises(ControlError, match=r"^The disk fails\.$"):
        list(store.verify())


def test_export__by_the_verb_inside(store: ContainedStore, docker: FakeDocker, tmp_path: Path) -> None:
    """What it writes is the bundle; a failure is an error that names the container."""
    docker.rule("exec", stdout="a tar")

    with (tmp_path / "bundle").open("wb") as file:
        store.export(ExportWish(("apt",)), file.fileno(), lambda _done, _of: None)
        assert "a tar" == (tmp_path / "bundle").read_text()
        inside = ["c", "pullthrough", "export", "-", "--wish"]
        assert ["exec", "--interactive", *inside] == docker.calls("exec")[0]["arguments"]
        docker.rule("exec", stderr="pullthrough: no.\n", status=1)
        with pytest.raises(EngineTrouble, match=r"in the container cache: .*no"):
            store.export(ExportWish(), file.fileno(), lambda _done, _of: None)


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


@pytest.mark.parametrize("status", [0, 1])
def test_import__of_the_verb_inside(store: ContainedStore, docker: FakeDocker, status: int) -> None:
    """The tar is its standard input; that something is missing is an answer, and no failure."""
    done = Imported(1, 2, 3, missing=status)
    docker.rule("exec", stdout=msgspec.json.encode(done).decode(), status=status)

    assert done == store.take_in([b"a" * 500_000] * 4, ImportWish(replace_newer=True, loose=True))
    assert [
        "exec",
        "--interactive",
        "c",
        "pullthrough",
        "import",
        "--json",
        "--replace-newer",
        "--files",
        "-",
    ] == docker.calls("exec")[0]["arguments"]


def test_import__refused_inside(store: ContainedStore, docker: FakeDocker) -> None:
    """What the verb says is what a person reads, though it read nothing."""
    docker.rule("exec", stderr="pullthrough: This is no tar.\n", status=1)

    with pytest.raises(EngineTrouble, match=r"in the container cache: This is no tar\."):
        store.take_in([b"a" * 500_000] * 4, ImportWish())


def test_import__from_what_cannot_be_read(store: ContainedStore, docker: FakeDocker) -> None:
    """The program is ended, and what went wrong is what is raised."""

    def gone() -> Iterator[bytes]:
        yield b"a"
        raise FileNotFoundError

    docker.rule("exec", stdout="{}", waits=True)
    with pytest.raises(FileNotFoundError):
        store.take_in(gone(), ImportWish())
