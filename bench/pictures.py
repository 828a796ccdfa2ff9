"""`python -m bench.pictures`: pictures of Grafana's dashboards for the documentation, drawn from real traffic.

For five minutes the real pip downloads from PyPI through the cache, and the real Prometheus scrapes it. The way out is
cut for a while, and the disk is small, so that failures and evictions are seen, too. Then each panel's own queries are
asked, and `grafana.drawing` draws the answers; Chromium makes pictures of that. No Grafana takes part.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pypi_simple import PYPI_SIMPLE_ENDPOINT

from bench.processes import Process
from bench.servers import free_port
from grafana import dashboards, drawing
from grafana.drawing import Line

_ROOT = Path(__file__).parent.parent
_PICTURES = _ROOT / "docs" / "pictures"
_SECONDS = 300
_CUT = (170, 210)  # seconds in which nothing gets out
_STEP = 3  # seconds between two points of a graph
_BUILDS = 3  # at once
_DISK = "120MB"
_INDEX = "simple/"
_CHOSEN = {
    "$__rate_interval": "20s", "$__range": f"{_SECONDS}s", "$instance": ".+", "$upstream": ".+",
    "${price:doublequote}": '"0.09"',
}  # fmt: skip
# The first ones are asked for most.
_PROJECTS = (
    "requests", "numpy", "pandas", "flask", "rich", "sqlalchemy", "pillow", "cryptography", "django", "lxml",
    "matplotlib", "scipy",
)  # fmt: skip
_SAID = (
    "Drawn by this project from what Prometheus answered to the panels' queries; Grafana draws them otherwise. "
    "Five minutes of pip before PyPI; from 2:50 to 3:30 the way out was cut."
)


class WayOut:
    """A forward proxy for tunnels, which can be cut. Mutable state: whether it is, and the tunnels."""

    def __init__(self) -> None:
        self.port = 0
        self._cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tunnels: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen on a port of the loopback interface."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._tunnels, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections, and take no further ones."""
        self._cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let them through again."""
        self._cut = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._tunnel(reader, writer))
        self._tunnels.add(task)
        task.add_done_callback(self._tunnels.discard)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self._writers.add(writer)
            head = await reader.readuntil(b"\r\n\r\n")
            if not self._cut:
                host, _, port = head.split()[1].decode().rpartition(":")
                there, out = await asyncio.open_connection(host, int(port))
                self._writers.add(out)
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await asyncio.gather(_copy(reader, out), _copy(there, writer))
        self._writers.discard(writer)
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


def _environment(folder: Path) -> dict[str, str]:
    """Of all programs: nothing of the caller's settings for pip or the cache."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PIP_", "PULLTHROUGH_"))}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "PULLTHROUGH_DATA": str(folder / "data"), "HOME": str(folder)}


def _cache(folder: Path, way: WayOut) -> tuple[Process, str]:
    """The cache in a process; gives its address, too."""
    port = free_port()
    settings = folder / "settings.toml"
    base = PYPI_SIMPLE_ENDPOINT.removesuffix(_INDEX)
    settings.write_text(
        f'disk = "{_DISK}"\nproxy = "http://127.0.0.1:{way.port}"\n'
        f'[[upstream]]\nmount = "pypi"\nurl = "{base}"\nindex = "{_INDEX}"\nttl = 15\n',
        "utf-8",
    )
    program = str(Path(sys.executable).with_name("pullthrough"))
    command = (program, "serve", f"--config={settings}", f"--port={port}")
    return Process(command, log=folder / "cache.log", env=_environment(folder)), f"127.0.0.1:{port}"


def _prometheus(folder: Path, target: str) -> tuple[Process, str]:
    """Prometheus with this checkout's configuration, but that it looks each second; gives its address, too."""
    for name in ("prometheus.yml", "rules.yml"):
        text = (_ROOT / "grafana" / name).read_text("utf-8").replace("cache:3142", target)
        (folder / name).write_text(re.sub(r"(interval): \S+", r"\1: 1s", text), "utf-8")
    address = f"127.0.0.1:{free_port()}"
    options = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/series")
    command = ("prometheus", *options, f"--web.listen-address={address}")
    return Process(command, log=folder / "prometheus.log", env=_environment(folder)), f"http://{address}"


