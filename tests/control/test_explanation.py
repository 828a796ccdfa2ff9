"""What may be asked of an address."""

from __future__ import annotations

import pytest

from proxy.control.explanation import ExplainWish


@pytest.mark.parametrize("url", ["/pypi/simple/six/", "https://index.example/simple/six/"])
def test_wrong__what_can_be_answered(url: str) -> None:
    """Any text of an address's length."""
    assert ExplainWish(url).wrong() is None


@pytest.mark.parametrize("url", ["", "  ", "x" * 8001])
def test_wrong__what_cannot(url: str) -> None:
    """Nothing, and what no address is as long as."""
    assert ExplainWish(url).wrong() is not None
