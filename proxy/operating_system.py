"""What the operating system offers, behind one seam: Linux has a fast way, macOS and the like have the portable one.

A call is chosen by what is there, so that a test can take things away. All other modules use only what every POSIX
system has. `unsupported()` says where the program cannot run at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import selectors
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

MORE_FOLLOWS: int = getattr(socket, "MSG_MORE", 0)  # a flag of `send`: wait with the packet for what comes next

_DESCRIPTORS = Path("/proc/self/fd")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_NAMES = ("kern.bootsessionuuid", "kern.boottime")  # of sysctl(8) on macOS; the second moves when the clock is set
_FILES_OF_MACOS = 10_240  # what `setrlimit` accepts there where the hard limit is "unlimited" (OPEN_MAX)
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTSOCK})
_SO_NWRITE = 0x1024  # of getsockopt(2) on macOS
_NO_FULL_SYNC = frozenset({errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOTSUP})


def unsupported() -> str | None:
    """Why the program cannot run here, and what to do; None where it can."""
    if sys.platform == "win32":
        return "Windows cannot run this program itself. Run it in WSL (wsl --install), or in Docker Desktop."
    return None


def has_containers() -> bool:
    """Whether containers can run on this system itself. On macOS a container engine is in a virtual machine on it."""
    return sys.platform != "darwin"


# Files


def sync_data(descriptor: int) -> None:
    """Have a file's bytes on the disk before what is done next. Raises OSError."""
    if sys.platform == "linux" and hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
        return
    if sys.platform == "darwin":  # fsync(2) of macOS leaves the bytes in the drive's own cache
        import fcntl  # noqa: PLC0415 - Windows has none

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise
        else:
            return
    os.fsync(descriptor)


def write_at(descriptor: int, buffers: Sequence[bytes | memoryview], position: int) -> int:
    """Write buffers one behind the other at `position`; gives how many bytes were written. Raises OSError."""
    if hasattr(os, "pwritev"):
        return os.pwritev(descriptor, buffers, position)
    return os.pwrite(descriptor, buffers[0], position)


def read_at(descriptor: int, buffer: memoryview, position: int) -> int:
    """Fill a buffer from `position` on; gives how many bytes were read. Raises OSError."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], position)
    piece = os.pread(descriptor, len(buffer), position)
    buffer[: len(piece)] = piece
    return len(piece)


def path_of(descriptor: int) -> Path | None:
    """Where the file is that a descriptor leads to, or was when it was opened; None where the system does not say."""
    import fcntl  # noqa: PLC0415 - Windows has none

    with contextlib.suppress(OSError):
        if number := getattr(fcntl, "F_GETPATH", 0):  # macOS
            return Path(os.fsdecode(fcntl.fcntl(descriptor, number, bytes(1024)).partition(b"\0")[0]))
        return _DESCRIPTORS.joinpath(str(descriptor)).readlink()
    return None


def send_file(sock: int, descriptor: int, position: int, size: int) -> int:
    """Send a part of a file to a socket, or a file, without copying it through the program; gives how many bytes left.

    Some network file systems cannot do that, and macOS only to a socket: then it is copied. Raises OSError.
    """
    try:
        return os.sendfile(sock, descriptor, position, size)
    except OSError as error:
        if error.errno not in _NO_SENDFILE:
            raise
    return os.write(sock, os.pread(descriptor, size, position))


def file_in_memory() -> int | None:
    """The descriptor of a new file that is nowhere but in memory; None where there is no such thing. Raises OSError."""
    create = getattr(os, "memfd_create", None)
    return None if create is None else int(create("short"))


def pipe_room(descriptor: int) -> int:
    """Bytes that a pipe surely takes now without blocking, if no other process writes into it; 0: nobody knows."""
    import fcntl  # noqa: PLC0415 - Windows has none
    import termios  # noqa: PLC0415

    if not hasattr(fcntl, "F_GETPIPE_SZ"):
        return 0
    try:
        capacity = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
        waiting = int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)
    except OSError:  # no pipe
        return 0
    # It counts in pages. Two pages in a row hold more than one page of bytes; the first and the last may hold less.
    return max(capacity - 2 * waiting - 2 * os.sysconf("SC_PAGE_SIZE"), 0)


# The machine


def boot_id() -> str:
    """Which run of the machine this is; empty where the system does not say."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    sysctl = shutil.which("sysctl") or "/usr/sbin/sysctl"
    for name in _BOOT_NAMES:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run([sysctl, "-n", name], capture_output=True, text=True, check=True, timeout=5)  # noqa: S603
            if value := done.stdout.partition("}")[0].strip():
                return value
    return ""


