"""The list of real indexes is that of the documentation."""

from __future__ import annotations

from tests.live.known import PAGES, documented

_BUILT_IN = {"pypi", "pytorch", "nvidia", "astral"}


def test_pages__each_index_of_the_documentation() -> None:
    """Every upstream that the documentation gives is asked, but for examples of private ones, and nothing else is."""
    given = {table["mount"] for table in documented("upstream") if ".example" not in table["url"]}

    assert given | _BUILT_IN == {path.partition("/")[0] for path in PAGES.values()}
    assert 1 == len(documented("group"))
