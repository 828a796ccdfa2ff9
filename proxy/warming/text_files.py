"""Reads the texts that people name: lock files, requirements, Dockerfiles, sources of apt."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from proxy.errors import PullthroughError

_LARGEST = 64 << 20  # bytes
_USER = re.compile(r"://[^/\s]*@")  # up to the last one: a password may have others
# What some editors and shells begin a text with, and how such a text is encoded.
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class UnreadableFile(PullthroughError):
    """A file that cannot be warmed from. The text names it, and says what is wrong."""


def read(path: Path, most: int = _LARGEST, *, errors: str = "strict") -> str:
    """The text of a file, which has `most` bytes at most, with plain ends of lines. Raises UnreadableFile.

    `errors`: as of `bytes.decode`.
    """
    try:
        if path.stat().st_size > most:
            raise UnreadableFile(f"{path} has more than {most:,} bytes: it is no file to warm from.")
        data = path.read_bytes()
        text = data.decode(next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8"), errors)
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path} is no text file.") from error
    if "\0" in text:
        raise UnreadableFile(f"{path} is no text file.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def without_user(text: str) -> str:
    """A text in which addresses have no user and no password: to be shown, and to be compared."""
    return _USER.sub("://", text)
