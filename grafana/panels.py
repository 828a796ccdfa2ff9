"""The kinds of panels that the dashboards have, in the terms of this cache: bytes, speeds, shares, seconds.

`dashboards.py` calls it. Every panel names its data source by the uid that is provisioned, has a description, a unit,
and a text for when there is no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="pullthrough")
_TALL = 8  # rows of Grafana's grid
_ALL = ".+"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and what its series are called: text with `{{label}}` in it."""

    expression: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """What a panel says beside its figures. `empty`: what stands there without data."""

    title: str
    description: str
    unit: str  # Grafana's: "decbytes", "Bps", "percentunit", "s", "short", …
    empty: str = "nothing yet"


class Board:
    """A dashboard while it is put together: panels go from left to right, and rows from top to bottom."""

    def __init__(self, uid: str, title: str, description: str, span: str) -> None:
        """`span`: how far back it looks when it is opened, as in `7d`."""
        self._built = (
            dashboard.Dashboard(title)
            .uid(uid)
            .description(description)
            .tags(["pullthrough"])
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time(f"now-{span}", "now")
            .timezone("browser")
            .refresh("1m")
            .link(_links())
        )
        for name, counter in (("instance", "pullthrough_build_info"), ("upstream", "pullthrough_fetched_bytes_total")):
            self._built.with_variable(
                dashboard.QueryVariable(name)
                .label(name)
                .description(f"Only of this {name}.")
                .datasource(SOURCE)
                .query(f"label_values({counter}, {name})")
                .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
                .multi(multi=True)
                .include_all(include_all=True)
                .all_value(_ALL)
                .current(VariableOption(selected=True, text="All", value="$__all"))
            )

    def asking(self, name: str, label: str, value: str, description: str) -> Self:
        """Add a field into which a number is typed."""
        field = dashboard.TextBoxVariable(name).label(label).description(description).default_value(value)
        self._built.with_variable(field.current(VariableOption(selected=True, text=value, value=value)))
        return self

    def row(self, title: str) -> Self:
        """Begin a row."""
        self._built.with_row(dashboard.Row(title))
        return self

    def figure(self, text: Text, query: Query, width: int, height: int = 5, decimals: int = 1) -> Self:
        """Add one number in large type, as it is now."""
        panel = (
            stat.Panel()
            .title(text.title)
            .description(text.description)
            .unit(text.unit)
            .no_value(text.empty)
            .decimals(decimals)
            .datasource(SOURCE)
            .span(width)
            .height(height)
            .color_mode(BigValueColorMode.VALUE)
            .graph_mode(BigValueGraphMode.NONE)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
            .thresholds(
                dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(color="green", value=None)])
            )
            .with_target(_target(query, 0).instant())
        )
        self._built.with_panel(panel)
        return self

    def graph(self, text: Text, *queries: Query, width: int = 12, stacked: bool = False, filled: int = 10) -> Self:
        """Add lines or areas over time. `filled`: per cent of how dense the area below a line is."""
        panel = (
            timeseries.Panel()
            .title(text.title)
            .description(text.description)
            .unit(text.unit)
            .no_value(text.empty)
            .datasource(SOURCE)
            .span(width)
            .height(_TALL)
            .fill_opacity(filled)
            .legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(show_legend=True)
                .calcs([])
            )
            .stacking(common.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE).group("A"))
        )
        for place, query in enumerate(queries):
            panel.with_target(_target(query, place).range())
        self._built.with_panel(panel)
        return self

    def heat(self, text: Text, query: Query, width: int = 12) -> Self:
        """Add a heat map of a histogram's buckets. `query` gives their increase by `le`."""
        panel = (
            heatmap.Panel()
            .title(text.title)
            .description(text.description)
            .no_value(text.empty)
            .datasource(SOURCE)
            .span(width)
            .height(_TALL)
            .calculate(calculate=False)
            .y_axis(heatmap.YAxisConfig().unit(text.unit))
            .cell_values(heatmap.CellValues().unit("short"))
            .color(
                heatmap.HeatmapColorOptions()
                .mode(HeatmapColorMode.SCHEME)
                .scheme("Oranges")
                .steps(32)
                .exponent(0.5)
                .fill("dark-orange")
                .reverse(reverse=False)
            )
            .with_target(_target(query, 0).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}"))
        )
        self._built.with_panel(panel)
        return self

    def build(self) -> object:
        """The dashboard, for the encoder of the SDK."""
        built = self._built.build()
        for variable in built.templating.list_val or ():
            # Fields of another kind of variable, which the SDK writes into all of them.
            variable.auto = variable.auto_min = variable.auto_count = None
        for number, panel in enumerate(built.panels or (), 1):
            panel.id_val = number  # links to a panel go by it
        return built


def _links() -> dashboard.DashboardLink:
    """The way to the other dashboards of this cache, with the same span and the same variables."""
    link = dashboard.DashboardLink("pullthrough").tags(["pullthrough"]).as_dropdown(as_dropdown=False)
    return link.keep_time(keep_time=True).include_vars(include_vars=True)


def _target(query: Query, place: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(SOURCE).ref_id(chr(ord("A") + place)).expr(query.expression)
    return target.legend_format(query.name) if query.name else target
