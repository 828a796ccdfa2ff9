"""`control.sock`, the Unix socket in the data folder: made by the cache, found by the verbs.

Its mode is 0600. Where the folder's path is longer than a socket's may be (104 bytes on macOS, 108 on Linux), or its
file system has no sockets, the name is a symbolic link to a socket in a new folder of mode 0700 among the temporary
files. It never outlives the process on purpose; what a kill leaves, the next start replaces.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

_NAME = "control.sock"
_FRESH = "control.new"
_ELSEWHERE = "pullthrough-control-"
_LONGEST = 103  # bytes of a path on macOS, without the zero at the end; Linux takes four more
_BACKLOG = 16
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTSOCK})


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket that listens, and what leads to it."""

    socket: socket.socket
    name: Path
    elsewhere: Path | None  # a folder of its own, if the socket is not at `name` itself

    @classmethod
    def open(cls, folder: Path) -> ListeningSocket:
        """Listen in the data folder, whose lock the caller has. Raises OSError."""
        name, fresh = folder / _NAME, folder / _FRESH
        _remove(name)
        if len(os.fsencode(name)) <= _LONGEST:  # the longer of the two
            with contextlib.suppress(OSError):  # a shared folder of a virtual machine may take no sockets
                return cls(_listening(fresh, name), name, None)
        elsewhere = Path(tempfile.mkdtemp(prefix=_ELSEWHERE))
        try:
            sock = _listening(elsewhere / _FRESH, elsewhere / _NAME)
            try:
                fresh.unlink(missing_ok=True)
                fresh.symlink_to(elsewhere / _NAME)
                fresh.replace(name)
            except BaseException:
                sock.close()
                raise
        except BaseException:
            shutil.rmtree(elsewhere, ignore_errors=True)
            raise
        return cls(sock, name, elsewhere)

    def close(self) -> None:
        """Stop listening and remove what led here. The caller has the folder's lock still."""
        self.socket.close()
        with contextlib.suppress(OSError):
            self.name.unlink(missing_ok=True)
        if self.elsewhere is not None:
            shutil.rmtree(self.elsewhere, ignore_errors=True)


def connected(folder: Path, timeout: float) -> socket.socket | None:
    """A connection to the cache that runs on this data folder; None if none listens there.

    `timeout`: seconds for each operation. Raises OSError, such as PermissionError where the folder is another user's.
    """
    place = folder / _NAME
    if place.is_symlink():
        place = place.readlink()
    if len(os.fsencode(place)) > _LONGEST:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(str(place))
    except OSError as error:
        sock.close()
        if error.errno in _ABSENT:
            return None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def _listening(fresh: Path, name: Path) -> socket.socket:
    """A socket at `name`. It gets its mode before anybody can connect, and its name when it listens."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        fresh.unlink(missing_ok=True)
        sock.setblocking(False)  # noqa: FBT003 - the library's signature
        sock.bind(str(fresh))
        fresh.chmod(0o600)
        sock.listen(_BACKLOG)
        fresh.replace(name)
    except BaseException:
        sock.close()
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    return sock


def _remove(name: Path) -> None:
    """Remove what a killed process left."""
    with contextlib.suppress(OSError):
        if name.is_symlink():
            folder = name.readlink().parent
            if folder.name.startswith(_ELSEWHERE):
                shutil.rmtree(folder, ignore_errors=True)
        name.unlink(missing_ok=True)
