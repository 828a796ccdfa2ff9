"""The verbs' side of the socket."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.bundles import verifying
from proxy.bundles.manifest_file import read
from proxy.control import client
from proxy.control.client import RunningStore
from proxy.control.export_wish import ExportWish, LockedFile
from proxy.control.protocol import CleanEnd, ControlError, VerifyEnd, Wish
from proxy.control.server import ControlServer
from proxy.control.socket_file import ListeningSocket
from proxy.metrics import Traffic
from proxy.storage.store import DiskStore
from tests.control.stores import StoppedClock, aside, asked, fill, last
from tests.storage.disk import opened


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    """A store with something in it, whose cache runs."""
    async with opened(tmp_path) as started:
        await fill(started)
        server = ControlServer(StoppedClock(), Traffic)
        await server.start(started)
        yield started
        await server.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path."""
    made = Path(tempfile.mkdtemp(prefix="p"))
    yield made
    shutil.rmtree(made)


async def test_verbs__one_after_another(store: DiskStore) -> None:
    """Each gets its answer."""

    def verbs() -> tuple[object, ...]:
        running = asked(store.folder)
        return (
            running.stats().files,
            running.plan(Wish(index="apt")).size,
            last(running.verify()),
            last(running.clean(Wish(index="apt"))),
            running.stats(0).files,
        )

    assert (3, 1000, VerifyEnd(3, 4200, 0, 0, 0, 0), CleanEnd(1, 1000, 0), 2) == await aside(verbs)


async def test_clean__refused(store: DiskStore) -> None:
    """The cache's own reason is what a person reads."""
    running = asked(store.folder)

    with pytest.raises(ControlError, match="say what to remove"):
        await aside(lambda: list(running.clean(Wish())))


async def test_close__unused(store: DiskStore) -> None:
    """A verb that found a cache and asks nothing leaves no connection."""
    running = asked(store.folder)
    running.close()
    running.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2a\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{"type": "Progress","done":1,"of": 2}',
    ],
)
@pytest.mark.parametrize("verb", ["stats", "verify"])
def test_verbs__the_cache_ends(folder: Path, answer: bytes, verb: str) -> None:
    """A cache that is killed in the middle, or something else on its socket, is told as that."""
    with _answering(folder, answer) as running, pytest.raises(ControlError, match="ended"):
        if verb == "stats":
            running.stats()
        else:
            list(running.verify())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na tar",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na tar\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
    ],
)
def test_export__the_cache_ends(folder: Path, answer: bytes) -> None:
    """What came is not taken for a bundle."""
    with (
        _answering(folder, answer) as running,
        (folder / "bundle").open("wb") as file,
        pytest.raises(ControlError, match="ended"),
    ):
        running.export(ExportWish(), file.fileno(), lambda _done, _of: None)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
@pytest.mark.parametrize("verb", ["stats", "verify", "export"])
def test_verbs__the_cache_takes_long(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, verb: str) -> None:
    """A cache that says nothing for long may be at work: nobody is told that it ended."""
    monkeypatch.setattr(client, "_WAIT", 0.2)
    with _answering(folder, answer, ends=False) as running, pytest.raises(ControlError, match="may be at work still"):
        if verb == "stats":
            running.stats()
        elif verb == "verify":
            list(running.verify())
        else:
            with (folder / "bundle").open("wb") as file:
                running.export(ExportWish(), file.fileno(), lambda _done, _of: None)


@contextmanager
def _answering(folder: Path, answer: bytes, *, ends: bool = True) -> Iterator[RunningStore]:
    """What seems to be a cache, which gives one answer, and `ends` then or says nothing more."""
    listening = ListeningSocket.open(folder)
    listening.socket.settimeout(10)

    def serve() -> None:
        server, _ = listening.socket.accept()
        with server:
            server.settimeout(10)
            server.recv(1 << 16)
            server.sendall(answer)
            if ends:
                server.shutdown(socket.SHUT_WR)
            while server.recv(1 << 16):  # until the verb has given up
                pass

    thread = threading.Thread(target=serve)
    running = asked(folder)
    thread.start()
    try:
        yield running
    finally:
        thread.join()
        listening.close()


def test_find__none(folder: Path) -> None:
    """Where no cache runs there is none."""
    assert RunningStore.find(folder) is None


async def test_verbs__the_cache_is_gone(folder: Path) -> None:
    """A cache that ended between two questions."""
    listening = ListeningSocket.open(folder)
    running = asked(folder)
    listening.close()

    with pytest.raises(ControlError, match="ended"):
        running.stats()
    with pytest.raises(ControlError, match="ended"):
        running.stats()


async def test_export__a_bundle(store: DiskStore, tmp_path: Path) -> None:
    """It is written as it comes, and it is said how far it is."""
    steps = list[tuple[int, int]]()

    def export() -> None:
        with (tmp_path / "bundle").open("wb") as file:
            asked(store.folder).export(ExportWish(), file.fileno(), lambda done, of: steps.append((done, of)))

    await aside(export)

    assert 3 == len([member for member in read(tmp_path / "bundle").members if member.entries])
    verifying.verify(tmp_path / "bundle")
    assert ((tmp_path / "bundle").stat().st_size,) * 2 == steps[-1]


async def test_export__refused(store: DiskStore, tmp_path: Path) -> None:
    """The reason is the cache's."""

    def export() -> None:
        with (tmp_path / "bundle").open("wb") as file:
            asked(store.folder).export(ExportWish(files=(LockedFile("a.whl"),)), file.fileno(), lambda _done, _of: None)

    with pytest.raises(ControlError, match="not stored"):
        await aside(export)
