"""The secret files of a build: what pip, uv and apt read inside, in a folder that is gone when the build has ended.

Ids and targets are parts of layer keys, so they never change; BuildKit leaves the contents out of keys and images (ADR
15). A folder that a killed process left is removed by the next one. Called by `build`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from proxy.clients import BUILD_HOST, apt_lines, pip_configuration, uv_configuration

NAME = BUILD_HOST
TARGETS = {"pip": "/etc/pip.conf", "uv": "/etc/uv/uv.toml", "apt": "/etc/apt/apt.conf.d/01pullthrough"}

_PREFIX = "pullthrough-secrets-"
_LOCK = "lock"


def texts(port: int, mount: str, index: str) -> dict[str, str]:
    """The contents by id. `port`: of the cache at the address that NAME has in the build."""
    base_url = f"http://{NAME}:{port}"
    return {
        "pip": pip_configuration(base_url, mount, index),
        "uv": uv_configuration(base_url, mount, index),
        "apt": "".join(f"{line}\n" for line in apt_lines(base_url)),
    }


@contextlib.contextmanager
def secret_files(
    contents: Mapping[str, str], environ: Mapping[str, str], above: Path | None = None
) -> Iterator[dict[str, Path]]:
    """Write the files, mode 0600 in a folder of mode 0700; gives their paths by id, and removes all in the end.

    They are regular files: BuildKit reads a pipe once only. `above`: where `docker` looks, if not everywhere. Raises
    OSError.
    """
    if above is None:
        above = _folder(environ)
    above.mkdir(parents=True, exist_ok=True)
    _sweep(above)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=above))
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name, text in contents.items():
                with open(folder / name, "x", encoding="utf-8", opener=_private) as file:
                    file.write(text)
            yield {name: folder / name for name in contents}
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _folder(environ: Mapping[str, str]) -> Path:
    """The user's folder in memory, where there is one; else that for temporary files."""
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    return runtime if runtime.is_dir() and os.access(runtime, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def _sweep(above: Path) -> None:
    """Remove what killed processes of this user left: their locks are free."""
    for folder in above.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
