"""Panels are drawn from answers: all of them, in their places, with nothing that an answer could smuggle in."""

from __future__ import annotations

import json
import math
import re
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from grafana import dashboards, drawing
from grafana.drawing import Line

_BOARDS = {name: json.loads(text) for name, text in dashboards.texts().items()}


def _panel(kind: str) -> dict[str, Any]:
    """The first one of this kind."""
    found: dict[str, Any] = next(
        panel for board in _BOARDS.values() for panel in board["panels"] if panel["type"] == kind
    )
    return found


def _drawn(panel: dict[str, Any], *lines: Line) -> str:
    board = {"title": "One", "panels": [panel]}
    return drawing.page(board, {(panel["id"], panel["targets"][0]["refId"]): lines}, "")


@pytest.mark.parametrize("name", _BOARDS)
def test_page__without_answers(name: str) -> None:
    """Each panel is there, with its text for no data."""
    text = unescape(drawing.page(_BOARDS[name], {}, "nothing was asked"))

    for panel in _BOARDS[name]["panels"]:
        assert panel["title"] in text
        assert panel["type"] == "row" or panel["fieldConfig"]["defaults"]["noValue"] in text
    assert "nothing was asked" in text
    assert drawing.height(_BOARDS[name]) > 0


def test_figure__the_last_value() -> None:
    """In large type, with its unit."""
    panel = _panel("stat")

    assert ">2.0 GB<" in _drawn(panel, Line({}, [(0.0, 1e9), (1.0, 2e9)]))
    assert panel["fieldConfig"]["defaults"]["noValue"] in _drawn(panel, Line({}, [(0.0, math.nan)]))


def test_graph__names_and_heights() -> None:
    """Each series has its name and its line, from the lower edge to the upper one; a text of an answer is only text."""
    panel = _panel("timeseries")
    both = [Line({"upstream": name}, [(0.0, 0.0), (10.0, top)]) for name, top in (("a<b>", 50.0), ("c", 100.0))]

    text = _drawn(panel, *both)

    assert "a&lt;b&gt;</span>" in text
    assert ["0.00,100.00 100.00,50.00", "0.00,100.00 100.00,0.00"] == re.findall('class="line" points="([^"]+)"', text)


def test_graph__what_never_moved_has_no_name() -> None:
    """Where others did; else all have."""
    panel = _panel("timeseries")
    still, moved = (
        Line({"upstream": name}, [(0.0, top), (1.0, top)]) for name, top in (("still", 0.0), ("moved", 1.0))
    )

    assert "still</span>" not in _drawn(panel, still, moved)
    assert "still</span>" in _drawn(panel, still)


def test_graph__stacked() -> None:
    """The second series lies on the first one, also where the first one has no value."""
    panel = next(
        panel
        for panel in _BOARDS["savings.json"]["panels"]
        if panel["type"] == "timeseries" and panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    )
    first, second = (
        Line({"source": "a"}, [(0.0, 50.0), (10.0, math.nan)]),
        Line({"source": "b"}, [(0.0, 50.0), (10.0, 50.0)]),
    )

    lines = re.findall('class="line" points="([^"]+)"', _drawn(panel, first, second))

    assert ["0.00,50.00 100.00,100.00", "0.00,0.00 100.00,50.00"] == lines


def test_heat__squares_of_buckets() -> None:
    """Counts are cumulative: a square stands where a bucket has more than the one below it."""
    lines = [
        Line({"le": le}, [(0.0, low), (1.0, high)]) for le, low, high in (("0.1", 1, 0), ("+Inf", 1, 4), ("1.0", 1, 4))
    ]

    text = _drawn(_panel("heatmap"), *lines)

    squares = ET.fromstring(re.search("<svg.*?</svg>", text, re.DOTALL)[0])  # type: ignore[index]
    assert [("0.00", "50.00", "0.57"), ("50.00", "0.00", "1.00")] == [
        (one.get("x"), one.get("y"), one.get("fill-opacity")) for one in squares
    ]
    assert text.index("≤ 1 s") < text.index("≤ 100 ms")


def test_heat__nothing_happened() -> None:
    """Buckets without an answer in them are no picture."""
    lines = [Line({"le": le}, [(0.0, 0.0), (1.0, 0.0)]) for le in ("0.1", "+Inf")]

    assert "none in this time" in _drawn(_panel("heatmap"), *lines)
