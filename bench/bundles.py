"""`python -m bench.bundles`: export and import beside `cp` of the same bytes, and a cache of very many files.

A cache of large files is packed, and taken into an empty cache, by the commands as people run them. `cp` copies the
files of the same cache. All of them are timed until the disk has what they wrote, alternating in one run. So it is
about the machine's disk, too: nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.results import say
from proxy.model import Digest, Entry, Validator
from proxy.storage.opening import open_disk_store
from tests.storage.disk import FixedClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.storage.store import DiskStore

_ROOT = Path(__file__).parent.parent
_BUILD = _ROOT / "build" / "bench"
_LARGE = 100 << 20  # bytes of a large file
_SHORT = 1000  # bytes of a short one
_PIECE = 1 << 20  # bytes of a large file that are written at once, and the longest short one
_AT_ONCE = 500  # files
_OF_PROJECT = 100  # short files


class Run(NamedTuple):
    """What a command took: seconds, and bytes of memory at most."""

    seconds: float
    memory: int


async def fill(folder: Path, sizes: Sequence[int]) -> None:
    """Make a cache that has a wheel of each size, in bytes, as downloads leave it."""
    chance = random.Random(7)
    store = await open_disk_store(folder, sum(sizes) * 2 + (64 << 20) + len(sizes) * 4096, lambda _: None, FixedClock())
    try:
        for first in range(0, len(sizes), _AT_ONCE):
            part = sizes[first : first + _AT_ONCE]
            short = [chance.randbytes(size) for size in part if size <= _PIECE]
            await store.put_all([(hashlib.sha256(body).hexdigest(), body) for body in short])
            bodies = iter(short)
            for number, size in enumerate(part, first):
                await _add(store, number, size, next(bodies) if size <= _PIECE else None, chance)
    finally:
        await store.close()


async def _add(store: DiskStore, number: int, size: int, body: bytes | None, chance: random.Random) -> None:
    """An entry, whose `body` is stored if it is short."""
    project, name = f"demo{number // _OF_PROJECT}", f"demo{number // _OF_PROJECT}-{number}.0-py3-none-any.whl"
    running = hashlib.sha256()
    if body is not None:
        running.update(body)
    else:
        spool = await store.spool(name, size)
        for offset in range(0, size, _PIECE):
            piece = chance.randbytes(min(_PIECE, size - offset))
            running.update(piece)
            await spool.write(offset, [piece])
        await store.adopt(spool, Digest("sha256", running.hexdigest()), size)
    digest = Digest("sha256", running.hexdigest())
    key, now = f"file:pypi:{project}:files.example:{number}/{name}", time.time()
    url = f"https://files.example/{number}/{name}"
    await store.save(Entry(key, url, digest, size, "application/zip", Validator('"1"'), now, now, digest))


def run(command: Sequence[str | Path]) -> Run:
    """Run a command and have the disk take what it wrote. Raises RuntimeError if it failed."""
    os.sync()
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    os.sync()
    seconds = time.monotonic() - begin
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return Run(seconds, used.ru_maxrss * 1024)


def ways(data: Path, place: Path) -> Iterator[tuple[str, list[str | Path]]]:
    """What is measured, with its name, in the order that each needs."""
    program: list[str | Path] = [sys.executable, "-m", "proxy"]
    yield "export", [*program, "export", place / "bundle.tar", "--data", data]
    yield "cp", ["cp", "-r", "--reflink=never", data / "index" / "sha256", place / "copy"]
    yield "import", [*program, "import", place / "bundle.tar", "--data", place / "other"]
    yield "stats", [*program, "stats", "--data", data]


def measure(data: Path, rounds: int) -> dict[str, list[Run]]:
    """Each way so many times, in turn. `data`: the folder of the cache."""
    found: dict[str, list[Run]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=data.parent) as name:
            for way, command in ways(data, Path(name)):
                found.setdefault(way, []).append(run(command))
                # Memory that a virtual machine never had is much slower: the next one gets what this one had.
                shutil.rmtree(Path(name, "copy"), ignore_errors=True)
    return found


def table(title: str, found: dict[str, list[Run]]) -> str:
    """The medians; of export and import also how fast they are beside `cp`."""
    lines = [f"| {title} | seconds | beside cp | memory |", "|---|---|---|---|"]
    copying = statistics.median(one.seconds for one in found["cp"])
    for way, runs in found.items():
        ratio = statistics.median(cp.seconds / one.seconds for cp, one in zip(found["cp"], runs, strict=True))
        seconds = copying if way == "cp" else statistics.median(one.seconds for one in runs)
        beside = "-" if way in {"cp", "stats"} else f"{ratio:.2f} of its speed"
        lines.append(f"| {way} | {seconds:.2f} | {beside} | {max(one.memory for one in runs) / 1e6:.0f} MB |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the caches, measure, and print two tables. Gives 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.bundles", description=__doc__)
    parser.add_argument("--size", type=float, default=2.5, help="GB of large files")
    parser.add_argument("--files", type=int, default=100_000, help="short files")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    _BUILD.mkdir(parents=True, exist_ok=True)
    large = max(int(asked.size * 1e9) // _LARGE, 1)
    for title, sizes in (
        (f"{large} files of {_LARGE >> 20} MiB", [min(_LARGE, int(asked.size * 1e9))] * large),
        (f"{asked.files:,} files of {_SHORT:,} bytes", [_SHORT] * asked.files),
    ):
        with tempfile.TemporaryDirectory(dir=_BUILD) as name:
            say(f"making {title}")
            asyncio.run(fill(Path(name, "data"), sizes))
            print(f"{table(title, measure(Path(name, 'data'), asked.rounds))}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
