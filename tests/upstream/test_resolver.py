"""Names to addresses."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.upstream.resolver import SystemResolver


@dataclass
class NameService:
    """Finds every name at once but for those that begin with `hangs`, until `end()`."""

    asked: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, host: str, family: socket.AddressFamily) -> Sequence[Any]:
        self.asked.append(host)
        if host.startswith("hangs"):
            self._ended.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 0))]

    def end(self) -> None:
        """Let all of them be found."""
        self._ended.set()


@pytest.fixture
def service() -> Iterator[NameService]:
    """A name service; nothing hangs any more at the end."""
    made = NameService()
    yield made
    made.end()


async def hanging(resolver: SystemResolver, service: NameService, number: int) -> list[asyncio.Task[Any]]:
    """Begin this many look-ups that hang."""
    tasks = [asyncio.create_task(resolver.resolve(f"hangs{one}.example")) for one in range(number)]
    while len(service.asked) < min(number, 96):
        await asyncio.sleep(0)
    return tasks


async def ended(tasks: list[asyncio.Task[Any]]) -> None:
    """Nobody waits for them any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_resolve__this_machine() -> None:
    """The system's answer, with the port that was asked for."""
    found = await SystemResolver().resolve("localhost", 8080, socket.AF_INET)
    assert {("localhost", "127.0.0.1", 8080, socket.AF_INET)} == {
        (result["hostname"], result["host"], result["port"], result["family"]) for result in found
    }


async def test_resolve__name_that_is_none() -> None:
    """What the system cannot resolve is an OSError."""
    with pytest.raises(socket.gaierror):
        await SystemResolver().resolve("127.0.0.1", 80, socket.AF_INET6)


async def test_resolve__name_that_none_can_have() -> None:
    """Nor is a name with a part of more than 63 characters: Python refuses it before the system is asked."""

    def look_up(host: str, _: socket.AddressFamily) -> Sequence[Any]:
        return list(host.encode("idna"))  # as getaddrinfo begins

    with pytest.raises(socket.gaierror):
        await SystemResolver(look_up=look_up).resolve(f"{'a' * 64}.example", 80)


@pytest.mark.parametrize("number", [4, 40])
async def test_resolve__beside_names_that_hang(service: NameService, number: int) -> None:
    """However many there are, another name is found at once."""
    resolver = SystemResolver(50.0, service)
    tasks = await hanging(resolver, service, number)
    assert await resolver.resolve("good.example", 80)
    assert not any(task.done() for task in tasks)
    await ended(tasks)


async def test_resolve__beside_more_names_that_hang_than_there_are_threads(service: NameService) -> None:
    """A name that was found before is found again; one that was not waits no longer than the limit."""
    resolver = SystemResolver(0.2, service)
    assert await resolver.resolve("good.example", 80)
    tasks = await hanging(resolver, service, 200)
    assert await resolver.resolve("good.example", 80)
    with pytest.raises(TimeoutError):
        await resolver.resolve("new.example", 80)
    assert "new.example" not in service.asked
    assert {TimeoutError} == {type(result) for result in await asyncio.gather(*tasks, return_exceptions=True)}
    service.end()
    assert await resolver.resolve("new.example", 80)


async def test_resolve__a_name_that_many_ask_for(service: NameService) -> None:
    """All wait for one look-up, and one that goes away takes nothing from the others."""
    resolver = SystemResolver(50.0, service)
    first, *others = [asyncio.create_task(resolver.resolve("hangs.example", port)) for port in range(20)]
    while not service.asked:
        await asyncio.sleep(0)
    await ended([first])
    service.end()
    assert list(range(1, 20)) == [(await other)[0]["port"] for other in others]
    assert ["hangs.example"] == service.asked


async def test_resolve__a_look_up_that_hung(service: NameService) -> None:
    """Who asks after the limit does not wait for a thread that hangs, but there are never more than two of them."""
    resolver = SystemResolver(0.05, service)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await resolver.resolve("hangs.example", 80)
    assert ["hangs.example"] * 2 == service.asked
    service.end()
    assert await resolver.resolve("hangs.example", 80)


async def test_resolve__no_thread_is_left(monkeypatch: pytest.MonkeyPatch, service: NameService) -> None:
    """A system without a thread to spare is a failure of this look-up, and of none that comes later."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = SystemResolver(50.0, service)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(200):
            with pytest.raises(OSError, match="no thread left"):
                await resolver.resolve("good.example", 80)
    assert await resolver.resolve("good.example", 80)
