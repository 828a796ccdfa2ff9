"""Builders: which one a `docker build` uses, by which driver it runs, and what caches of their own others have.

The engine's own builder has the driver `docker`; all others are known to `docker`'s plugin buildx alone. Called by
`build`, `doctor`, and for their caches by `stats` and `clean`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.builds.docker_command import WITHOUT_BUILDKIT, CommandFacts, DockerCommand, said
from proxy.builds.engine_answers import CACHE_MOUNT, CacheRecord
from proxy.builds.engine_trouble import EngineTrouble

ENGINES_OWN = "docker"  # the driver that is the engine itself

_LINE = re.compile(r"^([A-Z][A-Za-z ]*):\s*(.*)$")
_OPTION = re.compile(r'(\w+)="([^"]*)"')
_SIZE = re.compile(r"^([\d.]+)\s*([kKMGTP]?)(i?)B\*?$")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_COUNTING = 300  # seconds


@dataclass(frozen=True, slots=True)
class Builder:
    """A builder. `endpoint`: the engine or BuildKit of its first node; `network`: of its container, if it has one."""

    name: str
    driver: str  # "docker", "docker-container", "kubernetes", "remote", "cloud"
    endpoint: str = ""
    network: str = ""

    @property
    def engines_own(self) -> bool:
        """Whether its RUNs are in the engine's own network."""
        return self.driver == ENGINES_OWN


def chosen(command: DockerCommand, facts: CommandFacts, given: str | None, docker_config: Mapping[str, Any]) -> Builder:
    """The builder that `docker build` uses. `given`: the value of `--builder`; `docker_config`: of `config.json`.

    Where the plugin buildx builds, it is `--builder`, else BUILDX_BUILDER, else that of the context; the one of `docker
    buildx use` only after `docker buildx install`. Else it is the engine's own. Raises EngineTrouble if it is gone.
    """
    installed = (docker_config.get("aliases") or {}).get("builder") == "buildx"
    if not facts.buildx or (facts.major < WITHOUT_BUILDKIT and not installed):
        if given:
            raise EngineTrouble(
                f"--builder {given}: this docker builds with the engine alone. Install a newer docker, with its plugin "
                "buildx."
            )
        return Builder("default", ENGINES_OWN)
    name = given or command.environ.get("BUILDX_BUILDER")
    if not name and not installed:
        name = _context(command.environ, docker_config)
    result = command.ask("buildx", "inspect", *([name] if name else []))
    if result.returncode:
        raise EngineTrouble(f"the builder {name or 'of buildx'} cannot be used: {said(result)}")
    return read_builder(result.stdout)


def read_builder(text: str) -> Builder:
    """The answer of `docker buildx inspect`."""
    found: dict[str, str] = {}
    for name, value in _fields(text):
        found.setdefault(name, value)
    options = dict(_OPTION.findall(found.get("Driver Options", "")))
    return Builder(
        name=found.get("Name", "default"),
        driver=found.get("Driver", ENGINES_OWN),
        endpoint=found.get("Endpoint", ""),
        network=options.get("network", ""),
    )


def others(command: DockerCommand) -> list[str]:
    """The names of all builders that are not an engine's own; their caches are not in the engine's answers.

    Empty without buildx. Raises EngineTrouble.
    """
    result = command.ask("buildx", "ls")
    if result.returncode:
        return []
    # A builder begins at the margin, its nodes are indented or drawn as branches; the first line is the heading.
    rows = (line.split() for line in result.stdout.splitlines()[1:] if line[:1] not in ("", " ", "\\"))
    return [row[0].rstrip("*") for row in rows if len(row) > 1 and row[1] != ENGINES_OWN]


def records(command: DockerCommand, name: str) -> list[CacheRecord]:
    """The cache of a builder that is not the engine's own. Raises EngineTrouble."""
    result = command.ask("buildx", "du", "--builder", name, "--verbose", wait=_COUNTING)
    if result.returncode:
        raise EngineTrouble(f"the builder {name} does not tell its cache: {said(result)}")
    return read_records(result.stdout)


def prune(command: DockerCommand, name: str) -> int:
    """Remove the cache mounts of a builder that is not the engine's own; gives the bytes that became free.

    Raises EngineTrouble.
    """
    arguments = ("buildx", "prune", "--builder", name, "--force", "--filter", f"type={CACHE_MOUNT}")
    result = command.ask(*arguments, wait=_COUNTING)
    if result.returncode:
        raise EngineTrouble(f"the builder {name} removes nothing: {said(result)}")
    return next((size(value) for field, value in _fields(result.stdout) if field == "Total"), 0)


def read_records(text: str) -> list[CacheRecord]:
    """The answer of `docker buildx du --verbose`: a block of lines for each record, and totals behind the last."""
    blocks: list[dict[str, str]] = []
    for name, value in _fields(text):
        if name == "ID":
            blocks.append({})
        if blocks:
            blocks[-1].setdefault(name, value)  # the totals repeat a name of the last block
    return [
        CacheRecord(
            id=block["ID"],
            kind=block.get("Type", ""),
            size=size(block.get("Size", "")),
            in_use=block.get("Reclaimable") == "false",
            shared=block.get("Shared") == "true",
            description=block.get("Description", ""),
        )
        for block in blocks
    ]


def size(text: str) -> int:
    """Bytes of a size as Docker writes it: "1.297GB", "8.224kB*"; 0 of what is none."""
    found = _SIZE.match(text.strip())
    if not found:
        return 0
    unit: int = (1024 if found[3] else 1000) ** _POWERS[found[2]]
    return round(float(found[1]) * unit)


def read_docker_config(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The user's `config.json` of Docker; empty if there is none, or none that can be read."""
    folder = environ.get("DOCKER_CONFIG") or (f"{environ['HOME']}/.docker" if environ.get("HOME") else "")
    with suppress(OSError, ValueError):
        read = json.loads((Path(folder) / "config.json").read_bytes()) if folder else {}
        return read if isinstance(read, dict) else {}
    return {}


def _context(environ: Mapping[str, str], docker_config: Mapping[str, Any]) -> str:
    if environ.get("DOCKER_HOST"):
        return "default"
    return environ.get("DOCKER_CONTEXT") or docker_config.get("currentContext") or "default"


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if found := _LINE.match(line):
            yield found[1], found[2].strip()
