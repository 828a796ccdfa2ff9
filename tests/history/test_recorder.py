"""What the history gathers of events, and what it does when its file or its disk fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from proxy.control.holdings import named
from proxy.events import Fetched, Mismatched, Served
from proxy.history import DaySum, ProjectSum, PullQuestion, Recorder, pulls
from proxy.history.database import LOG, NAME
from proxy.model import Kind, Outcome, Source
from proxy.ports import Clock
from proxy.user_agent import UNKNOWN, UserAgent
from tests.control.stores import StoppedClock
from tests.flows.asking import SteppedClock

_PATH = "/pypi/~files/files.example/a/litellm-1.82.8-py3-none-any.whl"


@asynccontextmanager
async def _recording(
    folder: Path, size: int = 10**8, clock: Clock | None = None, steady: Callable[[], float] = time.monotonic
) -> AsyncGenerator[Recorder]:
    recorder = Recorder(clock or StoppedClock(), 90, size, named, steady)
    await recorder.start(folder)
    try:
        yield recorder
    finally:
        await recorder.close()


def _served(
    path: str = _PATH,
    kind: Kind = Kind.FILE,
    outcome: Outcome = Outcome.HIT,
    status: int = 200,
    method: str = "GET",
    upstream: str = "pypi",
    client: str = "10.0.0.1",
    agent: UserAgent = UNKNOWN,
    sha256: str | None = None,
) -> Served:
    sent = {Source.CACHE: 100}
    return Served(upstream, kind, outcome, status, sent, 0.1, method, path, client, agent=agent, sha256=sha256)


def _totals(folder: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(folder / NAME)) as connection:
        return connection.execute("SELECT * FROM totals ORDER BY kind").fetchall()


async def test_recorder__files_by_client(tmp_path: Path) -> None:
    """Two spellings of an address are one file; other clients have rows of their own."""
    async with _recording(tmp_path) as recorder:
        for path in (_PATH, _PATH, f"{_PATH}?x=1", _PATH.replace("-1", "%2D1")):
            recorder(_served(path))
        recorder(_served(client="10.0.0.2"))

    found = pulls(tmp_path, PullQuestion("litellm", "1.82.8"))
    assert {("10.0.0.1", 4, 400), ("10.0.0.2", 1, 100)} == {(one.client, one.requests, one.size) for one in found}


async def test_recorder__programs_and_digests(tmp_path: Path) -> None:
    """Another program, another build, and another body under the name have rows of their own."""
    pip, job, digest = UserAgent("pip", "24.0"), UserAgent("pip", "24.0", "job 7"), "ab" * 32
    async with _recording(tmp_path) as recorder:
        for agent, sha256 in ((pip, digest), (pip, digest), (job, digest), (pip, None)):
            recorder(_served(agent=agent, sha256=sha256))

    found = {
        (one.client_name, one.client_version, one.build, one.sha256): one.requests
        for one in pulls(tmp_path, PullQuestion("litellm"))
    }
    assert {(*pip, digest): 2, (*job, digest): 1, (*pip, ""): 1} == found


async def test_recorder__bound(tmp_path: Path) -> None:
    """The file, and SQLite's log beside it, are within the bound after each batch; who asked last is still there."""
    bound, clock = 400_000, SteppedClock()
    async with _recording(tmp_path, bound, clock) as recorder:
        for batch in range(6):
            for number in range(3000):
                clock.advance(0.001)
                recorder(_served(client=f"10.{batch}.{number // 250}.{number % 250}"))
            await recorder.flush()
            assert bound >= sum((tmp_path / name).stat().st_size for name in (NAME, LOG))
            (last,) = pulls(tmp_path, PullQuestion("litellm", most=1))
            assert f"10.{batch}.11.249" == last.client


async def test_recorder__few_requests(tmp_path: Path) -> None:
    """What is old is forgotten by time, however few batches there are."""
    clock = SteppedClock()
    async with _recording(tmp_path, clock=clock, steady=clock.monotonic) as recorder:
        for day in range(200):
            recorder(_served(client=f"10.0.0.{day}"))
            await recorder.flush()
            clock.advance(86_400)

        assert 90 == len(pulls(tmp_path, PullQuestion("litellm")))


async def test_recorder__nobody_asks_any_more(tmp_path: Path) -> None:
    """What is old is forgotten also where nothing is written; a cache that nobody has asked makes no file for it."""
    clock = SteppedClock()
    async with _recording(tmp_path, clock=clock, steady=clock.monotonic) as recorder:
        await recorder.flush()
        assert [] == list(tmp_path.iterdir())
        recorder(_served())
        await recorder.flush()
        assert 1 == len(pulls(tmp_path, PullQuestion("litellm")))
        clock.advance(91 * 86_400)
        await recorder.flush()

        assert [] == pulls(tmp_path, PullQuestion("litellm"))
    assert 1 == len(_totals(tmp_path))


async def test_recorder__start_with_a_clock_years_ahead(tmp_path: Path) -> None:
    """A machine that has not set its clock yet loses nothing of what is current."""
    clock = SteppedClock()
    for days in range(3):
        async with _recording(tmp_path, clock=clock) as recorder:
            recorder(_served(client=f"10.0.0.{days}"))
        clock.advance(86_400 / 2)
    clock.advance(86_400 * 400)
    async with _recording(tmp_path, clock=clock) as recorder:
        recorder(_served(client="10.0.0.9"))

    left = {one.client for one in pulls(tmp_path, PullQuestion("litellm"))}
    assert {"10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.9"} == left


