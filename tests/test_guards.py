"""The guards notice what they are there for: a guard that sees nothing is worse than none."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections import Counter

import pytest

from tests import guards


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "203.0.113.7"])
def test_only_loopback__other_address(address: str) -> None:
    """Dialling another machine is refused before a packet leaves, and remembered."""
    with guards.only_loopback() as refused, socket.socket() as dialling:
        with pytest.raises(guards.DialRefused):
            dialling.connect((address, 80))
        with pytest.raises(guards.DialRefused):
            dialling.connect_ex((address, 80))

    assert [f"{address} port 80"] * 2 == refused


async def test_only_loopback__name() -> None:
    """Names are not looked up, on whatever way."""
    with guards.only_loopback() as refused, pytest.raises(guards.DialRefused):
        await asyncio.get_running_loop().getaddrinfo("files.example", 443)

    assert ["the name files.example"] == refused


def test_only_loopback__invalid_name() -> None:
    """A name that cannot exist fails as it does without the guard, and is no offence."""
    with guards.only_loopback() as refused, pytest.raises(socket.gaierror):
        socket.getaddrinfo("files.invalid", 443)

    assert not refused


def test_only_loopback__own_machine() -> None:
    """Loopback addresses, numbers or name, are dialled as ever."""
    with guards.only_loopback() as refused, socket.create_server(("127.0.0.1", 0)) as listening:
        socket.create_connection(("localhost", listening.getsockname()[1]), timeout=5).close()

    assert not refused


def test_before__nothing_left() -> None:
    """A test that tidies up is left in peace."""
    assert [] == guards.Before.look().complaints(Counter())


def test_before__descriptor_left() -> None:
    """An open pipe is noticed, unless it belongs to a fixture that outlives the test."""
    before = guards.Before.look()
    ends = os.pipe()
    try:
        shared = guards.open_descriptors() - before.descriptors
        (complaint,) = before.complaints(Counter())
        assert complaint.startswith("descriptors are still open: pipe:")
        assert [] == before.complaints(shared)
    finally:
        for end in ends:
            os.close(end)


def test_before__thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that does not end by itself is noticed by its name."""
    monkeypatch.setattr(guards, "_GRACE", 0.01)
    before, end = guards.Before.look(), threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    try:
        assert ["threads still run: forgotten"] == before.complaints(Counter())
    finally:
        end.set()
        thread.join()


def test_before__traceback_logged() -> None:
    """An error in the log with a traceback is noticed; one without is a message for people."""
    logger = logging.getLogger("somewhere")
    logger.propagate, parent = False, guards.Before.look()
    logger.addHandler(parent.tracebacks)
    try:
        logger.error("in words only")
        logger.error("unexpected", exc_info=ValueError())
    finally:
        logger.removeHandler(parent.tracebacks)
        logger.propagate = True

    assert ["the log has tracebacks: somewhere: unexpected (ValueError)"] == parent.complaints(Counter())


async def test_tasks_left__forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that waits for ever is named; one that is just ending is waited for."""
    monkeypatch.setattr(guards, "_GRACE", 0.01)
    ending = asyncio.create_task(asyncio.sleep(0), name="ending")
    forgotten = asyncio.create_task(asyncio.Event().wait(), name="forgotten")

    (left,) = [task for task in await guards.tasks_left() if "forgotten" in task]
    forgotten.cancel()

    assert left.startswith("forgotten ")
    assert ending.done()
