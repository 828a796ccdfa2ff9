"""Loading: from the sources to one `Settings`, with all errors at once.

Each source is read into a tree; later trees are merged over earlier ones, and the source of each value is noted; the
library validates the whole; each of its errors becomes a line with the name that the person wrote.

Called by the command line. Precedence: flag, environment, file, default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config import sources
from proxy.config.naming import LISTS, SettingPath, key, nearest
from proxy.config.settings import Settings
from proxy.config.sources import ConfigSource
from proxy.config.upstreams import repeated, twice
from proxy.errors import PullthroughError

_SIZE_HINT = "must be a size such as 100 GB or 512 MiB, or a number of bytes"
_MESSAGES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "byte_size": _SIZE_HINT,
    "byte_size_unit": _SIZE_HINT,
    "dict_type": "must be a table",
    "frozen_set_type": "must be a list",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_type": "must be a whole number",
    "missing": "is missing",
    "model_type": "must be a table",
    "path_type": "must be the name of a folder",
    "string_type": "must be a text in quotes",
    "tuple_type": "must be a list",
}


class ConfigError(PullthroughError):
    """The settings cannot be used. `errors` has a line for each error."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = list(errors)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings, and the source of each value."""

    settings: Settings
    origins: Mapping[SettingPath, ConfigSource]

    def origin(self, path: SettingPath) -> ConfigSource:
        """The source of a setting's value."""
        return _origin(self.origins, path)


def resolve(flags: Mapping[str, str | None], environ: Mapping[str, str], cwd: Path) -> Resolved:
    """Read all sources. `flags` has keys such as `port`, `fetch.segment` and `config`.

    Raises ConfigError.
    """
    path, problem = sources.find_file(flags, environ, cwd)
    errors = [problem] if problem else []
    layers = [sources.read_defaults(environ)]
    if path:
        file, wrong = sources.read_file(path)
        layers.append(file)
        errors += wrong
    environment, wrong = sources.read_environment(environ)
    layers += [environment, sources.read_flags(flags)]
    errors += wrong

    tree: dict[str, Any] = {}
    origins: dict[SettingPath, ConfigSource] = {}
    for layer in layers:
        placed = sources.absolute(layer, environ, cwd)
        tree = _merged(tree, placed.tree, placed, origins)
    try:
        resolved = Resolved(Settings(**tree), origins)
    except ValidationError as error:
        errors += [_sentence(detail, origins) for detail in error.errors()]
        errors += [line for line in _repeated_mounts(tree, origins) if line not in errors]
        raise ConfigError(errors) from None
    if errors:
        raise ConfigError(errors)
    return resolved


def _merged(
    below: dict[str, Any],
    above: dict[str, Any],
    source: ConfigSource,
    origins: dict[SettingPath, ConfigSource],
    at: SettingPath = (),
) -> dict[str, Any]:
    """The values of `above`, and those of `below` that it has not. Notes the source of each in `origins`."""
    tree = dict(below)
    for name, value in above.items():
        path = (*at, name)
        if isinstance(value, dict) and path[0] not in LISTS and isinstance(below.get(name, {}), dict):
            tree[name] = _merged(below.get(name, {}), value, source, origins, path)
        else:
            tree[name] = value
            origins[path] = source
    return tree


def _origin(origins: Mapping[SettingPath, ConfigSource], path: SettingPath) -> ConfigSource:
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return ConfigSource("default", {})


def _sentence(detail: ErrorDetails, origins: Mapping[SettingPath, ConfigSource]) -> str:
    """An error of the library as a line for a person: the name as it was written, and what to do."""
    location = detail["loc"]
    path = tuple(str(step) for step in location)
    source = _origin(origins, path)
    if location[0] in LISTS and len(location) > 1:
        name = f"{source.name(path[:1])} #{int(location[1]) + 1}"
        name = ": ".join([name, key(path[2:])]) if path[2:] else name
        table: SettingPath = (LISTS[path[0]][0],)
    else:
        name, table = source.name(path), path[:-1]
    if detail["type"] == "extra_forbidden":
        meant = nearest(path[-1], table)
        return f"{name}: no such setting" + (f"; did you mean {meant}?" if meant else "")
    if path == ("data",) and detail["type"] == "missing":
        return "data: there is no home folder to put it in; give --data or set PULLTHROUGH_DATA"
    if path in {(listed,) for listed in LISTS} and detail["type"] == "tuple_type" and source.kind == "file":
        return f"{name}: must be a list: write [[{LISTS[path[0]][0]}]], in double brackets, above each of them"
    return f"{name}: {_reason(detail)}"


def _reason(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":  # the text is a validator's of this program
        return str(detail["ctx"]["error"])
    if detail["type"] in _MESSAGES:
        return _MESSAGES[detail["type"]]
    return detail["msg"].replace("Input should be", "must be")


def _repeated_mounts(tree: dict[str, Any], origins: Mapping[SettingPath, ConfigSource]) -> list[str]:
    """Lines for mounts that are there twice: the library finds these only when everything else is right."""
    entries = tree.get("upstreams")
    mounts = [entry.get("mount") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    name = _origin(origins, ("upstreams",)).name(("upstreams",))
    return [f"{name}: {twice(mount)}" for mount in repeated([mount for mount in mounts if isinstance(mount, str)])]