def monotonic_with_sleep() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps: `time.monotonic` stands still."""
    # On macOS Python's own clock is another one than the system's monotonic clock, which goes on.
    clock = getattr(time, "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def cpus() -> int:
    """How many CPUs this process may use."""
    if sys.platform == "linux" and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def yield_processor() -> None:
    """Let others have the processor, if they wait for it."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)


def open_files_limit() -> int | None:
    """How many open files this process may have at most; None: as many as it likes."""
    import resource  # noqa: PLC0415 - Windows has none

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def raise_open_files_limit() -> None:
    """Let this process have as many open files as it may: the usual limit is meant for select(2)."""
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, _FILES_OF_MACOS):
        if soft == limit or (limit == _FILES_OF_MACOS and soft != resource.RLIM_INFINITY and soft > limit):
            return
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return


# Sockets


def held_back(sock: socket.socket) -> int | None:
    """Bytes that the system holds for the other side of a connection; None where it does not say.

    They become fewer while that side takes them, also while the socket does not count as writable yet: Linux waits with
    that until a third of its buffer is free, which may be more than a megabyte.
    """
    try:
        if sys.platform == "darwin":
            return sock.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
        else:  # noqa: RET505 - so that mypy sees one system at a time
            import fcntl  # noqa: PLC0415 - Windows has none
            import termios  # noqa: PLC0415

            return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # it is closed, too
        return None


def fewer(before: int | None, now: int | None) -> bool:
    """Whether the other side took some of what was held back `before`."""
    return before is not None and now is not None and now < before


class Readiness(Protocol):
    """Tells one thread which of its sockets take bytes. Any thread may call `wake`; the others are that thread's."""

    def add(self, number: int) -> None:
        """Begin with a socket. Raises OSError."""

    def full(self, number: int) -> None:
        """The socket took no more: `wait` is to tell when it does again. Raises OSError."""

    def remove(self, number: int) -> None:
        """Forget a socket, before it is closed. Also for one that was not added."""

    def wait(self, timeout: float) -> list[tuple[int, bool]]:
        """The sockets that take bytes again, and whether each one's client is gone; returns early when woken.

        `timeout`: seconds.
        """

    def wake(self) -> None:
        """End the wait under way, or the next one. Does nothing after `close`."""

    def close(self) -> None:
        """Close the descriptors. May be called twice."""


def readiness() -> Readiness:
    """The fastest one that the system has. Raises OSError."""
    if sys.platform == "linux" and hasattr(select, "epoll") and hasattr(os, "eventfd"):
        return _Epoll()
    return _Selector()


class _Selector:
    """On any system. A socket is registered only while it is full."""

    def __init__(self) -> None:
        self._woken, self._waker = socket.socketpair()
        try:
            self._selector = selectors.DefaultSelector()
        except BaseException:
            self._woken.close()
            self._waker.close()
            raise
        for sock in (self._woken, self._waker):
            sock.settimeout(0)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def add(self, number: int) -> None:
        """Nothing is known of the socket yet: it is tried first."""

    def full(self, number: int) -> None:
        with contextlib.suppress(KeyError):  # it is registered
            self._selector.register(number, selectors.EVENT_WRITE)

    def remove(self, number: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(number)

    def wait(self, timeout: float) -> list[tuple[int, bool]]:
        ready = []
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._woken:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            else:
                self._selector.unregister(key.fd)
                ready.append((key.fd, False))  # of a client that is gone the next `send` tells
        return ready

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full of what wakes it, or closed
            self._waker.send(b"\0")

    def close(self) -> None:
        self._selector.close()
        self._woken.close()
        self._waker.close()


if sys.platform == "linux":

    class _Epoll:
        """On Linux. A socket is registered once; the kernel tells each time that it begins to take bytes (EPOLLET)."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._wake = -1
            try:
                self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._epoll.register(self._wake, select.EPOLLIN)
            except BaseException:
                self.close()
                raise

        def add(self, number: int) -> None:
            self._epoll.register(number, select.EPOLLOUT | select.EPOLLET)

        def full(self, number: int) -> None:
            """The kernel tells by itself."""

        def remove(self, number: int) -> None:
            with contextlib.suppress(OSError, ValueError):  # it was never registered, or epoll is closed
                self._epoll.unregister(number)

        def wait(self, timeout: float) -> list[tuple[int, bool]]:
            ready = []
            for number, mask in self._epoll.poll(timeout):
                if number == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._wake)
                else:
                    ready.append((number, bool(mask & (select.EPOLLERR | select.EPOLLHUP))))
            return ready

        def wake(self) -> None:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

        def close(self) -> None:
            self._epoll.close()
            wake, self._wake = self._wake, -1
            if wake >= 0:
                os.close(wake)
