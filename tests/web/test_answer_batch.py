"""Answers of one turn of the event loop leave together."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from proxy import app
from proxy.config.settings import Settings
from proxy.web.answer_batch import AnswerBatch
from proxy.web.busy_answers import BusyAnswer
from proxy.web.server import ClientConnection
from proxy.web.wakeful_loop import Turn, WakefulLoop
from tests.meant_log import meant_log

MOST = 16  # answers that wait for each other
NO_MEMORY = b"head that cannot be sent"

Sent = tuple[bytes, bytes, int | None]


class Wire(asyncio.Transport):
    """A transport that may be closing."""

    closing = False

    def is_closing(self) -> bool:
        return self.closing


@dataclass
class Line:
    """What a batch sees of a connection. `log`: what was sent to all of them."""

    log: list[Sent]
    transport: Wire | None = field(default_factory=Wire)
    peer: str = "127.0.0.1"
    broken: bool = False  # it was reset

    def send(self, head: bytes, body: bytes, file: int | None) -> None:
        if head == NO_MEMORY:
            raise MemoryError
        self.log.append((head, body, file))

    def reset(self) -> None:
        self.broken = True


@pytest.fixture
def log() -> list[Sent]:
    """What was sent, in order."""
    return []


@pytest.fixture
def turn() -> Turn:
    """A turn with many clients."""
    made = Turn()
    made.ready = 100
    return made


def send(batch: AnswerBatch, line: Line, head: bytes, busy: BusyAnswer | None = None) -> None:
    """Send an answer with this head."""
    batch.send(cast("ClientConnection", line), head, b"body", busy)


@pytest.mark.parametrize("ready", [0, 1, 2])
def test_send__few_clients(log: list[Sent], turn: Turn, ready: int) -> None:
    """The answer leaves at once."""
    turn.ready = ready
    send(AnswerBatch(turn), Line(log), b"1", BusyAnswer(b"1", 5, descriptor=7))
    assert log == [(b"1", b"body", 7)]


async def test_send__at_the_end_of_the_turn(log: list[Sent], turn: Turn) -> None:
    """All leave together, in their order, before anything that the next turn brings."""
    batch = AnswerBatch(turn)
    for head in (b"1", b"2", b"3"):
        send(batch, Line(log), head)
    assert log == []
    await asyncio.sleep(0)
    assert [head for head, _, _ in log] == [b"1", b"2", b"3"]
    send(batch, Line(log), b"4")
    await asyncio.sleep(0)
    assert len(log) == 4


async def test_send__bounded(log: list[Sent], turn: Turn) -> None:
    """The first one waits for so many others, and no longer."""
    batch = AnswerBatch(turn)
    for number in range(MOST + 1):
        assert log == []
        send(batch, Line(log), b"%d" % number)
        if number == MOST - 1:
            assert len(log) == MOST
            log.clear()
    await asyncio.sleep(0)
    assert [head for head, _, _ in log] == [b"%d" % MOST]


@pytest.mark.parametrize("lost", [False, True])
async def test_leave__a_client_has_gone(log: list[Sent], turn: Turn, lost: bool) -> None:
    """It gets nothing: its descriptor may be another's by then. The others get theirs."""
    batch, gone = AnswerBatch(turn), Line(log)
    send(batch, gone, b"1")
    send(batch, Line(log), b"2")
    assert gone.transport is not None
    gone.transport.closing = True
    if lost:
        gone.transport = None
    await asyncio.sleep(0)
    assert [head for head, _, _ in log] == [b"2"]


async def test_leave__one_cannot_be_sent(log: list[Sent], turn: Turn) -> None:
    """Its connection breaks, so that its client asks again, and the log says it. The others get theirs."""
    batch, lines = AnswerBatch(turn), [Line(log) for _ in range(3)]
    for line, head in zip(lines, (b"1", NO_MEMORY, b"3"), strict=True):
        send(batch, line, head)
    with meant_log("proxy.web.answer_batch") as told:
        await asyncio.sleep(0)
    assert [head for head, _, _ in log] == [b"1", b"3"]
    assert [line.broken for line in lines] == [False, True, False]
    assert [record.getMessage() for record in told] == ["answer not sent"]


async def test_leave__its_file_was_closed(log: list[Sent], turn: Turn) -> None:
    """The answer leaves without it."""
    batch, busy = AnswerBatch(turn), BusyAnswer(b"1", 5, descriptor=7)
    send(batch, Line(log), b"1", busy)
    send(batch, Line(log), b"2", BusyAnswer(b"2", 5, descriptor=8))
    busy.descriptor = None
    await asyncio.sleep(0)
    assert log == [(b"1", b"body", None), (b"2", b"body", 8)]


def ask(path: str, line: socket.socket) -> None:
    """Ask for a path as always."""
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n".encode())


def answer(line: socket.socket) -> tuple[bytes, bytes]:
    """The next answer: its status line, and its body."""
    with http.client.HTTPResponse(line) as response:
        response.begin()
        return b"%d" % response.status, response.read()


def test_send__a_crowd(tmp_path: Path) -> None:
    """Clients that ask together get what each of them asked for; one of them has gone by then."""
    paths = ["/api/v1/now", "/?view=live"]

    async def serve() -> None:
        async with contextlib.AsyncExitStack() as stack:
            running = await app.start(Settings(port=0, data=tmp_path))
            stack.push_async_callback(running.close)
            address = ("127.0.0.1", int(running.url.rpartition(":")[2]))
            lines = [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(50)]
            for _ in range(5):
                for number, line in enumerate(lines):
                    ask(paths[number % 2], line)
                # This thread runs the event loop: it finds all of them at once.
                answers = await asyncio.to_thread(lambda: list(map(answer, lines)))
                assert {status for status, _ in answers} == {b"200"}
                assert [body[:1] for _, body in answers] == [b"{", b"<"] * 25
            for line in lines:
                ask(paths[0], line)
            lines[3].close()
            rest = lines[:3] + lines[4:]
            assert {status for status, _ in await asyncio.to_thread(lambda: list(map(answer, rest)))} == {b"200"}

    with asyncio.Runner(loop_factory=WakefulLoop) as runner:
        runner.run(serve())
