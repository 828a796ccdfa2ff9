"""The data folder: what is where, which version of the layout it has (docs/formats.md), and its lock.

Opened once, at the start. The errors of a folder that cannot be used are made here, with what helps: StoreFull and
StoreBroken where the disk may be well again in a moment, StoreRefused where only a person can help. It never looks into
the index, and never removes what it does not know.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from proxy import operating_system
from proxy.errors import StoreBroken, StoreError, StoreFull, StoreRefused

FORMAT = 1

_ELSEWHERE = "choose another folder with --data."
_DISK_FULL = (
    f"The disk of the data folder {{path}} is full, or takes no more files. Free some space there, or {_ELSEWHERE}"
)
_NO_DESCRIPTORS = "The limit of open files is reached. Raise it, as with `ulimit -n 4096`, and start again."
_NO_LOCKS = f"The data folder {{path}} cannot be locked: {{reason}}. Use a local disk: {_ELSEWHERE}"
_OTHER = f"The data folder {{path}} cannot be used: {{reason}}; {_ELSEWHERE}"
_FULL = {
    errno.ENOSPC: _DISK_FULL,
    errno.EFBIG: _DISK_FULL,
    errno.EDQUOT: f"The quota of this user at the data folder {{path}} is used up. Free some space, or {_ELSEWHERE}",
}
_BROKEN = {
    errno.EROFS: f"The data folder {{path}} cannot be written: {{reason}}; {_ELSEWHERE}",
    errno.EIO: _OTHER,
    errno.ESTALE: _OTHER,
    errno.ETIMEDOUT: _OTHER,
}
_REFUSED = {
    errno.ENAMETOOLONG: f"The name of the data folder is too long; {_ELSEWHERE}",
    errno.EMFILE: _NO_DESCRIPTORS,
    errno.ENFILE: _NO_DESCRIPTORS,
    errno.ENOLCK: _NO_LOCKS,
    errno.EOPNOTSUPP: _NO_LOCKS,
    errno.ENOSYS: _NO_LOCKS,
}


class FolderLock:
    """An exclusive flock(2) on a file that says which process has it. The kernel frees it when that process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock without waiting. Raises StoreRefused when another process has it; StoreError."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise unusable(path.parent, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                who = f"process {holder}" if holder.isdigit() else "another process"
                raise StoreRefused(
                    f"The data folder {path.parent} is in use by {who}. Stop that one, or {_ELSEWHERE}"
                ) from error
            raise unusable(path.parent, error) from error
        with contextlib.suppress(OSError):  # the number is only for people to read, and the disk may be full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let others have it. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths below a data folder whose lock is held."""

    path: Path
    lock: FolderLock

    @classmethod
    def open(cls, path: Path) -> Self:
        """Create or open a data folder and lock it.

        Raises StoreRefused when it may not be written, is in use by another process or has a layout of a later version;
        StoreFull or StoreBroken where that may be over in a moment.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(path, error) from error
        folder = cls(path.resolve(), FolderLock.acquire(path / "lock"))
        try:
            _check_format(folder.path / "format")
            folder.index.mkdir(mode=0o700, exist_ok=True)
            folder.spool.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            folder.lock.release()
            raise unusable(path, error) from error
        except StoreRefused:
            folder.lock.release()
            raise
        return folder

    @property
    def index(self) -> Path:
        """The database, and the files that its rows name."""
        return self.path / "index"

    @property
    def spool(self) -> Path:
        """Files under construction."""
        return self.path / "spool"

    def look(self) -> None:
        """Read something else than a body: where that fails, too, it says nothing against one. Raises OSError."""
        descriptor = os.open(self.path / "format", os.O_RDONLY)
        try:
            os.pread(descriptor, 1, 0)
        finally:
            os.close(descriptor)

    def blob(self, sha256: str) -> Path:
        """The file of a blob."""
        return self.index / blob_name(sha256)


def blob_name(sha256: str) -> str:
    """The file of a blob, relative to the index: a function of its sha256 and of nothing else."""
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def _check_format(path: Path) -> None:
    try:
        text = path.read_bytes()[:20].strip()
    except FileNotFoundError:
        text = b""
    if not text:  # a new folder, or one whose first start was cut off
        fresh = path.with_name("format.new")
        with fresh.open("wb") as file:
            file.write(b"%d\n" % FORMAT)
            file.flush()
            operating_system.sync_data(file.fileno())  # after a power cut there is no such file, or a whole one
        os.replace(fresh, path)  # noqa: PTH105 the atomic one, by its name
    elif not text.isdigit():
        raise StoreRefused(
            f"{path} does not hold a version number. If the folder is a cache of this program, delete that file."
        )
    elif int(text) > FORMAT:
        raise StoreRefused(
            f"The data folder {path.parent} was written by a later version of this program (format {int(text)}, "
            f"this one knows {FORMAT}). Use that version, or another folder."
        )


def unusable(path: Path, error: OSError) -> StoreError:
    """What to raise for an error of the system at the data folder `path` or in it."""
    if error.errno in _FULL:
        return StoreFull(_FULL[error.errno].format(path=path))
    if error.errno in (errno.EACCES, errno.EPERM):
        return StoreRefused(_forbidden(path))
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
        return StoreRefused(_in_the_way(path, error))
    kind, texts = (StoreBroken, _BROKEN) if error.errno in _BROKEN else (StoreRefused, _REFUSED)
    return kind(texts.get(error.errno or 0, _OTHER).format(path=path, reason=error.strerror or error))


def _forbidden(path: Path) -> str:
    user = os.geteuid()
    if os.path.lexists(path):
        return f"The data folder {path} cannot be written by user {user}. Let that user write there, or {_ELSEWHERE}"
    above = next((folder for folder in path.parents if os.path.lexists(folder)), Path("/"))
    return f"The data folder {path} cannot be made: user {user} may not write in {above}. Permit it, or {_ELSEWHERE}"


def _in_the_way(path: Path, error: OSError) -> str:
    """What stands where a folder or a file is to be: above the data folder, in its place, or in it."""
    front = f"The data folder {path} cannot be used: "
    for place in (*reversed(path.parents), path):  # what is below a file cannot be looked at
        if place.is_symlink() and not place.exists():
            return (
                f"{front}{place} is a symbolic link that leads nowhere. Make the folder that it names, or {_ELSEWHERE}"
            )
        if place.exists() and not place.is_dir():
            return f"{front}{place} is a file and not a folder; {_ELSEWHERE}"
    inside = path if error.filename is None else Path(os.fsdecode(error.filename))
    return f"{front}{inside} is not what this program puts there. Remove it, or {_ELSEWHERE}"
