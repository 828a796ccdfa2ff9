"""The mapping of bounded size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.bounded import Bounded, short_cache


def test_set__drops_what_was_set_the_longest_ago() -> None:
    """A further entry takes the place of the oldest; setting an entry again makes it the newest."""
    known: Bounded[str, int] = Bounded(2)
    known["a"], known["b"] = 1, 2
    known["a"] = 3
    known["c"] = 4

    assert [("a", 3), ("c", 4)] == list(known.items())


def test_setdefault__is_bounded() -> None:
    """An entry that is there stays as it is; a new one counts."""
    known: Bounded[str, list[str]] = Bounded(1)
    first = known.setdefault("a", ["x"])

    assert first is known.setdefault("a", [])
    assert ["y"] == known.setdefault("b", ["y"])
    assert ["b"] == list(known)


@given(st.integers(1, 4), st.lists(st.integers(0, 6)))
def test_set__any_order(most: int, keys: list[int]) -> None:
    """What is there are the last different keys, in the order in which each was set last."""
    known: Bounded[int, int] = Bounded(most)
    for number, key in enumerate(keys):
        known[key] = number

    last = list(dict.fromkeys(reversed(keys)))[:most]
    assert last == list(reversed(known))
    assert [len(keys) - 1 - keys[::-1].index(key) for key in known] == list(known.values())


def test_short_cache() -> None:
    """What is made of a short text is made once while it is remembered; of a long one it is made each time."""
    made: list[tuple[str, int]] = []

    @short_cache(2, longest=3)
    def work(text: str, number: int) -> int:
        made.append((text, number))
        return len(text) + number

    for _ in range(3):
        assert [4, 5] == [work("abc", 1), work("abcd", 1)]
    assert [("abc", 1), *[("abcd", 1)] * 3] == made
    assert [3, 4, 4] == [work("a", 2), work("b", 3), work("abc", 1)]
    assert ("abc", 1) == made[-1]  # others came in its place meanwhile
