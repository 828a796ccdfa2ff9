"""pullthrough: a pull-through caching proxy for pip and apt."""

from functools import cache


@cache
def version() -> str:
    """The version of the installed package; "0" in a checkout that was not installed."""
    from importlib import metadata  # noqa: PLC0415 - late: it takes long to load, and most starts do not need it

    try:
        return metadata.version("pullthrough")
    except metadata.PackageNotFoundError:
        return "0"
