"""What a client asks at an address of an archive."""

from __future__ import annotations

from proxy.apt.request import Request
from tests.apt.conftest import SUITE


def test_request__has_a_memory_of_its_own() -> None:
    """Where the edge gives no connection's memory, nothing is shared."""
    one, other = Request(SUITE), Request(SUITE)

    one.memory["suite"] = "snapshot"

    assert {} == other.memory
