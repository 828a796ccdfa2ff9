"""What the seam promises holds on the fast way and on the portable one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import resource
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import operating_system
from proxy.operating_system import Readiness
from tests.system import SYNC, anonymous_file

_LONG = 30.0  # seconds; nothing waits so long


@pytest.fixture(params=["as here", "portable"])
def readiness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Readiness]:
    """One for this thread."""
    if request.param == "portable":
        monkeypatch.delattr(select, "epoll", raising=False)
    made = operating_system.readiness()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets; the first never waits."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_monotonic_with_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux the clock that counts sleep, too; it goes on, and never goes back."""
    first, again = operating_system.monotonic_with_sleep(), operating_system.monotonic_with_sleep()
    assert first <= again
    if sys.platform == "linux":
        assert first <= time.clock_gettime(time.CLOCK_BOOTTIME)
        assert first >= time.clock_gettime(time.CLOCK_BOOTTIME) - _LONG
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert operating_system.monotonic_with_sleep() <= operating_system.monotonic_with_sleep()


def _fill(sock: socket.socket) -> int:
    sent = 0
    while True:
        try:
            sent += sock.send(bytes(65536))
        except BlockingIOError:
            return sent


def _until_ready(readiness: Readiness, number: int) -> bool:
    """Wait until a socket takes bytes; gives whether its client is gone."""
    while True:
        for ready, gone in readiness.wait(_LONG):
            assert ready == number
            return gone


def test_path_of(tmp_path: Path) -> None:
    """Where a file is, also under another name by now; of what is closed nothing is known."""
    descriptor = os.open(tmp_path / "a name", os.O_WRONLY | os.O_CREAT)
    (tmp_path / "a name").rename(tmp_path / "nöw")
    found = operating_system.path_of(descriptor)
    os.close(descriptor)

    assert found is not None
    assert found.samefile(tmp_path / "nöw")
    assert operating_system.path_of(descriptor) is None


def test_readiness__takes_bytes_again(readiness: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    """A full socket is told once its client has read; one that is not full is told no second time."""
    ours, theirs = pair
    filled = _fill(ours)
    readiness.add(ours.fileno())
    readiness.full(ours.fileno())
    assert [] == readiness.wait(0)

    while filled:
        filled -= len(theirs.recv(filled))

    assert not _until_ready(readiness, ours.fileno())
    assert [] == readiness.wait(0)
    readiness.remove(ours.fileno())


def test_held_back() -> None:
    """What waits for the other side becomes less while that reads, be it too little for the socket to take more."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        theirs.connect(server.getsockname())
        ours, _ = server.accept()
        with ours:
            assert 0 == operating_system.held_back(ours)
            ours.setblocking(False)
            _fill(ours)
            seen = [operating_system.held_back(ours)]
            while not operating_system.fewer(seen[0], seen[-1]):
                assert theirs.recv(4096)
                seen.append(operating_system.held_back(ours))


def test_held_back__nobody_knows() -> None:
    """Of a socket that is closed nothing is known, and then nobody took anything."""
    with socket.socket() as sock:
        pass
    assert operating_system.held_back(sock) is None
    assert not any(operating_system.fewer(*seen) for seen in ((None, 1), (1, None), (None, None), (1, 1), (1, 2)))


def test_readiness__told_twice(readiness: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    """To say of a socket again that it is full, or to forget one that is not there, is no error."""
    ours, _ = pair
    readiness.add(ours.fileno())
    _fill(ours)
    readiness.full(ours.fileno())
    readiness.full(ours.fileno())
    readiness.remove(ours.fileno())
    readiness.remove(ours.fileno())


def test_readiness__client_gone(readiness: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    """A full socket whose client left is told: as gone, or as one whose next `send` fails."""
    ours, theirs = pair
    readiness.add(ours.fileno())
    _fill(ours)
    readiness.full(ours.fileno())
    readiness.wait(0)
    theirs.close()

    if not _until_ready(readiness, ours.fileno()):
        with pytest.raises(BrokenPipeError):
            ours.send(b"more")


def test_readiness__woken(readiness: Readiness) -> None:
    """A wait ends when another thread wakes it, and one call is enough for many."""
    for _ in range(100_000):
        readiness.wake()
    assert [] == readiness.wait(_LONG)
    for _ in range(100):  # what is left of so many
        assert [] == readiness.wait(0)
    waiting = threading.Thread(target=readiness.wait, args=(10 * _LONG,))
    waiting.start()
    readiness.wake()
    waiting.join(_LONG)
    assert not waiting.is_alive()


def test_readiness__closed(readiness: Readiness) -> None:
    """To close it twice, or to wake it after that, is no error."""
    readiness.close()
    readiness.close()
    readiness.wake()


def test_readiness__of_the_system() -> None:
    """Linux has the fast one."""
    made = operating_system.readiness()
    made.close()
    assert hasattr(select, "epoll") == (type(made).__name__ == "_Epoll")


def test_send_file__copied(monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]) -> None:
    """A file system without sendfile sends all the same; another error is an error."""
    ours, theirs = pair
    descriptor = anonymous_file(b"0123456789")

    def failing(number: int) -> Callable[..., int]:
        def sendfile(*_: int) -> int:
            raise OSError(number, os.strerror(number))

        return sendfile

    try:
        assert 4 == operating_system.send_file(ours.fileno(), descriptor, 2, 4)
        monkeypatch.setattr(os, "sendfile", failing(errno.ENOTSUP))
        assert 4 == operating_system.send_file(ours.fileno(), descriptor, 6, 4)
        assert b"23456789" == theirs.recv(100)
        monkeypatch.setattr(os, "sendfile", failing(errno.EIO))
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            operating_system.send_file(ours.fileno(), descriptor, 6, 4)
    finally:
        os.close(descriptor)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6000) | st.sampled_from([1, 100, 2100, 4096]), max_size=60),
    reads=st.lists(st.integers(0, 9000), max_size=60),
    capacity=st.sampled_from([4096, 16384, 65536]),
)
def test_pipe_room(sizes: list[int], reads: list[int], capacity: int) -> None:
    """So many bytes do not block, whatever was written and read before; an empty pipe takes most of what it holds."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        if sys.platform == "linux":
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, capacity)
        for size, read in itertools.zip_longest(sizes, reads, fillvalue=0):
            with contextlib.suppress(BlockingIOError):
                os.write(writer, bytes(size))
            with contextlib.suppress(BlockingIOError):
                os.read(reader, read)
        room = operating_system.pipe_room(writer)
        assert 0 <= room <= capacity
        assert not room or room == os.write(writer, bytes(room))
        with contextlib.suppress(BlockingIOError):
            while os.read(reader, capacity):
                pass
        if hasattr(fcntl, "F_GETPIPE_SZ") and capacity > 4096:
            assert operating_system.pipe_room(writer) >= capacity // 2
    finally:
        os.close(reader)
        os.close(writer)


