"""The settings for people to read: the reference of all, and the listing of those in force.

`make docs` writes the reference to `docs/configuration.md`, from the same texts as `--help`; a test holds the file
against it. `pullthrough serve --print-config` prints the listing: a settings file in TOML that says where each value
came from. It can be saved and used once user and password of proxies are written in again. What is no setting, such as
proxies that variables name, is in comments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from proxy.config.archives import ArchiveSettings
from proxy.config.field_types import shown, shown_default
from proxy.config.groups import GroupSettings
from proxy.config.loading import Resolved
from proxy.config.naming import LISTS, SettingPath, flag, key, settings_fields, variable
from proxy.config.proxies import DIRECT, ENVIRONMENT
from proxy.config.proxy_selection import KnownProxies
from proxy.config.sources import ConfigSource
from proxy.config.upstreams import UpstreamSettings
from proxy.config.warming import WarmSettings

_COMMENT_COLUMN = 40

_INTRODUCTION = """\
<!-- Made by `make docs` from the definitions in proxy/config/settings.py: change them there. -->
# Configuration

Everything has a default: `pullthrough serve` needs no settings.

A value comes from the first of these sources that has one:

1. a flag, such as `--port 8080`
2. an environment variable, such as `PULLTHROUGH_PORT=8080`; an empty one counts as not set
3. the settings file, in TOML
4. the default

The settings file is the one that `--config` names, else the one that `$PULLTHROUGH_CONFIG` names, else
`pullthrough.toml` in the working folder, else `pullthrough/pullthrough.toml` in the user's configuration folder
(`$XDG_CONFIG_HOME`, else `~/.config`; on macOS `~/Library/Application Support`).

`pullthrough serve --print-config` prints a settings file with every value in force and its source. All errors are
reported at once, each by the name that was written; a misspelt name is an error, too.

Sizes are a number of bytes or a text such as `"100 GB"` (powers of ten) or `"16 MiB"` (powers of two). Times are a
number of seconds or a text such as `"30s"`, `"10m"`, `"1h"`.
"""

_EXAMPLE = """\
```toml
host = "0.0.0.0"
disk = "500 GB"

[fetch]
connections = 8

[[upstream]]
mount = "internal"
url = "https://index.corp.example/"
credentials = "env:CORP_INDEX"

[[group]]
mount = "all"
members = ["internal", "pytorch/whl/cu126", "pypi"]
pins = {"torch*" = "pytorch/whl/cu126"}
```
"""

_UPSTREAMS = """\
Each `[[upstream]]` of the file has a mount: addresses below `/<mount>/` stand for addresses below its `url`.
`pypi`, `pytorch`, `nvidia` and `astral` are built in; an entry with the mount of one replaces it, for instance by your
mirror. The environment variable `PULLTHROUGH_UPSTREAMS` holds the same as a JSON list and replaces the entries of the
file: `PULLTHROUGH_UPSTREAMS='[{"mount": "internal", "url": "https://index.example/"}]'`. Lines for many indexes are in
[indexes.md](indexes.md).
"""

_PROXIES = """\
If the machine reaches other hosts only through a proxy, and the environment names it as for curl and pip, nothing has
to be set: `HTTPS_PROXY` for addresses with `https://`, `HTTP_PROXY` for those with `http://`, `ALL_PROXY` for both. A
name in lower case outranks the same in upper case; an empty one counts as not set. They are read once, at the start.
Otherwise:

```toml
proxy = "http://user:password@proxy.example:3128"   # percent-encoded where they hold / ? # or @

[[upstream]]
mount = "internal"
url = "https://index.corp.example/"
proxy = "direct"                                     # or another proxy
```

- A value of `proxy`, also `direct`, replaces the variables. `NO_PROXY` applies to both, but not to the `proxy` of an
  upstream. It has hosts with commas between them: `corp.example` (and all below it), `.corp.example`,
  `10.0.0.7`, `10.0.0.0/8` (for hosts that are written as addresses), each with `:port` if need be, or `*`.
- Proxies are reached by `http://` or `https://`, and may require a user and a password (the scheme Basic). SOCKS is
  not supported.
- Requests for indexes, files and apt archives go through the proxy, and so do tunnels of clients. For `https://` the
  proxy opens a tunnel, whose contents it cannot read.
- The proxy looks names up. The cache refuses private IP addresses and `localhost`, unless the settings name them; only
  the proxy can tell which names lead to private hosts.
