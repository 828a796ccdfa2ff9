"""The thread that writes to standard error: it delays no caller, and each line is written or counted."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.web.log_writer import LogWriter


def lost(count: int) -> str:
    """The line about dropped lines."""
    return f"lost {count}\n"


class Pipe:
    """A pipe as small as the system makes it, seen from both ends."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        if sys.platform == "linux":
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        self.reader = os.fdopen(reader, "rb", buffering=0)
        self.writer = os.fdopen(writer, "w")

    def fill(self) -> bytes:
        """Let it have no room for a byte; gives what is in it."""
        number = self.writer.fileno()
        os.set_blocking(number, False)
        filled = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += b"x" * os.write(number, b"x" * 1000)
        os.set_blocking(number, True)
        return filled

    def close(self) -> None:
        """Both ends."""
        self.reader.close()
        self.writer.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe."""
    made = Pipe()
    yield made
    made.close()


def drained(pipe: Pipe, log: LogWriter) -> bytes:
    """All that is written until the log is closed, by a reader that is there."""
    received = bytearray()

    def read() -> None:
        while piece := pipe.reader.read(1 << 16):
            received.extend(piece)

    reading = threading.Thread(target=read)
    reading.start()
    log.close()
    pipe.writer.close()
    reading.join()
    return bytes(received)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=300).map(lambda text: text.replace("\n", " ")), max_size=300))
def test_take__in_order(texts: list[str]) -> None:
    """A stream that takes lines has them all, each whole, in the order in which they came."""
    pipe = Pipe()
    log = LogWriter(pipe.writer, lost)
    for text in texts:
        log.queue(f"<{text}>\n")
    received = drained(pipe, log)
    pipe.close()
    assert "".join(f"<{text}>\n" for text in texts).encode("utf-8", "backslashreplace") == received
    assert 0 == log.dropped


@pytest.mark.parametrize("name", ["log", os.devnull])
def test_take__more_than_a_pipe_takes(tmp_path: Path, name: str) -> None:
    """A file takes long runs of lines, whole and in order; nothing is dropped where they go nowhere."""
    path = tmp_path / name
    lines = [f"{number} {'x' * 1000}\n" for number in range(5000)]
    with path.open("w") as stream:
        log = LogWriter(stream, lost, most=1 << 30)
        for line in lines:
            log.queue(line)
        log.close()

    assert 0 == log.dropped
    assert path.read_text() == ("" if name == os.devnull else "".join(lines))


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="the system does not say how much a pipe takes")
def test_take__few_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that is read takes many lines at once, since each write costs requests time."""
    sizes: list[int] = []

    def write(descriptor: int, pieces: list[memoryview]) -> int:
        sizes.append(written(descriptor, pieces))
        return sizes[-1]

    written = os.writev
    monkeypatch.setattr(os, "writev", write)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as received, os.fdopen(writer, "w") as stream:
        log = LogWriter(stream, lost)
        for number in range(400):
            log.queue(f"{number:>99}\n")
        log.close()
        stream.close()
        assert "".join(f"{number:>99}\n" for number in range(400)).encode() == received.read()
    assert max(sizes) > 8 * select.PIPE_BUF


def test_take__nobody_reads(pipe: Pipe) -> None:
    """Lines that are not written are bounded, lines beyond the bound are counted, and no caller waits."""
    before = pipe.fill()
    log = LogWriter(pipe.writer, lost, most=100_000)
    for number in range(1200):
        log.queue(f"{number}\n")
    while len(log._waiting) == 1200:  # until the thread has some of them in hand
        time.sleep(0.001)
    for number in range(1200, 10_000):
        log.queue(f"{number}\n")
    assert 10_000 - 101_000 / 64 <= log.dropped < 10_000
    received = drained(pipe, log)[len(before) :].decode().splitlines()
    said = [int(line.removeprefix("lost ")) for line in received if line.startswith("lost ")]
    lines = [int(line) for line in received if not line.startswith("lost ")]
    assert log.dropped == sum(said)
    assert sorted(lines) == lines
    assert 10_000 == len(lines) + log.dropped


def test_close__nobody_reads(pipe: Pipe) -> None:
    """It gives up, the thread ends, and what was left is counted."""
    pipe.fill()
    log = LogWriter(pipe.writer, lost)
    for number in range(1000):
        log.write(str(number))
    log.close()
    assert not log._thread.is_alive()
    assert 1000 == log.dropped


def test_take__after_the_end() -> None:
    """Its lines are counted, and none stays in memory."""
    log = LogWriter(io.StringIO(), lost)
    log.close()
    log.write("late")
    assert (1, 0) == (log.dropped, len(log._waiting))


@contextlib.contextmanager
def no_reader() -> Iterator[IO[str]]:
    """A pipe whose reader went away."""
    pipe = Pipe()
    pipe.reader.close()
    yield pipe.writer
    pipe.close()


@contextlib.contextmanager
def full_disk() -> Iterator[IO[str]]:
    """A file on a disk that is full."""
    with Path("/dev/full").open("w") as file:
        yield file


@contextlib.contextmanager
def read_only() -> Iterator[IO[str]]:
    """A file that was opened for reading."""
    with Path(__file__).open() as file:
        yield file


@contextlib.contextmanager
def closed() -> Iterator[IO[str]]:
    """A stream that was closed."""
    stream = io.StringIO()
    stream.close()
    yield stream


@contextlib.contextmanager
def broken() -> Iterator[IO[str]]:
    """A stream of this process that fails."""

    class Broken(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    yield Broken()


_FAILING = [no_reader, *([full_disk] if Path("/dev/full").exists() else []), read_only, closed, broken]


@pytest.mark.parametrize("opened", _FAILING, ids=lambda opened: opened.__name__)
def test_take__stream_fails(opened: type[contextlib.AbstractContextManager[IO[str]]]) -> None:
    """Lines are dropped and counted, and nothing else happens."""
    with opened() as stream:
        log = LogWriter(stream, lost)
        for number in range(1000):
            log.write(str(number))
        log.close()
        assert not log._thread.is_alive()
    assert 1000 == log.dropped


def test_take__no_stream() -> None:
    """A process without a standard error has no log, and no trouble by that."""
    log = LogWriter(None, lost)
    log.write("one")
    log.close()
    assert 0 == log.dropped


def test_take__disk_is_full_for_a_while(tmp_path: Path) -> None:
    """A line that was cut is ended before the next one begins."""
    path = tmp_path / "log"
    with path.open("w") as file:
        log = LogWriter(file, lost)
        log._cut = True  # as after a write that took a part only
        log.write("whole")
        log.close()
    assert "\nwhole\n" == path.read_text()
