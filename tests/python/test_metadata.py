"""Where metadata comes from: the parts that a flow does not show."""

from __future__ import annotations

import pytest

from proxy.python.metadata import beside


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://files.example/a.whl", "https://files.example/a.whl.metadata"),
        ("https://files.example/a.whl?token=1", "https://files.example/a.whl.metadata?token=1"),
        ("https://files.example/a%2Bcpu.whl#sha256=00", "https://files.example/a%2Bcpu.whl.metadata"),
    ],
)
def test_beside(url: str, expected: str) -> None:
    """The ending goes to the path: a query stays behind it, a fragment goes."""
    assert expected == beside(url)