def _get(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


async def _until_up(prometheus: str) -> None:
    """Wait until Prometheus has seen the cache."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(urllib.error.URLError):
                answer = await asyncio.to_thread(_get, f"{prometheus}/api/v1/query?query=up")
                if any(one["value"][1] == "1" for one in answer["data"]["result"]):
                    return
            await asyncio.sleep(0.5)


async def _builds(folder: Path, cache: str, chance: random.Random, number: int) -> None:
    """One machine that builds again and again, with nothing of its own to begin with."""
    weights = [1 / (place + 1) for place in range(len(_PROJECTS))]
    for build in range(10_000):
        wanted = set(chance.choices(_PROJECTS, weights, k=2))
        place = folder / f"build-{number}-{build}"
        options = ("--no-cache-dir", "--disable-pip-version-check", "--retries=1", "--timeout=20", "--quiet")
        index = f"--index-url=http://{cache}/pypi/simple/"
        command = (sys.executable, "-m", "pip", "download", *options, index, "--dest", str(place), *sorted(wanted))
        with (folder / "pip.log").open("ab") as log:
            pip = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=_environment(folder))
            try:
                await pip.wait()
            finally:
                if pip.returncode is None:
                    pip.kill()
                    await pip.wait()
        shutil.rmtree(place, ignore_errors=True)
        await asyncio.sleep(chance.random() * 4)


async def _traffic(folder: Path, cache: str, way: WayOut) -> None:
    chance = random.Random(1)
    building = [asyncio.create_task(_builds(folder, cache, chance, number)) for number in range(_BUILDS)]
    await asyncio.sleep(_CUT[0])
    way.cut()
    await asyncio.sleep(_CUT[1] - _CUT[0])
    way.mend()
    await asyncio.sleep(_SECONDS - _CUT[1])
    for one in building:
        one.cancel()
    await asyncio.gather(*building, return_exceptions=True)


def _lines(prometheus: str, target: Mapping[str, Any], end: float) -> Sequence[Line]:
    """What Prometheus answers to a panel's query."""
    expression = target["expr"]
    for name, value in _CHOSEN.items():
        expression = expression.replace(name, value)
    asked = {"query": expression}
    if target.get("instant"):
        answer = _get(f"{prometheus}/api/v1/query?{urllib.parse.urlencode(asked | {'time': end})}")
        return [Line(one["metric"], [_point(one["value"])]) for one in answer["data"]["result"]]
    asked |= {"start": str(end - _SECONDS), "end": str(end), "step": str(_STEP)}
    answer = _get(f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(asked)}")
    return [Line(one["metric"], [_point(point) for point in one["values"]]) for one in answer["data"]["result"]]


def _point(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def _draw(prometheus: str, folder: Path, end: float) -> None:
    """Ask all queries of the minutes before `end`, in seconds since the epoch, and write the pictures."""
    for name, text in dashboards.texts().items():
        board = json.loads(text)
        answers = {
            (panel["id"], target["refId"]): _lines(prometheus, target, end)
            for panel in board["panels"]
            for target in panel.get("targets", ())
        }
        page = folder / f"{name}.html"
        page.write_text(drawing.page(board, answers, _SAID), "utf-8")
        picture = _PICTURES / f"grafana-{name.removesuffix('.json')}.png"
        size = f"--window-size={drawing.WIDTH + 16},{drawing.height(board)}"
        options = ("--headless", "--no-sandbox", "--hide-scrollbars", size, f"--screenshot={picture}", page.as_uri())
        subprocess.run(("chromium", *options), env=_environment(folder), capture_output=True, timeout=120, check=True)


async def _run(folder: Path) -> None:
    way = WayOut()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(way.open())
        cache, address = _cache(folder, way)
        stack.callback(cache.stop)
        prometheus, url = _prometheus(folder, address)
        stack.callback(prometheus.stop)
        await _until_up(url)
        await _traffic(folder, address, way)
        await asyncio.to_thread(_draw, url, folder, time.time())


def main() -> None:
    """Write the pictures to `docs/pictures`."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(Path(folder)))


if __name__ == "__main__":
    main()
