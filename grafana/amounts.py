"""Numbers as Grafana writes them beside its axes, by the unit of the panel. Called by `drawing`."""

from __future__ import annotations

from typing import Final

_SIZES: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_TIMES: Final = ((86_400.0, "days"), (3600.0, "hours"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """A number with its unit: bytes and seconds in the size that fits, shares in per cent. `unit` is Grafana's."""
    match unit:
        case "decbytes":
            return _scaled(value, _SIZES, decimals)
        case "Bps":
            return f"{_scaled(value, _SIZES, decimals)}/s"
        case "s":
            return _scaled(value, _TIMES, decimals)
        case "percentunit":
            return f"{_rounded(value * 100, decimals)} %"
        case _:
            return _rounded(value, decimals)


def _scaled(value: float, scale: tuple[tuple[float, str], ...], decimals: int | None) -> str:
    one = next(unit for unit in scale if unit[0] == 1.0)
    size, name = next((unit for unit in scale if abs(value) >= unit[0]), scale[-1]) if value else one
    return f"{_rounded(value / size, decimals)} {name}"


def _rounded(value: float, decimals: int | None) -> str:
    if decimals is None:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004 three digits either way
    return f"{value:,.{decimals}f}"
