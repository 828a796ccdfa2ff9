"""The guide to Docker builds: its steps are Dockerfiles that do what it says of them, and what it lists is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from proxy.builds.dockerfile import Dockerfile
from proxy.builds.dockerfile_advice import past_the_cache, wants_http_proxy
from proxy.builds.secret_files import TARGETS
from proxy.cli import cli

_ROOT = Path(__file__).parent.parent
_GUIDE = (_ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
_CACHED = (_ROOT / "Dockerfile.cached").read_text(encoding="utf-8")
_STEPS = dict(re.findall(r"^```dockerfile\n# (\d): .*?\n(.*?)^```$", _GUIDE, re.MULTILINE | re.DOTALL))
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| .+ \|$", re.MULTILINE)
_ARGUMENT = re.compile(r"^ARG ([A-Z_]+)=(.*)$", re.MULTILINE)
_COMMANDS = re.findall(r"^\$ (.*?)(?: +#.*)?$", _GUIDE, re.MULTILINE)


def test_steps__what_goes_past_the_cache() -> None:
    """pip and apt go past the cache until the step that has the secrets."""
    read = {number: Dockerfile.read(text) for number, text in _STEPS.items()}

    assert {"1": 1, "2": 1, "3": 1, "4": 0} == {number: len(past_the_cache(file)) for number, file in read.items()}
    assert ["4"] == [number for number, file in read.items() if not wants_http_proxy(file)]


def test_steps__code_comes_last() -> None:
    """From the second step on, nothing that downloads comes after the code."""
    order = {number: re.findall(r"pip install|COPY \. \.", text) for number, text in _STEPS.items()}

    last = ["pip install", "COPY . ."]
    assert {"1": last[::-1], "2": last, "3": last, "4": last} == order


@pytest.mark.parametrize("text", [_STEPS["4"], _CACHED], ids=["guide", "Dockerfile.cached"])
def test_mounts__have_the_same_ids_everywhere(text: str) -> None:
    """An id stands for one target, that which the secret files and the other builds have."""
    known = {
        **TARGETS,
        "pullthrough-apt": "/var/cache/apt",
        "pullthrough-apt-lists": "/var/lib/apt/lists",
        "pullthrough-pip": "/var/cache/pip",
        "pullthrough-uv": "/var/cache/uv",
    }
    mounts = [
        (mount["id"], mount["target"]) for run in Dockerfile.read(text).runs for mount in run.mounts if "id" in mount
    ]

    assert {"apt", "pip", "pullthrough-apt", "pullthrough-pip"} <= {name for name, _ in mounts}
    assert [] == [(name, target) for name, target in mounts if known[name] != target]


def test_arguments__are_those_of_the_file() -> None:
    """The table has each argument of Dockerfile.cached with its default, and no other."""
    defaults = {name: value.strip('"') for name, value in _ARGUMENT.findall(_CACHED)}
    told = {name: "" if default.startswith("empty") else default.strip("`") for name, default in _ROW.findall(_GUIDE)}

    assert defaults == told


def test_cached__goes_past_nothing() -> None:
    """`pullthrough build` has nothing to say of the model file."""
    assert [] == [str(advice) for advice in past_the_cache(Dockerfile.read(_CACHED))]


def test_commands__are_there() -> None:
    """Each verb that the guide has somebody type is one of the program."""
    command = get_command(cli)
    assert isinstance(command, TyperGroup)
    verbs = set(command.commands)
    typed = {shlex.split(line)[1] for line in _COMMANDS if line.startswith(("pullthrough ", "./build-cached.sh "))}

    assert {"build", "setup"} <= typed
    assert set() == typed - verbs


def test_links__lead_somewhere() -> None:
    """Each link within the guide has its heading."""
    headings = {
        re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.+)$", _GUIDE, re.MULTILINE)
    }

    assert set() == set(re.findall(r"\]\(#(.+?)\)", _GUIDE)) - headings
