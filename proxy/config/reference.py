"""The reference of all settings, `docs/configuration.md`, out of the same texts as `--help`.

Run `make docs` after changing a setting; a test holds the file against this.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from proxy.config.archives import ArchiveSettings
from proxy.config.groups import GroupSettings
from proxy.config.naming import flag, key, settings_fields, shown, variable
from proxy.config.upstreams import UpstreamSettings

_INTRODUCTION = """\
<!-- Made by `make docs` from the definitions in proxy/config/settings.py: change them there. -->
# Configuration

Everything has a default: `pullthrough serve` needs no settings.

A value is taken from the first of these places that has one:

1. a flag, such as `--port 8080`
2. an environment variable, such as `PULLTHROUGH_PORT=8080`; an empty one counts as not set
3. the settings file, in TOML
4. the default

The settings file is the one that `--config` names, else the one that `$PULLTHROUGH_CONFIG` names, else
`pullthrough.toml` in the working folder, else `pullthrough/pullthrough.toml` in the user's configuration folder
(`$XDG_CONFIG_HOME`, else `~/.config`; on macOS `~/Library/Application Support`).

`pullthrough serve --print-config` shows every value in force and the place that it came from, in the form of a settings
file. All errors are reported at once, each by the name that was written; a misspelt name is an error too.

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
Each `[[upstream]]` of the file gives a mount: addresses below `/<mount>/` stand for addresses below its `url`.
`pypi`, `pytorch`, `nvidia` and `astral` are built in; an entry with the mount of one replaces it, for instance by your
mirror. The environment variable `PULLTHROUGH_UPSTREAMS` holds the same as a JSON list and replaces the entries of the
file: `PULLTHROUGH_UPSTREAMS='[{"mount": "internal", "url": "https://index.example/"}]'`. Lines for many indexes are in
[indexes.md](indexes.md).
"""

_WAY_OUT = """\
Where the machine reaches other hosts only through a proxy, nothing has to be set if the environment names it, as for
curl and pip: `HTTPS_PROXY` for addresses with `https://`, `HTTP_PROXY` for those with `http://`, `ALL_PROXY` for both.
A name in lower case outranks the same in upper case; an empty one counts as not set. They are read once, at the start.
Else:

```toml
proxy = "http://user:password@proxy.example:3128"   # percent-encoded where they hold / ? # or @

[[upstream]]
mount = "internal"
url = "https://index.corp.example/"
proxy = "direct"                                     # or another proxy
```

- A value of `proxy`, be it `direct`, replaces what the variables name. `NO_PROXY` counts for both, but not for the
  `proxy` of an upstream. It holds hosts with commas between them: `corp.example` (and all below it), `.corp.example`,
  `10.0.0.7`, `10.0.0.0/8` (for hosts that are written as addresses), each with `:port` if need be, or `*`.
- Proxies are reached by `http://` or `https://`, and may want a user and a password (the scheme Basic). SOCKS is not
  supported.
- Indexes, files and apt archives take this way, and so do tunnels of clients. For `https://` the proxy opens a tunnel;
  what passes it cannot read.
- The proxy looks names up. The cache refuses addresses that are written out as private ones, and `localhost`, unless
  the settings name them; which names lead to private hosts only the proxy can tell.
- `serve --print-config` shows which proxy is used for what, and where it is named; `***` stands for user and password.
- Other users of the machine see what stands in a flag: give a password in the file or in `PULLTHROUGH_PROXY`.
- A variable that names the cache itself, as clients' variables do, is left out, and that is said at the start.
"""

_GROUPS = """\
Each `[[group]]` of the file gives one address to several indexes, `/<mount>/simple/`. `PULLTHROUGH_GROUPS` holds the
same as a JSON list.
"""


_ARCHIVES = """\
Archives of apt need no setting unless `apt.hosts` lists some. An `[[archive]]` of the file says more of one: who the
cache is there, how fresh it is kept, what else is served. `PULLTHROUGH_ARCHIVES` holds the same as a JSON list. How
clients are set up for private archives is in [apt.md](apt.md#private-archives).

```toml
[[archive]]
url = "https://gitlab.corp.example/api/v4/projects/42/packages/debian"
credentials = "env:CORP_APT"
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
            "## The way out\n",
            _WAY_OUT,
            "## Groups\n",
            _GROUPS,
            *_table(GroupSettings),
            "## Archives\n",
            _ARCHIVES,
            *_table(ArchiveSettings),
        ]
    )


def _settings() -> Iterator[str]:
    yield "| in the file | flag | environment | default | meaning |"
    yield "|---|---|---|---|---|"
    for path, field in settings_fields():
        names = f"`{key(path)}` | `{flag(path)}` | `{variable(path)}`"
        yield f"| {names} | {_default(field)} | {field.description} |"
    yield ""


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {_default(field)} | {field.description} |"
    yield ""


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "shown_default" in extra:
        return str(extra["shown_default"])
    if field.default is PydanticUndefined:
        return "(required)"
    value = shown(field.default, field)
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value) or "(none)"
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value else "(none)"
