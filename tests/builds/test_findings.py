"""What `doctor` finds, of each thing that it looks at."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.builds import findings
from proxy.builds.builders import Builder
from proxy.builds.docker_command import CommandFacts
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.engine import EngineFacts
from proxy.builds.findings import Finding, Health, doubtful, ok, skipped, wrong

_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_PATH = Path("/p/Dockerfile")


def test_findings__by_health() -> None:
    """Only what can be mended has a remedy."""
    assert Finding("a", Health.OK, "b") == ok("a", "b")
    assert Finding("a", Health.DOUBTFUL, "b", "c") == doubtful("a", "b", "c")
    assert Finding("a", Health.WRONG, "b", "c") == wrong("a", "b", "c")
    assert Finding("a", Health.SKIPPED, "b") == skipped("a", "b")


def _engine(version: str = "20.10.24", least: str = "1.12") -> EngineFacts:
    return EngineFacts("default", "unix:///x", version, "1.41", least, "Debian", rootless=False, time=_NOW)


@pytest.mark.parametrize(
    ("client", "least", "health"),
    [("1.41", "1.12", Health.OK), ("1.41", "1.44", Health.WRONG), ("1.52", "1.44", Health.OK), ("", "1.44", Health.OK)],
)
def test_engine__common_api(client: str, least: str, health: Health) -> None:
    """Engine 29 speaks no API before 1.44: an older docker is of no use to it."""
    found = findings.engine(_engine("29.0.0", least), CommandFacts("x", client, ""))

    assert health is found.health
    assert (health is Health.WRONG) == ("Install a docker of version 25 or later" in found.remedy)


def test_engine__without_a_docker() -> None:
    """The engine is told all the same."""
    assert "version 20.10.24 at unix:///x, context default (Debian)" == findings.engine(_engine(), None).text


@pytest.mark.parametrize(
    ("client", "variables", "health", "said"),
    [
        (CommandFacts("28.2.2", "1.50", ""), {}, Health.WRONG, "docker-buildx-plugin"),
        (CommandFacts("28.2.2", "1.50", "v0.24"), {"DOCKER_BUILDKIT": "0"}, Health.DOUBTFUL, "turns it off"),
        (CommandFacts("20.10.24", "1.41", ""), {}, Health.OK, "plain `docker build` needs DOCKER_BUILDKIT=1"),
        (CommandFacts("20.10.24", "1.41", ""), {"DOCKER_BUILDKIT": "1"}, Health.OK, "on"),
    ],
)
def test_buildkit__on_or_off(client: CommandFacts, variables: dict[str, str], health: Health, said: str) -> None:
    """Without it there are neither secrets nor cache mounts."""
    found = findings.buildkit(_engine(), client, variables)

    assert health is found.health
    assert said in found.text


def test_builder__and_where_it_is() -> None:
    """The driver decides how it reaches the cache."""
    assert "far, driver remote at tcp://10.0.0.1:1234" == (
        findings.builder(Builder("far", "remote", "tcp://10.0.0.1:1234")).text
    )
    assert "default, driver docker" == findings.builder(Builder("default", "docker", "default")).text
    assert "/bin/docker, version unknown, buildx v0.30.1" == (
        findings.command(CommandFacts("", "", "v0.30.1"), "/bin/docker").text
    )


@pytest.mark.parametrize(
    ("skew", "desktop", "health", "said"),
    [
        (29, False, Health.OK, "agrees"),
        (-29, False, Health.OK, "agrees"),
        (31, False, Health.WRONG, "timedatectl"),
        (-3600, True, Health.WRONG, "Restart Docker Desktop"),
    ],
)
def test_clock__of_the_engine(skew: int, desktop: bool, health: Health, said: str) -> None:
    """A virtual machine's clock stops while the computer sleeps; apt then refuses archives."""
    found = findings.clock("engine's clock", _NOW + timedelta(seconds=skew), _NOW, desktop=desktop)

    assert found is not None
    assert health is found.health
    assert said in f"{found.text} {found.remedy}"
    assert findings.clock("engine's clock", None, _NOW) is None


@pytest.mark.parametrize(
    ("configured", "health", "said"),
    [
        ({"httpProxy": "http://me:secret@proxy.example:3128"}, Health.DOUBTFUL, "the proxy http://proxy.example:3128;"),
        ({"httpProxy": "http://p:1", "noProxy": "localhost,pullthrough"}, Health.OK, "leaves pullthrough out"),
        ({"allProxy": "socks5://p:1"}, Health.DOUBTFUL, "socks5://p:1"),
    ],
)
def test_proxies__of_dockers_configuration(configured: dict[str, str], health: Health, said: str) -> None:
    """It would get what goes to the cache; its password is nobody's matter."""
    found = findings.proxies({"proxies": {"default": configured}})

    assert found is not None
    assert health is found.health
    assert said in found.text
    assert "secret" not in found.text


@pytest.mark.parametrize("config", [{}, {"proxies": None}, {"proxies": {"default": {"noProxy": "x"}}}])
def test_proxies__none(config: dict[str, object]) -> None:
    """Then there is nothing to say."""
    assert findings.proxies(config) is None


