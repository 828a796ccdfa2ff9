"""The settings of a cache in a container: those of the file in its data folder, and not those of this machine's verbs.

Called by the verb `setup`.
"""

from __future__ import annotations

from pathlib import Path

from proxy.config import sources
from proxy.config.loading import ConfigError, Resolved, resolve
from proxy.config.naming import LISTS, key, variable
from proxy.config.settings import Settings

# What setup hands to the container in other ways, and what compose.yaml hands on of the variables.
_HANDED = ("data", "host", "port")
_VARIABLES = ("disk", "public_url")


def file(data: Path) -> Path:
    """Where a container reads its settings: in its data folder, which is its working folder."""
    return data / sources.FILE_NAME


def read(data: Path) -> Settings | None:
    """The settings of a container with this data folder; None where there is no such file, or it has errors."""
    try:
        return resolve({"config": str(file(data)), "data": str(data)}, {}, data).settings
    except ConfigError:
        return None


def not_read(resolved: Resolved, data: Path, volume: str | None, override: str) -> str:
    """What of these settings a container will not read, and where that belongs; empty if there is nothing.

    `volume`: where it stores in one; `override`: the text of a person's own file for Compose, which may hand on some.
    """
    there = {} if volume or not file(data).is_file() else sources.read_file(file(data))[0].tree
    names = dict[str, None]()
    for path, source in resolved.origins.items():
        handed = path[0] in _HANDED or (source.kind == "environment" and path[0] in _VARIABLES)
        by_override = (sources.FILE_VARIABLE if source.kind == "file" else variable(path)) in override
        if source.kind in ("file", "environment") and not handed and not by_override and path[0] not in there:
            listed = f"[[{LISTS[path[0]][0]}]]" if path[0] in LISTS else key(path)
            names[listed if source.kind == "file" else variable(path)] = None
    if not names:
        return ""
    where = "a file that compose.override.yaml gives to it" if volume else str(file(data))
    return (
        f"the container does not read {', '.join(names)} of your settings: that belongs into {where} (docs/compose.md)"
    )
