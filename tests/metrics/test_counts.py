"""What is counted."""

from __future__ import annotations

from proxy.metrics.counts import Counts, failure_reasons


def test_counts__of_each_upstream_from_the_start() -> None:
    """A rate begins with the first event, so that there is a zero before it."""
    counts = Counts(["pypi", "pytorch", "pypi"])

    assert {"pypi": 0, "pytorch": 0} == counts.fetched == counts.mismatched == counts.discarded
    assert 2 * len(failure_reasons()) == len(counts.failed)
    assert {0} == set(counts.asked.values()) == set(counts.revalidations.values())


def test_failure_reasons__closed() -> None:
    """Each failure of upstream has a reason of its own, or that of what it is a kind of."""
    assert {"broken", "timeout", "wrong_bytes"} <= set(failure_reasons())
    assert len(set(failure_reasons())) == len(failure_reasons())
