"""What `doctor` found."""

from __future__ import annotations

from proxy.builds.findings import Finding, Health, doubtful, ok, skipped, wrong


def test_findings__by_health() -> None:
    """Only what can be mended has a remedy."""
    assert Finding("a", Health.OK, "b") == ok("a", "b")
    assert Finding("a", Health.DOUBTFUL, "b", "c") == doubtful("a", "b", "c")
    assert Finding("a", Health.WRONG, "b", "c") == wrong("a", "b", "c")
    assert Finding("a", Health.SKIPPED, "b") == skipped("a", "b")
