"""Sizes and times as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from proxy.config.quantities import Size, read_duration, show_duration, show_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("30s", 30.0),
        ("10m", 600.0),
        ("1.5h", 5400.0),
        ("1d", 86400.0),
        ("500ms", 0.5),
        (7, 7.0),
        (0.5, 0.5),
    ],
)
def test_read_duration__every_unit(text: object, seconds: float) -> None:
    """A unit multiplies; a bare number is seconds."""
    assert seconds == read_duration(text)


@pytest.mark.parametrize("text", ["", "m", "10 minutes", "-5s", "1e3", "nan", "1:30", True, None, float("inf"), [5]])
def test_read_duration__nonsense(text: object) -> None:
    """Anything else is refused with an example of what to write."""
    with pytest.raises(ValueError, match="such as 30s"):
        read_duration(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(100 * 10**9, "100 GB"), (16 * 2**20, "16 MiB"), (50 * 2**30, "50 GiB"), (1234, "1234"), (0, "0")],
)
def test_show_size__exact_units(size: int, text: str) -> None:
    """The shortest form that is exact is chosen."""
    assert text == show_size(size)


@given(st.integers(min_value=1, max_value=2**60))
def test_show_size__is_read_back(size: int) -> None:
    """What is shown means the same number when it is read."""
    assert size == TypeAdapter(Size).validate_python(show_size(size))


@given(st.integers(min_value=0, max_value=10**6))
def test_show_duration__is_read_back(seconds: int) -> None:
    """What is shown means the same time when it is read."""
    assert seconds == read_duration(show_duration(seconds))
