"""The README's table of builds: direct against cached, with what must be reached. Pure: figures in, Markdown out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report import NONE, figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BEGIN, END = "<!-- docker: begin -->\n", "<!-- docker: end -->\n"
FIRST = "first build"
CODE = "code changed"
REQUIREMENTS = "one package added to the requirements"
PRUNED = "after `docker builder prune -af`"
EMPTY = "after that and `docker image rm`"
# The share of the direct build's seconds that a cached one may take; None: it is measured, and nothing was promised.
TARGETS = {FIRST: 1.05, CODE: 0.10, REQUIREMENTS: 0.30, PRUNED: 0.10, EMPTY: None}
OVERHEAD = 2.0  # seconds
_DIRECT = "direct"
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Figures:
    """One build: its seconds, and the bytes that the cache fetched for it: from indexes, and from apt's archives.

    An archive whose mirror gives no validators sends its Release files whole each time that they are asked for.
    """

    seconds: float
    from_indexes: int | None = None
    from_archives: int | None = None


def table(
    ways: Mapping[str, Mapping[str, Figures]], overhead: Mapping[str, float], rate: int, wanted: Sequence[str]
) -> str:
    """The table, with the sentence before it.

    `ways`: by way and row; `overhead`: seconds by way; `rate`: the link's megabits a second;
    `wanted`: the requirements.
    """
    cached = [name for name in ways if name != _DIRECT]
    head = (
        f"Builds of {', '.join(wanted)} with all that they need, measured in one run "
        "of `make bench-docker FLAGS=--prune`. All that comes from upstream shares a link that is limited to "
        f"{rate} Mbit/s. Direct is a Dockerfile that copies the code and then runs pip, so that each change means the "
        "same work again: its first two rows were measured, and the others are those. Cached is `Dockerfile.cached` "
        "by `pullthrough build`; in brackets what the cache fetched for it from PyPI and from apt's archives:\n"
    )
    lines = [
        head,
        f"| | {_DIRECT} |{''.join(f' {name} |' for name in cached)} must be |",
        f"|---|---|{'---|' * len(cached)}---|",
    ]
    for row, limit in TARGETS.items():
        direct = ways[_DIRECT][row].seconds
        cells = "".join(f" {_cell(ways[name].get(row), direct, limit)} |" for name in cached)
        lines.append(f"| {row} | {figure(direct)} s |{cells} {_bound(limit)} |")
    added = "".join(f" {figure(overhead[name])} s{_verdict(met=overhead[name] < OVERHEAD)} |" for name in cached)
    lines.append(
        f"| `pullthrough build` beside `docker build`, nothing to do | {NONE} |{added} < {figure(OVERHEAD)} s |"
    )
    return "\n".join(lines) + "\n"


def _cell(built: Figures | None, direct: float, limit: float | None) -> str:
    if built is None:
        return NONE
    share = built.seconds / direct
    fetched = ""
    if built.from_indexes is not None and built.from_archives is not None:
        fetched = f" ({_size(built.from_indexes)} + {_size(built.from_archives)})"
    return f"{figure(built.seconds)} s, {_change(share)}{fetched}{_verdict(met=limit is None or share <= limit)}"


def _change(share: float) -> str:
    """The difference to the direct build, in percent."""
    return f"{abs(1 - share):.0%} {'less' if share <= 1 else 'more'}"


def _bound(limit: float | None) -> str:
    if limit is None:
        return NONE
    return "\N{LESS-THAN OR EQUAL TO} 5% more" if limit > 1 else f"\N{GREATER-THAN OR EQUAL TO} {1 - limit:.0%} less"


def _verdict(*, met: bool) -> str:
    return "" if met else ", **missed**"


def _size(size: int) -> str:
    return f"{size / _MB:,.1f} MB" if size >= _MB / 10 else f"{size:,} B"
