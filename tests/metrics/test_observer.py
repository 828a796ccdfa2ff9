"""Events as numbers."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import get_args

import pytest
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from proxy.events import (
    Discarded,
    DiskMeasured,
    Event,
    Evicted,
    Fetched,
    Flying,
    Mismatched,
    Served,
    Stored,
    Tunnelled,
    UpstreamAsked,
    UpstreamFailed,
    WarmRun,
)
from proxy.metrics import Gauges, Metrics, TrafficRow
from proxy.model import Kind, Outcome, Source

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "metrics.md"


def served(
    upstream: str = "pypi", status: int = 200, seconds: float = 0.004, sent: dict[Source, int] | None = None
) -> Served:
    """A file that was answered from the cache."""
    return Served(upstream, Kind.FILE, Outcome.HIT, status, sent or {}, seconds, "GET", "/x")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """What a scrape says of one sample; None if it is not there."""
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            if (sample.name, sample.labels) == (name, labels):
                return float(sample.value)
    return None


def total(metrics: Metrics, name: str) -> float:
    """The sum of all samples of a name."""
    families = text_string_to_metric_families(metrics.render()[0].decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


@pytest.mark.parametrize("upstream", ["pypi", "nobody"])
@pytest.mark.parametrize("sent", [{Source.CACHE: 5}, {}])
def test_again(upstream: str, sent: dict[Source, int]) -> None:
    """Told in short that an answer was sent again, it counts as by events: the first byte leaves with the last one."""
    told, told_in_short = Metrics(["pypi"]), Metrics(["pypi"])
    event = served(upstream, sent=sent)
    prepared = told_in_short.prepare(event)
    for seconds in (0.0001, 0.004, 70.0):
        told(structs.replace(event, seconds=seconds, first_byte=seconds))
        told_in_short.again(prepared, 0.0, "10.0.0.7", seconds, event.agent)
    texts = [
        re.sub(r"(?m)^process_.*|^python_.*|.*start_time.*$", "", one.render()[0].decode())
        for one in (told, told_in_short)
    ]
    assert texts[0] == texts[1]
    assert 3 == told_in_short.answers
    assert told.traffic() == told_in_short.traffic()


def test_render__before_any_event() -> None:
    """What can be counted for a configured upstream is there at zero, so that rates begin with the first event."""
    metrics = Metrics(["pypi", "pytorch"])
    for mount in ("pypi", "pytorch"):
        labels = {"upstream": mount, "kind": "metadata", "source": "shared"}
        assert value(metrics, "pullthrough_sent_bytes_total", **labels) == 0
        assert value(metrics, "pullthrough_fetched_bytes_total", upstream=mount) == 0
        assert value(metrics, "pullthrough_upstream_errors_total", upstream=mount, reason="wrong_bytes") == 0
        assert value(metrics, "pullthrough_upstream_requests_total", upstream=mount, status="cancelled") == 0
        for outcome, status in (("error", "4xx"), ("error", "5xx"), ("hit", "3xx"), ("miss", "2xx"), ("stale", "3xx")):
            labels = {"upstream": mount, "kind": "page", "outcome": outcome, "status": status}
            assert value(metrics, "pullthrough_requests_total", **labels) == 0


def test_served__counts_bytes_request_and_time() -> None:
    """One answer moves the counters of its labels, and no other."""
    metrics = Metrics(["pypi", "pytorch"])
    metrics(served(sent={Source.CACHE: 7, Source.SHARED: 20, Source.UPSTREAM: 300}))
    metrics(served(sent={Source.CACHE: 1}))
    for source, size in (("cache", 8), ("shared", 20), ("upstream", 300)):
        labels = {"upstream": "pypi", "kind": "file", "source": source}
        assert value(metrics, "pullthrough_sent_bytes_total", **labels) == size
    assert total(metrics, "pullthrough_sent_bytes_total") == 328
    labels = {"upstream": "pypi", "kind": "file", "outcome": "hit", "status": "2xx"}
    assert value(metrics, "pullthrough_requests_total", **labels) == 2
    assert total(metrics, "pullthrough_requests_total") == 2


@pytest.mark.parametrize(("status", "label"), [(206, "2xx"), (304, "3xx"), (416, "4xx"), (503, "5xx")])
def test_served__class_of_status(status: int, label: str) -> None:
    """Of the status only the class is a label."""
    metrics = Metrics(["pypi"])
    metrics(served(status=status))
    labels = {"upstream": "pypi", "kind": "file", "outcome": "hit", "status": label}
    assert value(metrics, "pullthrough_requests_total", **labels) == 1


def test_served__histogram() -> None:
    """Buckets hold what took no longer than their bound, and are summed up."""
    metrics = Metrics(["pypi"])
    for seconds in (0.0005, 0.001, 0.0011, 400.0):
        metrics(served(seconds=seconds))
    name, labels = "pullthrough_request_seconds", {"kind": "file", "outcome": "hit"}
    buckets = [value(metrics, f"{name}_bucket", le=le, **labels) for le in ("0.001", "0.0025", "300.0", "+Inf")]
    assert buckets == [2, 3, 3, 4]
    assert value(metrics, f"{name}_count", **labels) == 4
    assert value(metrics, f"{name}_sum", **labels) == pytest.approx(400.0026)


def test_events__the_others() -> None:
    """Each event moves its own numbers."""
    metrics = Metrics(["pypi"])
    for event in (
        Fetched("pypi", 5),
        Fetched("pypi", 6),
        UpstreamFailed("pypi", "timeout"),
        Evicted(100),
        Evicted(11, "disk"),
        Stored(4000, 3),
        Stored(5000, 4),
        Flying(2),
        Flying(1),
        Tunnelled(to_client=7),
        Tunnelled(to_client=1, to_host=3),
        WarmRun("nightly", "incomplete"),
    ):
        metrics(event)
    assert value(metrics, "pullthrough_fetched_bytes_total", upstream="pypi") == 11
    assert value(metrics, "pullthrough_upstream_errors_total", upstream="pypi", reason="timeout") == 1
    assert value(metrics, "pullthrough_evictions_total", reason="limit") == 1
    assert value(metrics, "pullthrough_warm_runs_total", outcome="incomplete") == 1
    assert value(metrics, "pullthrough_evicted_bytes_total", reason="disk") == 11
    assert value(metrics, "pullthrough_cache_bytes") == 5000
    assert value(metrics, "pullthrough_cache_blobs") == 4
    assert value(metrics, "pullthrough_downloads_in_flight") == 1
    assert value(metrics, "pullthrough_tunnelled_bytes_total", direction="to_client") == 8
    assert value(metrics, "pullthrough_tunnelled_bytes_total", direction="to_host") == 3


def test_labels__closed_sets() -> None:
    """However many names a client makes up, the exposition does not grow, and nothing is lost."""
    metrics = Metrics(["pypi"])
    for event in (served("-"), served("x"), Fetched("x", 1), UpstreamFailed("x", "x")):
        metrics(event)
    before = metrics.render()[0].count(b"\n")
    tracemalloc.start()
    for number in range(5000):
        metrics(served(f"made-up-{number}", sent={Source.UPSTREAM: 1}))
        metrics(Fetched(f"made-up-{number}", 1))
        metrics(UpstreamFailed(f"made-up-{number}", f"reason-{number}"))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert before == metrics.render()[0].count(b"\n")
    assert value(metrics, "pullthrough_fetched_bytes_total", upstream="other") == 5001
    assert value(metrics, "pullthrough_upstream_errors_total", upstream="other", reason="other") == 5001
    assert b"made-up" not in metrics.render()[0]
    assert grown < 100_000


def test_render__format() -> None:
    """The text format that every Prometheus reads."""
    assert Metrics(["pypi"]).render()[1] == "text/plain; version=0.0.4; charset=utf-8"


def test_metrics__two_of_them() -> None:
    """Two instances share nothing."""
    one, two = Metrics(["pypi"]), Metrics(["pypi"])
    one(Fetched("pypi", 5))
    assert value(two, "pullthrough_fetched_bytes_total", upstream="pypi") == 0


def test_document__each_metric_with_a_query() -> None:
    """The document has a section, with a query that uses it, for each metric, and for nothing else."""
    text = DOCUMENT.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    rendered = Metrics(["pypi"]).render()[0].decode()
    names = set(re.findall(r"^# TYPE (pullthrough_\w+)", rendered, re.MULTILINE))
    assert names == set(sections)
    for name, section in sections.items():
        assert re.search(rf"```promql\n[^`]*{name}", section), name


def test_document__each_reason() -> None:
    """The document names each value of the label `reason`."""
    rendered = Metrics(["pypi"]).render()[0].decode()
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [reason for reason in set(re.findall(r'reason="(\w+)"', rendered)) if f"`{reason}`" not in text] == []


def test_store_errors__are_asked_for() -> None:
    """What the store counts itself is shown as it is now."""
    counted = [0]
    metrics = Metrics(["pypi"], Gauges(store_errors=lambda: counted[0]))
    before = value(metrics, "pullthrough_store_errors_total")
    counted[0] = 7

    assert (0, 7) == (before, value(metrics, "pullthrough_store_errors_total"))


def test_traffic__by_upstream_and_kind() -> None:
    """Answers without a download of their own are hits, and what was sent less what was fetched is saved."""
    metrics = Metrics(["pypi"])
    metrics(served(sent={Source.CACHE: 7, Source.SHARED: 20}))
    metrics(Served("pypi", Kind.FILE, Outcome.MISS, 200, {Source.UPSTREAM: 300}, 1.0, "GET", "/x"))
    metrics(Served("pypi", Kind.FILE, Outcome.ERROR, 502, {}, 1.0, "GET", "/x"))
    metrics(Served("-", Kind.OTHER, Outcome.HIT, 200, {Source.CACHE: 9}, 1.0, "GET", "/metrics"))

    metrics(Fetched("pypi", 400))

    traffic = metrics.traffic()
    assert [TrafficRow("pypi", "file", 3, 1, 27)] == [row for row in traffic.rows if row.requests]
    assert 27 + 300 - 400 == traffic.saved


def test_events__all_are_counted() -> None:
    """There is no event that the metrics do not know."""
    assert set(get_args(Event)) == set(Metrics(["pypi"])._count)


def test_upstream_asked__answers_and_revalidations() -> None:
    """Each request on the wire is one; a redirect is no answer to a condition, and silence has no time.

    What the cache needed no more is no failure, neither of upstream nor of a revalidation.
    """
    metrics = Metrics(["pypi"])
    for status, conditional in ((200, False), (304, True), (200, True), (302, True), (503, True), (0, True)):
        metrics(UpstreamAsked("pypi", status, 0.5, conditional))
    metrics(UpstreamAsked("pypi", 0, 0.5, conditional=True, cancelled=True))

    requests = "pullthrough_upstream_requests_total"
    statuses = ("2xx", "3xx", "4xx", "5xx", "none", "cancelled")
    found = [value(metrics, requests, upstream="pypi", status=status) for status in statuses]
    assert [2, 2, 0, 1, 1, 1] == found
    assert value(metrics, "pullthrough_upstream_response_seconds_count", upstream="pypi") == 5
    results = ("unchanged", "changed", "failed")
    name = "pullthrough_revalidations_total"
    assert [1, 1, 2] == [value(metrics, name, upstream="pypi", result=result) for result in results]


def test_events__of_bodies_and_of_the_disk() -> None:
    """What was wrong, what was thrown away, what was stale, and what the disk has."""
    metrics = Metrics(["pypi"])
    for event in (
        Mismatched("pypi"),
        Discarded("pypi", 70),
        DiskMeasured(5, 50, 3600.0),
        structs.replace(served(), stale_age=90.0),
        structs.replace(served(), stale_age=10.0),
    ):
        metrics(event)

    assert value(metrics, "pullthrough_digest_mismatches_total", upstream="pypi") == 1
    assert value(metrics, "pullthrough_discarded_bytes_total", upstream="pypi") == 70
    assert value(metrics, "pullthrough_stale_age_seconds_sum", upstream="pypi") == 100
    assert value(metrics, "pullthrough_longest_unused_seconds") == 3600