def test_pipe_room__unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file nothing is known, nor where the system has no call for it."""
    descriptor = anonymous_file()
    reader, writer = os.pipe()
    try:
        assert 0 == operating_system.pipe_room(descriptor)
        monkeypatch.delattr(fcntl, "F_GETPIPE_SZ", raising=False)
        assert 0 == operating_system.pipe_room(writer)
    finally:
        for opened in (descriptor, reader, writer):
            os.close(opened)


@pytest.mark.parametrize("missing", [(), ("sched_yield",)])
def test_yield_processor(monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]) -> None:
    """Whoever looks again and again lets another thread go on, also where the system has no call for it."""
    for name in missing:
        monkeypatch.delattr(os, name, raising=False)
    done = threading.Event()
    threading.Timer(0.01, done.set).start()
    deadline = time.monotonic() + 10
    while not done.is_set() and time.monotonic() < deadline:
        operating_system.yield_processor()
    assert done.is_set()


@pytest.mark.parametrize("missing", [(), ("pwritev", "preadv")])
def test_write_at__read_at(monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]) -> None:
    """Bytes come back from where they were written, some at a time."""
    for name in missing:
        monkeypatch.delattr(os, name, raising=False)
    descriptor = anonymous_file()
    try:
        written = operating_system.write_at(descriptor, [b"abc", b"def"], 5)
        assert written in {3, 6}
        buffer = memoryview(bytearray(9))
        assert written == operating_system.read_at(descriptor, buffer, 5)
        assert b"abcdef"[:written] == bytes(buffer[:written])
        assert 0 == operating_system.read_at(descriptor, buffer, 100)
    finally:
        os.close(descriptor)


def test_sync_data__fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not sync is an error."""

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "no")

    descriptor = anonymous_file()
    operating_system.sync_data(descriptor)
    monkeypatch.setattr(os, SYNC, failing)
    with pytest.raises(OSError, match="no"):
        operating_system.sync_data(descriptor)
    os.close(descriptor)


def test_boot_id__stays() -> None:
    """It is the same as long as the machine runs."""
    assert operating_system.boot_id() == operating_system.boot_id() != ""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('[ "$2" = kern.bootsessionuuid ] && echo 0C1D9E5A', "0C1D9E5A"),
        (
            '[ "$2" = kern.boottime ] && echo "{ sec = 1700000000, usec = 12 } Tue Nov 14 22:13:20 2023"',
            "{ sec = 1700000000, usec = 12",
        ),
        ("exit 1", ""),
    ],
)
def test_boot_id__of_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: str) -> None:
    """Without /proc, sysctl is asked; a system that says nothing has no identity."""
    monkeypatch.setattr(operating_system, "_BOOT_ID", tmp_path / "missing")
    sysctl = tmp_path / "sysctl"
    sysctl.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    sysctl.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert expected == operating_system.boot_id()


def test_open_files__as_many_as_allowed() -> None:
    """The limit is raised to what the process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(100, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    try:
        operating_system.raise_open_files_limit()
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert soft == (operating_system.open_files_limit() or soft) > few


def test_open_files__of_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hard limit cannot be reached, 10,240 can; a soft limit above that stays."""
    limits = [(256, resource.RLIM_INFINITY)]

    def setrlimit(_: int, wanted: tuple[int, int]) -> None:
        if wanted[0] == resource.RLIM_INFINITY:
            raise ValueError("current limit exceeds maximum limit")
        limits[0] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[0])
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    operating_system.raise_open_files_limit()
    assert 10_240 == limits[0][0]
    limits[0] = (20_000, resource.RLIM_INFINITY)
    operating_system.raise_open_files_limit()
    assert 20_000 == limits[0][0]
    assert operating_system.open_files_limit() is None


def test_unsupported__windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows gets one line that says what to do."""
    assert operating_system.unsupported() is None
    monkeypatch.setattr("sys.platform", "win32")
    assert "WSL" in (operating_system.unsupported() or "")


def test_containers__not_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """There they are in a virtual machine."""
    for platform, there in (("linux", True), ("darwin", False)):
        monkeypatch.setattr(sys, "platform", platform)
        assert there is operating_system.has_containers()


def test_file_in_memory__as_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written and read as any file; where there are none, that is said."""
    descriptor = operating_system.file_in_memory()
    assert (descriptor is not None) is hasattr(os, "memfd_create")
    if descriptor is not None:
        assert 4 == os.pwrite(descriptor, b"body", 2)
        assert os.pread(descriptor, 10, 0) == b"\0\0body"
        os.close(descriptor)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert operating_system.file_in_memory() is None
