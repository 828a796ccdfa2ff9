"""Predefined build arguments: when apt gets the cache as its proxy, and what never gets between."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.builds.build_options import BuildOptions
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.proxy_arguments import proxy_arguments

_APT = "FROM x\nRUN apt-get update && apt-get install -y git\n"
_CACHED = "FROM x\nRUN --mount=type=secret,id=apt,target=/etc/apt/apt.conf.d/01pullthrough apt-get update\n"
_COMPANY = {"proxies": {"default": {"httpProxy": "http://proxy.example:3128", "noProxy": "localhost"}}}


def _arguments(
    text: str, config: dict[str, Any] | None = None, build_args: tuple[tuple[str, str | None], ...] = ()
) -> tuple[list[str], list[str]]:
    options = BuildOptions((), None, None, (), build_args=build_args)
    arguments, notes = proxy_arguments(options, Dockerfile.read(text), config or {}, 3199)
    assert arguments[::2] == ["--build-arg"] * (len(arguments) // 2)
    return arguments[1::2], notes


def test_arguments__apt_without_a_secret() -> None:
    """apt asks the cache, and the cache is asked without a proxy."""
    assert (["http_proxy=http://pullthrough:3199", "no_proxy=pullthrough", "NO_PROXY=pullthrough"], []) == _arguments(
        _APT
    )


def test_arguments__apt_with_its_secret() -> None:
    """Nothing is needed."""
    assert ([], []) == _arguments(_CACHED)
    assert ([], []) == proxy_arguments(BuildOptions((), None, None, ()), None, {}, 3199)


def test_arguments__proxy_of_docker() -> None:
    """Docker gives it to every RUN: without `no_proxy` pip and uv would ask it for the cache."""
    arguments, notes = _arguments(_CACHED, _COMPANY)

    assert ["no_proxy=localhost,pullthrough", "NO_PROXY=localhost,pullthrough"] == arguments
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
