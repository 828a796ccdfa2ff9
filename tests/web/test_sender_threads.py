"""The sender threads of a server, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator

import pytest

from proxy.web.sender import BodyBroken, ClientGone, Transfer
from proxy.web.sender_threads import SenderThreads
from tests.sockets import connected


class _Growing:
    """A body whose end the test moves."""

    def __init__(self) -> None:
        self.end = 0
        self.over = False

    def readable(self, position: int) -> int:
        return max(self.end, position)


@contextlib.contextmanager
def _senders(stall: float = 30.0) -> Iterator[SenderThreads]:
    senders = SenderThreads(2, stall)
    try:
        yield senders
    finally:
        senders.close()


async def test_send__file_larger_than_any_buffer() -> None:
    """The head and the asked part of a file arrive, byte for byte."""
    body = os.urandom(12 << 20)
    with tempfile.TemporaryFile() as file, _senders() as senders:
        file.write(body)
        file.flush()
        async with connected() as (transport, reader, _):
            transfer = Transfer(b"head:", 1000, len(body) - 7, file.fileno())
            sending = asyncio.create_task(senders.send(transport, transfer))
            got = await reader.readexactly(5 + len(body) - 1007)
            await sending

    assert b"head:" + body[1000:-7] == got


async def test_send__memory() -> None:
    """A body in memory is sent the same way."""
    body = os.urandom(5 << 20)
    with _senders() as senders:
        async with connected() as (transport, reader, _):
            sending = asyncio.create_task(senders.send(transport, Transfer(b"h", 0, len(body), memory=body)))
            got = await reader.readexactly(1 + len(body))
            await sending

    assert b"h" + body == got


async def test_send__growing_file() -> None:
    """A follower gets what is readable, waits, and gets the rest when it is woken."""
    growing = _Growing()
    with tempfile.TemporaryFile() as file, _senders() as senders:
        file.write(b"a" * 100 + b"b" * 100)
        file.flush()
        async with connected() as (transport, reader, _):
            transfer = Transfer(b"", 0, 200, file.fileno(), growing=growing)
            sending = asyncio.create_task(senders.send(transport, transfer))
            growing.end = 100
            await asyncio.sleep(0)
            transfer.wake()
            first = await reader.readexactly(100)
            growing.end, growing.over = 200, True
            transfer.wake()
            second = await reader.readexactly(100)
            await sending

    assert (b"a" * 100, b"b" * 100) == (first, second)


async def test_send__file_that_grows_all_the_time() -> None:
    """A transfer is woken only when it waits for more, and still misses nothing."""
    growing = _Growing()
    body = os.urandom(3000)
    with tempfile.TemporaryFile() as file, _senders() as senders:
        file.write(body)
        file.flush()
        async with connected() as (transport, reader, _):
            transfer = Transfer(b"", 0, len(body), file.fileno(), growing=growing)
            sending = asyncio.create_task(senders.send(transport, transfer))
            for growing.end in range(1, len(body) + 1):
                transfer.grew()
                await asyncio.sleep(0)
            assert body == await reader.readexactly(len(body))
            await sending


def test_grew__who_does_not_wait() -> None:
    """A transfer that has something to send is not queued again."""
    transfer = Transfer(b"", 0, 1)
    transfer.grew()
    assert not transfer.queued


async def test_send__growing_file_fails() -> None:
    """A body that ends early is an error for the caller, who breaks the connection."""
    growing = _Growing()
    growing.end, growing.over = 50, True
    with tempfile.TemporaryFile() as file, _senders() as senders:
        file.write(b"a" * 200)
        file.flush()
        async with connected() as (transport, _reader, _):
            transfer = Transfer(b"", 0, 200, file.fileno(), growing=growing)
            with pytest.raises(BodyBroken):
                await senders.send(transport, transfer)

    assert 50 == transfer.position


async def test_send__file_was_cut() -> None:
    """A stored file that is shorter than its entry breaks off; it never waits for bytes that do not come."""
    with tempfile.TemporaryFile() as file, _senders() as senders:
        file.write(b"a" * 10)
        file.flush()
        async with connected() as (transport, _reader, _):
            with pytest.raises(BodyBroken):
                await senders.send(transport, Transfer(b"", 0, 200, file.fileno()))


async def test_send__client_leaves() -> None:
    """The sender notices, and lets go of the file."""
    with tempfile.TemporaryFile() as file, _senders() as senders:
        file.truncate(64 << 20)
        async with connected() as (transport, reader, writer):
            transfer = Transfer(b"", 0, 64 << 20, file.fileno())
            sending = asyncio.create_task(senders.send(transport, transfer))
            await reader.readexactly(1000)
            writer.transport.abort()
            with pytest.raises(ClientGone):
                await sending

    assert transfer.sock is None


async def test_send__caller_cancelled() -> None:
    """When a cancelled send returns, the thread no longer uses the file."""
    with tempfile.TemporaryFile() as file, _senders() as senders:
        file.truncate(64 << 20)
        async with connected() as (transport, reader, _):
            transfer = Transfer(b"", 0, 64 << 20, file.fileno())
            sending = asyncio.create_task(senders.send(transport, transfer))
            await reader.readexactly(1000)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

            assert transfer.sock is None


async def test_send__client_takes_nothing() -> None:
    """A client that stalls is dropped after the limit."""
    with tempfile.TemporaryFile() as file, _senders(stall=0.1) as senders:
        file.truncate(64 << 20)
        async with connected() as (transport, _reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            with pytest.raises(ClientGone):
                await senders.send(transport, Transfer(b"", 0, 64 << 20, file.fileno()))


async def test_send__more_clients_than_threads() -> None:
    """Slow clients cost no thread: one that reads nothing does not hold up the others."""
    body = os.urandom(1 << 20)
    with tempfile.TemporaryFile() as file, _senders() as senders:
        file.write(body * 8)
        file.flush()
        async with contextlib.AsyncExitStack() as stack:
            pairs = [await stack.enter_async_context(connected()) for _ in range(8)]
            sending = [
                asyncio.create_task(senders.send(transport, Transfer(b"", 0, 8 << 20, file.fileno())))
                for transport, _, _ in pairs
            ]
            for _, reader, _ in reversed(pairs[1:]):
                assert body * 8 == await reader.readexactly(8 << 20)
            assert not sending[0].done()
            assert body * 8 == await pairs[0][1].readexactly(8 << 20)
            await asyncio.gather(*sending)
