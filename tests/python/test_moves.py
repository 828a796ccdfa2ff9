"""Addresses that pages gave files before others."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from proxy.model import Digest
from proxy.python.moves import Moves, moved
from proxy.python.page import File

ONE, TWO = Digest("sha256", "a" * 64), Digest("md5", "b" * 32)
FILE = File("demo-1.0.tar.gz", "https://files.example/1/demo-1.0.tar.gz?a=1", (ONE,))
MOVED = replace(FILE, url="https://files.example/2/demo-1.0.tar.gz?a=1")


def arrived(known: Moves, before: File, *now: File, page: str = "page") -> None:
    """Let a page come that has other files than before."""
    known.arrived(page, (before,), {file.filename: [file] for file in now})


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ((FILE,), ()),
        ((replace(FILE, url=FILE.url.replace("?a=1", "?a=2")),), ()),
        ((MOVED,), (FILE,)),
        ((), ()),
        ((replace(MOVED, filename="other-1.0.tar.gz"),), ()),
    ],
)
def test_earlier(now: tuple[File, ...], expected: tuple[File, ...]) -> None:
    """A file that is still on the page, elsewhere; another query is the same address on the cache."""
    known = Moves()
    arrived(known, FILE, *now)
    assert expected == known.earlier("page", FILE.filename)
    assert () == known.earlier("other page", FILE.filename)


def test_earlier__of_several_pages() -> None:
    """The last address first, and not without end."""
    known = Moves()
    files = [replace(FILE, url=f"https://files.example/{number}/demo-1.0.tar.gz") for number in range(9)]
    for before, now in pairwise(files):
        arrived(known, before, now)
    assert tuple(reversed(files[4:8])) == known.earlier("page", FILE.filename)


def test_memory__is_bounded() -> None:
    """What was not moved for the longest time is forgotten."""
    known = Moves()
    known._earlier.most = 2
    for page in ("one", "two", "one", "three"):
        arrived(known, FILE, MOVED, page=page)
    assert [True, False, True] == [bool(known.earlier(page, FILE.filename)) for page in ("one", "two", "three")]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((ONE,), [(ONE,)], [0]),
        ((ONE, TWO), [(), (TWO,)], [1]),
        ((ONE,), [(TWO,)], []),
        ((ONE,), [()], []),
        ((), [(ONE,)], []),
    ],
)
@pytest.mark.parametrize("failed", [False, True])
def test_moved__by_its_digest(
    before: tuple[Digest, ...], now: list[tuple[Digest, ...]], expected: list[int], *, failed: bool
) -> None:
    """Only a digest that both have tells that two files are one."""
    files = [replace(MOVED, digests=digests) for digests in now]
    assert [files[place] for place in expected] == moved(replace(FILE, digests=before), files, failed=failed)


@pytest.mark.parametrize(("count", "failed", "expected"), [(1, True, 1), (1, False, 0), (2, True, 0)])
def test_moved__without_digests(count: int, *, failed: bool, expected: int) -> None:
    """The one file of this name takes the place of what is not there any more."""
    files = [replace(MOVED, digests=())] * count
    assert files[:expected] == moved(replace(FILE, digests=()), files, failed=failed)
