"""When a kept document may be served as it is."""

from __future__ import annotations

import pytest

from proxy.cache.freshness import Verdict, judge
from proxy.model import Digest, Entry, Validator

_CHECKED = 1_000_000.0
_ENTRY = Entry("k", "http://index.example/", Digest("sha256", "0" * 64), 1, "", Validator(), _CHECKED, _CHECKED)


@pytest.mark.parametrize(
    ("age", "verdict"),
    [(0, Verdict.FRESH), (599, Verdict.FRESH), (600, Verdict.STALE), (86_400 * 400, Verdict.STALE)],
)
def test_judge__by_age(age: float, verdict: Verdict) -> None:
    """A copy is fresh until its time to live is over."""
    assert verdict is judge(_ENTRY, _CHECKED + age, 600)


def test_judge__clock_set_back_a_little() -> None:
    """A small step back does not make everything be fetched again."""
    assert Verdict.FRESH is judge(_ENTRY, _CHECKED - 5, 600)


def test_judge__clock_set_back_a_day() -> None:
    """An entry from the future is not fresh for ever."""
    assert Verdict.STALE is judge(_ENTRY, _CHECKED - 86_400, 600)


def test_judge__client_wants_revalidation() -> None:
    """A client's no-cache asks upstream, but askers within two seconds share the answer."""
    assert Verdict.FRESH is judge(_ENTRY, _CHECKED + 1, 600, revalidate=True)
    assert Verdict.STALE is judge(_ENTRY, _CHECKED + 3, 600, revalidate=True)
