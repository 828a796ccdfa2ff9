"""`python -m bench.many_files`: start, memory and hits of a cache of a million files, beside one of a thousand.

Both folders are made as a cache would have left them, and served with `--offline`. A thousand wheels of 4 KiB on a
hundred pages are real in both, and only those are asked for. The other files of the large one are rows of the index
like theirs, and names that are hard links to a few empty files: the start looks at rows and names, never into files.
The two servers are asked in turn, one request at a time in random order, so their ratio is of the same minute. Nothing
else should run meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.content import KIB, MIB
from bench.processes import Process
from bench.results import say
from bench.servers import free_port
from proxy.model import Digest, Entry, Target, Validator
from proxy.python.store_keys import file_key, page_key
from proxy.storage.folder import DataFolder, blob_name
from proxy.storage.index import DATABASE, IndexDatabase
from proxy.storage.verification import stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PAGES, _OF_PAGE, _WHEEL = 100, 10, 4 * KIB
_LINKS = 50_000  # names of one file: ext4 takes 65,000
_UPSTREAM = "http://127.0.0.1:9"  # nobody is asked
_PLENTY = 1 << 50
_BEGAN = 1.76e9  # seconds since the epoch: the first use
_JSON = "application/vnd.pypi.simple.v1+json"
_OK = b"HTTP/1.1 200"
_PATIENCE = 120.0  # seconds that a start, or an answer, may take
_LOADING = 600.0  # seconds that the loading may take
_QUIET, _IDLE = 5.0, 0.1  # seconds, and processor seconds in them, of a cache that has loaded all
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """A body with its address: as rows of the index have it."""

    key: str
    url: str
    sha256: str
    size: int
    kind: str = "application/octet-stream"
    stamp: str = "1760000000000000000:7"

    @property
    def entry(self) -> bytes:
        """The JSON of its entry."""
        validator, digest = Validator('"1"'), Digest("sha256", self.sha256)
        return msgspec.json.encode(Entry(self.key, self.url, digest, self.size, self.kind, validator, _BEGAN, _BEGAN))


def paths() -> list[str]:
    """What is asked for: the paths of the wheels on the cache."""
    return [f"/pypi/{_wheel(number)}" for number in range(_PAGES * _OF_PAGE)]


def _wheel(number: int) -> str:
    return f"packages/{number:04}/p{number // _OF_PAGE}-{number % _OF_PAGE}.0-py3-none-any.whl"


def fill(folder: Path, count: int) -> None:
    """Make a data folder with about so many files. Raises OSError."""
    opened = DataFolder.open(folder)
    try:
        index, _, _ = IndexDatabase.open(opened.index, _PLENTY)
        index.close()
        rows = list(_real(opened))
        with closing(sqlite3.connect(opened.index / DATABASE, isolation_level=None)) as connection:
            for setting in ("cache_size = -1000000", "journal_mode = MEMORY", "synchronous = OFF"):
                connection.execute(f"PRAGMA {setting}")
            connection.execute("BEGIN")
            _insert(connection, rows)
            _insert(connection, _others(opened, count - len(rows)))
            connection.execute("COMMIT")
    finally:
        opened.lock.release()


def _real(folder: DataFolder) -> Iterator[Stored]:
    for page in range(_PAGES):
        files = []
        for number in range(page * _OF_PAGE, (page + 1) * _OF_PAGE):
            path, body = _wheel(number), random.Random(number).randbytes(_WHEEL)
            wheel = _write(folder, file_key(Target("pypi", None, path)), path, body)
            yield wheel
            name = path.rpartition("/")[2]
            files.append({"filename": name, "url": wheel.url, "hashes": {"sha256": wheel.sha256}, "size": wheel.size})
        listed = {"meta": {"api-version": "1.1"}, "name": f"p{page}", "files": files, "versions": []}
        path = f"simple/p{page}/"
        yield _write(folder, page_key("pypi", f"p{page}", path), path, msgspec.json.encode(listed), _JSON)


def _write(folder: DataFolder, key: str, path: str, body: bytes, kind: str = "application/octet-stream") -> Stored:
    sha256 = hashlib.sha256(body).hexdigest()
    file = folder.blob(sha256)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    return Stored(key, f"{_UPSTREAM}/{path}", sha256, len(body), kind, stamp_of(file.stat()))


def _others(folder: DataFolder, count: int) -> Iterator[Stored]:
    chance = random.Random(7)
    for front in range(256):
        (folder.index / "sha256" / f"{front:02x}").mkdir(parents=True, exist_ok=True)
    source = folder.spool / "0.tmp"
    for number in range(count):
        if number % _LINKS == 0:
            source = folder.spool / f"{number}.tmp"
            source.touch()
        sha256 = chance.randbytes(32).hex()
        os.link(source, folder.index / blob_name(sha256))
        path = f"packages/{number:07}/other{number // 100}-{number % 100}.0-py3-none-any.whl"
        stamp = f"{1760000000000000000 + number}:{1_000_000 + number}"
        size = chance.randrange(1, 200_000)
        yield Stored(file_key(Target("pypi", None, path)), f"{_UPSTREAM}/{path}", sha256, size, stamp=stamp)


def _insert(connection: sqlite3.Connection, rows: Sequence[Stored] | Iterator[Stored]) -> None:
    chance = random.Random(8)
    for row in rows:
        used = _BEGAN + chance.random() * 1e6
        connection.execute(
            "INSERT INTO Cache(key, raw, store_time, access_time, size, mode, filename, value)"
            " VALUES (?, 1, 0, ?, ?, 2, ?, ?)",
            (f"b:sha256={row.sha256}", used, row.size, blob_name(row.sha256), row.stamp),
        )
        connection.execute(
            "INSERT INTO Cache(key, raw, store_time, access_time, size, mode, value, tag)"
            " VALUES (?, 1, 0, 0, 0, 1, ?, ?)",
            (f"e:{row.key}", row.entry, row.sha256),
        )


class Cache:
    """A running cache on such a folder; `started`: seconds to its first hit, `cost`: processor seconds for that."""

    def __init__(self, folder: Path, data: Path) -> None:
        folder.mkdir()
        settings = folder / "pullthrough.toml"
        settings.write_text(
            f'[[upstream]]\nmount = "pypi"\nurl = "{_UPSTREAM}/"\nindex = "simple/"\n', encoding="utf-8"
        )
        self.port = free_port()
        command = [str(Path(sys.executable).with_name("pullthrough")), "serve", f"--config={settings}", "--offline"]
        command += [f"--port={self.port}", f"--data={data}", f"--disk={_PLENTY}"]
        begin = time.perf_counter()
        self.process = Process(command, log=folder / "log")
        while True:
            try:
                hits(self.port, paths()[:1])
                break
            except OSError:
                if not self.process.running() or time.perf_counter() - begin > _PATIENCE:
                    raise RuntimeError(self.process.complaint()) from None
                time.sleep(0.005)
        self.started = time.perf_counter() - begin
        self.cost = self.process.cpu()

    def rest(self) -> None:
        """Wait until it has loaded all: until it is idle for some seconds, also on a busy machine."""
        end = time.monotonic() + _LOADING
        before, now = -1.0, self.process.cpu()
        while now - before > _IDLE and time.monotonic() < end:
            time.sleep(_QUIET)
            before, now = now, self.process.cpu()


def hits(port: int, wanted: Sequence[str]) -> list[float]:
    """Fetch files over one connection, one after another: the seconds that each took. Raises OSError."""
    took = []
    with socket.create_connection(("127.0.0.1", port), _PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for path in wanted:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n".encode()
            begin = time.perf_counter()
            connection.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer or len(answer) < answer.index(b"\r\n\r\n") + 4 + _WHEEL:
                piece = connection.recv(65_536)
                answer += piece
                if not piece or (len(answer) > len(_OK) and not answer.startswith(_OK)):
                    raise OSError(f"no hit: {answer[:200]!r}")
            took.append(time.perf_counter() - begin)
    return took


def main(arguments: list[str]) -> int:
    """Make both folders, start both caches, ask in turn, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.many_files", description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--asked", type=int, default=2_000, help="requests in each round")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = {"few": _PAGES * (_OF_PAGE + 1), "many": asked.files}
        for kind, count in counts.items():
            begin = time.perf_counter()
            fill(folder / kind, count)
            say(f"made {count:,} files in {time.perf_counter() - begin:.0f} s")
        print(
            "| files | start (s) | its processor time (s) | hits while it loads, median and p99 (µs) | resident (MiB) |"
            " peak (MiB) | processor time until it rests (s) |\n|---|---|---|---|---|---|---|"
        )
        for kind, count in counts.items():
            _starts(folder, kind, count, asked)
        _compare(folder, counts, asked)
    return 0


