"""The mapping of bounded size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.bounded import Bounded


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
