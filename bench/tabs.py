"""`python -m bench.tabs`: what the cache's page costs those who install, while it is open in twenty tabs.

Small hits are measured without, with and again without the tabs, alternating in one run, so that what else the machine
does meets all. The second ratio compares the two without: what is smaller than its distance from 1 is not measurable. A
tab is what the page's script does: every two seconds the page's living part, with the ETag of the last one. No
browser draws, and little is parsed: that work is not the cache's, and would take the machine.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.bed import QUICK, Bed
from bench.client import ClientError, Connection
from bench.content import MIB
from bench.load import wrk
from bench.origin import UNLIMITED
from bench.results import OURS, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.servers import Server

_BUILD = Path(__file__).parent.parent / "build" / "bench"
_TABS, _PAUSE = 20, 2.0  # the script's own pause in seconds
_CONNECTIONS = 16
_LIVE = "/?view=live"
_HEAD = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0\r\n"
    "Accept: text/html\r\nIf-None-Match: {tag}\r\n\r\n"
)
_ANSWER = re.compile(rb"HTTP/1\.1 (?:(200)|304) .*?\r\n\r\n", re.DOTALL)
_TAG = re.compile(rb"\r\nETag: ([^\r]+)\r\n")
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")
_PIECE = 1 << 16

Figures = tuple[float, float, float]


class Tab(threading.Thread):
    """One open page. `looks`: how often it asked; `error`: what went wrong."""

    def __init__(self, url: str, over: threading.Event, delay: float) -> None:
        super().__init__(daemon=True)
        self.looks = 0
        self.error: Exception | None = None
        self._url = url
        self._over = over
        self._delay = delay

    def run(self) -> None:
        """Look every two seconds until it is over."""
        try:
            connection = Connection(self._url, 30.0)
            tag = ""
            self._over.wait(self._delay)  # tabs are not opened at the same moment
            while not self._over.is_set():
                tag = _look(connection, urlsplit(self._url).netloc, tag)
                self.looks += 1
                self._over.wait(_PAUSE)
            connection.close()
        except (OSError, ClientError) as error:
            self.error = error


def _look(connection: Connection, host: str, tag: str) -> str:
    """Look once. Gives the new ETag. Raises ClientError, OSError."""
    connection.socket.sendall(_HEAD.format(path=_LIVE, host=host, tag=tag).encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += (piece := connection.socket.recv(_PIECE))
        if not piece:
            raise ClientError("connection closed before an answer")
    answer = _ANSWER.match(seen)
    if answer is None or (new := _TAG.search(answer[0])) is None:
        raise ClientError(f"no answer to a look: {seen[:40]!r}")
    size = _LENGTH.search(answer[0]) if answer[1] else None
    left = (int(size[1]) if size is not None else 0) - (len(seen) - answer.end())
    while left > 0 and (got := connection.drop(left)):
        left -= got
    return new[1].decode()


@contextmanager
def opened(url: str, count: int) -> Iterator[None]:
    """Open that many tabs meanwhile. Raises RuntimeError where one could not look."""
    over = threading.Event()
    tabs = [Tab(url, over, number * _PAUSE / count) for number in range(count)]
    for tab in tabs:
        tab.start()
    try:
        yield
    finally:
        over.set()
        for tab in tabs:
            tab.join()
    for tab in tabs:
        if tab.error is not None or not tab.looks:
            raise RuntimeError(f"a tab could not look: {tab.error}")


def measured(server: Server, url: str, seconds: int) -> Figures:
    """Requests a second, the 99th percentile in ms, and the server's processor time of a request in µs."""
    before = server.process.cpu()
    begin = time.perf_counter()
    seen = wrk(url, connections=_CONNECTIONS, seconds=seconds)
    took = time.perf_counter() - begin
    if seen.errors:
        raise RuntimeError(f"{seen.errors} answers failed")
    return seen.rate, seen.p99 * 1e3, (server.process.cpu() - before) / (seen.rate * took) * 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table and the ratios. Gives 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.tabs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of each, with and without")
    parser.add_argument("--seconds", type=int, default=6, help="that one measurement takes")
    parser.add_argument("--tabs", type=int, default=_TABS)
    options = parser.parse_args(arguments)
    _BUILD.mkdir(parents=True, exist_ok=True)
    scale = replace(QUICK, giant=MIB, cold=MIB)
    with tempfile.TemporaryDirectory(dir=_BUILD) as folder:
        bed = Bed(Path(folder), _BUILD, scale, [OURS], {})
        with bed.origin(UNLIMITED) as origin, bed.start(OURS, origin) as server:
            say(f"{'':24}{'hits/s':>10}{'p99 ms':>10}{'CPU us':>10}")
            for name, url in (
                ("40 KB page", server.warm_page("small")),
                ("100 KiB wheel", server.find(bed.content.small)),
            ):
                wrk(url, connections=_CONNECTIONS, seconds=1)
                without, tabs, again = [], [], []
                for _ in range(options.rounds):
                    without.append(measured(server, url, options.seconds))
                    with opened(url, options.tabs):
                        tabs.append(measured(server, url, options.seconds))
                    again.append(measured(server, url, options.seconds))
                _report(name, options.tabs, without, tabs, again)
    return 0


def _report(
    name: str, count: int, without: Sequence[Figures], tabs: Sequence[Figures], again: Sequence[Figures]
) -> None:
    for label, figures in (("no tab", without), (f"{count} tabs", tabs), ("no tab", again)):
        rate, p99, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
        say(f"{name + ', ' + label:24}{rate:10,.0f}{p99:10.2f}{cpu:10.1f}")
    around = [tuple(map(statistics.mean, zip(*both, strict=True))) for both in zip(without, again, strict=True)]
    for label, over, under in (("tabs / no tab", tabs, around), ("no tab / no tab", again, without)):
        ratios = [
            statistics.median(a[place] / b[place] for a, b in zip(over, under, strict=True)) for place in range(3)
        ]
        say(f"{label:24}{ratios[0]:10.3f}{ratios[1]:10.3f}{ratios[2]:10.3f}")


if __name__ == "__main__":
    sys.exit(main())
