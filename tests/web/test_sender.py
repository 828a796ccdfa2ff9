"""One sender thread: whatever goes wrong with a transfer ends that transfer alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import tempfile
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from proxy.web.sender import BodyBroken, ClientGone, Transfer
from proxy.web.sender_threads import SenderThreads
from tests import guards
from tests.sockets import connected


@dataclass
class Faulty:
    """A growing body that fails when it is read."""

    fault: BaseException
    over: bool = False

    def readable(self, position: int) -> int:
        raise self.fault


@pytest.fixture
async def senders() -> AsyncIterator[SenderThreads]:
    """One thread."""
    made = SenderThreads(1, 30.0)
    yield made
    made.close()


async def sent(senders: SenderThreads, content: bytes) -> bytes:
    """What a client receives of a body that nothing is wrong with."""
    async with connected() as (transport, reader, _):
        await senders.send(transport, Transfer(b"", 0, len(content), memory=content))
        return await reader.readexactly(len(content))


async def test_error_of_the_system(senders: SenderThreads, complaints: list[logging.LogRecord]) -> None:
    """Every one of them ends its transfer; the thread goes on, and holds nothing of it."""
    before = guards.open_descriptors()
    for number in errno.errorcode:
        async with connected() as (transport, _, _):
            with pytest.raises((BodyBroken, ClientGone)):
                await senders.send(transport, Transfer(b"", 0, 9, -1, growing=Faulty(OSError(number, "no"))))
    assert b"good" == await sent(senders, b"good")
    assert before == guards.open_descriptors()


@pytest.mark.parametrize("fault", [ValueError("a bug"), AttributeError("a bug"), MemoryError(), RecursionError()])
async def test_error_of_this_program(
    senders: SenderThreads, complaints: list[logging.LogRecord], fault: Exception
) -> None:
    """It ends its transfer too, and the log has the traceback."""
    async with connected() as (transport, _, _):
        with pytest.raises(BodyBroken):
            await senders.send(transport, Transfer(b"", 0, 9, -1, growing=Faulty(fault)))
    (record,) = complaints
    assert record.exc_info is not None
    assert fault is record.exc_info[1]
    assert b"good" == await sent(senders, b"good")


@contextlib.contextmanager
def closed() -> Iterator[int]:
    """A number that belongs to no open file."""
    with tempfile.TemporaryFile() as file:
        number = file.fileno()
    yield number


@contextlib.contextmanager
def folder() -> Iterator[int]:
    """A directory."""
    number = os.open(tempfile.gettempdir(), os.O_RDONLY)
    yield number
    os.close(number)


@contextlib.contextmanager
def write_only() -> Iterator[int]:
    """A file that cannot be read."""
    with tempfile.TemporaryDirectory() as place:
        number = os.open(f"{place}/file", os.O_WRONLY | os.O_CREAT)
        yield number
        os.close(number)


@pytest.mark.parametrize("opened", [closed, folder, write_only], ids=lambda opened: opened.__name__)
async def test_descriptor_that_gives_nothing(
    senders: SenderThreads, opened: Callable[[], contextlib.AbstractContextManager[int]]
) -> None:
    """What the disk does not give breaks the body off; others who are served by the thread do not notice."""
    waiting = Transfer(b"", 0, 4, memory=b"good", growing=(held := Held()))
    async with connected() as (bystander, reader, _), connected() as (transport, _, _):
        other = asyncio.create_task(senders.send(bystander, waiting))
        with opened() as descriptor, pytest.raises(BodyBroken):
            await senders.send(transport, Transfer(b"", 0, 9, descriptor))
        held.end = 4
        waiting.wake()
        await other
        assert b"good" == await reader.readexactly(4)


@dataclass
class Held:
    """A body under way of which nothing is there yet."""

    end: int = 0
    over: bool = False

    def readable(self, position: int) -> int:
        return max(self.end, position)


class Deadly(BaseException):
    """What no handler of failures takes."""


async def test_thread_that_ends(complaints: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transfers end, another thread replaces it, and no descriptor is left."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    before = guards.open_descriptors()
    made = SenderThreads(1, 30.0)
    async with connected() as (bystander, _, _), connected() as (transport, _, _):
        held = Transfer(b"", 0, 4, memory=b"good", growing=Held())
        other = asyncio.create_task(made.send(bystander, held))
        while held.progressed == 0:  # the thread has it
            await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await made.send(transport, Transfer(b"", 0, 9, -1, growing=Faulty(Deadly())))
        with pytest.raises(ConnectionError):
            await other
    assert b"good" == await sent(made, b"good")
    made.close()
    assert before == guards.open_descriptors()


async def test_sent__is_let_go(senders: SenderThreads) -> None:
    """A thread that has nothing to do holds nothing of the body that it sent last."""
    body = Held(4, over=True)
    async with connected() as (transport, reader, _):
        await senders.send(transport, Transfer(b"", 0, 4, memory=b"good", growing=body))
        assert b"good" == await reader.readexactly(4)
    held, body = weakref.ref(body), Held()
    while held() is not None:  # the thread lets it go when it waits again
        await asyncio.sleep(0.001)
