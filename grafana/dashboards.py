"""Writes the dashboards that Grafana is given: `python -m grafana.dashboards`, from the checkout's folder.

Every expression has the variables `$instance` and `$upstream` of its dashboard. A saving is what was sent less what was
fetched, taken from the sums that `rules.yml` records.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.panels import Board, Query, Text

FOLDER: Final = Path(__file__).parent / "provisioning/dashboards"
_ONE = 'instance=~"$instance",upstream=~"$upstream"'
_ANY = 'instance=~"$instance"'
# Not the program's own pages, one of which Prometheus itself asks for again and again, nor tunnels, which last long.
_ASKED = f'{_ANY},kind!="other"'


def _increase(which: str, span: str) -> str:
    """Bytes `sent` or `fetched` in the time before each point."""
    return f"increase(instance_upstream:pullthrough_{which}_bytes:sum{{{_ONE}}}[{span}])"


def _saved(span: str) -> str:
    return f"sum({_increase('sent', span)}) - sum({_increase('fetched', span)})"


def _share(span: str) -> str:
    return f"({_saved(span)}) / (sum({_increase('sent', span)}) > 0)"


def _grown(counter: str, by: str, labels: str = _ONE) -> str:
    return f"sum by ({by}) (increase({counter}{{{labels}}}[$__rate_interval]))"


def _price() -> str:
    """The price that was typed, a number; nothing if it is something else.

    The value of a label becomes a number only as the bound of a histogram's bucket, and one that is no number is left
    out. In the expression itself it would be a mistake in the query.
    """
    typed = 'label_replace(vector(1), "le", ${price:doublequote}, "", "")'
    last = 'label_replace(vector(1), "le", "+Inf", "", "")'
    return f"(histogram_quantile(1, {typed} or {last}) > -Inf)"


def _spared() -> str:
    """Seconds: as if each file that came from the disk had taken as long as one from upstream in the mean."""
    counts = 'increase(pullthrough_request_seconds_{0}{{{1},outcome=~"{2}"}}[$__range])'
    hits, took = (f"sum by (kind) ({counts.format(name, _ASKED, 'hit')})" for name in ("count", "sum"))
    misses, waited = (f"sum by (kind) ({counts.format(name, _ASKED, 'miss')})" for name in ("count", "sum"))
    return f"sum({hits} * ({waited} / ({misses} > 0)) - {took})"


def savings() -> Board:
    """What the cache saved."""
    board = Board(
        "pullthrough-savings", "Savings", "What the cache saved: bytes sent less bytes fetched.", "7d"
    ).asking(
        "price", "price of a GB", "0.09", "What a gigabyte from upstream costs, in any currency: a number, as in 0.09."
    )
    board.row("Saved")
    for span, title in (("1d", "24 hours"), ("7d", "7 days"), ("30d", "30 days")):
        board.figure(
            Text(
                f"Saved in {title}",
                f"Bytes sent to clients less bytes fetched from upstream, in the last {title}. It can be below zero.",
                "decbytes",
            ),
            Query(_saved(span)),
            8,
        )
    board.figure(
        Text(
            "Saved, per cent",
            "The share of the bytes sent in the time shown that upstream had not to send.",
            "percentunit",
        ),
        Query(_share("$__range")),
        8,
    )
    board.figure(
        Text(
            "Money saved",
            "Gigabytes saved in the time shown, times the price above. A gigabyte is 10⁹ bytes.",
            "short",
            "nothing yet, or a price that is no number; write it as in 0.09",
        ),
        Query(f"({_saved('$__range')}) / 1e9 * {_price()}"),
        8,
        decimals=2,
    )
    board.figure(
        Text(
            "Time of download spared",
            "An estimate for the time shown: as if each answer from the disk had taken as long as one from upstream "
            "does in the mean, of its kind. For all upstreams together.",
            "s",
            "no answer from upstream to compare with",
        ),
        Query(_spared()),
        8,
    )
    board.row("Where and how fast")
    board.graph(
        Text("Saved by index", "Bytes saved in the 24 hours before each point, for each upstream.", "decbytes"),
        Query(f"sum by (upstream) (instance_upstream:pullthrough_saved_bytes:increase1d{{{_ONE}}})", "{{upstream}}"),
    )
    board.graph(
        Text(
            "To clients, and from upstream",
            "Bytes a second that clients were sent, and that upstream sent. The area between them is what was saved.",
            "Bps",
        ),
        Query(f"sum(rate(pullthrough_sent_bytes_total{{{_ONE}}}[$__rate_interval]))", "to clients"),
        Query(f"sum(rate(pullthrough_fetched_bytes_total{{{_ONE}}}[$__rate_interval]))", "from upstream"),
        filled=40,
    )
    board.graph(
        Text(
            "Sent, by where it came from", "From the disk, from a download of another client, or from upstream.", "Bps"
        ),
        Query(f"sum by (source) (rate(pullthrough_sent_bytes_total{{{_ONE}}}[$__rate_interval]))", "{{source}}"),
        stacked=True,
        filled=40,
    )
    return board.graph(
        Text(
            "Hits by bytes",
            "The share of the bytes sent in the hour before each point that did not come from upstream.",
            "percentunit",
        ),
        Query(f"instance_upstream:pullthrough_hit_bytes:ratio_rate1h{{{_ONE}}}", "{{upstream}}"),
    )


def operations() -> Board:
    """How the cache is."""
    board = Board("pullthrough-operations", "Operations", "How the cache and its upstreams are.", "6h")
    board.row("Now")
    for text, expression in (
        (
            Text("Downloads under way", "Flights: files that are coming from upstream now.", "short"),
            f"sum(pullthrough_downloads_in_flight{{{_ANY}}})",
        ),
        (
            Text("Clients that follow them", "Clients that are sent a download while it is under way.", "short"),
            f"sum(pullthrough_followers{{{_ANY}}})",
        ),
        (
            Text("Stored", "The share of the setting `disk` that the stored files take.", "percentunit"),
            f"sum(pullthrough_cache_bytes{{{_ANY}}}) / sum(pullthrough_cache_limit_bytes{{{_ANY}}})",
        ),
        (
            Text(
                "Disk free",
                "Free bytes of the file system that holds the data folder; the least, of several caches.",
                "decbytes",
                "not measured",
            ),
            f"min(pullthrough_disk_free_bytes{{{_ANY}}})",
        ),
        (
            Text(
                "Headroom",
                "How long the file has not been used that leaves next. When the cache is full, a file stays that long.",
                "s",
                "nothing stored",
            ),
            f"min(pullthrough_longest_unused_seconds{{{_ANY}}})",
        ),
        (
            Text(
                "Digest mismatches",
                "Files in the time shown that were not what their index promises. Each is worth a look.",
                "short",
            ),
            f"sum(increase(pullthrough_digest_mismatches_total{{{_ONE}}}[$__range]))",
        ),
    ):
        board.figure(text, Query(expression), 4)
    board.row("How long clients wait")
    for title, outcomes in (("warm", "hit|shared|revalidated"), ("cold", "miss")):
        labels = f'{_ASKED},outcome=~"{outcomes}"'
        board.heat(
            Text(
                f"First byte, {title}",
                f"Answers by the seconds until they began to leave ({outcomes.replace('|', ', ')}).",
                "s",
            ),
            Query(_grown("pullthrough_first_byte_seconds_bucket", "le", labels)),
        )
    board.graph(
        Text(
            "Time of an answer", "Seconds to the last byte, in which 50, 95 and 99 of 100 answers were complete.", "s"
        ),
        *(
            Query(f"histogram_quantile({share}, {_grown('pullthrough_request_seconds_bucket', 'le', _ASKED)})", name)
            for share, name in ((0.5, "50 %"), (0.95, "95 %"), (0.99, "99 %"))
        ),
    )
    board.graph(
        Text("Answers by outcome", "What X-Cache said to clients.", "short"),
        Query(_grown("pullthrough_requests_total", "outcome", f'{_ONE},upstream!="-"'), "{{outcome}}"),
        stacked=True,
        filled=40,
    )
    board.row("Upstream")
    board.graph(
        Text("Upstream's time to answer", "Seconds to the head of an answer, in which 95 of 100 came.", "s"),
        Query(
            f"histogram_quantile(0.95, {_grown('pullthrough_upstream_response_seconds_bucket', 'le, upstream')})",
            "{{upstream}}",
        ),
    )
    board.graph(
        Text(
            "Errors by reason", "Attempts upstream that failed, those included that a further try made good.", "short"
        ),
        Query(_grown("pullthrough_upstream_errors_total", "upstream, reason"), "{{upstream}}: {{reason}}"),
    )
    board.graph(
        Text("Stale answers", "Answers from the store that upstream could not confirm.", "short"),
        Query(_grown("pullthrough_stale_age_seconds_count", "upstream"), "{{upstream}}"),
    )
    board.heat(
        Text("Age of stale answers", "Stale answers by the seconds since upstream last confirmed them.", "s"),
        Query(_grown("pullthrough_stale_age_seconds_bucket", "le")),
    )
    board.graph(
        Text("Revalidations", "Questions to upstream whether a stored copy is still right, by what it said.", "short"),
        Query(_grown("pullthrough_revalidations_total", "result"), "{{result}}"),
        stacked=True,
        filled=40,
    )
    board.graph(
        Text("Fetched, and neither sent nor stored", "Bytes of downloads that failed, or that came twice.", "decbytes"),
        Query(_grown("pullthrough_discarded_bytes_total", "upstream"), "{{upstream}}"),
    )
    board.graph(
        Text(
            "Fetched ahead of clients",
            "Bytes that look-ahead fetched, and those of them that a client asked for in time (used) or not (unused).",
            "decbytes",
        ),
        Query(_grown("pullthrough_foreseen_bytes_total", "outcome"), "{{outcome}}"),
        width=24,
    )
    board.row("Disk")
    board.graph(
        Text("Stored and its bound", "Bytes of the stored files, and the setting `disk`.", "decbytes"),
        Query(f"sum(pullthrough_cache_bytes{{{_ANY}}})", "stored"),
        Query(f"sum(pullthrough_cache_limit_bytes{{{_ANY}}})", "bound"),
    )
    board.graph(
        Text(
            "Evicted", "Bytes removed to make room, by reason: the setting, or a disk that was nearly full.", "decbytes"
        ),
        Query(_grown("pullthrough_evicted_bytes_total", "reason", _ANY), "{{reason}}"),
    )
    return board.graph(
        Text(
            "Failures at home",
            "Reads and writes of the data folder that failed, and log lines that were not written.",
            "short",
        ),
        Query(f"sum(increase(pullthrough_store_errors_total{{{_ANY}}}[$__rate_interval]))", "data folder"),
        Query(f"sum(increase(pullthrough_dropped_log_lines_total{{{_ANY}}}[$__rate_interval]))", "log lines"),
        width=24,
    )


def texts() -> dict[str, str]:
    """File names of the dashboards, and their JSON."""
    boards = {"savings.json": savings(), "operations.json": operations()}
    return {
        name: json.dumps(board.build(), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for name, board in boards.items()
    }


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text, "utf-8")
