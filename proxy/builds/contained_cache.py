"""The cache that runs in a container, for verbs that look after its store: they run inside it, by `docker exec`.

Called by `stats`, `clean` and `verify`, before they open a folder themselves: on a Mac neither locks nor sockets of a
shared folder cross the border of Docker's virtual machine, so nothing else would keep two programs out of one folder.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine_answers import EngineContainer
from proxy.builds.engine_question import none_contained
from proxy.builds.engine_trouble import EngineTrouble
from proxy.bundles.importing import Imported, ImportWish
from proxy.control.explanation import ExplainWish, Explanation
from proxy.control.export_wish import ExportWish
from proxy.control.opened_folder import is_data_folder
from proxy.control.protocol import (
    DEFAULT_LARGEST,
    CleanEnd,
    CleanPlan,
    ControlError,
    Message,
    PulledFiles,
    PullWish,
    Refusal,
    Stats,
    VerifyEnd,
    Wish,
)

T = TypeVar("T")

PROGRAM = "pullthrough"  # in the image, on its PATH
DATA = "/data"  # of the image: where the cache has its folder
_USES_ITS_FOLDER = ("running", "paused", "restarting")
_ANSWER = 600.0  # seconds for what is read whole: a large store takes its time
_OTHER_VERSION = "The cache in the container {name} answers in another form. Use the version of this program it has."


@dataclass(frozen=True, slots=True)
class ContainedCache:
    """A cache in a running container, and the command that reaches it. Verbs get no terminal and no input inside."""

    container: EngineContainer
    command: DockerCommand

    def read(self, *arguments: str) -> str:
        """What a verb prints inside. Raises EngineTrouble with what it says where it fails."""
        result = self.command.ask(*self._call(arguments)[1:], wait=_ANSWER)
        if result.returncode:
            raise self._trouble(result.stderr.splitlines())
        return result.stdout

    def lines(self, *arguments: str) -> Iterator[str]:
        """The lines that a verb prints inside, as they come. Raises EngineTrouble with what it says where it fails.

        To end the iteration ends `docker exec`; what the verb was about it finishes inside.
        """
        with self._started(self._call(arguments), subprocess.DEVNULL, subprocess.PIPE) as (process, complaint):
            assert process.stdout is not None
            with io.TextIOWrapper(process.stdout, "utf-8", "replace") as printed:
                yield from printed
        if process.returncode:
            raise self._trouble(complaint)

    def stream(self, given: bytes, to: int, *arguments: str) -> None:
        """Have what a verb writes inside written to a descriptor. `given`: what it reads. Raises EngineTrouble."""
        with self._started(self._call(arguments, "--interactive"), subprocess.PIPE, to) as (process, complaint):
            _give(process, [given])
        if process.returncode:
            raise self._trouble(complaint)

    def feed(self, pieces: Iterable[bytes], *arguments: str) -> str:
        """What a verb prints inside that reads these bytes. Raises EngineTrouble with what it says where it fails.

        One that printed an answer did not fail, whatever its status means.
        """
        call = self._call(arguments, "--interactive")
        with self._started(call, subprocess.PIPE, subprocess.PIPE) as (process, complaint):
            _give(process, pieces)
            assert process.stdout is not None
            printed = process.stdout.read()
        if process.returncode and not printed.strip():
            raise self._trouble(complaint)
        return printed.decode(errors="replace")

    @contextlib.contextmanager
    def _started(
        self, call: Sequence[str], given: int, to: int
    ) -> Generator[tuple[subprocess.Popen[bytes], list[str]]]:
        """Run a command, and wait for its end; what is done meanwhile ends it if it fails.

        Gives the process, and the lines of its complaint, which are there at the end. Raises EngineTrouble.
        """
        said: list[str] = []
        with tempfile.TemporaryFile() as complaint:
            try:
                process = subprocess.Popen(  # noqa: S603
                    call, env=dict(self.command.environ), stdin=given, stdout=to, stderr=complaint
                )
            except OSError as error:
                raise EngineTrouble(f"{self.command.path} cannot be run: {error.strerror}.") from error
            with process:
                try:
                    yield process, said
                except BaseException:
                    process.terminate()
                    raise
            complaint.seek(0)
            said += complaint.read().decode(errors="replace").splitlines()

    def _trouble(self, complaint: Sequence[str]) -> EngineTrouble:
        """What a verb says last, without the program's name."""
        last = next((line for line in reversed(complaint) if line.strip()), "it fails without a word")
        return EngineTrouble(f"in the container {self.container.name}: {last.strip().removeprefix(f'{PROGRAM}: ')}")

    def _call(self, arguments: Sequence[str], *options: str) -> list[str]:
        return [self.command.path, "exec", *options, self.container.id, PROGRAM, *arguments]


def _give(process: subprocess.Popen[bytes], pieces: Iterable[bytes]) -> None:
    """Have a process read these bytes, and nothing more. One that ended early says why."""
    assert process.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            for piece in pieces:
                process.stdin.write(piece)
    finally:
        with contextlib.suppress(BrokenPipeError):  # what is still in its buffer
            process.stdin.close()


