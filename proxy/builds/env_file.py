"""A person's own lines of the file `.env` beside compose.yaml: what they say of the cache holds for `setup`, too.

Compose reads them whether setup ran or not, so setup leaves them as they are, and does not write such a line itself.
Called by the verb `setup`, and by `removal`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from string import Template

from proxy.address_text import LAST_PORT
from proxy.builds import client_files, compose
from proxy.builds.setup_plan import LOOPBACK, SetupFailed, SetupPlan

DATA, PORT, LISTEN, BRIDGE = "PULLTHROUGH_DATA", "PULLTHROUGH_PORT", "PULLTHROUGH_LISTEN", "PULLTHROUGH_BRIDGE"
# The setting of `setup` that says the same, and comes first where a flag or a variable of the shell has it.
SETTINGS = {DATA: "data", PORT: "port", LISTEN: "host", BRIDGE: "host"}

_LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_COMMENT = re.compile(r"(?:^|\s)#.*")
_VOLUME = re.compile(r"[A-Za-z0-9][\w.-]*")  # anything with a slash is a folder


def variables(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file `.env`, as Compose reads them; the last line of a name counts."""
    found: dict[str, str] = {}
    for name, written in _LINE.findall(text):
        quote, end = written[:1], written.find(written[:1], 1)
        if quote in ("'", '"') and end > 0:
            value = written[1:end]
        else:
            quote, value = "", _COMMENT.sub("", written)
        found[name] = value if quote == "'" else Template(value).safe_substitute(found | dict(environ))
    return found


def volume(found: Mapping[str, str]) -> str | None:
    """The volume of Docker that these variables name for the cache's data; None: they name none, or a folder."""
    value = found.get(DATA, "")
    return value if _VOLUME.fullmatch(value) else None


def taken_over(plan: SetupPlan, folder: Path, environ: Mapping[str, str], told: Collection[str]) -> SetupPlan:
    """The plan with what a person's own lines of `.env` in this folder say. Raises SetupFailed, OSError.

    `told`: the settings that a flag or a variable of the shell has: those come first.
    """
    lines = variables(client_files.without_block(read(folder)), environ)
    own = {name: lines[name] for name, setting in SETTINGS.items() if lines.get(name) and setting not in told}
    for name, value in own.items():
        wrong = name == PORT and not (value.isascii() and value.isdecimal() and 0 < int(value) <= LAST_PORT)
        if "$" in value or wrong:
            raise SetupFailed(
                f"{folder / compose.VARIABLES}: {name}={value} is not understood. Write the value itself, or give it "
                f"to setup with --{SETTINGS[name]}."
            )
    plan = replace(plan, own=own, volume=volume(own))
    if DATA in own and plan.volume is None:
        plan = replace(plan, data=_folder(own[DATA], folder, environ))
    if PORT in own:
        plan = replace(plan, place=replace(plan.place, port=int(own[PORT])))
    first, second = own.get(LISTEN, LOOPBACK).strip("[]"), own.get(BRIDGE, "").strip("[]")
    if second:
        return replace(plan, hosts=tuple(dict.fromkeys((first, second))))
    return replace(plan, hosts=None, listen=first) if LISTEN in own else plan


def started_with(folder: Path, lines: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the cache that setup started in this folder. `lines`: those that it wrote itself."""
    found = variables(read(folder), environ)
    return {name: found[name] for name in SETTINGS if name in found} | compose.plain_variables(lines)


def read(folder: Path) -> str:
    """The text of the file in a folder; empty if there is none. Raises OSError."""
    try:
        return (folder / compose.VARIABLES).read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _folder(value: str, project: Path, environ: Mapping[str, str]) -> Path:
    """The folder that Compose takes it for: a relative one is below that of compose.yaml."""
    home = environ.get("HOME")
    value = home + value[1:] if home and (value == "~" or value.startswith("~/")) else value
    return Path(os.path.normpath(project / value))
