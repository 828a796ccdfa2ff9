"""The sources of settings, each read into a tree: the defaults of this machine, the file, the environment, the flags.

Called by `loading`. Values stay as they were written; the only errors here are those of a source that cannot be read.
"""

from __future__ import annotations

import re
import stat
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic_settings import EnvSettingsSource

from proxy.config.naming import LISTS, SettingPath, flag, key, nearest_variable, variable, variables
from proxy.config.settings import PREFIX, Settings

FILE_NAME = "pullthrough.toml"
FILE_VARIABLE = f"{PREFIX}CONFIG"
_LONGEST = 1 << 20  # bytes of a settings file
# What Kubernetes has in PULLTHROUGH_PORT where a service is called `pullthrough`: no value of a setting looks so.
_LINK = re.compile(r"(?:tcp|udp|sctp)://[0-9a-fA-F.:\[\]]+:[0-9]+")


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """A source and its tree of values. `where` is the file's name, else empty."""

    kind: Literal["default", "file", "environment", "flag"]
    tree: dict[str, Any]
    where: str = ""

    def name(self, path: SettingPath) -> str:
        """The name of a setting in this source, as the person wrote it."""
        if self.kind == "flag":
            return flag(path)
        if self.kind == "environment":
            return variable(path)
        written = (LISTS[path[0]][0], *path[1:]) if path[:1] and path[0] in LISTS else path
        return f"{self.where}: {key(written)}" if self.where else key(written)


def find_file(flags: Mapping[str, str | None], environ: Mapping[str, str], cwd: Path) -> tuple[Path | None, str | None]:
    """The file to read, and an error if a file was named that cannot be read.

    It is the file that `--config` names, else the one that `$PULLTHROUGH_CONFIG` names, else `pullthrough.toml` in the
    working folder, else in the user's configuration folder.
    """
    for name, text in (("--config", flags.get("config")), (FILE_VARIABLE, environ.get(FILE_VARIABLE) or None)):
        if text is not None:
            path = cwd / _home(text, environ)
            wrong = _no_file(path)
            return (path, None) if wrong is None else (None, f"{name}: {wrong}")
    own = user_file(environ)
    places = [cwd / FILE_NAME, *([own] if own else [])]
    return next((place for place in places if _is_file(place)), None), None


def user_file(environ: Mapping[str, str]) -> Path | None:
    """Where the settings file of this user is, if there is one; None without a home folder."""
    folder = _platform_folder(environ, "XDG_CONFIG_HOME", ".config", "Library/Application Support")
    return folder / FILE_NAME if folder else None


def _no_file(path: Path) -> str | None:
    """Why a named file cannot be read. A device or a pipe can be: `/dev/null` has no settings."""
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no file {path}"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if not folder:
        return None
    inside = path / FILE_NAME
    return f"{path} is a folder; name the file in it" + (f": {inside}" if _is_file(inside) else "")


def _is_file(path: Path) -> bool:
    """Whether a file is there that this user may see."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_file(path: Path) -> tuple[ConfigSource, list[str]]:
    """The file's tree, and the errors of the file as a whole."""
    nothing = ConfigSource("file", {}, str(path))
    try:
        with path.open("rb") as file:
            body = file.read(_LONGEST + 1)
        if len(body) > _LONGEST:
            return nothing, [f"{path}: is no settings file: it has more than {_LONGEST >> 20} MiB"]
        # Some editors put a byte order mark in front, and carriage returns at line ends, which TOML allows.
        tree = tomllib.loads(body.decode("utf-8-sig"))
    except OSError as error:
        return nothing, [f"{path}: cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return nothing, [f"{path}: is not a text in UTF-8"]
    except tomllib.TOMLDecodeError as error:
        return nothing, [f"{path}: is not TOML: {error}"]
    except (ValueError, RecursionError):  # limits of the library: numbers of thousands of digits, nested lists
        return nothing, [f"{path}: has a number that is too long, or too many brackets within each other"]
    errors = []
    for name, (entry, _) in LISTS.items():
        if name in tree:  # it has this name inside the program only
            del tree[name]
            errors.append(f"{path}: {name}: no such setting; did you mean [[{entry}]]?")
        if entry in tree:
            tree[name] = tree.pop(entry)
    return ConfigSource("file", tree, str(path)), errors


def read_environment(environ: Mapping[str, str]) -> tuple[ConfigSource, list[str]]:
    """The tree of the variables that name a setting, and errors for those that look misspelt.

    Other variables with the prefix are ignored: orchestrators add some of their own to every container.
    """
    known = variables() | {FILE_VARIABLE}
    source = EnvSettingsSource(Settings)
    source.env_vars = {
        name.lower(): environ[name]
        for name in known - {FILE_VARIABLE}
        if environ.get(name) and not _LINK.fullmatch(environ[name])
    }
    strays = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return ConfigSource("environment", source()), [
        f"{name}: no such setting; did you mean {meant}?" for name in strays if (meant := nearest_variable(name))
    ]


def read_flags(flags: Mapping[str, str | None]) -> ConfigSource:
    """The tree of the flags that were given; names are those of the file, such as `fetch.segment`."""
    tree: dict[str, Any] = {}
    for name, value in flags.items():
        if value is not None and name != "config":
            *tables, last = name.split(".")
            branch = tree
            for table in tables:
                branch = branch.setdefault(table, {})
            branch[last] = value
    return ConfigSource("flag", tree)


def read_defaults(environ: Mapping[str, str]) -> ConfigSource:
    """The defaults that depend on the machine: the data folder, in the user's cache folder, if there is one."""
    folder = _platform_folder(environ, "XDG_CACHE_HOME", ".cache", "Library/Caches", own="")
    return ConfigSource("default", {"data": str(folder / "pullthrough")} if folder else {})


def absolute(source: ConfigSource, environ: Mapping[str, str], cwd: Path) -> ConfigSource:
    """The same tree with an absolute data folder: relative to the file's own folder, else to the working folder."""
    data = source.tree.get("data")
    if not isinstance(data, str) or not data:
        return source
    # A pipe is in no folder: `--config <(…)`.
    start = Path(source.where).parent if source.kind == "file" and _is_file(Path(source.where)) else cwd
    return ConfigSource(source.kind, {**source.tree, "data": str(start / _home(data, environ))}, source.where)


def _home(text: str, environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    return Path(home) / text[2:] if home and text.startswith("~/") else Path(text)


def _platform_folder(
    environ: Mapping[str, str], named: str, below_home: str, on_macos: str, own: str = "pullthrough"
) -> Path | None:
    """A folder of the XDG Base Directory Specification, or its counterpart on macOS. Relative values are ignored."""
    text, home = environ.get(named, ""), environ.get("HOME", "")
    if text.startswith("/"):
        return Path(text) / own
    if not home.startswith("/"):
        return None
    return Path(home) / (on_macos if sys.platform == "darwin" else below_home) / own
