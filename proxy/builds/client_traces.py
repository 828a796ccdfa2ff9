"""What Docker's own client leaves in the home folder at its first build: its number, and buildx' folder.

`setup` builds to prove the way, so it may be the first. What was not there before is removed when setup is taken back,
unless somebody has made builders since.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_NUMBER, _BUILDX = ".buildNodeID", "buildx"


def absent(environ: Mapping[str, str]) -> list[Path]:
    """Those of the traces that are not there."""
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "/") / ".docker")
    return [path for path in (folder, folder / _NUMBER, folder / _BUILDX) if not path.exists()]


def remove(paths: Sequence[Path]) -> None:
    """Remove the traces that were `absent` before. Folders that others use stay. Raises OSError."""
    for path in reversed(paths):
        if path.name == _NUMBER:
            path.unlink(missing_ok=True)
        elif path.name != _BUILDX:
            with suppress(OSError):  # it has other files, or is not there
                path.rmdir()
        elif path.is_dir() and not _builders(path):
            shutil.rmtree(path)


def _builders(folder: Path) -> bool:
    """Whether somebody made a builder."""
    instances = folder / "instances"
    return instances.is_dir() and any(instances.iterdir())
