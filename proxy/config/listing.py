"""The settings in force as a TOML file, each line with where its value came from.

Called by `pullthrough serve --print-config`. What it gives can be saved and used as a settings file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from proxy.config.loading import Resolved
from proxy.config.naming import UPSTREAMS, SettingPath, settings_fields, shown
from proxy.config.settings import UpstreamSettings
from proxy.config.sources import Source

_COMMENT_COLUMN = 40


def listing(resolved: Resolved) -> str:
    """The whole file; ends with a newline."""
    return "\n".join(_lines(resolved)) + "\n"


def _lines(resolved: Resolved) -> Iterator[str]:
    table: SettingPath = ()
    for path, field in settings_fields():
        if path[:-1] != table:
            table = path[:-1]
            yield from ("", f"[{'.'.join(table)}]")
        value: Any = resolved.settings
        for name in path:
            value = getattr(value, name)
        yield _line(path[-1], shown(value, field), _told(resolved.origin(path), path))
    written = {upstream.mount for upstream in resolved.settings.upstreams}
    for upstream in resolved.settings.with_builtin().upstreams:
        yield from ("", "[[upstream]]")
        origin = resolved.origin((UPSTREAMS,)) if upstream.mount in written else Source("default", {})
        for name, field in UpstreamSettings.model_fields.items():
            told = _told(origin, (UPSTREAMS,)) if name in upstream.model_fields_set else "default"
            yield _line(name, shown(getattr(upstream, name), field), told)


def _line(name: str, value: Any, told: str) -> str:  # noqa: ANN401 - any setting's value
    return f"{name} = {json.dumps(value, ensure_ascii=False)}".ljust(_COMMENT_COLUMN) + f"  # {told}"


def _told(origin: Source, path: SettingPath) -> str:
    return origin.kind if origin.kind == "default" else f"{origin.kind} {origin.name(path)}"
