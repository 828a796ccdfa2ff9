"""The settings in force as a TOML file, each line with where its value came from.

Called by `pullthrough serve --print-config`. What it gives can be saved and used as a settings file, once user and
password of a proxy are written in again. What is not settings, such as proxies that variables name, is in comments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from proxy.config.loading import Resolved
from proxy.config.naming import LISTS, SettingPath, settings_fields, shown
from proxy.config.proxies import DIRECT, ENVIRONMENT
from proxy.config.proxy_selection import KnownProxies
from proxy.config.sources import Source

_COMMENT_COLUMN = 40


def listing(resolved: Resolved, proxies: KnownProxies) -> str:
    """The whole file; ends with a newline."""
    return "\n".join(_lines(resolved, proxies)) + "\n"


def _lines(resolved: Resolved, proxies: KnownProxies) -> Iterator[str]:
    table: SettingPath = ()
    for path, field in settings_fields():
        if path[:-1] != table:
            table = path[:-1]
            yield from ("", f"[{'.'.join(table)}]")
        value: Any = resolved.settings
        for name in path:
            value = getattr(value, name)
        yield _line(path[-1], shown(value, field), _told(resolved.origin(path), path))
        if path == ("proxy",) and value == ENVIRONMENT:
            yield from (_line(f"# for {scheme}", str(proxy), proxy.source) for scheme, proxy in proxies.in_force())
            yield from (f"# {note}" for note in proxies.notes)
    written = {upstream.mount for upstream in resolved.settings.upstreams}
    settings = resolved.settings.with_builtin()
    for name, (table_name, model) in LISTS.items():
        for entry in getattr(settings, name):
            yield from ("", f"[[{table_name}]]")
            given = name != "upstreams" or entry.mount in written
            origin = resolved.origin((name,)) if given else Source("default", {})
            for key, field in model.model_fields.items():
                told = _told(origin, (name,)) if key in entry.model_fields_set else "default"
                value = getattr(entry, key)
                if value is None and name == "archives":
                    yield _line(f"# {key}", shown(resolved.settings.apt.window, field), "default")
                elif value is None:  # its proxy, where it has none of its own
                    proxy = proxies.proxy(entry.mount, entry.url)
                    yield _line(f"# {key}", str(proxy or DIRECT), proxy.source if proxy else "default")
                else:
                    yield _line(key, shown(value, field), told)


def _line(name: str, value: Any, told: str) -> str:  # noqa: ANN401 - any setting's value
    return f"{name} = {_toml(value)}".ljust(_COMMENT_COLUMN) + f"  # {told}"


def _toml(value: Any) -> str:  # noqa: ANN401 - any setting's value
    """A value of the settings in TOML, which has JSON's forms for all but tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _told(origin: Source, path: SettingPath) -> str:
    return origin.kind if origin.kind == "default" else f"{origin.kind} {origin.name(path)}"
