"""Why a folder cannot be the data folder, and what helps: the errors of a start. `folder`, `lock`, `store` raise them.

A full or failing disk may be well again in a moment, and is served past until then; StoreRefused is for a person.

Looks at the disk only to name what is in the way.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from proxy.errors import StoreBroken, StoreError, StoreFull, StoreRefused

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


def refusal(path: Path, error: OSError) -> StoreError:
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
