"""The arguments of `docker build`, read as docker reads them, and the proxies that are added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.builds.build_options import BuildOptions, default_tag, proxy_arguments, read
from proxy.builds.dockerfile import Dockerfile
from proxy.errors import WrongUsage

_APT = "FROM x\nRUN apt-get update && apt-get install -y git\n"
_CACHED = "FROM x\nRUN --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/01pullthrough apt-get update\n"
_COMPANY = {"proxies": {"default": {"httpProxy": "http://proxy.example:3128", "noProxy": "localhost"}}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with both files."""
    folder = tmp_path / "My Project_2"
    folder.mkdir()
    (folder / "Dockerfile").touch()
    (folder / "Dockerfile.cached").touch()
    return folder


def test_read__defaults(project: Path) -> None:
    """Nothing given: this folder, its `Dockerfile.cached`, and a tag of its name."""
    options = read([], project)

    assert project == options.context
    assert project / "Dockerfile.cached" == options.file
    assert ("my-project-2-cached:latest",) == options.tags
    assert ("--file", str(project / "Dockerfile.cached"), "--tag", "my-project-2-cached:latest", ".") == (
        options.arguments
    )


def test_read__plain_dockerfile(project: Path) -> None:
    """Without `Dockerfile.cached` docker's own default is built."""
    (project / "Dockerfile.cached").unlink()

    options = read(["."], project)

    assert project / "Dockerfile" == options.file
    assert "--file" not in options.arguments


def test_read__project_without_a_dockerfile(project: Path) -> None:
    """The working folder's `Dockerfile.cached` builds it; a Dockerfile of its own comes before that."""
    own = project / "own"
    own.mkdir()

    without = read(["own"], project)
    (own / "Dockerfile").touch()
    with_one = read(["own"], project)

    assert (project / "Dockerfile.cached", ("own-cached:latest",)) == (without.file, without.tags)
    assert ("--file", str(project / "Dockerfile.cached")) == without.arguments[:2]
    assert own / "Dockerfile" == with_one.file
    assert "--file" not in with_one.arguments


@pytest.mark.parametrize(
    ("arguments", "file", "tags"),
    [
        (["-f", "Dockerfile", "-t", "a:1", "-t", "b:2", "."], "Dockerfile", ("a:1", "b:2")),
        (["--file=Dockerfile", "--tag=a:1", "."], "Dockerfile", ("a:1",)),
        (["-fDockerfile", "-ta:1"], "Dockerfile", ("a:1",)),
        (["-qt", "a:1", "--no-cache", "."], "Dockerfile.cached", ("a:1",)),
        (["--progress", "plain", "--build-arg", "A=1", ".", "-t", "a:1"], "Dockerfile.cached", ("a:1",)),
        (["-t", "a:1", "--", "."], "Dockerfile.cached", ("a:1",)),
        (["--output", "type=local,dest=x", "."], "Dockerfile.cached", ()),
    ],
)
def test_read__forms_of_options(project: Path, arguments: list[str], file: str, tags: tuple[str, ...]) -> None:
    """Long and short, with `=`, a blank or nothing before the value, and before or behind the context."""
    options = read(arguments, project)

    assert (project / file, tags) == (options.file, options.tags)
    assert project == options.context
    assert [word for word in arguments if word not in options.arguments] == []


def test_read__what_matters_here(project: Path) -> None:
    """Builder, platform, build arguments and the ids of secrets."""
    options = read(
        [
            "--builder=mine",
            "--platform",
            "linux/arm64,linux/amd64",
            "--build-arg",
            "BASE_IMAGE=x",
            "--build-arg=HTTP_PROXY",
            "--secret=id=pip,src=/x",
            "--secret",
            "type=env,id=other",
            "--quiet",
        ],
        project,
    )

    assert ("mine", "linux/arm64", True) == (options.builder, options.platform, options.quiet)
    assert (("BASE_IMAGE", "x"), ("HTTP_PROXY", None)) == options.build_args
    assert (True, False) == (options.build_arg("http_proxy", "HTTP_PROXY"), options.build_arg("NO_PROXY"))
    assert {"pip", "other"} == options.secrets
    assert not options.own_cache


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-cache"],
        ["--cache-from", "registry.example/x"],
        ["--cache-to=type=inline"],
        ["-o", "out"],
        ["--build-arg", "BUILDKIT_INLINE_CACHE=0"],
    ],
)
def test_read__cache_of_the_persons_own(project: Path, arguments: list[str]) -> None:
    """Who says what BuildKit's cache is to do, or takes no image, gets nothing added to that."""
    assert read(arguments, project).own_cache