@pytest.mark.parametrize(
    ("text", "health", "said"),
    [
        ("FROM x\nRUN true\n", Health.OK, "nothing of it goes past the cache"),
        ("FROM x\nRUN pip install y\n", Health.DOUBTFUL, "Dockerfile, line 2: pip goes past the cache"),
        ("FROM x\nRUN apt-get update\n", Health.OK, "apt has no secret; `pullthrough build` gives it http_proxy"),
    ],
)
def test_dockerfile__by_line(text: str, health: Health, said: str) -> None:
    """What goes past the cache, or that nothing does."""
    (found,) = findings.dockerfile(_PATH, Dockerfile.read(text))

    assert health is found.health
    assert said in found.text


def test_images__variables_of_each_base() -> None:
    """An image that the engine does not have is not pulled for that."""
    images = {"nvcr": {"PIP_CONSTRAINT": "/c"}, "python": {"PATH": "/bin"}}
    file = Dockerfile.read("FROM nvcr\nRUN a\nFROM python\nRUN b\nFROM gone\nRUN c\n")

    found = list(findings.images(file, images.get))

    assert [Health.DOUBTFUL, Health.OK, Health.SKIPPED] == [one.health for one in found]
    assert "docker pull gone" in found[2].text


def test_images__variable_that_the_file_sets_itself() -> None:
    """Who did what the line says does not get it again; but where a stage of that image has not done it."""
    images = {"nvcr": {"PIP_CONSTRAINT": "/c"}}
    done = "FROM nvcr\nENV PIP_CONSTRAINT=\nRUN a\n"

    for text, health in ((done, Health.OK), (f"{done}FROM nvcr\nRUN b\n", Health.DOUBTFUL)):
        assert [health] == [one.health for one in findings.images(Dockerfile.read(text), images.get)]


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("pyproject.toml", '[[tool.uv.index]]\nurl = "x"\ndefault = true\n', 1),
        ("pyproject.toml", '[[tool.uv.index]]\nurl = "x"\n', 0),
        ("pyproject.toml", '[tool.uv]\nindex-url = "x"\n', 1),
        ("pyproject.toml", '[project]\nname = "x"\n', 0),
        ("uv.toml", '[[index]]\nurl = "x"\ndefault = true\n', 1),
        ("pyproject.toml", "[", 0),
        ("other", "", 0),
    ],
)
def test_uv_settings__default_of_the_project(tmp_path: Path, name: str, text: str, count: int) -> None:
    """It comes before that of the secret file, and so uv goes past the cache."""
    (tmp_path / name).write_text(text, encoding="utf-8")

    assert count == len(list(findings.uv_settings(tmp_path)))


def test_folder__as_it_should_be(tmp_path: Path) -> None:
    """Its free room is told; one that is not there yet is made."""
    here, later = findings.folder(tmp_path), findings.folder(tmp_path / "a" / "b")

    assert (Health.OK, Health.OK) == (here.health, later.health)
    assert here.text.startswith(f"{tmp_path}: ")
    assert "is made at the first start" in later.text


def test_folder__is_a_file(tmp_path: Path) -> None:
    """A `.docker-cache` that is a file, or a link that leads nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    for name in ("file", "link"):
        found = findings.folder(tmp_path / name)
        assert (Health.WRONG, f"{tmp_path / name} is not a folder") == (found.health, found.text)
        assert "PULLTHROUGH_DATA" in found.remedy


def test_folder__of_another_user(tmp_path: Path) -> None:
    """As Docker makes one for a mount: the command that gives it back is told."""
    found = findings.folder(tmp_path, owner=os.geteuid() + 1)

    assert Health.WRONG is found.health
    assert f"sudo chown -R {os.geteuid() + 1} {tmp_path}" == found.remedy


def test_folder__below_one_that_is_closed(tmp_path: Path) -> None:
    """Another user's home, or `/`: what helps makes the one folder, and gives away nothing that was there before."""
    closed = tmp_path / "closed"
    closed.mkdir()
    path = closed / "a folder" / "data"
    user, become = os.geteuid(), getattr(os, "setresuid", None)
    if user == 0 and become is None:
        pytest.skip("root may look everywhere, and cannot be another user here for a moment")
    try:
        closed.chmod(0o000)
        if user == 0 and become is not None:
            become(65534, 65534, 0)
        found = findings.folder(path)
        made = f"sudo install -d -o {os.geteuid()} -g {os.getegid()} '{path}'"
    finally:
        if user == 0 and become is not None:
            become(0, 0, 0)
        closed.chmod(0o700)

    assert (Health.WRONG, made) == (found.health, found.remedy)
    assert "cannot be made in" in found.text


def test_folder__something_in_it_of_another_user(tmp_path: Path) -> None:
    """A start as root leaves files that the user's cache cannot write."""
    (tmp_path / "lock").touch()
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(tmp_path / "lock", 4711, 4711)

    found = findings.folder(tmp_path, owner=0)
    assert Health.OK is found.health
    found = findings.folder(tmp_path, owner=0, bound=True)
    assert f"{tmp_path / 'lock'} is user 4711's: the cache cannot write it" == found.text
    os.chown(tmp_path, 4712, 4712)
    found = findings.folder(tmp_path, owner=4712)
    assert f"{tmp_path / 'lock'} is user 4711's: the cache cannot write it" == found.text


@pytest.mark.parametrize(("free", "health"), [(10**8, Health.WRONG), (3 * 10**9, Health.DOUBTFUL), (10**11, Health.OK)])
def test_folder__room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, health: Health) -> None:
    """A disk that is full makes the cache pass everything through."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - the library's own type
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, free))

    assert health is findings.folder(tmp_path).health
