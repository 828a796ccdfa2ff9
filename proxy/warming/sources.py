"""What a source distribution needs to be built (PEP 518), read from its archive. Pure."""

from __future__ import annotations

import tarfile
import tomllib
import zipfile
from typing import IO

_DEFAULT = ("setuptools>=40.8.0", "wheel")  # where it says nothing (PEP 517)
_LONGEST = 1 << 20  # bytes of a pyproject.toml
_NAME = "pyproject.toml"


def build_requirements(filename: str, body: IO[bytes]) -> tuple[str, ...]:
    """The requirements of its build; those of setuptools where it says nothing, or cannot be read."""
    try:
        body.seek(0)
        text = _from_zip(body) if filename.endswith(".zip") else _from_tar(body)
        system = tomllib.loads(text.decode()).get("build-system", {}) if text is not None else {}
        requires = system.get("requires", _DEFAULT)
        return tuple(requires) if all(isinstance(one, str) for one in requires) else _DEFAULT
    except (OSError, EOFError, ValueError, TypeError, AttributeError, tarfile.TarError, zipfile.BadZipFile):
        return _DEFAULT


def _from_tar(body: IO[bytes]) -> bytes | None:
    with tarfile.open(fileobj=body) as archive:
        for member in archive:
            if member.isreg() and _is_top(member.name) and member.size <= _LONGEST:
                file = archive.extractfile(member)
                return file.read() if file is not None else None
    return None


def _from_zip(body: IO[bytes]) -> bytes | None:
    with zipfile.ZipFile(body) as archive:
        for member in archive.infolist():
            if _is_top(member.filename) and member.file_size <= _LONGEST:
                return archive.read(member)
    return None


def _is_top(name: str) -> bool:
    """Whether it is the file in the archive's one folder."""
    return name.removeprefix("./").split("/")[1:] == [_NAME]
