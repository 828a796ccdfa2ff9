"""The cache that runs in a container, for verbs that look after its store: they run inside it, by `docker exec`.

Called by `stats`, `clean` and `verify`, before they open a folder themselves: on a Mac neither locks nor sockets of a
shared folder cross the border of Docker's virtual machine, so nothing else would keep two programs out of one folder.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from proxy.builds.containers import EngineContainer
from proxy.builds.docker_command import DockerCommand, said
from proxy.builds.engine import Engine
from proxy.builds.engine_trouble import EngineTrouble

PROGRAM = "pullthrough"  # in the image, on its PATH
_PASSED_ON = ("NO_COLOR", "TERM", "COLUMNS", "LINES")  # variables that say how the output is to look
_USES_ITS_FOLDER = ("running", "paused", "restarting")
_ANSWER = 600.0  # seconds for what is read whole: a large store takes its time


@dataclass(frozen=True, slots=True)
class ContainedCache:
    """A cache in a running container, and the command that reaches it."""

    container: EngineContainer
    command: DockerCommand

    def run(self, arguments: Sequence[str], *, terminal: bool) -> int:
        """Run a verb inside, with the streams of this process. Gives its exit status.

        `terminal`: whether this process has one, so that the verb can ask, show a bar and be interrupted. Raises
        EngineTrouble if the command cannot be run.
        """
        try:
            process = subprocess.Popen(self._call(arguments, "-it" if terminal else "-i"), env=dict(self._environ))  # noqa: S603
        except OSError as error:
            raise EngineTrouble(f"{self.command.path} cannot be run: {error.strerror}.") from error
        with process:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:
                    continue  # the verb got it, too, and ends

    def read(self, *arguments: str) -> str:
        """What a verb prints inside. Raises EngineTrouble with what it says where it fails."""
        result = self.command.ask(*self._call(arguments)[1:], wait=_ANSWER)
        if result.returncode:
            raise EngineTrouble(f"in the container {self.container.name}: {said(result)}")
        return result.stdout

    @property
    def _environ(self) -> Mapping[str, str]:
        return self.command.environ

    def _call(self, arguments: Sequence[str], *options: str) -> list[str]:
        shown = [f"--env={name}={self._environ[name]}" for name in _PASSED_ON if name in self._environ]
        return [self.command.path, "exec", *options, *shown, self.container.id, PROGRAM, *arguments]


def find(folder: Path, environ: Mapping[str, str]) -> ContainedCache | None:
    """The cache in a container that uses this data folder; None if there is none, or no Docker.

    Where the folder is no cache's, it is the one cache that runs in a container, if there is just one: its data may be
    in a volume, or in the folder that compose chose. Raises EngineTrouble if the container cannot be used now.
    """
    try:
        command = DockerCommand.find(environ)
        with Engine.connect(environ) as engine:
            containers = [one for one in engine.containers() if one.state in _USES_ITS_FOLDER]
    except EngineTrouble:
        return None  # no engine, no container
    using = [one for one in containers if one.has(PurePosixPath(folder.absolute()))]
    if not using and len(containers) == 1 and not (folder / "format").exists():
        using = containers
    if not using:
        return None
    chosen = using[0]
    if not chosen.running:
        raise EngineTrouble(
            f"the container {chosen.name} has the data folder, and is {chosen.state}. Wait until it runs, or end it: "
            f"docker stop {chosen.name}"
        )
    return ContainedCache(chosen, command)


def on_terminal() -> bool:
    """Whether this process reads from a terminal and prints on one."""
    return sys.stdin.isatty() and sys.stdout.isatty()
