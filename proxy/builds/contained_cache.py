"""The cache that runs in a container, for verbs that look after its store: they run inside it, by `docker exec`.

Called by `stats`, `clean` and `verify`, before they open a folder themselves: on a Mac neither locks nor sockets of a
shared folder cross the border of Docker's virtual machine, so nothing else would keep two programs out of one folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from proxy.builds.containers import EngineContainer
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine import Engine
from proxy.builds.engine_trouble import EngineTrouble
from proxy.control.opened_folder import is_data_folder

PROGRAM = "pullthrough"  # in the image, on its PATH
_USES_ITS_FOLDER = ("running", "paused", "restarting")
_ANSWER = 600.0  # seconds for what is read whole: a large store takes its time


@dataclass(frozen=True, slots=True)
class ContainedCache:
    """A cache in a running container, and the command that reaches it. Verbs get no terminal and no input inside."""

    container: EngineContainer
    command: DockerCommand

    def read(self, *arguments: str) -> str:
        """What a verb prints inside. Raises EngineTrouble with what it says where it fails."""
        result = self.command.ask(*self._call(arguments)[1:], wait=_ANSWER)
        if result.returncode:
            raise EngineTrouble(f"in the container {self.container.name}: {_last_line(result.stderr)}")
        return result.stdout

    def lines(self, *arguments: str) -> Iterator[str]:
        """The lines that a verb prints inside, as they come. Raises EngineTrouble with what it says where it fails.

        To end the iteration ends `docker exec`; what the verb was about it finishes inside.
        """
        try:
            process = subprocess.Popen(  # noqa: S603
                self._call(arguments),
                env=dict(self.command.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise EngineTrouble(f"{self.command.path} cannot be run: {error.strerror}.") from error
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                yield from process.stdout
                complaint = process.stderr.read()  # a line or two: it cannot fill the pipe before
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            raise EngineTrouble(f"in the container {self.container.name}: {_last_line(complaint)}")

    def _call(self, arguments: Sequence[str]) -> list[str]:
        return [self.command.path, "exec", self.container.id, PROGRAM, *arguments]


def find(folders: Sequence[Path], environ: Mapping[str, str], *, chosen: bool = True) -> ContainedCache | None:
    """The cache in a container that uses one of these data folders; None if there is none, or no Docker.

    `chosen`: whether a person named them. Where nobody did and no cache was in it, it is the one cache that runs
    in a container, if there is just one: its data is in a volume, or in the folder that compose chose. Raises
    EngineTrouble if the container cannot be used now.
    """
    try:
        command = DockerCommand.find(environ)
        with Engine.connect(environ) as engine:
            containers = [one for one in engine.containers() if one.state in _USES_ITS_FOLDER]
    except EngineTrouble:
        return None  # no engine, no container
    using = [one for folder in folders for one in containers if one.has(PurePosixPath(folder.absolute()))]
    if not using and not chosen and len(containers) == 1 and not any(map(is_data_folder, folders)):
        using = containers
    if not using:
        return None
    found = using[0]
    if not found.running:
        raise EngineTrouble(
            f"the container {found.name} has the data folder, and is {found.state}. Wait until it runs, or end it: "
            f"docker stop {found.name}"
        )
    return ContainedCache(found, command)


def _last_line(text: str) -> str:
    """What a verb says last, without the program's name."""
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "it fails without a word")
    return last.strip().removeprefix(f"{PROGRAM}: ")