def _starts(folder: Path, kind: str, count: int, asked: argparse.Namespace) -> None:
    started, cost, early = [], [], []
    resident, peak, whole = 0, 0, 0.0
    for number in range(asked.starts):
        cache = Cache(folder / f"{kind}{number}", folder / kind)
        try:
            started.append(cache.started)
            cost.append(cache.cost)
            early += hits(cache.port, random.Random(number).choices(paths(), k=asked.asked))
            cache.rest()
            resident, peak, whole = cache.process.resident(), cache.process.peak(), cache.process.cpu()
        finally:
            cache.process.stop()
    print(
        f"| {count:,} | {statistics.median(started):.2f} | {statistics.median(cost):.2f} | {_text(early)} |"
        f" {resident / MIB:.0f} | {peak / MIB:.0f} | {whole:.1f} |"
    )


def _compare(folder: Path, counts: dict[str, int], asked: argparse.Namespace) -> None:
    caches = {kind: Cache(folder / f"{kind}-hits", folder / kind) for kind in counts}
    try:
        for cache in caches.values():
            cache.rest()
        first = {
            kind: hits(cache.port, random.Random(1).sample(paths(), k=min(len(paths()), asked.asked)))
            for kind, cache in caches.items()
        }
        later: dict[str, list[float]] = {kind: [] for kind in caches}
        for number in range(_ROUNDS):
            for kind, cache in caches.items():
                later[kind] += hits(cache.port, random.Random(number).choices(paths(), k=asked.asked))
    finally:
        for cache in caches.values():
            cache.process.stop()
    print(
        "\n| hits, median and p99 (µs) | "
        + " | ".join(f"{count:,} files" for count in counts.values())
        + " | ratio |\n|---|---|---|---|"
    )
    for text, seen in (("the first of each file", first), ("later", later)):
        few, many = (statistics.median(seen[kind]) for kind in ("few", "many"))
        print(f"| {text} | {_text(seen['few'])} | {_text(seen['many'])} | {many / few:.2f} |")


def _text(took: list[float]) -> str:
    return f"{statistics.median(took) * 1e6:.0f}, {statistics.quantiles(took, n=100)[98] * 1e6:.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
