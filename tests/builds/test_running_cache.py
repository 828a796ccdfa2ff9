"""Finding the cache that runs, and reading its figures."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from proxy.app import Running
from proxy.builds.engine_answers import EngineContainer, PublishedPort
from proxy.builds.running_cache import (
    RunningCache,
    answers_at,
    find,
    own_addresses,
    ready,
    stranger,
    wait_until_ready,
)
from tests.origin import Origin


def _port(running: Running) -> int:
    return int(running.url.rpartition(":")[2])


async def test_find__by_the_settings(proxy: Running) -> None:
    """The cache answers at host and port of the settings; its clock is told with it."""
    port = _port(proxy)

    found = await asyncio.to_thread(find, ["127.0.0.1"], port)

    assert found is not None
    assert (f"http://127.0.0.1:{port}", ("127.0.0.1",), None) == (found.url, found.heard_on, found.container)
    assert found.clock is not None
    assert abs((datetime.now(UTC) - found.clock).total_seconds()) < 60
    assert found.started == await asyncio.to_thread(answers_at, "127.0.0.1", port)


async def test_find__everywhere_means_here(proxy: Running) -> None:
    """Nobody can connect to 0.0.0.0: a cache that listens everywhere is asked on loopback."""
    found = await asyncio.to_thread(find, ["0.0.0.0"], _port(proxy))

    assert found is not None
    assert "127.0.0.1" == found.host


async def test_find__published_port_of_a_container(proxy: Running) -> None:
    """Where the settings' port leads nowhere, the container that is labelled is asked at its published one."""
    port = _port(proxy)
    container = EngineContainer("1", "c", "i", "running", ports=(PublishedPort("0.0.0.0", port, 3142),))
    stopped = EngineContainer("2", "d", "i", "exited", ports=(PublishedPort("0.0.0.0", port, 3142),))

    found = await asyncio.to_thread(find, [], 0, [stopped, container])

    assert found is not None
    assert (container, ("0.0.0.0",)) == (found.container, found.heard_on)
    assert await asyncio.to_thread(find, [], 0, [stopped]) is None


async def test_find__settings_lead_to_the_container(proxy: Running) -> None:
    """It is known then, too, that the cache is in a container."""
    port = _port(proxy)
    container = EngineContainer("1", "c", "i", "running", ports=(PublishedPort("127.0.0.1", port, 3142),))

    found = await asyncio.to_thread(find, ["127.0.0.1"], port, [container])

    assert found is not None
    assert container == found.container


async def test_find__another_program(origin: Origin) -> None:
    """What answers at the port is no cache because of that."""
    port = int(origin.url.rstrip("/").rpartition(":")[2])

    assert await asyncio.to_thread(find, ["127.0.0.1"], port) is None
    assert await asyncio.to_thread(answers_at, "127.0.0.1", port) is None


async def test_stranger__who_has_the_port(origin: Origin, proxy: Running) -> None:
    """As apt-cacher-ng, whose port it is, too: it is told by its own name. A cache is no stranger."""
    origin.resource("/", b"", headers=[("Server", "Debian Apt-Cacher NG/3.7")])
    ports = [int(url.rstrip("/").rpartition(":")[2]) for url in (origin.url, proxy.url)]

    found = [await asyncio.to_thread(stranger, "0.0.0.0", port) for port in (*ports, 9)]

    assert ["Debian Apt-Cacher NG/3.7", None, None] == found


async def test_stranger__speaks_something_else() -> None:
    """Whatever listens there."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "it speaks no HTTP" == await asyncio.to_thread(stranger, "127.0.0.1", port)


async def test_figures__none_when_it_is_gone(proxy: Running) -> None:
    """A cache that ended while a build ran has no figures."""
    found = await asyncio.to_thread(find, ["127.0.0.1"], _port(proxy))
    assert found is not None
    assert await asyncio.to_thread(found.figures) is not None

    await proxy.close()

    assert await asyncio.to_thread(found.figures) is None


def test_own_addresses__sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of this machine that leads elsewhere, never loopback; none without a network."""
    import socket  # noqa: PLC0415

    class _Asking(socket.socket):
        def connect(self, address: object) -> None:
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", _Asking)

    assert () == own_addresses()


def _at(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])


async def test_wait__cache_that_is_ready(proxy: Running) -> None:
    """It is given as soon as it says that it is ready."""
    found = await asyncio.to_thread(wait_until_ready, ["127.0.0.1"], _at(proxy.url), 60.0)

    assert found is not None
    assert proxy.url == found.url


async def test_wait__nobody(origin: Origin) -> None:
    """Patience ends; what is known to have ended is not waited for; another program is not it."""
    port = _at(origin.url)

    assert await asyncio.to_thread(wait_until_ready, ["127.0.0.1"], port, 0.0) is None
    assert await asyncio.to_thread(wait_until_ready, ["127.0.0.1"], port, 3600.0, lambda: True) is None


async def test_ready__of_another_program(origin: Origin) -> None:
    """What answers 404, or nothing, is not ready."""
    other = RunningCache("127.0.0.1", _at(origin.url), "1", "1")

    assert not await asyncio.to_thread(ready, other)
    assert not await asyncio.to_thread(ready, RunningCache("127.0.0.1", 9, "1", "1"))
