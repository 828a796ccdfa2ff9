"""What `doctor` says of the data folder on this machine: is it one, may it be written, is there room."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from proxy.builds.findings import Finding, doubtful, ok, wrong

_LITTLE = 5 * 10**9  # bytes
_NONE = 10**9


def folder(path: Path, *, owner: int | None = None) -> Finding:
    """The folder at `path`. `owner`: the user who writes it, where that is not this one, as in a container."""
    if os.path.lexists(path) and not path.is_dir():
        return wrong("folder", f"{path} is not a folder", "Move it away, or choose another one: PULLTHROUGH_DATA")
    above = path
    while not above.exists():
        above = above.parent
    if not os.access(above, os.W_OK | os.X_OK) and owner is None:
        who = above.stat().st_uid
        made = "cannot be written" if above == path else f"cannot be made in {above}"
        return wrong("folder", f"{path} {made} by user {os.geteuid()}: it is user {who}'s", _chown(above))
    foreign = _foreign(path, os.geteuid() if owner is None else owner) if path.is_dir() else None
    if foreign is not None:
        return wrong("folder", f"{foreign} is user {foreign.lstat().st_uid}'s: the cache cannot write it", _chown(path))
    free = shutil.disk_usage(above).free
    room = f"{free / 10**9:.1f} GB free"
    if free < _NONE:
        return wrong("folder", f"{path}: {room}", "pullthrough clean, or another disk: PULLTHROUGH_DATA")
    if free < _LITTLE:
        return doubtful("folder", f"{path}: {room}", "pullthrough clean")
    return ok("folder", f"{path}: {room}" if above == path else f"{path} is made at the first start; {room}")


def _foreign(path: Path, owner: int) -> Path | None:
    """The folder, or the first thing directly in it, that belongs to another user; None for root, who may all."""
    if owner == 0:
        return None
    try:
        inside = [path, *sorted(path.iterdir())]
    except OSError:
        return path
    return next((one for one in inside if one.lstat().st_uid != owner), None)


def _chown(path: Path) -> str:
    return f"sudo chown -R {os.geteuid()}:{os.getegid()} {path}"
