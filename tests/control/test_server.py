"""The cache's side of the socket."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from proxy.control.server import ControlServer
from proxy.metrics import Traffic
from proxy.storage.store import DiskStore
from tests.control.stores import TORCH, StoppedClock, fill
from tests.storage.disk import opened


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    """A store that holds something."""
    async with opened(tmp_path) as started:
        await fill(started)
        yield started


@pytest.fixture
async def server(store: DiskStore) -> AsyncIterator[ControlServer]:
    """The server of the store."""
    started = ControlServer(StoppedClock(), Traffic)
    await started.start(store)
    yield started
    await started.close()


@pytest.fixture
async def session(server: ControlServer, store: DiskStore) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the socket."""
    name = store.folder / "control.sock"
    connector = aiohttp.UnixConnector(str(name.readlink() if name.is_symlink() else name))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as started:
        yield started


async def test_stats__as_json(session: aiohttp.ClientSession) -> None:
    """One object."""
    async with session.get("/stats?largest=1") as answer:
        stats = await answer.json()

    assert (3, 4200, 1) == (stats["files"], stats["size"], len(stats["largest"]))
    assert StoppedClock().now() == stats["since"]


async def test_clean__lines(session: aiohttp.ClientSession, store: DiskStore) -> None:
    """A line for each step, and one for the end."""
    async with session.post("/clean", json={"project": "torch"}) as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]

    assert "application/jsonl" == answer.headers["Content-Type"]
    assert [
        {"type": "Progress", "done": 3200, "of": 3200},
        {"type": "CleanEnd", "files": 2, "size": 3200, "addresses": 0},
    ] == lines
    assert store.find(TORCH) is None


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "reason"),
    [
        ("GET", "/stats?largest=some", None, 400, "largest"),
        ("POST", "/plan", b"{}", 400, "say what to remove"),
        ("POST", "/clean", b'{"index": 5}', 400, "Expected `str"),
        ("POST", "/clean", b"no json", 400, "malformed"),
        ("GET", "/of/a/later/version", None, 404, "another version"),
        ("GET", "/clean", None, 405, "another version"),
    ],
)
async def test_request__refused(
    session: aiohttp.ClientSession, method: str, target: str, body: bytes | None, status: int, reason: str
) -> None:
    """A request that cannot be fulfilled is answered with the reason, and nothing is removed."""
    async with session.request(method, target, data=body) as answer:
        refusal = await answer.json()

    assert (status, "Refusal") == (answer.status, refusal["type"])
    assert reason in refusal["reason"]


async def test_verify__client_goes_away(session: aiohttp.ClientSession, server: ControlServer) -> None:
    """A verb that is interrupted leaves nothing running."""
    async with session.post("/verify") as answer:
        await answer.content.readline()
        answer.close()


async def test_start__no_place_for_the_socket(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The cache serves all the same, and the log says what cannot be done."""
    monkeypatch.setattr("tempfile.tempdir", str(store.folder / "nowhere"))
    (store.folder / "control.new").mkdir()  # a folder is in the way
    server = ControlServer(StoppedClock(), Traffic)

    with caplog.at_level(logging.WARNING):
        await server.start(store)
    await server.close()

    assert "control.sock cannot be made" in caplog.text


async def test_start__after_the_end(store: DiskStore) -> None:
    """A store that could be opened only while the cache stops gets no socket."""
    server = ControlServer(StoppedClock(), Traffic)
    await server.close()
    await server.start(store)

    assert not (store.folder / "control.sock").is_symlink()
    assert not (store.folder / "control.sock").exists()
