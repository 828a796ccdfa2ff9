"""The document that a run leaves: the verdict on every target, then all figures. Pure: values in, Markdown out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.results import DIRECT, PORTABLE, Row
from bench.shown import CASES
from bench.targets import targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.bed import Scale
    from bench.results import Results
    from bench.shown import Case
    from bench.target import Target

_GIB, _MIB = 1 << 30, 1 << 20
# Where nothing was measured.
NONE = "-"
_HUNDRED, _TEN = 100, 10


@dataclass(frozen=True, slots=True)
class Setting:
    """What the figures depend on: the command, one line on the machine, and the version of each server."""

    command: str
    machine: str
    versions: Mapping[str, str]


def render(results: Results, *, cases: str, servers: Sequence[str], scale: Scale, setting: Setting) -> str:
    """The whole document. Medians of the repetitions; the worst one for what must never happen."""
    parts = [_head(scale, setting), _verdict(targets(results, cases))]
    parts += [_case(results, case, servers) for case in cases]
    parts.append(_method())
    return "\n".join(parts)


def _head(scale: Scale, setting: Setting) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in setting.versions.items())
    return (
        "# Measured side by side\n\n"
        f"`{setting.command}` on {setting.machine}. {versions}. All on the loopback interface of one machine, "
        f"which runs origin, server and clients. Wheels: {_size(scale.giant)} in (a), {_size(scale.cold)} in (c) "
        f"and (d); {scale.crowd} clients in (d); {scale.installed} in (g). Medians of {scale.repetitions}, "
        f"of {scale.brief} in (c) and (f) without a limit, in (h) and in (j), of fewer where one took more than "
        f"{scale.enough:g} s; a crowd gets {scale.patience:g} s.\n"
    )


def _verdict(lines: Sequence[Target]) -> str:
    words = {True: "yes", False: "**no**", None: "not measured"}
    measured = [target for target in lines if target.met is not None]
    rows = [
        f"| {target.what} | {NONE if target.value is None else figure(target.value) + target.unit} "
        f"| {target.bound.value} {target.limit:g}{target.unit} | {words[target.met]} |\n"
        for target in lines
    ]
    return (
        "## What must be reached\n\n"
        f"{sum(target.met is True for target in measured)} of {len(measured)} measured targets are met. "
        "Figures are pullthrough's, or pullthrough's ÷ the other's. The letters are the cases below, which say how "
        "each was measured.\n\n"
        "| pullthrough | measured | must be | met |\n|---|---|---|---|\n" + "".join(rows)
    )


def _case(results: Results, case: str, servers: Sequence[str]) -> str:
    shown = CASES[case]
    lines = [f"## ({case}) {shown.title}\n\n"]
    if case in results.left_out:
        return "".join([*lines, f"Not measured: {results.left_out[case]}\n"])
    measured = [name for name in servers if name != PORTABLE or case == "a"]
    columns = shown.columns or [*([DIRECT] if case == "c" else []), *measured]
    took = f" The case took {results.durations[case]:,.0f} s." if case in results.durations else ""
    lines += [f"{shown.how}{took}\n\n", "| |" + "".join(f" {name} |" for name in columns) + "\n"]
    lines.append("|---|" + "---|" * len(columns) + "\n")
    for variant in results.variants(case):
        rows = [Row(case, variant, name) for name in columns]
        if any(row in results.figures for row in rows):
            lines.append(f"| {variant} |" + "".join(f" {_cell(results, row, shown)} |" for row in rows) + "\n")
    remarks = list(_remarks(results, case))
    return "".join([*lines, *(["\n"] if remarks else []), *remarks])


def _cell(results: Results, row: Row, case: Case) -> str:
    if row not in results.figures:
        return (
            "failed"
            if any(row.server == failed.server for failed in results.failures if failed.case == row.case)
            else NONE
        )
    medians = ((text, results.median(row, metric)) for metric, text in case.cells)
    return " · ".join(text.format(figure(value)) for text, value in medians if value is not None)


def _remarks(results: Results, case: str) -> Iterator[str]:
    for row, reason in results.failures.items():
        if row.case == case:
            yield f"- {row.server}, {row.variant}: failed: {reason}\n"
    for row, note in results.notes.items():
        if row.case == case:
            yield f"- {row.server}, {row.variant}: {note}\n"


def _method() -> str:
    return (
        "## How it is measured\n\n"
        "- Every server starts with an empty cache, one after another within each repetition, so that what else the "
        "machine does meets all of them. Each repetition gives a quotient of two servers; the median of these counts, "
        "which may differ from the quotient of the medians in the tables.\n"
        "- The origin counts the body bytes that it sends. Limited, it sends each connection 20 MB/s evenly, 30 ms "
        "after the request.\n"
        "- CPU is user and system time of the server's whole process tree; peak memory the sum of `VmHWM` over it, "
        "reset before each measurement: page cache does not count, shared libraries count in each process.\n"
        "- nginx: `proxy_cache` with a lock, `sub_filter` on pages, two workers. devpi-server: defaults, one mirror "
        "index. proxpi: gunicorn with the options of its own image; it redirects clients to the origin after 0.9 s.\n"
    )


def figure(value: float) -> str:
    """A number with about three digits that count."""
    if value != value:  # noqa: PLR0124 - the test for NaN
        return NONE
    if value == round(value) and abs(value) < _HUNDRED:
        return f"{value:.0f}"
    if abs(value) >= _HUNDRED:
        return f"{value:,.0f}"
    if abs(value) >= _TEN:
        return f"{value:.1f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def _size(size: int) -> str:
    return f"{size // _GIB} GiB" if size % _GIB == 0 else f"{size // _MIB} MiB"
