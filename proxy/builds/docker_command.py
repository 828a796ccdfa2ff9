"""The command `docker`: what it is, short questions to it, and the build that it runs.

Builds go through the command, since the engine's API has none with secrets. Called by `builders`, `probe` and `build`;
`setup` and `removal` ask for what the command leaves in the home folder.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Self

from proxy.builds import program
from proxy.builds.engine_trouble import EngineTrouble, version_trouble

_WAIT = 60  # seconds for an answer to a question
WITHOUT_BUILDKIT = 23  # the first version of `docker` that leaves BuildKit to its plugin buildx
_NUMBER, _BUILDX = ".buildNodeID", "buildx"  # traces of the command in its folder
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class CommandFacts:
    """What `docker` says of itself; empty texts where it is too old to say it."""

    version: str
    api: str  # the newest API that it speaks
    buildx: str  # the version of its plugin buildx; empty without a working one

    @property
    def major(self) -> int:
        """The number before the first dot; 0 where there is none."""
        first = self.version.partition(".")[0]
        return int(first) if first.isdigit() else 0

    @property
    def no_buildkit(self) -> str | None:
        """Why it cannot build with BuildKit, and what to do; None if it can."""
        if self.buildx or self.major < WITHOUT_BUILDKIT:
            return None
        return (
            f"docker {self.version} builds with BuildKit only by its plugin buildx, and has none that works. Install "
            "the package docker-buildx-plugin (Debian and Ubuntu: docker-buildx), or Docker Desktop."
        )


@dataclass(frozen=True, slots=True)
class DockerCommand:
    """The command, with the variables that it is run with."""

    path: str
    environ: Mapping[str, str]

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> Self:
        """The command of the PATH. BuildKit is switched on for it. Raises EngineTrouble if there is none."""
        path = shutil.which("docker", path=environ.get("PATH"))
        if path is None:
            raise EngineTrouble(
                "the command docker is not on the PATH. Install Docker Desktop, or the packages docker-ce-cli and "
                "docker-buildx-plugin (Debian: docker.io)."
            )
        return cls(path, {**environ, "DOCKER_BUILDKIT": "1"})

    @property
    def own_folder(self) -> Path | None:
        """Where this program's files have to be for the command to read them; None: anywhere.

        One of a snap (Ubuntu) sees another /tmp and no hidden folder of the home, but its own one there.
        """
        home = self.environ.get("HOME")
        return Path(home, "snap/docker/common") if home and Path(self.path).resolve().name == "snap" else None

    def ask(self, *arguments: str, wait: float = _WAIT) -> subprocess.CompletedProcess[str]:
        """Run `docker` with these arguments and read what it says; a failure is in the result.

        `wait`: seconds. Raises EngineTrouble if it takes longer, or cannot be run.
        """
        try:
            return program.asked([self.path, *arguments], self.environ, wait)
        except subprocess.TimeoutExpired:
            first = " ".join(["docker", *arguments[:2]])
            raise EngineTrouble(f"`{first}` gives no answer within {wait:.0f} seconds. Is the engine busy?") from None
        except OSError as error:
            raise EngineTrouble(f"{self.path} cannot be run: {error.strerror}.") from error

    def facts(self) -> CommandFacts:
        """Versions of the command and of its plugin. No engine is needed. Raises EngineTrouble."""
        version = self.ask("version", "--format", "{{json .Client}}")
        try:
            said = json.loads(version.stdout.partition("\n")[0])
        except ValueError:
            said = {}
        plugin = self.ask("buildx", "version")
        words = plugin.stdout.split() if plugin.returncode == 0 else []
        return CommandFacts(
            version=said.get("Version", ""),
            api=said.get("DefaultAPIVersion") or said.get("ApiVersion") or "",
            buildx=next((word for word in words if word.lstrip("v")[:1].isdigit()), ""),
        )

    def build(self, arguments: Sequence[str], cwd: Path, stdout: IO[bytes] | int | None = None) -> BuildEnd:
        """Run `docker build` with these arguments in the foreground; its progress goes where this process prints.

        A signal that would end this process is passed on to the build, and the build's end is waited for. `stdout`: of
        the build, None for this process's own. Raises EngineTrouble if the command cannot be run.
        """
        try:
            process = subprocess.Popen(  # noqa: S603
                [self.path, "build", *arguments], env=dict(self.environ), cwd=cwd, stdout=stdout
            )
        except OSError as error:
            raise EngineTrouble(f"{self.path} cannot be run: {error.strerror}.") from error
        with process, _passing_on(process) as arrived:
            status = process.wait()
        number = arrived[0] if arrived else -status if status < 0 else None
        return BuildEnd(status if number is None else 128 + number, interrupted=number is not None)


@dataclass(frozen=True, slots=True)
class BuildEnd:
    """How a build ended: its exit status, or 128 and the number of the signal that ended it."""

    status: int
    interrupted: bool


@contextlib.contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass signals on to a process; gives the list of those that arrived.

    From a terminal the process has got Ctrl-C already: `docker` ends for the first and needs three to be killed.
    """
    arrived: list[int] = []

    def passed_on(number: int, _: FrameType | None) -> None:
        arrived.append(number)
        process.send_signal(number)

    main = threading.current_thread() is threading.main_thread()  # signals are its matter alone
    passed = [number for number in _PASSED_ON if main and signal.getsignal(number) is not signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, passed_on) for number in passed}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def said(result: subprocess.CompletedProcess[str]) -> str:
    """What a failed `docker` said, in one line, with what helps where that is known."""
    text = " ".join(result.stderr.split()) or f"status {result.returncode}"
    return version_trouble(text) or text.removeprefix("ERROR: ")


def absent_traces(environ: Mapping[str, str]) -> list[Path]:
    """What the command leaves in the home folder at its first build, and has not left yet: its number, buildx' folder.

    `setup` builds to prove the way, so it may be the first.
    """
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "/") / ".docker")
    return [path for path in (folder, folder / _NUMBER, folder / _BUILDX) if not path.exists()]


def remove_traces(paths: Sequence[Path]) -> None:
    """Remove the traces that were absent before. Folders that others use stay. Raises OSError."""
    for path in reversed(paths):
        if path.name == _NUMBER:
            path.unlink(missing_ok=True)
        elif path.name != _BUILDX:
            with contextlib.suppress(OSError):  # it has other files, or is not there
                path.rmdir()
        elif path.is_dir() and not _builders(path):
            shutil.rmtree(path)


def _builders(folder: Path) -> bool:
    """Whether somebody made a builder."""
    instances = folder / "instances"
    return instances.is_dir() and any(instances.iterdir())
