"""The types of the settings' fields: how people write each kind of value, how it is read, and how it is shown.

Sizes and times (`100 GB`, `10m`), hosts and patterns of paths. A value that is shown is read back to the same value. A
list may be one text with commas in a flag or a variable. No host is looked up, and no message shows what was written
for one: whoever writes more than a host may have written a password too.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from proxy import address_text
from proxy.errors import BadTarget

_SIZE_UNITS = {
    "TiB": 2**40,
    "TB": 10**12,
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "KB": 10**3,
}
_TIME_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SIZE = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*[A-Za-z]*")
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(ms|s|m|h|d|)")
_PATTERN = re.compile(r"[^\x00-\x20\x7f\\/][^\x00-\x1f\x7f\\]*")
_LISTEN = "must be an address or a host name, such as 127.0.0.1, without a port"


@dataclass(frozen=True, slots=True)
class Notation:
    """How the values of a type are written: `metavar` stands for one in `--help`; `show` gives the text of one."""

    metavar: str
    show: Callable[[Any], Any] | None = None


def metavar(field: FieldInfo) -> str:
    """What `--help` calls a value of a setting: `SIZE`, `true|false`."""
    notation = _notation(field)
    if notation is not None:
        return notation.metavar
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    return "true|false" if field.annotation is bool else "TEXT"


def shown(value: Any, field: FieldInfo) -> Any:  # noqa: ANN401 - any setting's value
    """A value as one would write it in the file: a size or a time with its unit, anything else a text or a number."""
    notation = _notation(field)
    if notation is not None and notation.show is not None:
        return notation.show(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, (int, dict)) else str(value)


def shown_default(field: FieldInfo) -> str:
    """The default of a setting for people, in Markdown; `(none)` for an empty one."""
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


def _notation(field: FieldInfo) -> Notation | None:
    inner = [mark for part in get_args(field.annotation) for mark in getattr(part, "__metadata__", ())]  # of `… | None`
    return next((mark for mark in (*field.metadata, *inner) if isinstance(mark, Notation)), None)


def read_duration(value: Any) -> float:  # noqa: ANN401 - whatever stands in the file
    """Seconds, from a number of seconds or a text such as `90`, `30s`, `10m`, `1.5h`, `1d`, `500ms`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a time such as 30s, 10m or 1h, or a number of seconds")
    number, unit = match.groups()
    return float(number) * (0.001 if unit == "ms" else _TIME_UNITS[unit or "s"])


def read_count(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """Refuse `true`, which the library would take for 1."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic's way
    return value


def read_size(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """Refuse what `ByteSize` would read otherwise than a person: `true` as 1, and `1,5 TB` as 1, too."""
    if isinstance(value, bool) or (isinstance(value, str) and not _SIZE.fullmatch(value.strip())):
        raise ValueError("must be a size such as 100 GB or 512 MiB, or a number of bytes")
    return value


def show_size(size: int) -> str:
    """The shortest exact form of a number of bytes: `100 GB`, `16 MiB`, `1234`."""
    fitting = (f"{size // factor} {unit}" for unit, factor in _SIZE_UNITS.items() if size and size % factor == 0)
    return min(fitting, key=len, default=str(size))


def show_duration(seconds: float) -> str:
    """The shortest exact form of a number of seconds: `10m`, `75s`, `0.5s`."""
    for unit, factor in _TIME_UNITS.items():
        if seconds and seconds % factor == 0:
            return f"{int(seconds // factor)}{unit}"
    return f"{seconds:g}s"


def read_list(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """The parts of a text with commas; anything else as it is."""
    return [part.strip(" ") for part in value.split(",") if part.strip(" ")] if isinstance(value, str) else value


def _read_folder(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """Refuse a text that names no folder: an empty one, as of a variable that a shell does not have, would be any."""
    if isinstance(value, str) and (not value or "\0" in value):
        raise ValueError("must be the name of a folder")
    return value


def check_host(value: str) -> str:
    """`host` or `host:port` in the one form in which hosts are compared. Raises ValueError."""
    try:
        host, port = address_text.host(value)
    except BadTarget:
        raise ValueError(
            "must be names of hosts such as files.example or 10.0.0.7:8080, without a scheme or path"
        ) from None
    return host if port is None else f"{host}:{port}"


def _check_hosts(value: frozenset[str]) -> frozenset[str]:
    return frozenset(map(check_host, value))


def _read_addresses(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    return tuple(read_list(value)) if isinstance(value, str) else value


def _check_addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses, each once, in their order. Raises ValueError."""
    if not value:
        raise ValueError(_LISTEN)
    return tuple(dict.fromkeys(map(_check_address, value)))


def _check_address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        try:
            address_text.host_name(value)
        except BadTarget:
            raise ValueError(_LISTEN) from None
    return value


def _check_names(value: frozenset[str]) -> frozenset[str]:
    try:
        return frozenset(map(address_text.host_name, value))
    except BadTarget:
        raise ValueError("must be host names such as cache.example, without a scheme or port") from None


def _check_patterns(value: frozenset[str]) -> frozenset[str]:
    if not all(map(_PATTERN.fullmatch, value)):
        raise ValueError("must be patterns of paths without a slash at their front, such as ubuntu/isos/*.iso")
    return value


Folder = Annotated[Path, Notation("FOLDER"), BeforeValidator(_read_folder)]
Count = Annotated[int, Notation("NUMBER"), BeforeValidator(read_count)]
Size = Annotated[ByteSize, Notation("SIZE", show_size), BeforeValidator(read_size), Field(gt=0, lt=2**63)]
SizeOrZero = Annotated[ByteSize, Notation("SIZE", show_size), BeforeValidator(read_size), Field(ge=0, lt=2**63)]
Duration = Annotated[
    float, Notation("TIME", show_duration), BeforeValidator(read_duration), Field(ge=0, le=10 * 365 * 86400)
]
Hosts = Annotated[frozenset[str], Notation("HOSTS"), AfterValidator(_check_hosts)]
Patterns = Annotated[frozenset[str], Notation("PATTERNS"), AfterValidator(_check_patterns)]
# Of settings that a flag or a variable may give, too.
ListedHosts = Annotated[Hosts, BeforeValidator(read_list)]
ListedPatterns = Annotated[Patterns, BeforeValidator(read_list)]
Addresses = Annotated[
    tuple[str, ...], Notation("ADDRESSES"), BeforeValidator(_read_addresses), AfterValidator(_check_addresses)
]
Names = Annotated[frozenset[str], Notation("NAMES"), BeforeValidator(read_list), AfterValidator(_check_names)]
