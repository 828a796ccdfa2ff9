"""Content codings of pages (RFC 9110 §8.4.1): which one a client gets, and the bytes. Pure.

zstd (RFC 8878) is preferred where a client takes it: it is smaller than gzip, takes as long to make, and is unpacked in
a quarter of the time, for which a client waits at each page.
"""

from __future__ import annotations

import enum
import importlib
import sys
from functools import lru_cache
from typing import Any

from proxy.gzip_format import packed
from proxy.python.negotiation import qualities

zstd: Any
try:
    zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
except ImportError:  # a Python that was built without it
    zstd = None

_ZSTD = 1  # the level: on pages the higher ones are slower and not smaller
_HEADERS = 128  # remembered


class Coding(enum.Enum):
    """A coding; the value is its name. In order of preference, if a client takes several the same."""

    ZSTD = "zstd"
    GZIP = "gzip"


@lru_cache(_HEADERS)
def accepted(accept_encoding: str | None) -> Coding | None:
    """The coding in which a page is sent (RFC 9110 §12.5.3); None: as it is. Without the header: as it is."""
    named = qualities(accept_encoding or "")
    best, most = None, 0.0
    # What accepts any coding may mean those of its time: it gets gzip.
    for coding, quality in (
        (Coding.ZSTD, named.get("zstd", 0.0) if zstd is not None else 0.0),
        (Coding.GZIP, named.get("gzip", named.get("x-gzip", named.get("*", 0.0)))),
    ):
        if quality > most:
            best, most = coding, quality
    return best


def coded(body: bytes, coding: Coding) -> bytes:
    """The body in a coding: one frame of zstd, or one member of gzip (RFC 1952)."""
    if coding is Coding.ZSTD:
        return bytes(zstd.compress(body, _ZSTD))
    return packed(body)
