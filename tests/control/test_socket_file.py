"""The socket in the data folder."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.socket_file import ListeningSocket, connected

_WAIT = 10.0


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for a socket on every system: pytest's own are too deep."""
    with tempfile.TemporaryDirectory(prefix="p") as folder:
        yield Path(folder)


@pytest.fixture
def long(short: Path) -> Path:
    """A folder whose path is too long for any socket."""
    folder = short / ("x" * 120)
    folder.mkdir()
    return folder


def _greets(listening: ListeningSocket, folder: Path) -> bool:
    """Whether who connects to the folder reaches this socket."""
    client = connected(folder, _WAIT)
    assert client is not None
    with client:
        listening.socket.settimeout(_WAIT)
        server, _ = listening.socket.accept()
        with server:
            server.sendall(b"hello")
        return client.recv(5) == b"hello"


def test_open__in_the_folder(short: Path) -> None:
    """It is a socket that only its owner may use; closing removes it."""
    listening = ListeningSocket.open(short)
    try:
        status = (short / "control.sock").lstat()
        assert (True, 0o600) == (stat.S_ISSOCK(status.st_mode), stat.S_IMODE(status.st_mode))
        assert _greets(listening, short)
    finally:
        listening.close()

    assert [] == list(short.iterdir())
    assert connected(short, _WAIT) is None


@pytest.mark.parametrize("length", range(100, 110))
def test_open__path_nearly_too_long(short: Path, length: int) -> None:
    """Whichever way the cache chooses, verbs take the same."""
    folder = short / ("x" * (length - len(os.fsencode(short / "control.sock")) - 1))
    folder.mkdir()
    listening = ListeningSocket.open(folder)
    try:
        assert length == len(os.fsencode(folder / "control.sock"))
        assert _greets(listening, folder)
    finally:
        listening.close()


def test_open__path_too_long(long: Path) -> None:
    """The name leads to a socket elsewhere, in a folder that only its owner may enter; closing removes that, too."""
    listening = ListeningSocket.open(long)
    try:
        elsewhere = (long / "control.sock").readlink().parent
        assert 0o700 == stat.S_IMODE(elsewhere.stat().st_mode)
        assert _greets(listening, long)
    finally:
        listening.close()

    assert ([], False) == (list(long.iterdir()), elsewhere.exists())


@pytest.mark.parametrize("left", ["socket", "link", "file"])
def test_open__after_a_kill(short: Path, long: Path, left: str) -> None:
    """What an earlier run left is nobody's, and is replaced."""
    folder = long if left == "link" else short
    if left == "file":
        (folder / "control.sock").write_text("?")
    else:
        killed = ListeningSocket.open(folder)
        killed.socket.close()
    before = (folder / "control.sock").readlink().parent if left == "link" else None

    assert connected(folder, _WAIT) is None
    listening = ListeningSocket.open(folder)
    try:
        assert _greets(listening, folder)
        assert before is None or not before.exists()
    finally:
        listening.close()


def test_open__folder_is_gone(short: Path) -> None:
    """The error is the system's, and nothing is left elsewhere."""
    with pytest.raises(OSError, match="No such file"):
        ListeningSocket.open(short / "nowhere")


@pytest.mark.parametrize("there", [True, False])
def test_connected__nobody(short: Path, there: bool) -> None:
    """A folder without a cache, and no folder."""
    assert connected(short if there else short / "nowhere", _WAIT) is None


def test_connected__too_long_and_no_link(long: Path) -> None:
    """What cannot be a socket is none."""
    (long / "control.sock").write_text("?")

    assert connected(long, _WAIT) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to every socket")
def test_connected__another_users(short: Path) -> None:
    """The folder of another user is an error and not an absent cache."""
    listening = ListeningSocket.open(short)
    try:
        (short / "control.sock").chmod(0)
        with pytest.raises(PermissionError):
            connected(short, _WAIT)
    finally:
        listening.close()


def test_open__a_disk_without_sockets(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared folder of a virtual machine may take none: then it is elsewhere."""
    bind = socket.socket.bind

    def refused(self: socket.socket, address: str) -> None:
        if Path(address).parent == short:
            raise OSError(95, "Operation not supported")
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", refused)
    listening = ListeningSocket.open(short)
    try:
        assert (short / "control.sock").is_symlink()
        assert _greets(listening, short)
    finally:
        listening.close()
