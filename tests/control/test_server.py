"""The cache's side of the socket."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from msgspec import structs

from proxy.bundles.manifest_file import read
from proxy.control.admin_token import NAME, TokenRefused
from proxy.control.explanation import ExplainWish
from proxy.control.protocol import Action, ActionEnd, ActionWish, PullWish
from proxy.control.server import ControlServer
from proxy.metrics import Traffic
from proxy.model import Entry
from proxy.storage.store import DiskStore
from tests.control.stores import BODIES, CURL, TORCH, StoppedClock, fill
from tests.storage.disk import digest, opened


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
        {"type": "CleanEnd", "files": 2, "size": 3200, "addresses": 0, "undeleted": 0, "reason": None},
    ] == lines
    assert store.find(TORCH) is None


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "reason"),
    [
        ("GET", "/stats?largest=some", None, 400, "largest"),
        ("POST", "/plan", b"{}", 400, "say what to remove"),
        ("POST", "/clean", b'{"index": 5}', 400, "Expected `str"),
        ("POST", "/clean", b"no json", 400, "malformed"),
        ("POST", "/clean", b'{"index": "\xff"}', 400, "utf-8"),
        ("POST", "/clean", b'{"x": ' + b"[" * 3000, 400, ""),  # which limit it meets depends on the Python
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


async def test_act__only_with_the_token(server: ControlServer, store: DiskStore) -> None:
    """The token in the data folder is asked for, and what is wished is done then; the file may come and go."""
    wish = ActionWish(Action.DELETE, (digest(BODIES[TORCH]).value,))
    with pytest.raises(TokenRefused, match="pullthrough setup"):
        await server.act("a-token-of-some-length", wish)
    token = store.folder / NAME
    token.touch(0o600)
    token.write_text("a-token-of-some-length\n")
    with pytest.raises(TokenRefused, match="not the admin token"):
        await server.act("another-token-of-some-length", wish)
    assert store.find(TORCH) is not None

    end = await server.act("a-token-of-some-length", wish)

    assert ActionEnd(Action.DELETE, 1, 3000, 0) == end
    assert store.find(TORCH) is None


async def test_act__store_not_open() -> None:
    """Nothing can be done yet."""
    assert await ControlServer(StoppedClock(), Traffic).act("", ActionWish(Action.PIN, ("0" * 64,))) is None


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


async def test_questions__store_not_open() -> None:
    """Before the store is open there is no answer; and none of addresses where nobody explains them."""
    server = ControlServer(StoppedClock(), Traffic)
    assert await server.who(PullWish("six")) is None
    assert await server.stats(1) is None
    assert await server.explain(ExplainWish("/pypi/")) is None
    await server.close()


async def test_stats__on_the_network(server: ControlServer) -> None:
    """The path of the folder is nobody's business there."""
    stats = await server.stats(1)
    assert stats is not None
    assert ("", 3) == (stats.folder, stats.files)


async def test_explain__nobody_does(session: aiohttp.ClientSession) -> None:
    """It is said, and not passed over."""
    async with session.post("/explain", json={"url": "/pypi/"}) as answer:
        assert (503, True) == (answer.status, "explains nothing" in await answer.text())


async def test_export__a_tar(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Its length is said before; what is asked for wrongly is refused."""
    async with session.post("/export", json={"indexes": ["apt"]}) as answer:
        body = await answer.read()
    (tmp_path / "bundle").write_bytes(body)

    assert (200, "application/x-tar", str(len(body))) == (
        answer.status,
        answer.headers["Content-Type"],
        answer.headers["Content-Length"],
    )
    assert [CURL] == [entry.key for member in read(tmp_path / "bundle").members for entry in member.entries]
    for wrong, status in (({"indexes": "apt"}, 400), ({"other": 1}, 400), ({"files": [{"name": "a.whl"}]}, 503)):
        async with session.post("/export", json=wrong) as answer:
            assert (status, "Refusal") == (answer.status, (await answer.json())["type"])


async def test_export__what_an_earlier_bundle_has_may_be_long(session: aiohttp.ClientSession) -> None:
    """More than any other request."""
    before = [(f"files/{number}", "ab" * 32) for number in range(10_000)]
    async with session.post("/export", json={"before": before}) as answer:
        assert 200 == answer.status
        await answer.read()


async def test_export__client_goes_away(session: aiohttp.ClientSession, store: DiskStore) -> None:
    """Nothing is held any more, and the cache goes on."""
    body = b"l" * (8 << 20)
    await store.put(body)
    await store.save(structs.replace(entry_of(TORCH, store), key=f"{TORCH}x", digest=digest(body), size=len(body)))
    record = store._blobs.get(digest(body).value)
    assert record is not None

    async with session.post("/export", json={}) as answer:
        await answer.content.read(10)
        answer.close()

    while record.leases:
        await asyncio.sleep(0.01)
    async with session.get("/stats") as answer:
        assert 200 == answer.status


async def test_export__while_the_cache_ends(
    session: aiohttp.ClientSession, server: ControlServer, store: DiskStore
) -> None:
    """Nobody takes the tar: the cache ends all the same."""
    body = b"l" * (8 << 20)
    await store.put(body)
    await store.save(structs.replace(entry_of(TORCH, store), key=f"{TORCH}x", digest=digest(body), size=len(body)))

    async with session.post("/export", json={}) as answer:
        await answer.content.read(10)
        await server.close()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


def entry_of(key: str, store: DiskStore) -> Entry:
    """An entry that is stored."""
    found = store.find(key)
    assert found is not None
    return found
