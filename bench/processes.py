"""A server's process and everything it started: its end, its processor time and its memory, read from `/proc`.

`servers` and `origin` start processes through it. It never touches a process that it did not start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.content import KIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 10.0
# A tree rests when it uses less than this share of a core over so many seconds.
_IDLE, _LOOK = 0.1, 0.2
# Index of the first time (utime, stime, cutime, cstime) in /proc/PID/stat after the command's name; proc(5).
_TIMES = slice(11, 15)
_PARENT = 1


class Stoppable(ABC):
    """What was started, and ends with the `with` block that it is used in."""

    @abstractmethod
    def stop(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Process:
    """A running command in a process group of its own. Standard error, and output unless piped, go to `log`."""

    def __init__(
        self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, stdout: int | None = None
    ) -> None:
        with log.open("ab") as file:
            self._popen = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file if stdout is None else stdout,
                stderr=file,
                start_new_session=True,
            )
        self._log = log

    def line(self) -> str:
        """The first line of a piped standard output. Raises RuntimeError if the process ends without one."""
        pipe = self._popen.stdout
        line = pipe.readline().decode().strip() if pipe else ""
        if not line:
            raise RuntimeError(self.complaint())
        return line

    def running(self) -> bool:
        """Whether the command itself still runs."""
        return self._popen.poll() is None

    def complaint(self) -> str:
        """The last line that the process logged: what a person wants to know of a failure."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it ended without a word"

    def cpu(self) -> float:
        """Processor seconds, user and system, of the whole tree and of its children that ended."""
        return sum(sum(map(int, fields[_TIMES])) for fields in self._tree().values()) / _TICKS

    def forget_peak(self) -> None:
        """Begin a new peak of memory at the present size (`clear_refs`, proc(5))."""
        for pid in self._tree():
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> int:
        """Sum of the highest resident sizes (VmHWM) of the tree, in bytes; shared pages count in every process."""
        return sum(_status(pid, "VmHWM") for pid in self._tree())

    def resident(self) -> int:
        """Sum of the present resident sizes (VmRSS) of the tree, in bytes."""
        return sum(_status(pid, "VmRSS") for pid in self._tree())

    def rest(self, limit: float) -> None:
        """Wait until the tree uses next to no processor, at most `limit` seconds: some serve clients that left."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            before = self.cpu()
            time.sleep(_LOOK)
            if self.cpu() - before <= _IDLE * _LOOK:
                return

    def stop(self) -> None:
        """End the process group: politely, then by force."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._popen.pid, sign)
                self._popen.wait(_PATIENCE)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._popen.wait(_PATIENCE)
        if self._popen.stdout:
            self._popen.stdout.close()

    def _tree(self) -> dict[int, list[str]]:
        """The fields of /proc/PID/stat after the name, of the command and all its descendants that live."""
        everyone = dict(filter(None, map(_stat, Path("/proc").glob("[0-9]*/stat"))))
        tree: dict[int, list[str]] = {}
        level = {self._popen.pid}
        while level:
            tree |= {pid: everyone[pid] for pid in level if pid in everyone}
            level = {pid for pid, fields in everyone.items() if int(fields[_PARENT]) in level} - tree.keys()
        return tree


def _stat(file: Path) -> tuple[int, list[str]] | None:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # it ended meanwhile
    # The name is in parentheses and may hold anything, spaces and parentheses too.
    return int(file.parent.name), text.rpartition(")")[2].split()


def _status(pid: int, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith(key + ":")), 0)
