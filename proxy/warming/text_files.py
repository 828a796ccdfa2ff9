"""Reads the texts that people name: lock files, requirements, Dockerfiles, sources of apt."""

from __future__ import annotations

from pathlib import Path

from proxy.errors import PullthroughError

_LARGEST = 64 << 20  # bytes


class UnreadableFile(PullthroughError):
    """A file that cannot be warmed from. The text names it, and says what is wrong."""


def read(path: Path, most: int = _LARGEST) -> str:
    """The text of a file, which has `most` bytes at most. Raises UnreadableFile."""
    try:
        if path.stat().st_size > most:
            raise UnreadableFile(f"{path} has more than {most:,} bytes: it is no file to warm from.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path} is no text file.") from error