@pytest.mark.parametrize("context", ["-", "https://github.example/a.git", "git@host:a.git"])
def test_read__context_elsewhere(project: Path, context: str) -> None:
    """Nothing is read here, and nothing is added but what docker gets."""
    options = read([context], project)

    assert (None, None, ()) == (options.context, options.file, options.tags)
    assert (context,) == options.arguments


@pytest.mark.parametrize("context", ["-", "https://github.example/a.git"])
def test_read__dockerfile_of_a_context_elsewhere(project: Path, context: str) -> None:
    """It is in that context, and not here; but for one that is named from the root on."""
    assert read(["-f", "docker/app.Dockerfile", context], project).file is None

    here = project / "Dockerfile"
    here.touch()
    assert here == read(["-f", str(here), context], project).file


def test_read__dockerfile_on_standard_input(project: Path) -> None:
    """It is docker's to read."""
    options = read(["-f", "-", "."], project)

    assert (project, None) == (options.context, options.file)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([".", "other"], "one context, and not 2"),
        (["none"], "the context none is not a folder"),
        (["-t"], "-t needs a value"),
        (["--build-arg"], "--build-arg needs a value"),
        (["-f", "none", "."], "there is no file .*none. Name one with -f"),
    ],
)
def test_read__wrong(project: Path, arguments: list[str], said: str) -> None:
    """What docker would refuse with other words, or much later."""
    with pytest.raises(WrongUsage, match=said):
        read(arguments, project)


@pytest.mark.parametrize(
    ("name", "tag"),
    [("app", "app-cached:latest"), ("Ünder_Score.", "nder-score-cached:latest"), ("..--", "image-cached:latest")],
)
def test_default_tag__has_what_a_tag_may_have(tmp_path: Path, name: str, tag: str) -> None:
    """Small letters and digits, joined by single hyphens."""
    folder = tmp_path / name
    folder.mkdir()

    assert tag == default_tag(folder)


def _arguments(
    text: str, config: dict[str, Any] | None = None, build_args: tuple[tuple[str, str | None], ...] = ()
) -> tuple[list[str], list[str]]:
    options = BuildOptions((), None, None, (), build_args=build_args)
    arguments, notes = proxy_arguments(options, Dockerfile.read(text), config or {}, 3199)
    assert arguments[::2] == ["--build-arg"] * (len(arguments) // 2)
    return arguments[1::2], notes


def test_arguments__apt_without_a_secret() -> None:
    """apt asks the cache; the cache, and a server that a RUN starts for itself, are asked without a proxy."""
    without = "localhost,127.0.0.1,::1,pullthrough"

    arguments, notes = _arguments(_APT)

    assert ["http_proxy=http://pullthrough:3199", f"no_proxy={without}", f"NO_PROXY={without}"] == arguments
    assert [] == notes


def test_arguments__apt_with_its_secret() -> None:
    """Nothing is needed."""
    assert ([], []) == _arguments(_CACHED)
    assert ([], []) == proxy_arguments(BuildOptions((), None, None, ()), None, {}, 3199)


def test_arguments__proxy_of_docker() -> None:
    """Docker gives it to every RUN: without `no_proxy` pip and uv would ask it for the cache."""
    without = "localhost,127.0.0.1,::1,pullthrough"

    arguments, notes = _arguments(_CACHED, _COMPANY)

    assert [f"no_proxy={without}", f"NO_PROXY={without}"] == arguments
    assert [] == notes


@pytest.mark.parametrize(
    ("text", "config", "build_args", "said"),
    [
        (_APT, _COMPANY, (), "another http_proxy is given"),
        (_APT, {}, (("http_proxy", "http://other"),), "another http_proxy is given"),
        ("FROM x\nARG http_proxy\nRUN apt-get update\n", {}, (), "ARG http_proxy"),
        (_APT + "RUN curl -O http://x/y\n", {}, (), "line 3 fetches over plain HTTP"),
    ],
)
def test_arguments__apt_goes_past(
    text: str, config: dict[str, Any], build_args: tuple[tuple[str, str | None], ...], said: str
) -> None:
    """Where the argument would do harm it is not given, and one line says so."""
    arguments, notes = _arguments(text, config, build_args)

    assert [] == [one for one in arguments if one.startswith("http_proxy")]
    assert said in notes[0]
    assert notes[0].startswith("apt goes past the cache where it has no secret: ")


def test_arguments__no_proxy_of_the_person() -> None:
    """It is theirs; they are told what has to stand in it."""
    arguments, notes = _arguments(_APT, {}, (("no_proxy", "localhost"),))

    assert ["http_proxy=http://pullthrough:3199"] == arguments
    assert ["no_proxy is given: it has to name pullthrough, or pip and uv ask the proxy for the cache."] == notes
