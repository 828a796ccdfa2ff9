"""`pullthrough setup`, as a process."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.builds.changes import Changes
from proxy.builds.setup import COMPOSE
from proxy.builds.setup_plan import SetupCaller, SetupPlan, settings_text
from proxy.commands.setup import SetupFlags, asked, in_container, planned, shown
from proxy.config.loading import resolve
from proxy.errors import WrongUsage
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine, running

_ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the verb in an empty home; `variables` are added to its environment."""

    def run_it(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/nowhere", "HOME": str(tmp_path), "PYTHONPATH": str(_ROOT), **variables}
        return subprocess.run(
            [sys.executable, "-m", "proxy", "setup", *arguments],
            cwd=tmp_path,
            env={"DOCKER_HOST": "unix:///nowhere/docker.sock", **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_it


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An empty engine 20.10."""
    with running() as started:
        yield started


def test_setup__print_changes_nothing(run: Run, engine: FakeEngine, tmp_path: Path) -> None:
    """The golden text: where it listens, how it is started, and the lines for each client."""
    result = run("--print", "--monitoring", **engine.environ)

    assert (0, "") == (result.returncode, result.stderr)
    said = result.stdout.replace(str(tmp_path), "HOME").replace(str(_ROOT), "PROJECT")
    said = said.replace("HOME/Library/Application Support", "HOME/.config")
    assert (_ROOT / "tests/golden/setup-print.txt").read_text(encoding="utf-8") == said
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "no Docker engine answers"),
        (("--process",), "neither systemd nor launchd runs here"),
        (("--port", "0"), "--port 0: builds have to know the port"),
    ],
)
def test_setup__fails_in_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    """Status 1, nothing on standard output, and nothing is left behind but the record that there is nothing."""
    result = run(*arguments)

    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith(f"pullthrough: {line}")
    assert 1 == result.stderr.count("\n")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [("--write", "npm"), ("--remove", "--print"), ("--port", "x"), ("--index", "none"), ("--what",), ("extra",)],
)
def test_setup__wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    """Status 2, and nothing on standard output."""
    result = run(*arguments)

    assert (2, "") == (result.returncode, result.stdout)
    assert result.stderr


def test_setup__remove_with_nothing_to_remove(run: Run) -> None:
    """Doing it twice is no failure."""
    result = run("--remove")

    assert (0, "") == (result.returncode, result.stderr)
    assert result.stdout.startswith("there is nothing to take back")


def test_setup__print_of_an_installed_wheel(tmp_path: Path) -> None:
    """A wheel has no compose.yaml: the line says what runs the cache all the same."""
    resolved = resolve({}, {"HOME": str(tmp_path)}, tmp_path)
    plan = planned(SetupFlags(resolved, only_print=True), {"HOME": str(tmp_path)}, tmp_path)
    caller = SetupCaller({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, print, project=tmp_path)

    said = shown(plan, caller)

    assert f"# compose.yaml is not in {tmp_path}: this pullthrough was installed without it." in said
    assert "pullthrough setup --process" in said
    assert "docker compose up" not in said


def test_setup__what_to_run_instead_of_a_unit(run: Run, tmp_path: Path) -> None:
    """Where nothing starts processes, the line has a command that works as it stands."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = run("--process", "--port", str(port), "--data", str(tmp_path / "a b")).stderr
    command = shlex.split(said.partition("Run it yourself: ")[2])
    assert "pullthrough" == command[0]
    environ = {"HOME": str(tmp_path), "PYTHONPATH": str(_ROOT), "PATH": "/nowhere"}

    with subprocess.Popen(
        [sys.executable, "-m", "proxy", *command[1:]],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        heard = next(process.stdout, "")
        process.terminate()
        process.stdout.read()

    assert f"pullthrough serves at http://127.0.0.1:{port}\n" == heard
    assert (tmp_path / "a b").is_dir()


def test_setup__interrupted_while_compose_starts(engine: FakeEngine, tmp_path: Path) -> None:
    """Ctrl-C reaches Compose, too. What was written is whole; going on works, and so does taking it all back."""
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    shutil.copytree(_ROOT / "proxy", checkout / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_ROOT / "compose.yaml", checkout)
    (checkout / ".env").write_bytes(b"PULLTHROUGH_DISK=1TB")
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    before = _contents(checkout, home)
    docker = FakeDocker.make(tmp_path / "bin")
    docker.rule("compose", "version", stdout="2.40.3\n")
    docker.rule("compose", "--file", waits=True, status=130)
    environ = {"PATH": f"{docker.folder}:/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(checkout)}
    environ |= {"PYTHONDONTWRITEBYTECODE": "1", **engine.environ}
    command = [sys.executable, "-m", "proxy", "setup", "--host=127.0.0.1", f"--port={port}", "--write=pip"]

    with subprocess.Popen(
        command, cwd=home, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        while not docker.waiting.exists() and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert "pullthrough: interrupted; run it again to go on, or with --remove to take back what was done\n" == said
    assert (checkout / ".env").read_bytes().startswith(b"PULLTHROUGH_DISK=1TB\n")
    assert f"PULLTHROUGH_PORT={port}\n" in (checkout / ".env").read_text()
    docker.rule("compose", "--file", stderr="")

    removed = subprocess.run(
        [sys.executable, "-m", "proxy", "setup", "--remove", "--yes"],
        cwd=home,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "") == (removed.returncode, removed.stderr)
    assert ["down", "--volumes"] == docker.calls("compose", "--file")[-1]["arguments"][5:]
    assert before == _contents(checkout, home)


def _contents(*folders: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for folder in folders for path in folder.rglob("*")}


def test_planned__folder_and_addresses(tmp_path: Path) -> None:
    """`~/.docker-cache` unless a setting says otherwise; addresses only if somebody named them; all but one client."""
    environ = {"HOME": str(tmp_path)}

    def plan(environ: dict[str, str], **flags: str) -> SetupPlan:
        resolved = resolve(flags, environ, tmp_path)
        return planned(SetupFlags(resolved, clients="all"), environ, tmp_path)

    first = plan(environ)
    told = plan(environ | {"PULLTHROUGH_DATA": "/elsewhere"}, host="10.0.0.7")

    assert (tmp_path / ".docker-cache", None) == (first.data, first.hosts)
    assert ("pip", "uv", "apt") == first.write
    assert (Path("/elsewhere"), ("10.0.0.7",)) == (told.data, told.hosts)

    # What setup wrote where the cache stores in a volume names no folder: that is still none of a person's.
    assert first.own_file is not None
    first.own_file.parent.mkdir(parents=True)
    first.own_file.write_text(settings_text(first, in_folder=False))
    assert first.data == plan(environ).data


def test_planned__index_of_the_containers_own_settings(tmp_path: Path) -> None:
    """The file in its data folder has the group, as docs/compose.md says; a process reads the user's settings."""
    environ = {"HOME": str(tmp_path), "DOCKER_HOST": "unix:///nowhere/docker.sock", "PULLTHROUGH_PORT": "9"}
    (tmp_path / ".docker-cache").mkdir()
    (tmp_path / ".docker-cache/pullthrough.toml").write_text('[[group]]\nmount = "cuda"\nmembers = ["pypi"]\n')
    resolved = resolve({}, environ, tmp_path)

    place = planned(SetupFlags(resolved, index="cuda"), environ, tmp_path).place

    assert ("cuda", "simple/") == (place.mount, place.index)
    with pytest.raises(WrongUsage, match="--index cuda: there is no such mount"):
        planned(SetupFlags(resolved, index="cuda", process=True), environ, tmp_path)


@pytest.mark.parametrize("variable", [False, True])
def test_in_container__lines_of_the_persons_own(tmp_path: Path, variable: bool) -> None:
    """`.env` comes before a settings file, and after a flag or a variable; a process has nothing to do with it."""
    environ = {"HOME": str(tmp_path)} | ({"PULLTHROUGH_PORT": "5000"} if variable else {})
    (tmp_path / "pullthrough.toml").write_text('port = 4000\ndisk = "1 TB"\n')
    (tmp_path / ".env").write_text("PULLTHROUGH_DATA=/mnt/big\nPULLTHROUGH_PORT=6000\n")

    def plan(*, process: bool = False) -> SetupPlan:
        flags = SetupFlags(resolve({"host": "10.0.0.7"}, environ, tmp_path), process=process)
        return in_container(planned(flags, environ, tmp_path), flags, environ, tmp_path)

    contained, process = plan(), plan(process=True)

    port = 5000 if variable else 6000
    assert (Path("/mnt/big"), port, ("10.0.0.7",)) == (contained.data, contained.place.port, contained.hosts)
    assert contained.not_read.startswith(
        "the container does not read disk of your settings: that belongs into /mnt/big"
    )
    assert (5000 if variable else 4000, "") == (process.place.port, process.not_read)
    assert {} == process.own


@pytest.mark.parametrize(
    ("size", "volumes", "question"),
    [
        (0, [], ""),
        (3_000_000_000, [], "Delete the stored files in /data (3.0 GB) as well?"),
        (0, ["p_g"], "Delete Docker's volumes p_g with all that is in them as well?"),
        (
            1_000_000,
            ["p_d", "p_g"],
            "Delete the stored files in /data (1.0 MB) and Docker's volumes p_d, p_g with all that is in them as well?",
        ),
    ],
)
def test_asked__all_that_would_go(size: int, volumes: list[str], question: str) -> None:
    """Whoever says yes knows to what."""
    assert question == asked(size, Path("/data"), volumes)


def test_remove__asks_before_volumes_go(engine: FakeEngine, tmp_path: Path) -> None:
    """What Prometheus and Grafana keep is named, and goes by a yes alone."""
    environ = {"HOME": str(tmp_path), "PYTHONPATH": str(_ROOT), "COLUMNS": "200", **engine.environ}
    docker = FakeDocker.make(tmp_path / "bin")
    docker.rule("compose", "version", stdout="2.40.3\n")
    docker.rule("compose", "--file", stderr="")
    environ["PATH"] = f"{docker.folder}:/usr/bin:/bin"
    engine.answer("GET", "/volumes", {"Volumes": [{"Name": "pullthrough_grafana"}]})
    for answer, options in ((b"n\n", ["down"]), (b"y\n", ["down", "--volumes"])):
        Changes.of_user(environ).note(COMPOSE, str(_ROOT))
        ours, theirs = os.openpty()
        os.write(ours, answer)
        done = subprocess.run(
            [sys.executable, "-m", "proxy", "setup", "--remove"],
            cwd=tmp_path,
            env=environ,
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        os.close(ours)
        os.close(theirs)

        assert (0, "") == (done.returncode, done.stderr)
        assert "Delete Docker's volumes pullthrough_grafana with all that is in them as well? [y/N]" in done.stdout
        call = docker.calls("compose", "--file")[-1]["arguments"]
        assert options == call[call.index("down") :]


def test_planned__variables_of_the_settings(tmp_path: Path) -> None:
    """Those in which credentials are: what starts the cache has to have them."""
    (tmp_path / "pullthrough.toml").write_text(
        '[[upstream]]\nmount = "corp"\nurl = "https://corp.example/"\ncredentials = "env:CORP_INDEX"\n'
        'host_credentials = {"files.example" = "env:FILES", "b.example" = "netrc"}\n'
        '[[archive]]\nurl = "apt.example"\ncredentials = "env:CORP_APT"\n',
        encoding="utf-8",
    )
    environ = {"HOME": str(tmp_path)}
    plan = planned(SetupFlags(resolve({}, environ, tmp_path)), environ, tmp_path)

    assert ("CORP_APT", "CORP_INDEX", "FILES") == plan.variables
