"""Moves: addresses that a page gave files before it gave them others.

Some indexes sign the path itself, as `/s/<token>/demo-1.0.tar.gz`, and anew on each page. A client that has an earlier
page asks for an address that no page has any more. Told by `catalog` of each page that arrives. Never fetches, and
never decides whether it is the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.bounded import Bounded
from proxy.python.page import File

_NAMES = 10_000  # files of which earlier addresses are known
_EACH = 4  # of one file: pages are kept by clients for minutes


class Moves:
    """What is known since the start. Mutable state: by page and name, files as earlier pages had them, the last first.

    Bounded: what was not moved for the longest time is forgotten.
    """

    def __init__(self) -> None:
        self._earlier: Bounded[tuple[str, str], tuple[File, ...]] = Bounded(_NAMES)

    def arrived(self, page: str, before: Iterable[File], now: Mapping[str, Iterable[File]]) -> None:
        """The page with this key had the files `before`, and has others `now`, by name."""
        for file in before:
            there = now.get(file.filename)
            if there and _place(file) not in map(_place, there):
                key = (page, file.filename)
                self._earlier[key] = (file, *self._earlier.get(key, ()))[:_EACH]

    def earlier(self, page: str, name: str) -> tuple[File, ...]:
        """The file of this name as it was on earlier copies of a page, at addresses that it has no more."""
        return self._earlier.get((page, name), ())


def moved(before: File, now: list[File], *, failed: bool) -> list[File]:
    """Which of the files of its name a page has `now` are the one that it had elsewhere `before`.

    The digest tells. Where there is none, and nothing is at the earlier address (`failed`), the name does.
    """
    if failed and len(now) == 1 and not before.digests and not now[0].digests:
        return now
    return [file for file in now if not set(before.digests).isdisjoint(file.digests)]


def _place(file: File) -> str:
    """Its address without the query, which is no part of addresses on the cache."""
    return file.url.partition("?")[0]
