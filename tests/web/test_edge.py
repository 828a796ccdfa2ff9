"""How the edge reads a query. What it does with a request is held by the flows."""

from __future__ import annotations

import pytest

from proxy.errors import BadTarget
from proxy.web.edge import _format_of


@pytest.mark.parametrize(
    ("query", "expected"),
    [("format=a", "a"), ("x=1&format=a%2Bb", "a+b"), ("format=a&format=b", "a"), ("formats=a", None)],
)
def test_format_of(query: str, expected: str | None) -> None:
    """The first `format` counts."""
    assert expected == _format_of(query)


def test_format_of__too_many_fields() -> None:
    """A query is not read for ever."""
    with pytest.raises(BadTarget):
        _format_of("&".join(["a=1"] * 100))
