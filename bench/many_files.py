"""Case (i): start, memory and hits of a cache of very many files, beside one of a thousand.

Both folders are served with `--offline`. The two servers are asked in turn, one request at a time in random order, so
their ratio is of the same minute.
"""

from __future__ import annotations

import contextlib
import random
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import large_store
from bench.content import MIB
from bench.large_store import FEW, PLENTY, UPSTREAM, WHEEL, paths
from bench.processes import Process, Stoppable
from bench.results import OURS, Row, say
from bench.servers import environment, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bed import Bed

GROWTH = "÷ few files"
_OK = b"HTTP/1.1 200"
_PATIENCE = 120.0  # seconds that a start, or an answer, may take
_LOADING = 600.0  # seconds that the loading may take
_QUIET, _IDLE = 2.0, 0.1  # seconds, and processor seconds in them, of a cache that has loaded all
_ASKED, _ROUNDS = 2_000, 5  # requests in a round


def start_and_hits(bed: Bed) -> None:
    """(i) Seconds to the first hit, memory in MiB once all is loaded, hits in microseconds, with few files and many."""
    folder = bed.kept / "stores"
    folder.mkdir(exist_ok=True)
    rows, stores = {}, {}
    for count in (FEW, bed.scale.files):
        begin = time.perf_counter()
        rows[count] = Row("i", f"{count:,} files", OURS)
        stores[count] = large_store.kept(folder, count)
        say(f"(i) {count:,} files are there after {time.perf_counter() - begin:.0f} s")
    for _ in range(bed.scale.repetitions):
        for count, data in stores.items():
            with Cache(bed.number("start"), data) as cache:
                bed.results.add(rows[count], start=cache.started, cpu=cache.cost)
    with contextlib.ExitStack() as stack:
        caches = {count: stack.enter_context(Cache(bed.number("hits"), data)) for count, data in stores.items()}
        for count, cache in caches.items():
            cache.rest()
            hits(cache.port, paths())
            bed.results.add(rows[count], resident=cache.process.resident() / MIB)
        for number in range(_ROUNDS):
            medians = [_round(bed, rows[count], cache.port, number) for count, cache in caches.items()]
            bed.results.add(Row("i", GROWTH, OURS), hit=medians[1] / medians[0])
    few, many = (bed.results.median(row, "resident") or 0.0 for row in rows.values())
    each = (many - few) * MIB / (bed.scale.files - FEW)
    bed.results.add(Row("i", GROWTH, OURS), bytes=each)


def _round(bed: Bed, row: Row, port: int, number: int) -> float:
    """One round of hits in random order: their median in seconds."""
    took = hits(port, random.Random(number).choices(paths(), k=_ASKED))
    median = statistics.median(took)
    bed.results.add(row, p50=median * 1e6, p99=statistics.quantiles(took, n=100)[98] * 1e6)
    return median


class Cache(Stoppable):
    """A running cache on such a folder; `started`: seconds to its first hit, `cost`: processor seconds for that."""

    def __init__(self, folder: Path, data: Path) -> None:
        folder.mkdir()
        settings = folder / "pullthrough.toml"
        settings.write_text(f'[[upstream]]\nmount = "pypi"\nurl = "{UPSTREAM}/"\nindex = "simple/"\n', encoding="utf-8")
        self.port = free_port()
        command = [str(Path(sys.executable).with_name("pullthrough")), "serve", f"--config={settings}", "--offline"]
        command += [f"--port={self.port}", f"--data={data}", f"--disk={PLENTY}"]
        begin = time.perf_counter()
        self.process = Process(command, log=folder / "log", env=environment())
        while True:
            try:
                hits(self.port, paths()[:1])
                break
            except OSError:
                if not self.process.running() or time.perf_counter() - begin > _PATIENCE:
                    self.process.stop()
                    raise RuntimeError(self.process.complaint()) from None
                time.sleep(0.005)
        self.started = time.perf_counter() - begin
        self.cost = self.process.cpu()

    def stop(self) -> None:
        """End it."""
        self.process.stop()

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
            while b"\r\n\r\n" not in answer or len(answer) < answer.index(b"\r\n\r\n") + 4 + WHEEL:
                piece = connection.recv(65_536)
                answer += piece
                if not piece or (len(answer) > len(_OK) and not answer.startswith(_OK)):
                    raise OSError(f"no hit: {answer[:200]!r}")
            took.append(time.perf_counter() - begin)
    return took