- `serve --print-config` shows which proxy is used for what, and where it is named; `***` stands for user and password.
- Other users of the machine can see flags: write a password in the file or in `PULLTHROUGH_PROXY`.
- A variable that names the cache itself, as clients' variables do, is ignored; a line at the start says so.
"""

_GROUPS = """\
Each `[[group]]` of the file gives several indexes one address, `/<mount>/simple/`. `PULLTHROUGH_GROUPS` holds the same
as a JSON list.
"""


_ARCHIVES = """\
Archives of apt need no setting unless `apt.hosts` lists some. An `[[archive]]` of the file has more settings of one:
credentials, freshness, further paths. `PULLTHROUGH_ARCHIVES` holds the same as a JSON list. How clients are set up for
private archives is in [apt.md](apt.md#private-archives).

```toml
[[archive]]
url = "https://gitlab.corp.example/api/v4/projects/42/packages/debian"
credentials = "env:CORP_APT"
```
"""

_WARM = """\
Each `[[warm]]` of the file is what the cache is to have, so that builds can go on [offline](offline.md). The running
cache has `pullthrough warm` look after it when it starts, and again after each `every`; files that are here are not
fetched again. The log says how each run ended, and what could not be had; so does `/api/v1/now`. `PULLTHROUGH_WARMS`
holds the same as a JSON list. A cache that is offline runs none. Requirements are resolved by uv; where that is not
installed, as in the cache's image, by pip, for the cache's own Python and system alone. What a run needs for a
moment, such as the wheels that pip resolves, is in `warming` in the data folder: its disk has to have room for it.

```toml
[[warm]]
name = "nightly"
what = ["/srv/app/uv.lock", "/srv/app/Dockerfile"]
every = "1d"
```
"""


def reference() -> str:
    """The whole document in Markdown."""
    return "\n".join(
        [
            _INTRODUCTION,
            _EXAMPLE,
            "## Settings\n",
            *_settings(),
            "## Upstreams\n",
            _UPSTREAMS,
            *_table(UpstreamSettings),
            "## Proxies\n",
            _PROXIES,
            "## Groups\n",
            _GROUPS,
            *_table(GroupSettings),
            "## Archives\n",
            _ARCHIVES,
            *_table(ArchiveSettings),
            "## Warm\n",
            _WARM,
            *_table(WarmSettings),
        ]
    )


def _settings() -> Iterator[str]:
    yield "| in the file | flag | environment | default | meaning |"
    yield "|---|---|---|---|---|"
    for path, field in settings_fields():
        names = f"`{key(path)}` | `{flag(path)}` | `{variable(path)}`"
        yield f"| {names} | {shown_default(field)} | {field.description} |"
    yield ""


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {shown_default(field)} | {field.description} |"
    yield ""


def listing(resolved: Resolved, proxies: KnownProxies) -> str:
    """The settings in force as a TOML file; each line ends with where its value came from."""
    return "\n".join([*_values(resolved, proxies), *_entries(resolved, proxies)]) + "\n"


def _values(resolved: Resolved, proxies: KnownProxies) -> Iterator[str]:
    table: SettingPath = ()
    for path, field in settings_fields():
        if path[:-1] != table:
            table = path[:-1]
            yield from ("", f"[{'.'.join(table)}]")
        value: Any = resolved.settings
        for name in path:
            value = getattr(value, name)
        yield _line(path[-1], shown(value, field), _origin(resolved.origin(path), path))
        if path == ("proxy",) and value == ENVIRONMENT:
            yield from (_line(f"# for {scheme}", str(proxy), proxy.source) for scheme, proxy in proxies.in_force())
            yield from (f"# {note}" for note in proxies.notes)


def _entries(resolved: Resolved, proxies: KnownProxies) -> Iterator[str]:
    """The lists of tables, with the built-in upstreams written out."""
    written = {upstream.mount for upstream in resolved.settings.upstreams}
    settings = resolved.settings.with_builtin()
    for name, (table, model) in LISTS.items():
        for entry in getattr(settings, name):
            yield from ("", f"[[{table}]]")
            builtin = name == "upstreams" and entry.mount not in written
            origin = "default" if builtin else _origin(resolved.origin((name,)), (name,))
            for entry_key, field in model.model_fields.items():
                value = getattr(entry, entry_key)
                if value is None and name == "archives":
                    yield _line(f"# {entry_key}", shown(resolved.settings.apt.window, field), "default")
                elif value is None:  # an upstream without a proxy of its own
                    proxy = proxies.proxy(entry.mount, entry.url)
                    yield _line(f"# {entry_key}", str(proxy or DIRECT), proxy.source if proxy else "default")
                else:
                    is_set = entry_key in entry.model_fields_set
                    yield _line(entry_key, shown(value, field), origin if is_set else "default")


def _line(name: str, value: Any, origin: str) -> str:  # noqa: ANN401 - any setting's value
    return f"{name} = {_toml(value)}".ljust(_COMMENT_COLUMN) + f"  # {origin}"


def _toml(value: Any) -> str:  # noqa: ANN401 - any setting's value
    """A value in TOML, which differs from JSON in its tables only."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _origin(source: ConfigSource, path: SettingPath) -> str:
    return source.kind if source.kind == "default" else f"{source.kind} {source.name(path)}"
