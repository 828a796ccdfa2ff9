"""Dates of HTTP."""

from __future__ import annotations

import pytest

from proxy.cache import dates

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_parse() -> None:
    """The preferred form is read."""
    assert 784111777.0 == dates.parse(DATE)


@pytest.mark.parametrize(
    "text",
    [None, "", "now", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", f"{DATE}\r\nX: y", DATE.lower(),
     "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 24:49:37 GMT"],
)  # fmt: skip
def test_passable__other_forms(text: str | None) -> None:
    """No other form is passed on."""
    assert dates.parse(text) is None
    assert dates.passable(text) is None


def test_passable() -> None:
    """The preferred form is passed on as it is."""
    assert DATE == dates.passable(DATE)


@pytest.mark.parametrize(("age", "expected"), [(60.0, True), (59.9, False), (-1.0, False), (1e6, True)])
def test_settled(age: float, expected: bool) -> None:
    """A minute must have passed."""
    assert expected == dates.settled(DATE, 784111777.0 + age)
    assert not dates.settled(DATE, None)
    assert not dates.settled(None, 784111777.0 + age)
