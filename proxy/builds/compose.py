"""Docker Compose: the command, the variables that compose.yaml reads from a file `.env`, starting and stopping.

The services are those of the project's own compose.yaml, which builds the cache's image from the checkout. Called by
`setup`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from proxy.builds import program, running_cache
from proxy.builds.engine_trouble import EngineTrouble

PROJECT = Path(__file__).parents[2]  # of a checkout: where compose.yaml is
NAME = "pullthrough"  # of the project, in compose.yaml
CACHE = "cache"  # the services of compose.yaml
MONITORING = ("prometheus", "grafana")
GRAFANA = ("grafana", 3000)  # its service, and its port in the container
VARIABLES = ".env"  # beside compose.yaml: the file of variables
PROJECT_NAME = "COMPOSE_PROJECT_NAME"  # comes before the name in compose.yaml

_FILE = "compose.yaml"
_LISTEN, _PORT = "PULLTHROUGH_LISTEN", "PULLTHROUGH_PORT"
_OVERRIDES = tuple(f"{name}.override.{ending}" for name in ("compose", "docker-compose") for ending in ("yml", "yaml"))
_LEAST = 2  # the first version that reads our file
_WAIT = 60  # seconds for an answer to a question
_PLAIN = re.compile(r"[\w./:@,+-]*")
_NONE = (
    "there is no Docker Compose of version 2 or later. Install Docker Desktop, or the package docker-compose-plugin "
    "(Debian and Ubuntu: docker-compose-v2). Or run the cache as a process: pullthrough setup --process"
)


@dataclass(frozen=True, slots=True)
class Compose:
    """The command with its first arguments, the variables it is run with, and the folder of compose.yaml."""

    command: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path

    @classmethod
    def find(cls, environ: Mapping[str, str], folder: Path = PROJECT, name: str | None = None) -> Self:
        """`docker compose`, else `docker-compose`. Raises EngineTrouble if none is new enough, or without the file.

        `name`: the value of COMPOSE_PROJECT_NAME with which it is run, empty for none; None: as `environ` has it.
        """
        if name is not None:
            environ = {key: value for key, value in environ.items() if key != PROJECT_NAME}
            environ |= {PROJECT_NAME: name} if name else {}
        if missing := without_file(folder):
            raise EngineTrouble(missing)
        path = environ.get("PATH")
        docker, alone = shutil.which("docker", path=path), shutil.which("docker-compose", path=path)
        for command in (*([(docker, "compose")] if docker else []), *([(alone,)] if alone else [])):
            if _version(command, environ) >= _LEAST:
                return cls(command, environ, folder)
        raise EngineTrouble(_NONE)

    @property
    def variables_file(self) -> Path:
        """The file that Compose reads variables from, also when a person runs it."""
        return self.folder / VARIABLES

    def up(self, services: Sequence[str], variables: Mapping[str, str]) -> None:
        """Build what has to be built, and start these services, or let them run. Progress goes to standard error.

        Raises EngineTrouble.
        """
        self._run(["up", "--detach", "--build", *services], variables, "start the cache")

    def down(self, variables: Mapping[str, str], *, volumes: bool = False) -> None:
        """Stop and remove the containers, and with `volumes` what they stored in volumes.

        Raises EngineTrouble, also if a cache still answers where `variables` have it: Compose finds no containers of
        another engine, and says that all is well.
        """
        self._run(["down", *(["--volumes"] if volumes else [])], variables, "stop the cache")
        host, port = variables.get(_LISTEN, "127.0.0.1"), variables.get(_PORT, "")
        cache = running_cache.find([host], int(port)) if port.isdecimal() else None
        if cache is not None:
            raise EngineTrouble(
                f"a cache still answers at {cache.url}: Compose has not found its container in this Docker context. "
                "Choose the one in which setup ran (docker context ls; docker context use NAME), or stop that cache, "
                "and run it again."
            )

    def last_lines(self, service: str, count: int = 5) -> str:
        """The end of a service's log; empty if there is none."""
        done = self._asked("logs", "--no-color", "--no-log-prefix", "--tail", str(count), service)
        return (done.stdout + done.stderr).strip() if done else ""

    def published(self, service: str, port: int) -> str:
        """Where this machine reaches a port of a running service, as `host:port`; empty if that is not known."""
        done = self._asked("port", service, str(port))
        return done.stdout.strip() if done and done.returncode == 0 else ""

    def shown(self, arguments: Sequence[str]) -> str:
        """The command as a person types it in the project's folder."""
        return " ".join(["docker compose" if len(self.command) > 1 else "docker-compose", *arguments])

    def _words(self) -> list[str]:
        # Compose reads a person's own file by itself only where no file is named, and COMPOSE_FILE would name others.
        own = override(self.folder)
        files = [self.folder / _FILE, *([own] if own else [])]
        named = [word for path in files for word in ("--file", str(path))]
        return [*self.command, *named, "--project-directory", str(self.folder)]

    def _asked(self, *arguments: str) -> subprocess.CompletedProcess[str] | None:
        try:
            return program.asked([*self._words(), *arguments], self.environ, _WAIT)
        except (OSError, subprocess.TimeoutExpired):
            return None

    def _run(self, arguments: Sequence[str], variables: Mapping[str, str], purpose: str) -> None:
        environ = {**self.environ, **variables, "DOCKER_BUILDKIT": "1"}
        try:
            status = subprocess.run(  # noqa: S603
                [*self._words(), *arguments], env=environ, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
            ).returncode
        except OSError as error:
            raise EngineTrouble(f"{self.command[0]} cannot be run: {error.strerror}.") from error
        if status:
            raise EngineTrouble(f"Compose could not {purpose} (status {status}); it says above why.")


def override(folder: Path) -> Path | None:
    """A person's own file beside compose.yaml, which adds to it; None if there is none."""
    return next((path for name in _OVERRIDES if (path := folder / name).is_file()), None)


def without_file(folder: Path) -> str | None:
    """Why nothing can be started from this folder, and what to do; None if compose.yaml is in it."""
    if (folder / _FILE).is_file():
        return None
    return (
        f"compose.yaml is not in {folder}: this pullthrough was installed without it. Run ./build-cached.sh "
        "setup in a checkout, or run the cache as a process: pullthrough setup --process"
    )


def setups_folder(noted: str, project: Path) -> Path:
    """Where compose.yaml is: in the folder that setup has noted, or in `project`, where that checkout is gone.

    The name of the project is in the file, so that each of them stops the same containers.
    """
    return Path(noted) if (Path(noted) / _FILE).is_file() else project


def variables_text(variables: Mapping[str, str]) -> str:
    """Lines for a file `.env`. A value that is not plain is in quotes, in which nothing is replaced."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in variables.items())


def plain_variables(text: str) -> dict[str, str]:
    """The variables of `variables_text`, but for those in quotes."""
    return dict(line.split("=", 1) for line in text.splitlines() if "'" not in line and '"' not in line)


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def _version(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """The number before the first dot; 0 where the command is none."""
    try:
        done = program.asked([*command, "version", "--short"], environ, _WAIT)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    first = done.stdout.strip().lstrip("v").partition(".")[0]
    return int(first) if done.returncode == 0 and first.isdigit() else 0
