"""The names of each setting: key in the file, environment variable, flag.

A setting is a path, such as `("fetch", "segment")`, from which all its names follow. Called by `loading`, `reference`
and the command line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proxy.config.archives import ArchiveSettings
from proxy.config.groups import GroupSettings
from proxy.config.settings import PREFIX, Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.config.warming import WarmSettings

SettingPath = tuple[str, ...]
# The lists of tables, by their names in `Settings`: the name of one entry in the file, `[[upstream]]`, and its fields.
LISTS: dict[str, tuple[str, type[BaseModel]]] = {
    "upstreams": ("upstream", UpstreamSettings),
    "groups": ("group", GroupSettings),
    "archives": ("archive", ArchiveSettings),
    "warms": ("warm", WarmSettings),
}


def settings_fields(
    model: type[BaseModel] = Settings, above: SettingPath = ()
) -> Iterator[tuple[SettingPath, FieldInfo]]:
    """Path and field of every setting, except the lists of tables, in the order of the reference."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_fields(field.annotation, (*above, name))
        elif above or name not in LISTS:
            yield (*above, name), field


def key(path: SettingPath) -> str:
    """The name in the file: `fetch.segment`."""
    return ".".join(path)


def flag(path: SettingPath) -> str:
    """The name on the command line: `--fetch-segment`."""
    return "--" + "-".join(path).replace("_", "-")


def variable(path: SettingPath) -> str:
    """The name in the environment: `PULLTHROUGH_FETCH_SEGMENT`."""
    return PREFIX + "_".join(path).upper()


def variables() -> set[str]:
    """The variables of all settings, and of the lists of tables."""
    return {variable(path) for path, _ in settings_fields()} | {variable((name,)) for name in LISTS}


def file_keys(table: SettingPath) -> list[str]:
    """The keys that may stand in a table of the file; `("upstream",)` is an entry of the list."""
    for entry, model in LISTS.values():
        if table == (entry,):
            return list(model.model_fields)
    if not table:
        return [LISTS[name][0] if name in LISTS else name for name in Settings.model_fields]
    return [path[-1] for path, _ in settings_fields() if path[:-1] == table]


def nearest(word: str, table: SettingPath) -> str | None:
    """The key that somebody who wrote `word` in `table` may have meant."""
    elsewhere = [key(path) for path, _ in settings_fields() if path[-1] == word and path[:-1] != table]
    close = difflib.get_close_matches(word, file_keys(table), n=1, cutoff=0.6)
    return next(iter(elsewhere + close), None)


def nearest_variable(word: str) -> str | None:
    """The environment variable that somebody who wrote `word` may have meant."""
    known = sorted(variables() | {f"{PREFIX}CONFIG"})
    # Without the prefix, which all share. Strict: orchestrators add variables of their own to every container.
    ends = {name.removeprefix(PREFIX): name for name in known}
    return next(
        (ends[end] for end in difflib.get_close_matches(word.removeprefix(PREFIX), ends, n=1, cutoff=0.7)), None
    )
