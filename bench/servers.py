"""The servers under test: how each is set up before the origin, started, asked, and ended.

A `Recipe` says what is special about one; `Server` is one running with an empty cache on a port of its own. `peers`
installs the two that are Python packages. The cases measure whatever runs and do not know which server it is.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from bench import devpi, nginx
from bench.processes import Process, Stoppable
from bench.results import OURS, PORTABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.content import Ware

_START_LIMIT = 60.0
_POLL = 0.005
_HREF = re.compile(r'href="([^"]+)"')
_TEXT = {"Accept": "text/html"}
_PORTABLE_WAY = Path(__file__).parents[1] / "tests" / "portable"  # takes away what Linux alone has


class ServerError(Exception):
    """A server could not be set up or started, or its page lacks a file; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is to run: its folder, its port, the origin's address, the folder of installed peers."""

    folder: Path
    port: int
    origin: str
    peers: Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of server. `simple` is the path of its index; `prepare` runs before the clock starts.

    `cases`: the letters of those that it takes part in.
    """

    name: str
    simple: str
    command: Callable[[Place], list[str]]
    prepare: Callable[[Place], None] = lambda _: None
    environment: Callable[[Place], dict[str, str]] = lambda _: {}
    cases: str = "abcde"


class Server(Stoppable):
    """A running server; `started` is the seconds from its start to its first answer. Use as a context manager."""

    def __init__(self, recipe: Recipe, place: Place) -> None:
        self.name = recipe.name
        self._index = f"http://127.0.0.1:{place.port}{recipe.simple}"
        self._folder = place.folder
        place.folder.mkdir(parents=True)
        recipe.prepare(place)
        begin = time.perf_counter()
        log = place.folder / "log"
        self.process = Process(recipe.command(place), log=log, env=environment(**recipe.environment(place)))
        try:
            self._wait(begin + _START_LIMIT)
        except BaseException:
            self.stop()
            raise
        self.started = time.perf_counter() - begin

    def page(self, project: str) -> str:
        """The address of a project's page."""
        return f"{self._index}{project}/"

    def warm_page(self, project: str) -> str:
        """Have a project's page in the cache; gives its address. Raises ServerError."""
        page = self.page(project)
        _get(page)
        return page

    def find(self, ware: Ware) -> str:
        """The address that this server's own page gives for `ware`. Raises ServerError."""
        name = ware.name.removesuffix(".metadata")
        page = self.page(ware.project)
        for link in _HREF.findall(_get(page)):
            url = urllib.parse.urldefrag(urllib.parse.urljoin(page, unescape(link))).url
            if url.endswith("/" + name):
                return url + ware.name[len(name) :]
        raise ServerError(f"no link to {ware.name} on its page")

    def stop(self) -> None:
        """End the server and remove its folder."""
        self.process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self, limit: float) -> None:
        while True:
            try:
                _get(self.page("small"))
            except (OSError, ServerError):
                if not self.process.running() or time.perf_counter() > limit:
                    raise ServerError(self.process.complaint()) from None
                time.sleep(_POLL)
            else:
                return


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def listening(process: Process, port: int) -> None:
    """Wait until something listens on the port. Raises ServerError with the last word of a process that ended."""
    limit = time.monotonic() + _START_LIMIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            if not process.running() or time.monotonic() > limit:
                raise ServerError(process.complaint()) from None
            time.sleep(_POLL)
        else:
            return


def environment(**own: str) -> dict[str, str]:
    """What a server under test is started with: nothing that sets it up but what is its `own`, and no proxy."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PULLTHROUGH_", "PROXPI_"))}
    return kept | {"NO_PROXY": "*"} | own


def _get(url: str) -> str:
    request = urllib.request.Request(url, headers=_TEXT)
    try:
        with urllib.request.urlopen(request, timeout=_START_LIMIT) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        raise ServerError(f"status {error.code} for a page") from None
    return body.decode()


def _settings(place: Place) -> None:
    (place.folder / "pullthrough.toml").write_text(
        f'[[upstream]]\nmount = "pypi"\nurl = "{place.origin}/"\nindex = "simple/"\n', encoding="utf-8"
    )


def _ours(place: Place) -> list[str]:
    return [
        str(Path(sys.executable).with_name("pullthrough")),
        "serve",
        f"--config={place.folder / 'pullthrough.toml'}",
        f"--port={place.port}",
    ]


def _data(place: Place) -> dict[str, str]:
    return {"PULLTHROUGH_DATA": str(place.folder / "data")}


def proxpi_command(place: Place) -> list[str]:
    """As the image of its package runs it, less the access log, which nginx does not write here either."""
    program = str(place.peers / "proxpi" / "bin" / "gunicorn")
    return [program, "--preload", f"--bind=127.0.0.1:{place.port}", "--threads=2", "proxpi.server:app"]


def proxpi_environment(place: Place, simple: str) -> dict[str, str]:
    """`simple`: the path of the origin's index."""
    return {
        "PROXPI_INDEX_URL": f"{place.origin}{simple}",
        "PROXPI_CACHE_DIR": str(place.folder / "cache"),
        "PROXPI_CACHE_SIZE": str(100 << 30),
        "PROXPI_LOGGING_LEVEL": "WARNING",
    }


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(OURS, "/pypi/simple/", _ours, _settings, _data),
        Recipe(
            PORTABLE,
            "/pypi/simple/",
            _ours,
            _settings,
            lambda place: _data(place) | {"PYTHONPATH": str(_PORTABLE_WAY)},
            cases="a",
        ),
        Recipe(
            "nginx",
            "/simple/",
            lambda place: nginx.command(place.folder),
            lambda place: nginx.prepare(place.folder, place.port, place.origin),
        ),
        Recipe(
            "devpi",
            devpi.SIMPLE,
            lambda place: devpi.command(place.peers, place.folder, place.port),
            lambda place: devpi.prepare(place.peers, place.folder, place.origin, free_port()),
        ),
        Recipe(
            "proxpi",
            "/index/",
            proxpi_command,
            environment=lambda place: proxpi_environment(place, "/simple/"),
        ),
    )
}
