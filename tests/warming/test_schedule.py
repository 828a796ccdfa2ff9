"""What `[[warm]]` names is looked after at the start, and again and again, beside the cache."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.app import SystemClock
from proxy.config.warming import WarmSettings
from proxy.events import Event, WarmRun
from proxy.warming.schedule import Schedule

REPORT = {"here": 1, "came": 2, "size_came": 300, "missing": [], "refused": [], "unread": ["line 5: x"]}


def entry(name: str = "nightly", every: float = 1e6) -> WarmSettings:
    """An entry; `every` may be shorter here than in a file."""
    return WarmSettings(name=name, what=("demo",)).model_copy(update={"every": every})


class Runs:
    """The events."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def __call__(self, event: Event, /) -> None:
        """See `ports.Observer`."""
        self.seen.append(event)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it."""
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def scheduled(folder: Path, program: str, *entries: WarmSettings) -> AsyncIterator[Runs]:
    """A schedule that runs a program, whose calls are lines of the file `calls`."""
    script, runs = folder / "program.py", Runs()
    called = f"open({str(folder / 'calls')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')"
    front = f"import json, os, sys, time\n{called}\n"
    script.write_text(front + program, encoding="utf-8")
    environ = {"PATH": os.environ["PATH"], "PULLTHROUGH_PORT": "9"}
    command = [sys.executable, "-S", str(script)]
    schedule = Schedule(entries, command, environ, folder / "warming", runs, SystemClock())
    task = asyncio.create_task(schedule.run())
    try:
        yield runs
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def calls(folder: Path) -> list[str]:
    """What the program was called with."""
    path = folder / "calls"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


async def test_run__at_the_start(tmp_path: Path) -> None:
    """Each entry once, one after the other, with its words and the cache's address."""
    program = f"assert os.environ['PULLTHROUGH_PORT'] == '9'\nprint({json.dumps(REPORT)!r})"
    async with scheduled(tmp_path, program, entry("one"), entry("two")) as runs:
        await runs.until(lambda: len(runs.seen) == 2)
    assert [WarmRun(name, "complete", 1, 2, 300) for name in ("one", "two")] == runs.seen
    assert ["--json --index pypi -- demo"] * 2 == calls(tmp_path)


async def test_run__again(tmp_path: Path) -> None:
    """After its time it is run again; another one is not kept from its turn."""
    async with scheduled(tmp_path, f"print({json.dumps(REPORT)!r})", entry("often", 0.01), entry("once")) as runs:
        await runs.until(lambda: len(runs.seen) == 4)
    names = [event.name for event in runs.seen if isinstance(event, WarmRun)]
    assert (3, 1) == (names.count("often"), names.count("once"))


async def test_run__what_could_not_be_had(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is in the event and in the log, as is what was not understood."""
    report = {**REPORT, "refused": [{"what": "demo 9", "why": "there is\nnone"}]}
    with caplog.at_level(logging.INFO):
        async with scheduled(tmp_path, f"print({json.dumps(report)!r}); sys.exit(1)", entry()) as runs:
            await runs.until(lambda: bool(runs.seen))
    assert [WarmRun("nightly", "incomplete", 1, 2, 300, ("demo 9: there is\nnone",))] == runs.seen
    said = [record.getMessage() for record in caplog.records]
    assert "warm nightly: demo 9: there is none" in said
    assert "warm nightly: line 5: x" in said
    assert "warm nightly is incomplete: files that were here: 1, that came: 2" in said


@pytest.mark.parametrize(
    "program",
    [
        "print('why', file=sys.stderr); sys.exit(2)",
        "print('why', file=sys.stderr); print('no report')",
        "sys.exit('why')",
    ],
    ids=["usage", "no report", "nothing"],
)
async def test_run__failed(tmp_path: Path, caplog: pytest.LogCaptureFixture, program: str) -> None:
    """What it said is in the log, and the next one is run all the same."""
    async with scheduled(tmp_path, program, entry("one"), entry("two")) as runs:
        await runs.until(lambda: len(runs.seen) == 2)
    assert [WarmRun("one", "failed"), WarmRun("two", "failed")] == runs.seen
    assert "why" in caplog.records[0].getMessage()


async def test_run__room_to_work_in(tmp_path: Path) -> None:
    """Temporary files are in the folder that is given, without what one that was killed has left; then it is gone."""
    (tmp_path / "warming" / "left").mkdir(parents=True)
    program = (
        "import tempfile; made = tempfile.mkdtemp(); folder = os.environ['TMPDIR']\n"
        f"assert folder == {str(tmp_path / 'warming')!r} == os.path.dirname(made), made\n"
        f"assert [os.path.basename(made)] == os.listdir(folder)\nprint({json.dumps(REPORT)!r})"
    )
    async with scheduled(tmp_path, program, entry("one"), entry("two")) as runs:
        await runs.until(lambda: len(runs.seen) == 2 and not (tmp_path / "warming").exists())
    assert [WarmRun(name, "complete", 1, 2, 300) for name in ("one", "two")] == runs.seen


async def test_run__no_folder_to_work_in(tmp_path: Path) -> None:
    """A disk on which none can be made: the run has room elsewhere, or says itself that it has not."""
    (tmp_path / "warming").touch()
    program = f"assert 'TMPDIR' not in os.environ\nprint({json.dumps(REPORT)!r})"
    async with scheduled(tmp_path, program, entry("one")) as runs:
        await runs.until(lambda: bool(runs.seen))
    assert [WarmRun("one", "complete", 1, 2, 300)] == runs.seen


async def test_run__no_program(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A program that cannot be run."""
    runs = Runs()
    schedule = Schedule([entry()], ["/nowhere/program"], {}, tmp_path / "warming", runs, SystemClock())
    task = asyncio.create_task(schedule.run())
    await runs.until(lambda: bool(runs.seen))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [WarmRun("nightly", "failed")] == runs.seen
    assert "could not be run" in caplog.text


async def test_run__ends_with_the_server(tmp_path: Path) -> None:
    """A run that is under way is ended."""
    async with scheduled(tmp_path, "time.sleep(1000)", entry()) as runs:
        await runs.until(lambda: bool(calls(tmp_path)))
    assert [] == runs.seen


async def test_run__nothing_to_do(tmp_path: Path) -> None:
    """Without entries there is nothing to wait for."""
    await Schedule([], [], {}, tmp_path / "warming", Runs(), SystemClock()).run()
