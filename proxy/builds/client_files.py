"""The files by which pip, uv, apt and Docker of this machine use the cache: where each is, and how its text changes.

What others wrote stays: a file that names an index or a proxy of its own is refused and not changed. Pure, but for
looking where pip has its file; `changes` writes. Called by `setup`.
"""

from __future__ import annotations

import configparser
import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.builds.secret_files import NAME
from proxy.clients import apt_lines, pip_configuration, uv_configuration
from proxy.errors import PullthroughError

CLIENTS = ("pip", "uv", "apt", "docker")

# A container's own services, and the cache under its name in builds, which pip and uv ask for itself.
_NOT_BY_PROXY = f"localhost,127.0.0.1,{NAME}"

_BEGIN = "# begin: `pullthrough setup` wrote this; `pullthrough setup --remove` takes it out"
_END = "# end of what `pullthrough setup` wrote"
_BLOCK = re.compile(rf"^{re.escape(_BEGIN)}\n.*?^{re.escape(_END)}\n", re.DOTALL | re.MULTILINE)
_UNMARKED = "the marks around what `pullthrough setup` wrote are gone"
_SECTION = re.compile(r"\[(.+)\]")
_OPTION = re.compile(r"\s*([^=:]*?)\s*[=:]\s*(.*?)\s*")
_GLOBAL = re.compile(r"^\[global\][^\n]*\n?", re.MULTILINE)


class FileRefused(PullthroughError):
    """A file has something of its own that setup will not change. The text says what."""


@dataclass(frozen=True, slots=True)
class CacheAddress:
    """The cache for a client. `base_url`: for clients on this machine; `for_containers`: for those in containers."""

    base_url: str
    for_containers: str
    mount: str = "pypi"
    index: str = "simple/"


@dataclass(frozen=True, slots=True)
class ClientFile:
    """A file of a client. `lines`: what a person would put there; `edit` gives the file's new text of its old one.

    `edit` raises FileRefused.
    """

    client: str
    path: Path
    lines: str
    edit: Callable[[str], str]


def client_files(environ: Mapping[str, str], address: CacheAddress, system: Path = Path("/")) -> list[ClientFile]:
    """One file for each of CLIENTS. `system`: the root of the file system."""
    home = Path(environ.get("HOME") or "/")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    pip_text = pip_configuration(address.base_url, address.mount, address.index)
    uv_text = uv_configuration(address.base_url, address.mount, address.index)
    apt_text = "".join(f"{line}\n" for line in apt_lines(address.base_url))
    docker_proxy = {"httpProxy": address.for_containers, "noProxy": _NOT_BY_PROXY}
    return [
        ClientFile("pip", _pip_file(home, config), pip_text, lambda text: pip(text, pip_text)),
        ClientFile("uv", config / "uv/uv.toml", uv_text, lambda text: uv(text, uv_text)),
        ClientFile("apt", system / "etc/apt/apt.conf.d/01pullthrough", apt_text, lambda text: apt(text, apt_text)),
        ClientFile(
            "docker",
            Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
            json.dumps({"proxies": {"default": docker_proxy}}, indent="\t") + "\n",
            lambda text: docker(text, docker_proxy),
        ),
    ]


def _pip_file(home: Path, config: Path) -> Path:
    """The user's file of pip. On macOS it is in the folder of XDG only where Apple's has no folder of pip."""
    if sys.platform == "darwin":
        apples = home / "Library/Application Support/pip"
        return (apples if apples.is_dir() else home / ".config/pip") / "pip.conf"
    else:  # noqa: RET505 - so that mypy sees one system at a time
        return config / "pip/pip.conf"


def with_block(text: str, lines: str) -> str:
    """The text with our lines at its end, marked."""
    return f"{_ended(text)}{_BEGIN}\n{lines}{_END}\n"


def without_block(text: str) -> str:
    """The text without our marked lines; the same text if there are none."""
    return _BLOCK.sub("", text)


def pip(text: str, ours: str) -> str:
    """The text of a pip.conf with our index. Raises FileRefused."""
    written = _pip_options(text)
    wanted = _pip_options(ours)
    if wanted.items() <= written.items():
        return text
    taken = sorted({name for name in written if name[1] == "index-url"} | (wanted.keys() & written.keys()))
    if taken:
        raise FileRefused(f"it has {' and '.join(f'{name} in [{section}]' for section, name in taken)} of its own")
    heading, _, options = ours.partition("\n")
    if not (found := _GLOBAL.search(text)):
        return with_block(text, f"{heading}\n{options}")
    return f"{_ended(text[: found.end()])}{_BEGIN}\n{options}{_END}\n{text[found.end() :]}"


