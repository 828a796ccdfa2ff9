"""What the cases (g) to (l) must reach: first installs, tails, many files, many projects, large locks, cold pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import many_files, spread
from bench.cold_page import SUM, WAIT
from bench.hits import CONNECTIONS, variant
from bench.installs import AHEAD
from bench.locks import COLD, ITSELF, NGINX, RESTARTED, SETS, WARM
from bench.results import DIRECT, OURS, Row
from bench.tails import LOGGING, PLAIN, RESOURCES
from bench.target import TIMES, Bound, Target, quotient, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.results import Results

_INSTALLS = (("pip", "cold", 0.5), ("pip", "warm", 0.17), ("uv", "cold", 1.0), ("uv", "warm", 0.3))
_PERCENT = 100.0
_OFTEN = CONNECTIONS[1:]


def _installs(results: Results) -> Iterator[Target]:
    for client, state, limit in _INSTALLS:
        direct = Row("g", f"{client}, cold", DIRECT)
        value = quotient(results, Row("g", f"{client}, {state}", OURS), direct, "seconds")
        yield Target(f"(g) {client} {state}: seconds ÷ direct", value, Bound.MOST, limit, TIMES)
    row = Row("g", AHEAD, OURS)
    fetched, unused = results.total(row, "fetched"), results.total(row, "unused")
    share = unused / fetched * _PERCENT if fetched else None
    yield Target("(g) bytes fetched ahead and not asked for", share, Bound.MOST, 3.0, " %")


def _tails(results: Results) -> Iterator[Target]:
    for resource in RESOURCES:
        for server in (PLAIN, LOGGING):
            rates = [_beside(results, resource, connections, "rate", server) for connections in CONNECTIONS]
            known = [rate for rate in rates if rate is not None]
            what = f"(h) {resource}: requests/s ÷ {server}, the least of all connections"
            yield Target(what, min(known) if len(known) == len(rates) else None, Bound.LEAST, 1.0, TIMES)
    for resource in RESOURCES:
        for connections in _OFTEN:
            for server in (PLAIN, LOGGING):
                value = _beside(results, resource, connections, "p99", server)
                what = f"(h) {resource}, {variant(connections, 'connection')}: p99 ÷ {server}"
                yield Target(what, value, Bound.MOST, 2.0, TIMES)


def _beside(results: Results, resource: str, connections: int, metric: str, server: str) -> float | None:
    return ratio(results, "h", f"{resource}, {variant(connections, 'connection')}", metric, server)


def _many_files(results: Results) -> Iterator[Target]:
    stores = [variant for variant in results.variants("i") if variant != many_files.GROWTH]
    many = Row("i", stores[-1] if stores else "many files", OURS)
    yield Target(f"(i) {many.variant}: start", results.median(many, "start"), Bound.MOST, 1.5, " s")
    yield Target(f"(i) {many.variant}: memory", results.median(many, "resident"), Bound.MOST, 210.0, " MiB")
    blob = results.median(Row("i", many_files.GROWTH, OURS), "bytes")
    yield Target("(i) memory for each further file", blob, Bound.MOST, 150.0, " bytes")
    hit = results.median(Row("i", many_files.GROWTH, OURS), "hit")
    yield Target("(i) hit, median ÷ that with 1,000 files", hit, Bound.MOST, 1.1, TIMES)


def _spread(results: Results) -> Iterator[Target]:
    for one, many in spread.pairs(results.variants("j")):
        for metric, what, bound, limit in (
            ("cpu", "CPU for each", Bound.MOST, 1.2),
            ("rate", "requests/s", Bound.LEAST, 0.8),
        ):
            value = quotient(results, Row("j", many, OURS), Row("j", one, OURS), metric)
            yield Target(f"(j) {many}: {what} ÷ {one}", value, bound, limit, TIMES)


def _locks(results: Results) -> Iterator[Target]:
    for name in SETS:
        direct = Row("k", f"{name}: {COLD}", DIRECT)
        if not results.figures.get(direct):
            continue
        for state in (WARM, RESTARTED):
            row = Row("k", f"{name}: {state}", OURS)
            for other in (direct, direct._replace(server=ITSELF)):
                value = quotient(results, row, other, "seconds")
                yield Target(f"(k) {name}, {state}: seconds ÷ {other.server}", value, Bound.MOST, 0.6, TIMES)
            value = quotient(results, row, Row("k", f"{name}: {WARM}", NGINX), "seconds")
            yield Target(f"(k) {name}, {state}: seconds ÷ nginx, warm", value, Bound.MOST, 1.0, TIMES)
            cpu = results.median(row, "server")
            yield Target(f"(k) {name}, {state}: server's CPU", cpu, Bound.MOST, 0.4, " s")
    rows = [Row("k", f"{name}: {state}", OURS) for name in SETS for state in (COLD, WARM, RESTARTED)]
    found = [results.total(row, "different") for row in rows if row in results.figures]
    yield Target("(k) lock files that differ", sum(found) if found else None, Bound.EXACT, 0.0)


def _cold_page(results: Results) -> Iterator[Target]:
    yield Target(
        "(l) CPU for each link, JSON and gzip", results.median(Row("l", SUM, OURS), "cpu"), Bound.MOST, 5.0, " µs"
    )
    yield Target("(l) the event loop waited", results.median(Row("l", WAIT, OURS), "wait"), Bound.MOST, 20.0, " ms")


FAMILIES: dict[str, Callable[[Results], Iterator[Target]]] = {
    "g": _installs,
    "h": _tails,
    "i": _many_files,
    "j": _spread,
    "k": _locks,
    "l": _cold_page,
}
