"""Versions of Debian packages."""

from __future__ import annotations

import pytest

from proxy.apt import versions


@pytest.mark.parametrize(
    ("own", "wanted", "expected"),
    [
        ("7.88.1-10+deb12u5", "7.88.1-10+deb12u5", True),
        ("9.18.28-1~deb12u2", "1:9.18.28-1~deb12u2", True),
        ("1:9.18.28-1~deb12u2", "9.18.28-1~deb12u2", True),
        ("1:9.18.28-1", "2:9.18.28-1", False),
        ("9.18.28-1", "1:9.18.28-2", False),
        ("1.0", "1.0.0", False),
        ("2:1.0", "1:2:1.0", False),
    ],
)
def test_same(own: str, wanted: str, expected: bool) -> None:
    """Files in a pool have no epoch in their names; apt and dpkg show it."""
    assert expected is versions.same(own, wanted)