def _pip_options(text: str) -> dict[tuple[str, str], str]:
    """The options by section and name, as pip reads them. Raises FileRefused."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        raise FileRefused("it is no file that pip can read") from None
    return {(section, _pip_name(name)): value for section in parser.sections() for name, value in parser.items(section)}


def _pip_name(name: str) -> str:
    return name.lower().replace("_", "-")


def uv(text: str, ours: str) -> str:
    """The text of a uv.toml with our index. Raises FileRefused."""
    written = _toml(text)
    if written is None:
        raise FileRefused("it is not TOML")
    wanted = tomllib.loads(ours)["index"]
    indexes = written.get("index")
    if isinstance(indexes, list) and wanted[0] in indexes:
        return text
    pip_table = written.get("pip")
    tables = [written, pip_table if isinstance(pip_table, dict) else {}]
    if any("index-url" in table or "default-index" in table for table in tables) or _has_default(indexes):
        raise FileRefused("it has a default index of its own")
    changed = with_block(text, ours)
    if _toml(changed) is None:  # its indexes are a list in brackets, which cannot be added to
        raise FileRefused("it has a list of indexes in brackets")
    return changed


def _toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _has_default(indexes: object) -> bool:
    return isinstance(indexes, list) and any(isinstance(one, dict) and one.get("default") for one in indexes)


def apt(text: str, ours: str) -> str:
    """The text of our own file for apt. Raises FileRefused if it has something else."""
    if text not in ("", ours):
        raise FileRefused("it has other lines than ours")
    return ours


def docker(text: str, ours: Mapping[str, str]) -> str:
    """The text of Docker's config.json with our proxy, in the form in which `docker` writes it. Raises FileRefused."""
    try:
        written = json.loads(text) if text.strip() else {}
        proxies = written.setdefault("proxies", {})
        default = proxies.setdefault("default", {})
        taken = {name: value for name, value in default.items() if name in ours}
    except (ValueError, AttributeError, RecursionError):
        raise FileRefused("it is no file that docker can read") from None
    if taken == ours:
        return text
    if taken:
        raise FileRefused("it has a proxy of its own")
    default.update(ours)
    return json.dumps(written, indent="\t", ensure_ascii=False) + ("\n" if text.endswith("\n") or not text else "")


def without_ours(client: str, text: str, ours: str) -> str | None:
    """The text without what setup wrote, where others have changed it since; None if that cannot be told.

    `ours`: the `lines` of the client's file. Raises FileRefused if it is still there, and cannot be taken out.
    """
    if client == "docker":
        return _docker_without(text, json.loads(ours)["proxies"]["default"])
    if client not in ("pip", "uv"):
        return None
    if _BLOCK.search(text):
        return without_block(text)
    return _pip_without(text, ours) if client == "pip" else _uv_without(text, ours)


def _pip_without(text: str, ours: str) -> str:
    """The text without our options, where the marks are gone: `pip config` writes a file back without its comments."""
    wanted = _pip_options(ours)
    try:
        written = _pip_options(text)
    except FileRefused:
        if any(value in text for value in wanted.values()):
            raise
        return text
    found = {name: value for name, value in written.items() if wanted.get(name) == value}
    kept, section = [], ""
    for line in text.split("\n"):
        section = heading[1] if (heading := _SECTION.match(line)) else section
        option = _OPTION.fullmatch(line)
        if option is None or found.get((section, _pip_name(option[1]))) != option[2]:
            kept.append(line)
    without = "\n".join(kept)
    if _pip_options(without) != {name: value for name, value in written.items() if name not in found}:
        raise FileRefused(_UNMARKED)
    return without


def _uv_without(text: str, ours: str) -> str:
    """The text as it is, where the marks are gone and our index, too."""
    index, written = tomllib.loads(ours)["index"][0], _toml(text)
    indexes = [index] if written is None and index["url"] in text else (written or {}).get("index")
    if isinstance(indexes, list) and index in indexes:
        raise FileRefused(_UNMARKED)
    return text


def _docker_without(text: str, ours: Mapping[str, str]) -> str | None:
    try:
        written = json.loads(text)
        default = written.get("proxies", {}).get("default", {})
        for name, value in ours.items():
            if default.get(name) == value:
                del default[name]
        if not default:
            written.get("proxies", {}).pop("default", None)
        if not written.get("proxies", True):
            del written["proxies"]
    except (ValueError, AttributeError, RecursionError):
        return None
    return json.dumps(written, indent="\t", ensure_ascii=False) + ("\n" if text.endswith("\n") else "")


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
