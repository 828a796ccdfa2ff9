"""`python -m bench.history`: how long `who` takes on a history of five million rows, and how large that is.

The history is made as a cache would have left it: 20,000 files of 2,000 projects, a thousand clients, ninety days. Each
question is asked three times; the median counts. It is about the machine, too: nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results import say
from proxy.history import PullQuestion, pulls
from proxy.history.database import DAY, HistoryFile
from proxy.history.sums import ClientName, ClientSum, FileName
from proxy.user_agent import UserAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAYS, _CLIENTS, _OF_PROJECT, _OF_FILE = 90, 1000, 10, 250
_AT_ONCE = 100  # files that are written in one batch
_TIMES = 3


def file_of(number: int) -> FileName:
    """One of the files; ten are of one project."""
    project, version = f"project{number // _OF_PROJECT}", f"{number % _OF_PROJECT}.0"
    return FileName("pypi", f"{project}-{version}-py3-none-any.whl", project, version, f"{number:064x}")


def fill(folder: Path, rows: int) -> int:
    """Make a history with about so many rows. Gives how many bytes it takes."""
    chance = random.Random(7)
    clients = [ClientName(f"10.0.{one // 250}.{one % 250}", UserAgent("pip", "24.0")) for one in range(_CLIENTS)]
    with closing(HistoryFile.open(folder)) as history:
        for first in range(0, max(rows // _OF_FILE, 1), _AT_ONCE):
            batch: dict[tuple[int, FileName, ClientName], ClientSum] = {}
            for number in range(first, min(first + _AT_ONCE, max(rows // _OF_FILE, 1))):
                for _ in range(_OF_FILE):
                    day = chance.randrange(_DAYS)
                    at = (day + chance.random()) * DAY
                    batch[day, file_of(number), chance.choice(clients)] = ClientSum(1, 1000, at, at)
            history.add({}, batch)
        return history.size()


def questions() -> Iterator[tuple[str, PullQuestion]]:
    """What is asked, with its name."""
    week = (_DAYS - 7) * float(DAY)
    yield "a version", PullQuestion("project7", "3.0")
    yield "a project", PullQuestion("project7")
    yield "a digest", PullQuestion("", sha256=f"{77:064x}")
    yield "a pattern of 1,000 projects", PullQuestion("project1*")
    yield "everything", PullQuestion("*")
    yield "everything in seven days", PullQuestion("*", since=week)
    yield "everything of one client", PullQuestion("*", client="10.0.1.7")


def main(arguments: list[str]) -> int:
    """Make the history, ask, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"making {asked.rows:,} rows")
        size = fill(folder, asked.rows)
        print(f"{asked.rows:,} rows: {size / 1e6:.0f} MB\n\n| who asks for | rows shown | seconds |\n|---|---|---|")
        for text, question in questions():
            took, found = [], 0
            for _ in range(_TIMES):
                began = time.perf_counter()
                found = len(pulls(folder, question))
                took.append(time.perf_counter() - began)
            print(f"| {text} | {found:,} | {statistics.median(took):.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
