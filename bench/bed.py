"""The test bed: one run's folder, content, sizes and servers, from which the cases take what they measure.

`__main__` makes one; the cases open origins and servers through it. It decides what a failure of a server is.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from bench import content
from bench.client import ClientError
from bench.origin import Origin
from bench.results import Results, Row
from bench.servers import RECIPES, Place, Server, ServerError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.content import Content
    from bench.origin import Pace

# What a server under test may do wrong; anything else is a mistake of the bench.
FAILURES = (ClientError, ServerError, OSError, subprocess.SubprocessError)


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes in bytes, windows in seconds, and how often each measurement is repeated."""

    giant: int
    cold: int
    repetitions: int
    brief: int  # repetitions of what takes a second or two, and depends on what else the machine does
    flood: float
    wrk: int
    crowd: int
    patience: float  # seconds that a crowd may take
    enough: float  # no further repetition of a server that took this many seconds in one variant
    installed: str  # what the real clients install
    locked: tuple[str, ...]  # the sets that they lock
    files: int  # in the store that is to be large
    projects: int  # over which hits are spread
    heads: int  # of requests that differ
    links: int  # on the cold page


FULL = Scale(
    content.GIB,
    400 * content.MIB,
    3,
    7,
    flood=2.0,
    wrk=2,
    crowd=50,
    patience=120.0,
    enough=30.0,
    installed="jupyterlab",
    locked=("dbt, great-expectations, superset", "airflow", "ray, mlflow, jupyterlab"),
    files=1_000_000,
    projects=200,
    heads=5_000,
    links=50_000,
)
QUICK = Scale(
    128 * content.MIB,
    64 * content.MIB,
    1,
    1,
    flood=1.0,
    wrk=1,
    crowd=50,
    patience=60.0,
    enough=10.0,
    installed="flask",
    locked=("ray, mlflow, jupyterlab",),
    files=20_000,
    projects=8,
    heads=200,
    links=2_000,
)


class Bed:
    """One run. `names` are the servers to measure in turn; `missing` those that could not be installed, and why.

    `folder` goes with the run, `kept` stays for the next one.
    """

    def __init__(
        self, folder: Path, kept: Path, scale: Scale, names: Sequence[str], missing: Mapping[str, str]
    ) -> None:
        self.scale = scale
        self.names = names
        self.missing = missing
        self.results = Results()
        self.folder = folder
        self.kept = kept
        self._numbers = count(1)
        self._spent: defaultdict[Row, float] = defaultdict(float)

    @property
    def peers(self) -> Path:
        """The folder of installed programs."""
        return self.kept / "peers"

    @cached_property
    def content(self) -> Content:
        """The wheels and pages of the origin, made when they are first needed."""
        scale = self.scale
        return content.make(self.folder / "content", giant=scale.giant, cold=scale.cold, colds=scale.brief)

    def number(self, name: str) -> Path:
        """A folder that is not there yet."""
        return self.folder / f"{name}-{next(self._numbers)}"

    @contextlib.contextmanager
    def origin(self, pace: Pace) -> Iterator[Origin]:
        """An origin that nobody asked anything yet."""
        assert self.content.wares, "it serves these"
        with Origin(self.folder / "content", pace, self.folder / f"origin-{next(self._numbers)}.log") as origin:
            yield origin

    def start(self, name: str, origin: Origin) -> Server:
        """Start a server with an empty cache. The caller stops it. Raises ServerError, OSError, SubprocessError."""
        if name in self.missing:
            raise ServerError(self.missing[name])
        return Server(RECIPES[name], Place(self.number(name), free_port(), origin.url, self.peers))

    @contextlib.contextmanager
    def servers(self, case: str, origin: Origin) -> Iterator[dict[str, Server]]:
        """All servers at once, idle until asked, so that repetitions can alternate between them."""
        with contextlib.ExitStack() as stack:
            running: dict[str, Server] = {}
            for name in self.taking_part(case):
                with self.failing(Row(case, "start", name)):
                    running[name] = stack.enter_context(self.start(name, origin))
            yield running

    def taking_part(self, case: str) -> list[str]:
        """The servers that are measured in a case."""
        return [name for name in self.names if case in RECIPES[name].cases]

    def again(self, row: Row) -> bool:
        """Whether to measure once more: not after a failure, nor when enough time went into this row."""
        return row not in self.results.failures and self._spent[row] < self.scale.enough

    @contextlib.contextmanager
    def failing(self, row: Row) -> Iterator[None]:
        """Note a failure of the server within as its result, and go on."""
        begin = time.monotonic()
        try:
            yield
        except FAILURES as error:
            self.results.fail(row, error)
        self._spent[row] += time.monotonic() - begin

    def settle(self, origin: Origin) -> None:
        """Let downloads end and the disk come to rest, so that one server does not pay for another."""
        origin.settle(self.scale.patience)
        self.rest()

    @staticmethod
    def rest() -> None:
        """Let the disk come to rest."""
        os.sync()
