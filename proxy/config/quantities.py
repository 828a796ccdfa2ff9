"""Quantities as people write them: `100 GB`, `16 MiB`, `10m`.

Used by the settings for reading and by `--print-config` and the reference for writing. What is written here is read
back to the same number.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ByteSize, Field

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
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(ms|s|m|h|d|)")


def read_duration(value: Any) -> float:  # noqa: ANN401 - whatever stands in the file
    """Seconds out of a number of seconds or a text such as `90`, `30s`, `10m`, `1.5h`, `1d`, `500ms`."""
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
    """Refuse what `ByteSize` would take for a number although nobody means one."""
    if isinstance(value, bool):
        raise ValueError("must be a size such as 100 GB or 512 MiB, or a number of bytes")  # noqa: TRY004 - pydantic's way
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


Count = Annotated[int, BeforeValidator(read_count)]
Size = Annotated[ByteSize, BeforeValidator(read_size), Field(gt=0, lt=2**63)]
Duration = Annotated[float, BeforeValidator(read_duration), Field(ge=0, le=10 * 365 * 86400)]
