"""The data folder: what is where, and which version of the layout it has (docs/formats.md).

Opened once, by the store. It never looks into the index and never removes what it does not know.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import StoreRefused
from proxy.storage.lock import FolderLock
from proxy.storage.refusals import refusal

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths below a data folder whose lock is held."""

    path: Path
    lock: FolderLock

    @property
    def index(self) -> Path:
        """The database, and the files that its rows name."""
        return self.path / "index"

    @property
    def spool(self) -> Path:
        """Files under construction."""
        return self.path / "spool"

    def blob(self, value: str) -> Path:
        """The file of the blob whose sha256 is `value`."""
        return self.index / blob_name(value)


def blob_name(value: str) -> str:
    """The file of a blob, relative to the index: a function of its sha256 and of nothing else."""
    return f"sha256/{value[:2]}/{value[2:]}"


def prepare(path: Path) -> Folder:
    """Create or open a data folder and lock it.

    Raises StoreRefused when it may not be written, is in use by another process or has a layout of a later version;
    StoreFull or StoreBroken where that may be over in a moment.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(path, error) from error
    folder = Folder(path.resolve(), FolderLock.acquire(path / "lock"))
    try:
        _agree_on_format(folder.path / "format")
        folder.index.mkdir(mode=0o700, exist_ok=True)
        folder.spool.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        folder.lock.release()
        raise refusal(path, error) from error
    except StoreRefused:
        folder.lock.release()
        raise
    return folder


def _agree_on_format(path: Path) -> None:
    try:
        text = path.read_bytes()[:20].strip()
    except FileNotFoundError:
        text = b""
    if not text:  # a new folder, or one whose first start was cut off
        fresh = path.with_name("format.new")
        fresh.write_text(f"{FORMAT}\n", encoding="ascii")
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
