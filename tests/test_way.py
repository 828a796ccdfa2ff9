"""A proxy as a value."""

from __future__ import annotations

import pytest

from proxy.way import Proxy


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        (Proxy("http://proxy.example:3128"), "http://proxy.example:3128"),
        (Proxy("https://[::1]:3128", "somewhere", "Basic c2VjcmV0"), "https://***@[::1]:3128"),
    ],
)
def test_proxy__for_people(proxy: Proxy, shown: str) -> None:
    """It is shown without what it is sent, but so that one sees that it is sent something."""
    assert shown == str(proxy)
    assert "c2VjcmV0" not in f"{proxy} {proxy!r}"
