"""Case (h): hits of small answers, above all the slowest hundredth, beside nginx with the same bodies as files."""

from __future__ import annotations

import contextlib
import urllib.request
from typing import TYPE_CHECKING

from bench import nginx
from bench.hits import CONNECTIONS, ask, variant, warm
from bench.origin import UNLIMITED
from bench.processes import Process
from bench.results import OURS, Row
from bench.servers import free_port, listening

if TYPE_CHECKING:
    from pathlib import Path

    from bench.bed import Bed
    from bench.servers import Server

PLAIN, LOGGING = "nginx without its log", "nginx with its log"
SERVERS = (OURS, PLAIN, LOGGING)
RESOURCES = ("100 KiB wheel", "6 KB metadata", "40 KB page")


def slowest(bed: Bed) -> None:
    """(h) wrk: requests a second, 50th and 99th percentile in ms."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(bed.origin(UNLIMITED))
        ours = stack.enter_context(bed.start(OURS, origin))
        processes = {OURS: ours.process}
        urls = {OURS: _urls(bed, ours)}
        root = bed.number("files")
        root.mkdir()
        for number, url in enumerate(urls[OURS].values()):
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "text/html"})) as answer:
                (root / str(number)).write_bytes(answer.read())
        for name in (PLAIN, LOGGING):
            port = free_port()
            processes[name] = _files(bed.number("nginx"), port, root, log=name == LOGGING)
            stack.callback(processes[name].stop)
            listening(processes[name], port)
            urls[name] = {resource: f"http://127.0.0.1:{port}/{number}" for number, resource in enumerate(RESOURCES)}
        bed.settle(origin)
        for turn in range(bed.scale.brief):
            order = list(processes)[:: -1 if turn % 2 else 1]  # none always comes after the same one
            for resource in RESOURCES:
                for connections in CONNECTIONS:
                    for name in order:
                        row = Row("h", f"{resource}, {variant(connections, 'connection')}", name)
                        with bed.failing(row):
                            ask(bed, processes[name], urls[name][resource], connections, row)


def _urls(bed: Bed, server: Server) -> dict[str, str]:
    content = bed.content
    return {
        "100 KiB wheel": warm(server, content.small),
        "6 KB metadata": warm(server, content.metadata),
        "40 KB page": server.warm_page("small"),
    }


def _files(folder: Path, port: int, root: Path, *, log: bool) -> Process:
    folder.mkdir()
    nginx.prepare_files(folder, port, root, log=log)
    return Process(nginx.command(folder), log=folder / "log")
