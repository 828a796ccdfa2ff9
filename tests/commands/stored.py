"""A data folder with files in it, and the program run on it as a process; for the verbs that look after a store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.model import Digest, Entry, Validator
from proxy.storage.store import DiskStore
from tests.storage.disk import opened

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
_LIMIT = 60  # seconds: only for a process that hangs

# Keys of docs/formats.md, with the sizes of their bodies and the days since upstream confirmed them.
FILES = {
    "file:pypi:torch::packages/aa/torch-2.7.1-cp312-none-any.whl": (90_000, 40),
    "file:pypi:torch::packages/ab/torch-2.6.0-cp312-none-any.whl": (80_000, 1),
    "file:pypi:six::packages/ac/six-1.17.0-py2.py3-none-any.whl": (11_000, 2),
    "file:pypi:six::packages/ac/six-1.17.0-py2.py3-none-any.whl.metadata": (1_700, 2),
    "page:pypi:six:simple/six/": (3_000, 0),
    "apt:file:http://deb.example/debian/pool/main/h/hello/hello_2.10-3_amd64.deb": (53_000, 3),
    "apt:release:http://deb.example/debian/dists/stable/:InRelease": (20_000, 0),
}


def body(key: str, size: int) -> bytes:
    """The bytes that are stored under a key."""
    return (key.encode() * (size // len(key) + 1))[:size]


async def fill(store: DiskStore, files: Mapping[str, tuple[int, int]] = FILES) -> None:
    """Store these files."""
    now = time.time()
    for key, (size, days) in files.items():
        content = body(key, size)
        await store.put(content)
        sha256 = Digest("sha256", hashlib.sha256(content).hexdigest())
        at = now - days * 86_400 - 60
        await store.save(Entry(key, f"https://files.example/{key}", sha256, size, "x/y", Validator(), at, at))
    await store.flush()


def file_of(folder: Path, key: str) -> Path:
    """Where the body of one of FILES is on the disk."""
    sha256 = hashlib.sha256(body(key, FILES[key][0])).hexdigest()
    return folder / "index" / "sha256" / sha256[:2] / sha256[2:]


async def filled(folder: Path) -> None:
    """Make a data folder with FILES on which no cache runs."""
    async with opened(folder) as store:
        await fill(store)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a process ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine without Docker, with a data folder."""

    home: Path
    data: Path

    @property
    def environ(self) -> dict[str, str]:
        """The variables of the program."""
        return {
            "PATH": "/nowhere",
            "HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
            "PULLTHROUGH_DATA": str(self.data),
            **{name: value for name, value in os.environ.items() if name.startswith("COV")},
        }

    async def run(self, *arguments: str, **environ: str) -> Ran:
        """Run the program to its end. Nobody can be asked anything."""
        status, out, err = await self.exchange(b"", *arguments, **environ)
        return Ran(status, out.decode(), err.decode())

    async def exchange(self, given: bytes, *arguments: str, **environ: str) -> tuple[int, bytes, bytes]:
        """Run the program with this on its standard input. Status, output, errors."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy",
            *arguments,
            cwd=self.home,
            env=self.environ | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(_LIMIT):
            out, err = await process.communicate(given)
        assert process.returncode is not None
        return process.returncode, out, err
