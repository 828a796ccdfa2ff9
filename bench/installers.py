"""The real pip and the real uv, as the cases run them: with an empty cache, no settings of the caller's, and in memory.

What they write goes to a folder in memory (`/dev/shm`, where the system has it), so that no disk is measured.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.client import ClientError
from bench.peers import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MEMORY = Path("/dev/shm")
_PATIENCE = 300.0
# What a process needs of its surroundings: programs, certificates, and a way to PyPI itself.
_KEPT = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy")


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of a client: seconds, its processor seconds, and how many files or packages came of it."""

    seconds: float
    cpu: float
    count: int


class Installers:
    """pip and uv of the folder of peers; `memory` is the folder for all that they write."""

    def __init__(self, peers: Path, memory: Path) -> None:
        self._python = peers / CLIENTS / "bin" / "python"
        self._uv = peers / CLIENTS / "bin" / "uv"
        self._memory = memory

    def pip(self, index: str, *what: str) -> Ran:
        """Resolve and download, as an install does before it unpacks. Raises ClientError."""
        options = ["--quiet", "--no-cache-dir", "--disable-pip-version-check", "--only-binary=:all:"]
        with self._folder() as folder:
            command = [str(self._python), "-m", "pip", "download", *options]
            seconds, cpu = self._run([*command, f"--index-url={index}", f"--dest={folder}", *what])
            return Ran(seconds, cpu, len(list(folder.glob("*.whl"))))

    def uv(self, index: str, *what: str) -> Ran:
        """Install. Raises ClientError."""
        options = ["--quiet", "--no-cache", "--no-config", f"--python={self._python}", f"--default-index={index}"]
        with self._folder() as folder:
            seconds, cpu = self._run([str(self._uv), "pip", "install", *options, f"--target={folder}", *what])
            return Ran(seconds, cpu, len(list(folder.glob("*.dist-info"))))

    def lock(self, index: str, what: Sequence[str], wheels_only: Sequence[str] = ()) -> tuple[Ran, str]:
        """Resolve with `uv pip compile`; also gives the lock file. Raises ClientError.

        `wheels_only`: packages of which no source distribution is looked into.
        """
        options = [f"--only-binary={name}" for name in wheels_only]
        options += ["--quiet", "--no-cache", "--no-config", f"--python={self._python}", f"--default-index={index}"]
        with self._folder() as folder:
            wanted, lock = folder / "requirements.in", folder / "lock.txt"
            wanted.write_text("".join(f"{one}\n" for one in what), encoding="utf-8")
            form = ["--generate-hashes", "--no-header", "--no-annotate", f"--output-file={lock}", str(wanted)]
            seconds, cpu = self._run([str(self._uv), "pip", "compile", *options, *form])
            text = lock.read_text(encoding="utf-8")
            return Ran(seconds, cpu, sum("==" in line for line in text.splitlines())), text

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._memory) as name:
            yield Path(name)

    def _run(self, command: Sequence[str]) -> tuple[float, float]:
        before, begin = _cpu(), time.perf_counter()
        done = subprocess.run(
            command,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise ClientError(" ".join(done.stderr.split())[-300:] or f"status {done.returncode}")
        return seconds, _cpu() - before

    def _environment(self) -> dict[str, str]:
        own = {"HOME": str(self._memory), "TMPDIR": str(self._memory), "PIP_CONFIG_FILE": os.devnull, "LANG": "C.UTF-8"}
        return own | {name: os.environ[name] for name in _KEPT if name in os.environ}


@contextlib.contextmanager
def memory(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, or below `otherwise` where the system has none."""
    name = tempfile.mkdtemp(prefix="pullthrough-bench-", dir=_MEMORY if _MEMORY.is_dir() else otherwise)
    try:
        yield Path(name)
    finally:
        shutil.rmtree(name, ignore_errors=True)


def _cpu() -> float:
    """Processor seconds of all processes that this one started and saw end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