@pytest.mark.parametrize(
    "event",
    [
        _served(kind=Kind.PAGE),
        _served(method="HEAD"),
        _served(status=404, outcome=Outcome.ERROR),
        _served(status=304),
        _served("/pypi/" + "x" * 3000),
        _served(upstream="-"),
    ],
)
async def test_recorder__who_got_no_file(tmp_path: Path, event: Served) -> None:
    """Pages, heads, errors, what was not sent, endless addresses, and the program's own pages are nobody's files."""
    async with _recording(tmp_path) as recorder:
        recorder(event)

    assert [] == pulls(tmp_path, PullQuestion("*"))


async def test_recorder__totals(tmp_path: Path) -> None:
    """By kind, with what was fetched in a row of its own; also across a restart."""
    day = int(StoppedClock().now()) // 86_400
    for _ in range(2):
        async with _recording(tmp_path) as recorder:
            recorder(_served())
            recorder(_served(kind=Kind.PAGE, outcome=Outcome.MISS))
            recorder(Fetched("pypi", 70))
            recorder(Mismatched("pypi"))

    assert [
        (day, "pypi", "", 0, 0, 0, 0, 0, 140),
        (day, "pypi", "file", 2, 2, 200, 0, 0, 0),
        (day, "pypi", "page", 2, 0, 200, 0, 0, 0),
    ] == _totals(tmp_path)


async def test_days__what_is_not_written_yet(tmp_path: Path) -> None:
    """Days are told up to this moment; those of a recorder that has no folder are none."""
    day = int(StoppedClock().now()) // 86_400
    async with _recording(tmp_path) as recorder:
        assert [] == await recorder.days()
        recorder(_served())
        recorder(Fetched("pypi", 70))
        assert [DaySum(day, 100, 70)] == await recorder.days()
        assert [] == _totals(tmp_path)  # who looks has nothing written
        await recorder.flush()
        recorder(_served())
        assert [DaySum(day, 200, 70)] == await recorder.days()
    assert [] == await Recorder(StoppedClock(), 90, 10**8, named).days()


async def test_days__while_batches_are_written(tmp_path: Path) -> None:
    """Nothing is missing and nothing counted twice, whatever is on its way to the file, or comes back from it."""
    day = int(StoppedClock().now()) // 86_400
    folder = tmp_path / "data"
    async with _recording(folder) as recorder:
        for number in range(1, 41):
            recorder(_served())
            recorder(Fetched("pypi", 7))
            if number == 10:  # until now the file could not be made
                folder.mkdir()
            writing, asked = asyncio.create_task(recorder.flush()), asyncio.create_task(recorder.days())
            assert [DaySum(day, 100 * number, 7 * number)] == await asked
            if number % 3:
                await writing
            assert [DaySum(day, 100 * number, 7 * number)] == await recorder.days()
            await writing

    assert 40 == sum(row[3] for row in _totals(folder))  # type: ignore[misc]


async def test_recorder__damaged_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is set aside with one line, and what is gathered begins a new one."""
    (tmp_path / NAME).write_bytes(b"no database" * 1000)
    with caplog.at_level(logging.WARNING):
        async with _recording(tmp_path) as recorder:
            recorder(_served())

    assert 1 == len(caplog.records)
    assert (tmp_path / f"{NAME}.damaged").is_file()
    assert 1 == len(pulls(tmp_path, PullQuestion("litellm")))


async def test_recorder__nowhere_to_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line for a trouble, however long it lasts; it goes on when that is over, and no total is lost."""
    folder = tmp_path / "gone"
    with caplog.at_level(logging.WARNING):
        async with _recording(folder) as recorder:
            for _ in range(3):
                recorder(_served())
                await recorder.flush()
            folder.mkdir()
            recorder(_served())

    assert 1 == len(caplog.records)
    assert [1] == [one.requests for one in pulls(folder, PullQuestion("litellm"))]
    assert [4] == [row[3] for row in _totals(folder)]


async def test_recorder__many_clients(tmp_path: Path) -> None:
    """Memory is bounded: who comes after 20,000 others between two batches is not noted, and is counted."""
    async with _recording(tmp_path) as recorder:
        for number in range(21_000):
            recorder(_served(client=f"10.0.{number // 250}.{number % 250}"))

    assert 20_000 == len(pulls(tmp_path, PullQuestion("litellm", most=10**6)))
    assert [21_000] == [row[3] for row in _totals(tmp_path)]


async def test_recorder__closed_before_a_folder(tmp_path: Path) -> None:
    """A cache that ends before its folder could be used writes nothing."""
    recorder = Recorder(StoppedClock(), 90, 10**8, named)
    recorder(_served())
    await recorder.close()
    await recorder.start(tmp_path)

    assert [] == list(tmp_path.iterdir())


async def test_projects__what_came_without_a_download_of_its_own(tmp_path: Path) -> None:
    """Bytes of the cache and of others' downloads; they are there after a restart, and none of a broken file."""
    async with _recording(tmp_path) as recorder:
        assert [] == await recorder.projects()
        recorder(_served())
        recorder(structs.replace(_served(), sent={Source.SHARED: 20, Source.UPSTREAM: 1000}))
        recorder(_served(kind=Kind.METADATA))
        await recorder.flush()
        assert [ProjectSum("litellm", 120)] == await recorder.projects() == await recorder.projects()
    async with _recording(tmp_path) as recorder:
        assert [ProjectSum("litellm", 120)] == await recorder.projects()
    assert [] == await recorder.projects()
    (tmp_path / NAME).write_bytes(b"no database")
    async with _recording(tmp_path) as recorder:
        assert [] == await recorder.projects()
