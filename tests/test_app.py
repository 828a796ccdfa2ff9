"""The composition root: it starts, it stops, and its errors say why it cannot start."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp
import pytest

from proxy import app
from proxy.config.settings import Settings
from proxy.errors import StoreError
from tests.flows.reading import get


def settings(data: Path, port: int = 0, host: str = "127.0.0.1") -> Settings:
    """The least that a server needs."""
    return Settings(host=(host,), port=port, data=data)


async def test_start__and_close(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """It listens at its address until it is closed."""
    running = await app.start(settings(tmp_path / "data"))
    assert (await get(http, f"{running.url}/readyz")).status == 200
    await running.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(http, f"{running.url}/readyz")


async def test_start__again_on_the_same_folder(tmp_path: Path) -> None:
    """A folder is free again when the server that used it is closed."""
    for _ in range(2):
        running = await app.start(settings(tmp_path / "data"))
        await running.close()
    assert (tmp_path / "data").is_dir()


async def test_start__at_a_port_that_is_taken(tmp_path: Path) -> None:
    """It fails and leaves nothing open: the folder can be used at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="address"):
        await app.start(settings(tmp_path / "data", taken.getsockname()[1]))
    running = await app.start(settings(tmp_path / "data"))
    await running.close()


async def test_start__on_a_folder_in_use(tmp_path: Path) -> None:
    """Two servers on one folder would ruin it."""
    running = await app.start(settings(tmp_path / "data"))
    with pytest.raises(StoreError):
        await app.start(settings(tmp_path / "data"))
    await running.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_start__on_ipv6(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """The address is written so that it can be used."""
    running = await app.start(settings(tmp_path / "data", host="::1"))
    assert running.url.startswith("http://[::1]:")
    assert (await get(http, f"{running.url}/readyz")).status == 200
    await running.close()
