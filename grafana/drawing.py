"""Draws the panels of a dashboard from what Prometheus answered, as one page of HTML with SVG. Pure.

It reads the dashboard's own JSON: places, titles, units, texts for no data. Colours and type are not Grafana's.
`bench.pictures` has the answers, and makes pictures of the page for the documentation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any, Final

from grafana.amounts import written

ROW = 32  # pixels of a row of Grafana's grid
WIDTH = 1200  # pixels
_COLOURS: Final = ("#2f7d4f", "#1f60c4", "#b8610b", "#9a3d9c", "#b3261e", "#0b7285", "#6b6b00", "#555")
_WIDE, _HIGH = 100.0, 100.0  # of a drawing, in its own units
_LINES = 4  # across a graph
_STYLE: Final = f"""
body {{ background: #f4f5f5; color: #1b1b1b; font: 13px/1.3 sans-serif; margin: 0; padding: 8px; width: {WIDTH}px; }}
h1 {{ font-size: 20px; margin: 4px; }} p {{ margin: 4px; }}
main {{ display: grid; gap: 6px; grid-auto-rows: {ROW}px; grid-template-columns: repeat(24, 1fr); }}
section {{ background: #fff; border: 1px solid #ddd; display: flex; flex-direction: column; min-height: 0; }}
section {{ overflow: hidden; padding: 6px; }}
h2 {{ align-self: end; font-size: 15px; margin: 0; }} h3 {{ font-size: 13px; margin: 0 0 4px; }}
.figure {{ color: #2f7d4f; font-size: 34px; font-weight: 600; margin: auto; }}
.none {{ color: #595959; margin: auto; text-align: center; }}
.graph {{ display: grid; flex: 1; grid-template-columns: 74px 1fr; min-height: 0; }}
.axis {{ color: #595959; display: flex; flex-direction: column; font-size: 11px; justify-content: space-between; }}
.axis {{ padding-right: 6px; text-align: right; }} .axis.cells {{ justify-content: space-around; }}
.times {{ color: #595959; display: flex; font-size: 11px; justify-content: space-between; margin-left: 74px; }}
svg {{ height: 100%; width: 100%; }} .grid {{ stroke: #e2e2e2; }}
.grid, .line {{ fill: none; vector-effect: non-scaling-stroke; }} .line {{ stroke-width: 1.5; }}
.names {{ font-size: 11px; margin-left: 74px; }} .names span {{ margin-right: 12px; }}
.names i {{ display: inline-block; height: 3px; margin-right: 4px; vertical-align: middle; width: 14px; }}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A series of an answer: its labels, and its points (seconds since the epoch, value), the first one first."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


def page(board: Mapping[str, Any], answers: Mapping[tuple[int, str], Sequence[Line]], said: str) -> str:
    """The dashboard as HTML. `answers`: by panel's id and query's letter. `said`: a sentence on what is shown."""
    panels = "".join(_panel(panel, answers) for panel in board["panels"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(board["title"])}</title>'
        f"<style>{_STYLE}</style><h1>{escape(board['title'])}</h1><p>{escape(said)}</p><main>{panels}</main></html>"
    )


def height(board: Mapping[str, Any]) -> int:
    """The pixels that the page takes."""
    rows: int = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    return rows * (ROW + 6) + 80


def _panel(panel: Mapping[str, Any], answers: Mapping[tuple[int, str], Sequence[Line]]) -> str:
    grid = panel["gridPos"]
    place = f"grid-area: {grid['y'] + 1} / {grid['x'] + 1} / span {grid['h']} / span {grid['w']}"
    title = escape(panel["title"])
    if panel["type"] == "row":
        return f'<h2 style="{place}">{title}</h2>'
    found = [
        (_name(target.get("legendFormat", ""), line.labels), line)
        for target in panel["targets"]
        for line in answers.get((panel["id"], target["refId"]), ())
        if any(not math.isnan(value) for _, value in line.points)
    ]
    defaults = panel["fieldConfig"]["defaults"]
    if not found:
        inner = f'<p class="none">{escape(defaults["noValue"])}</p>'
    elif panel["type"] == "stat":
        inner = _figure(found[0][1], defaults)
    elif panel["type"] == "heatmap":
        inner = _heat([line for _, line in found], panel["options"]["yAxis"]["unit"])
    else:
        inner = _graph(found, defaults)
    return f'<section style="{place}"><h3>{title}</h3>{inner}</section>'


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda part: labels.get(part[1], ""), legend)


def _figure(line: Line, defaults: Mapping[str, Any]) -> str:
    text = written(line.points[-1][1], defaults["unit"], defaults.get("decimals"))
    return f'<p class="figure">{escape(text)}</p>'


def _graph(found: Sequence[tuple[str, Line]], defaults: Mapping[str, Any]) -> str:
    """Lines or areas; stacked ones lie on each other."""
    custom = defaults["custom"]
    stacked = custom["stacking"]["mode"] == "normal"
    times = sorted({time for _, line in found for time, _ in line.points})
    ground = dict.fromkeys(times, 0.0)
    drawn: list[tuple[list[tuple[float, float]], list[tuple[float, float]]]] = []  # above, below
    for _, line in found:
        known = {time: value for time, value in line.points if not math.isnan(value)}
        if stacked:
            above = {time: ground[time] + known.get(time, 0.0) for time in times}
            drawn.append((list(above.items()), list(ground.items())))
            ground = above
        else:
            drawn.append((list(known.items()), [(time, 0.0) for time in known]))
    values = [value for above, _ in drawn for _, value in above]
    top, bottom = _round_up(max(values)), -_round_up(-min(values)) if min(values) < 0 else 0.0
    span = (times[0], max(times[-1], times[0] + 1.0))

    def path(points: Sequence[tuple[float, float]]) -> str:
        return " ".join(
            f"{(time - span[0]) / (span[1] - span[0]) * _WIDE:.2f},{(top - value) / (top - bottom) * _HIGH:.2f}"
            for time, value in points
        )

    shapes = "".join(
        f'<polygon points="{path(above)} {path(below[::-1])}" fill="{colour}" fill-opacity="{custom["fillOpacity"]}%"/>'
        f'<polyline class="line" points="{path(above)}" stroke="{colour}"/>'
        for (above, below), colour in zip(drawn, _colours(len(drawn)), strict=True)
    )
    marks = [top - (top - bottom) * step / _LINES for step in range(_LINES + 1)]
    moved = [any(value for _, value in line.points) for _, line in found]
    names = "".join(
        f'<span><i style="background: {colour}"></i>{escape(name)}</span>'
        for (name, _), colour, shown in zip(found, _colours(len(found)), moved, strict=True)
        if shown or not any(moved)
    )
    grid = "".join(f'<path class="grid" d="M0 {step * _HIGH / _LINES}H{_WIDE}"/>' for step in range(_LINES + 1))
    return _framed([written(mark, defaults["unit"]) for mark in marks], grid + shapes, span) + (
        f'<div class="names">{names}</div>'
    )


def _heat(lines: Sequence[Line], unit: str) -> str:
    """Squares by time and bucket, the darker the more. The answers are cumulative, by the label `le`."""
    buckets = sorted(lines, key=lambda line: float(line.labels["le"]))
    times = sorted({time for line in buckets for time, _ in line.points})
    counts = [dict(line.points) for line in buckets]
    cells = [[low[time] for time in times] for low in (dict.fromkeys(times, 0.0), *counts)]
    steps = [[max(high - low, 0.0) for low, high in zip(*both, strict=True)] for both in pairwise(cells)]
    used = [number for number, row in enumerate(steps) if any(row)]
    if not used:
        return '<p class="none">none in this time</p>'
    shown = range(used[0], used[-1] + 1)
    most = max(max(steps[number]) for number in shown)
    wide, high = _WIDE / len(times), _HIGH / len(shown)
    squares = "".join(
        f'<rect x="{place * wide:.2f}" y="{_HIGH - (number - shown[0] + 1) * high:.2f}" width="{wide * 1.02:.2f}" '
        f'height="{high:.2f}" fill="#c75300" fill-opacity="{0.15 + 0.85 * math.sqrt(count / most):.2f}"/>'
        for number in shown
        for place, count in enumerate(steps[number])
        if count
    )
    bounds = [float(buckets[number].labels["le"]) for number in reversed(shown)]
    names = ["more" if math.isinf(bound) else f"≤ {written(bound, unit)}" for bound in bounds]
    return _framed(names, squares, (times[0], times[-1]), "axis cells")


def _framed(marks: Sequence[str], shapes: str, span: tuple[float, float], kind: str = "axis") -> str:
    """A drawing between its marks and the time since its beginning."""
    axis = "".join(f"<span>{escape(mark)}</span>" for mark in marks)
    seconds = [round((span[1] - span[0]) * part / 4) for part in range(5)]
    times = "".join(f"<span>{one // 60}:{one % 60:02}</span>" for one in seconds)
    return (
        f'<div class="graph"><div class="{kind}">{axis}</div>'
        f'<svg viewBox="0 0 {_WIDE:.0f} {_HIGH:.0f}" preserveAspectRatio="none">{shapes}</svg></div>'
        f'<div class="times">{times}</div>'
    )


def _colours(count: int) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]


def _round_up(value: float) -> float:
    """The next number of one digit, or of 1.5 or 2.5 and zeros; 1 for nothing."""
    if value <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * size >= value * 0.999)
