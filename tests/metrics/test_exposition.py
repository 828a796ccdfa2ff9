"""Counts as Prometheus reads them."""

from __future__ import annotations

import pytest

from proxy.events import DiskMeasured
from proxy.metrics.counts import Counts, Gauges
from proxy.metrics.exposition import Exposition
from tests import scrape


def _text(counts: Counts, gauges: Gauges | None = None) -> str:
    return Exposition(counts, gauges or Gauges()).render()[0].decode()


def test_render__what_is_not_known_has_no_value() -> None:
    """A disk that was not measured is not a full one."""
    counts = Counts(["pypi"])
    with pytest.raises(LookupError):
        scrape.value(_text(counts), "pullthrough_disk_free_bytes")
    counts.disk = DiskMeasured(0, 700, None)

    text = _text(counts)

    assert (0, 700) == tuple(scrape.value(text, f"pullthrough_disk_{name}_bytes") for name in ("free", "size"))
    with pytest.raises(LookupError):
        scrape.value(text, "pullthrough_longest_unused_seconds")


def test_render__asks_when_somebody_looks() -> None:
    """What others count is shown as it is now."""
    followers = [3]
    exposition = Exposition(Counts(["pypi"]), Gauges(limit=9, followers=lambda: followers[0]))
    followers[0] = 4

    text = exposition.render()[0].decode()

    assert (4, 9) == (scrape.value(text, "pullthrough_followers"), scrape.value(text, "pullthrough_cache_limit_bytes"))


def test_render__names() -> None:
    """Names say their unit: counters end in `_total`, times in `_seconds`, sizes in `_bytes`."""
    for line in _text(Counts(["pypi"])).splitlines():
        if line.startswith("# TYPE pullthrough_"):
            name, kind = line.split()[2:]
            assert name.endswith("_total") is (kind == "counter"), name
            assert kind != "histogram" or name.endswith("_seconds"), name
