"""Taking back what setup did."""

from __future__ import annotations

import configparser
import sys
import threading
from pathlib import Path

import pytest

from proxy.builds.changes import Changes
from proxy.builds.client_files import pip, with_block
from proxy.builds.removal import Remover, remove, stored, volumes
from proxy.builds.setup import ADDRESSES, COMPOSE, PROJECT, UNIT
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine


@pytest.fixture
def changes(environ: dict[str, str]) -> Changes:
    """The record of somebody who has changed nothing."""
    return Changes.of_user(environ)


def test_remove__nothing(changes: Changes, environ: dict[str, str], tmp_path: Path) -> None:
    """It says so, and is no failure."""
    said: list[str] = []

    assert [] == remove(changes, tmp_path / "data", Remover(environ, said.append))
    assert ["there is nothing to take back: setup has changed nothing for this user"] == said


def test_remove__compose_is_gone(changes: Changes, environ: dict[str, str], tmp_path: Path) -> None:
    """What cannot be stopped is told, and stays recorded: a second try takes it back."""
    home = Path(environ["HOME"])
    changes.note(COMPOSE, str(tmp_path))
    changes.note(UNIT, None)

    problems = remove(changes, tmp_path / "data", Remover(environ, print, project=tmp_path))

    assert 1 == len(problems)
    assert "compose.yaml is not in" in problems[0]
    assert {COMPOSE: str(tmp_path)} == Changes.of_user(environ).notes
    assert (home / ".local/state/pullthrough/setup.json").is_file()


def test_remove__files_that_others_changed_since(changes: Changes, environ: dict[str, str], tmp_path: Path) -> None:
    """Our lines go where they can be told apart; a file of our own that somebody edited stays, and is told."""
    uv, apt = tmp_path / "uv.toml", tmp_path / "01pullthrough"
    said: list[str] = []
    changes.write(uv, with_block("", "[[index]]\n").encode(), "uv", "[[index]]\n")
    changes.write(apt, b"ours\n", "apt", "ours\n")
    uv.write_text("native-tls = true\n" + uv.read_text())
    apt.write_text("ours\ntheirs\n")

    assert [] == remove(changes, tmp_path / "data", Remover(environ, said.append))

    assert ("native-tls = true\n", "ours\ntheirs\n") == (uv.read_text(), apt.read_text())
    assert f"{apt} was changed since setup wrote it: it stays as it is" in said
    assert [] == list(Path(environ["HOME"]).iterdir())


def test_remove__pip_has_written_its_file_since(changes: Changes, environ: dict[str, str], tmp_path: Path) -> None:
    """`pip config set` drops the marks around our lines: the index goes all the same, and their option stays."""
    lines = "[global]\nindex-url = http://127.0.0.1:3142/pypi/simple/\n"
    path = tmp_path / "pip.conf"
    changes.write(path, pip("", lines).encode(), "pip", lines)
    parser = configparser.RawConfigParser()
    parser.read_string(path.read_text())
    parser["global"]["timeout"] = "60"
    with path.open("w") as file:
        parser.write(file)

    assert [] == remove(changes, tmp_path / "data", Remover(environ, print))
    assert "[global]\ntimeout = 60\n\n" == path.read_text()


def test_remove__file_that_still_leads_to_the_cache(changes: Changes, environ: dict[str, str], tmp_path: Path) -> None:
    """What cannot be taken out is told, and stays recorded until somebody has taken it out."""
    lines = '[[index]]\nurl = "http://127.0.0.1:3142/pypi/simple/"\ndefault = true\n'
    path, said = tmp_path / "uv.toml", list[str]()
    changes.write(path, with_block("", lines).encode(), "uv", lines)
    path.write_text(lines)

    problems = remove(changes, tmp_path / "data", Remover(environ, said.append))

    assert [] == said
    assert 1 == len(problems)
    assert problems[0].startswith(f"{path} still leads to the cache: the marks around")
    assert (lines, [str(path)]) == (path.read_text(), [one.path for one in Changes.of_user(environ).files])

    path.write_text("")
    assert [] == remove(changes, tmp_path / "data", Remover(environ, said.append))
    assert f"took back {path}" in said


