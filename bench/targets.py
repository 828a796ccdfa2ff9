"""What pullthrough must reach, as ratios within one run, and whether it did. Pure: results in, verdicts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import archive, further_targets
from bench.apt import CROWD
from bench.caches import ACNG
from bench.cold import PACES
from bench.hits import CLIENTS, CONNECTIONS, RESOURCES, variant
from bench.origin import LIMITED, UNLIMITED
from bench.results import DIRECT, OURS, PORTABLE, Row
from bench.starting import VARIANT
from bench.target import TIMES, Bound, Target, quotient, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.results import Results

_MILLISECONDS = 1e3
# Memory is flat when 31 further clients add no more than this many MiB.
_FLAT = 16.0
# At least so many times the requests of nginx, of proxpi and of devpi.
_RATES = {
    "40 KB page": (3.0, 15.0),
    "2 MB page": (8.0, 15.0),
    "100 KiB wheel": (0.3, None),
    "6 KB metadata": (0.3, None),
}


def targets(results: Results, cases: str) -> list[Target]:
    """All targets of the given cases (letters), in their order."""
    families = {
        "a": _large,
        "b": _small,
        "c": _alone,
        "d": _together,
        "e": _start,
        "f": _apt,
        **further_targets.FAMILIES,
    }
    return [target for case in cases if case not in results.left_out for target in families[case](results)]


def _large(results: Results) -> Iterator[Target]:
    for clients in CLIENTS:
        name = variant(clients, "client")
        yield Target(f"(a) {name}: GB/s ÷ nginx", ratio(results, "a", name, "speed", "nginx"), Bound.LEAST, 0.9, TIMES)
    for clients in CLIENTS:
        name = variant(clients, "client")
        yield Target(
            f"(a) {name}: CPU per GiB ÷ nginx", ratio(results, "a", name, "cpu", "nginx"), Bound.MOST, 1.3, TIMES
        )
    for clients in CLIENTS:
        name = variant(clients, "client")
        value = quotient(results, Row("a", name, PORTABLE), Row("a", name, OURS), "speed")
        yield Target(f"(a) {name}: GB/s on the portable way ÷ here", value, Bound.LEAST, 0.7, TIMES)
    few, many = (results.median(Row("a", variant(n, "client"), OURS), "peak") for n in (CLIENTS[0], CLIENTS[-1]))
    growth = None if few is None or many is None else many - few
    yield Target(f"(a) peak memory, {CLIENTS[-1]} clients less 1", growth, Bound.MOST, _FLAT, " MiB")


def _small(results: Results) -> Iterator[Target]:
    for resource in RESOURCES:
        least, least_python = _RATES[resource]
        for connections in CONNECTIONS:
            name = f"{resource}, {variant(connections, 'connection')}"
            for peer, limit in (("nginx", least), ("proxpi", least_python), ("devpi", least_python)):
                if limit is not None:
                    value = ratio(results, "b", name, "rate", peer)
                    yield Target(f"(b) {name}: requests/s ÷ {peer}", value, Bound.LEAST, limit, TIMES)


def _alone(results: Results) -> Iterator[Target]:
    for pace in PACES:
        ours, direct = (results.median(Row("c", pace.name, name), "first") for name in (OURS, DIRECT))
        later = None if ours is None or direct is None else (ours - direct) * _MILLISECONDS
        yield Target(f"(c) {pace.name}: first byte less direct", later, Bound.MOST, 20.0, " ms")
    for pace, other, limit in ((UNLIMITED, "nginx", 1.25), (LIMITED, DIRECT, 0.35)):
        value = ratio(results, "c", pace.name, "total", other)
        yield Target(f"(c) {pace.name}: total ÷ {other}", value, Bound.MOST, limit, TIMES)


def _together(results: Results) -> Iterator[Target]:
    for pace in PACES:
        row = Row("d", pace.name, OURS)
        yield Target(f"(d) {pace.name}: origin bytes ÷ file", results.highest(row, "ratio"), Bound.EXACT, 1.0, TIMES)
        yield Target(f"(d) {pace.name}: clients that failed", results.highest(row, "errors"), Bound.EXACT, 0.0)
        yield Target(f"(d) {pace.name}: median first byte", results.median(row, "first"), Bound.MOST, 0.2, " s")
        yield Target(f"(d) {pace.name}: peak memory", results.highest(row, "peak"), Bound.MOST, 150.0, " MiB")


def _start(results: Results) -> Iterator[Target]:
    row = Row("e", VARIANT, OURS)
    yield Target("(e) start to first answer", results.median(row, "first"), Bound.MOST, 1.5, " s")
    yield Target("(e) idle memory", results.median(row, "idle"), Bound.MOST, 80.0, " MiB")


def _apt(results: Results) -> Iterator[Target]:
    for pace in archive.PACES:
        value = ratio(results, "f", f"warm, {pace}", "seconds", ACNG)
        yield Target(f"(f) warm, {pace}: seconds ÷ {ACNG}", value, Bound.MOST, 1.05, TIMES)
    for pace in archive.PACES:
        value = ratio(results, "f", f"cold, {pace}", "seconds", DIRECT)
        yield Target(f"(f) cold, {pace}: seconds ÷ direct", value, Bound.MOST, 1.2, TIMES)
    crowd = Row("f", f"{CROWD} clients at once", OURS)
    yield Target(f"(f) {CROWD} clients: clients that failed", results.highest(crowd, "errors"), Bound.EXACT, 0.0)
