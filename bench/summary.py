"""The table that the README shows: a few rows of a whole run, between two markers. Pure: results in, Markdown out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import archive
from bench.apt import CROWD
from bench.caches import ACNG, SQUID
from bench.origin import LIMITED, UNLIMITED
from bench.report import NONE, figure
from bench.results import DIRECT, OURS, Row
from bench.target import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.results import Results

BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"
_STATES = ("cold", "warm")
_INDEXES = (OURS, "nginx", "devpi", "proxpi")
_ARCHIVES = (OURS, ACNG, SQUID, DIRECT)


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what it is called, where its figure is, and the unit behind it."""

    title: str
    case: str
    variant: str
    metric: str
    unit: str


_WHEELS = (
    Line("hits of a 1 GiB wheel, 8 clients", "a", "8 clients", "speed", " GB/s"),
    Line("40 KB index page, 16 connections", "b", "40 KB page, 16 connections", "rate", "/s"),
    Line("2 MB index page, 16 connections", "b", "2 MB page, 16 connections", "rate", "/s"),
    Line("100 KiB wheel, 16 connections", "b", "100 KiB wheel, 16 connections", "rate", "/s"),
    Line("6 KB metadata, 16 connections", "b", "6 KB metadata, 16 connections", "rate", "/s"),
    Line("cold 400 MiB wheel, 20 MB/s per connection", "c", LIMITED.name, "total", " s"),
    Line("50 clients on it: median first byte", "d", LIMITED.name, "first", " s"),
    Line("50 clients on it: origin bytes ÷ file", "d", LIMITED.name, "ratio", "\N{MULTIPLICATION SIGN}"),
    Line("cold 400 MiB wheel, unlimited origin", "c", UNLIMITED.name, "total", " s"),
)
_DEBS = (
    *(
        Line(f"apt: update and 120 packages, warm, {pace}", "f", f"warm, {pace}", "seconds", " s")
        for pace in archive.PACES
    ),
    *(
        Line(f"apt: update and 120 packages, cold, {pace}", "f", f"cold, {pace}", "seconds", " s")
        for pace in archive.PACES
    ),
    Line(f"apt: 20 packages each, warm, {CROWD} clients at once", "f", f"{CROWD} clients at once", "seconds", " s"),
)


def summary(results: Results) -> str:
    """The tables, with the sentence before them."""
    return (
        "Measured side by side in one run of `make bench`, medians, on a machine that also ran the origin and the "
        "clients:\n\n"
        + _table(results, _WHEELS, _INDEXES)
        + "\n"
        + _table(results, _DEBS, _ARCHIVES)
        + _first_install(results)
    )


def _first_install(results: Results) -> str:
    """One sentence on case (g); nothing where it was not measured."""
    told = []
    for client in ("pip", "uv"):
        rows = (Row("g", f"{client}, cold", DIRECT), *(Row("g", f"{client}, {state}", OURS) for state in _STATES))
        seconds = [results.median(row, "seconds") for row in rows]
        if any(value is None for value in seconds):
            return ""
        direct, cold, warm = (f"{figure(value)} s" for value in seconds if value is not None)
        told.append(f"{client} {direct} without the cache, {cold} with an empty one, {warm} with a warm one")
    wheels = figure(results.median(Row("g", "pip, cold", DIRECT), "count") or 0.0)
    return (
        f"\n{_verdict(results)}: jupyterlab, {wheels} wheels, by `pip download` and `uv pip install`, from an index "
        f"with PyPI's answers that is 40 ms and 100 Mbit/s per connection away: {'; '.join(told)}.\n"
    )


def _verdict(results: Results) -> str:
    """What may be said of the first install."""
    slower = [
        client
        for client in ("pip", "uv")
        if (ratio(results, "g", f"{client}, cold", "seconds", DIRECT) or math.inf) >= 1.0
    ]
    return "The first install is faster too" if not slower else f"The first install, not yet faster with {slower[-1]}"


def placed(document: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """The document with `text` between these markers. Raises ValueError where one is missing."""
    before, found, rest = document.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError("the document has no place for the table")
    return f"{before}{begin}{text}{end}{after}"


def _table(results: Results, lines: Sequence[Line], servers: Sequence[str]) -> str:
    rows = [
        f"| {line.title} |" + "".join(f" {_cell(results, line, server)} |" for server in servers) + "\n"
        for line in lines
    ]
    return f"| |{''.join(f' {server} |' for server in servers)}\n|---|{'---|' * len(servers)}\n" + "".join(rows)


def _cell(results: Results, line: Line, server: str) -> str:
    value = results.median(Row(line.case, line.variant, server), line.metric)
    return NONE if value is None else f"{figure(value)}{line.unit}"