def test_remove__remembered_addresses_are_as_they_were(
    changes: Changes, environ: dict[str, str], tmp_path: Path
) -> None:
    """Those of builds before setup come back."""
    memory = Path(environ["HOME"]) / ".local/state/pullthrough/builders.json"
    memory.parent.mkdir(parents=True)
    memory.write_text("{}")
    changes.note(ADDRESSES, "{}")
    memory.write_text('{"docker": {}}')

    assert [] == remove(changes, tmp_path / "data", Remover(environ, print))
    assert "{}" == memory.read_text()


def test_stored__only_what_setup_made(changes: Changes, tmp_path: Path) -> None:
    """A folder that was there before is nobody's to delete."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/file").write_bytes(b"12345")
    changes.make_folder(tmp_path / "ours")
    (tmp_path / "ours/file").write_bytes(b"123")

    assert (0, 3) == (stored(changes, tmp_path / "theirs"), stored(changes, tmp_path / "ours"))


def test_stored__while_the_cache_serves(changes: Changes, tmp_path: Path) -> None:
    """Its files come and go: one that has gone since it was listed counts as nothing, and ends nothing."""
    changes.make_folder(tmp_path / "ours")
    (tmp_path / "ours/stays").write_bytes(b"123")
    ended = threading.Event()

    def churn() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            folder = tmp_path / f"ours/{number % 7}"
            folder.mkdir()
            for name in range(20):
                (folder / str(name)).touch()
            for name in range(20):
                (folder / str(name)).unlink()
            folder.rmdir()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # in between two calls of the system, again and again
    churning = threading.Thread(target=churn)
    churning.start()
    try:
        assert {3} == {stored(changes, tmp_path / "ours") for _ in range(500)}
    finally:
        ended.set()
        churning.join()
        sys.setswitchinterval(before)


def test_volumes__of_the_project(changes: Changes, environ: dict[str, str], engine: FakeEngine) -> None:
    """Those that Compose made, by the name that the project had; none where no container was started."""
    engine.answer("GET", "/volumes", {"Volumes": [{"Name": "b"}, {"Name": "a"}]})
    environ = environ | engine.environ

    assert [] == volumes(changes, environ)
    changes.note(COMPOSE, "/checkout")
    assert ["a", "b"] == volumes(changes, environ)
    changes.note(PROJECT, "shop")
    volumes(changes, environ)

    labels = [request.filters["label"] for request in engine.asked("GET", "/volumes")]
    assert [["com.docker.compose.project=pullthrough"], ["com.docker.compose.project=shop"]] == labels
    assert [] == volumes(changes, environ | {"DOCKER_HOST": "unix:///nowhere/docker.sock"})


def test_remove__volumes_that_stay(
    changes: Changes, environ: dict[str, str], tmp_path: Path, docker: FakeDocker, engine: FakeEngine
) -> None:
    """They are named with the command that deletes them."""
    engine.answer("GET", "/volumes", {"Volumes": [{"Name": "pullthrough_prometheus"}]})
    docker.rule("compose", stdout="2.40.3\n")
    (tmp_path / "compose.yaml").touch()
    changes.note(COMPOSE, str(tmp_path))
    said: list[str] = []

    assert [] == remove(changes, tmp_path / "data", Remover(environ | engine.environ, said.append))
    assert any(line.endswith("delete them: docker volume rm pullthrough_prometheus") for line in said), said


def test_remove__folder_that_was_there_is_kept_even_if_told(
    changes: Changes, environ: dict[str, str], tmp_path: Path, docker: FakeDocker
) -> None:
    """`--yes` deletes what setup brought, and nothing else."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/file").write_bytes(b"12345")
    changes.write(tmp_path / "new", b"", "apt")

    assert [] == remove(changes, tmp_path / "theirs", Remover(environ, print, purge=True))
    assert (tmp_path / "theirs/file").is_file()


def test_remove__checkout_that_was_moved(
    changes: Changes, environ: dict[str, str], tmp_path: Path, docker: FakeDocker
) -> None:
    """Compose knows the containers by the project's name, which any checkout has."""
    docker.rule("compose", stdout="2.40.3\n")
    project = tmp_path / "elsewhere"
    project.mkdir()
    (project / "compose.yaml").touch()
    changes.note(COMPOSE, str(tmp_path / "gone"))

    assert [] == remove(changes, tmp_path / "data", Remover(environ, print, project=project))

    down = docker.calls("compose", "--file")[-1]["arguments"]
    assert (str(project / "compose.yaml"), "down") == (down[2], down[-1])
    assert {} == Changes.of_user(environ).notes