class ContainedStore:
    """`protocol.StoreControl` by `docker exec`. It raises EngineTrouble, too."""

    def __init__(self, cache: ContainedCache) -> None:
        self._cache = cache

    def close(self) -> None:
        """Nothing is open between two calls."""

    def stats(self, largest: int = DEFAULT_LARGEST) -> Stats:
        return self._decoded(self._cache.read("stats", "--json", "--largest", str(largest)), Stats)

    def who(self, wish: PullWish) -> PulledFiles:
        return self._decoded(self._cache.read("who", "--json", *who_arguments(wish)), PulledFiles)

    def explain(self, wish: ExplainWish) -> Explanation:
        return self._decoded(self._cache.read("explain", "--json", "--", wish.url), Explanation)

    def plan(self, wish: Wish) -> CleanPlan:
        return self._decoded(self._cache.read("clean", "--json", *arguments_of(wish)), CleanPlan)

    def clean(self, wish: Wish) -> Iterator[Message]:
        return self._messages("clean", "--json", "--yes", *arguments_of(wish))

    def verify(self) -> Iterator[Message]:
        return self._messages("verify", "--json")

    def export(self, wish: ExportWish, to: int, advanced: Callable[[int, int], None]) -> None:  # noqa: ARG002
        """Of how far it is nothing is known outside."""
        self._cache.stream(msgspec.json.encode(wish), to, "export", "-", "--wish")

    def take_in(self, pieces: Iterable[bytes], wish: ImportWish) -> Imported:
        return self._decoded(self._cache.feed(pieces, "import", "--json", *import_options(wish), "-"), Imported)

    def _decoded(self, text: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            raise self._of_another_version() from error

    def _messages(self, *arguments: str) -> Iterator[Message]:
        message: Message | None = None
        try:
            for line in self._cache.lines(*arguments):
                message = self._message(line)
                if isinstance(message, Refusal):
                    raise ControlError(message.reason)
                yield message
        except EngineTrouble:
            if not isinstance(message, CleanEnd | VerifyEnd):  # its status says what the message does
                raise

    def _message(self, line: str) -> Message:
        try:
            message: Message = msgspec.json.decode(line, type=Message)
        except msgspec.DecodeError as error:
            raise self._of_another_version() from error
        return message

    def _of_another_version(self) -> EngineTrouble:
        return EngineTrouble(_OTHER_VERSION.format(name=self._cache.container.name))


def arguments_of(wish: Wish) -> list[str]:
    """The options of the verb `clean` that mean this wish."""
    options = {
        "--index": wish.index,
        "--project": wish.project,
        "--version": wish.version,
        "--older-than": None if wish.older_than is None else f"{wish.older_than:.3f}s",
        "--larger-than": wish.larger_than,
        "--down-to": wish.down_to,
    }
    given = [f"{option}={value}" for option, value in options.items() if value is not None]
    return [*given, *(["--all"] if wish.everything else [])]


def import_options(wish: ImportWish) -> list[str]:
    """The options of the verb `import` that mean this wish."""
    options = (("--replace-newer", wish.replace_newer), ("--files", wish.loose))
    return [option for option, meant in options if meant]


def who_arguments(wish: PullWish) -> list[str]:
    """The arguments of the verb `who` that mean this wish."""
    options = [f"--most={wish.most}"]
    if wish.since:
        options.append(f"--since={max(time.time() - wish.since, 0):.0f}s")
    if wish.client is not None:
        options.append(f"--client={wish.client}")
    return [*options, "--", wish.wanted if wish.version is None else f"{wish.wanted}=={wish.version}"]


def find(folders: Sequence[Path], environ: Mapping[str, str], *, chosen: bool = True) -> ContainedCache | None:
    """The cache in a container that uses one of these data folders; None if there is none, or no Docker.

    `chosen`: whether a person named them. Where nobody did, it is the one cache that runs in a container, if there is
    just one, and if its data is in a volume, or no cache was in the folders: then it is in the one that compose chose.
    Raises EngineTrouble if the container cannot be used now.
    """
    try:
        command = DockerCommand.find(environ)
        if none_contained(environ):
            return None
        from proxy.builds.engine import Engine  # noqa: PLC0415 - its library takes a moment to load

        with Engine.connect(environ) as engine:
            containers = [one for one in engine.containers() if one.state in _USES_ITS_FOLDER]
    except EngineTrouble:
        return None  # no engine, no container
    using = [one for folder in folders for one in containers if one.has(PurePosixPath(folder.absolute()))]
    if not using and not chosen and len(containers) == 1:
        in_volume = any(mount.volume for mount in containers[0].mounts if mount.target == DATA)
        using = containers if in_volume or not any(map(is_data_folder, folders)) else []
    if not using:
        return None
    found = using[0]
    if not found.running:
        raise EngineTrouble(
            f"the container {found.name} has the data folder, and is {found.state}. Wait until it runs, or end it: "
            f"docker stop {found.name}"
        )
    return ContainedCache(found, command)
