"""apt's own file of user names and passwords, apt_auth.conf(5), as it is now.

Used by `credentials` for archives, which reads it again when an archive refuses what stood there. Nothing of it is ever
shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from proxy import address_text

FILE, FOLDER = Path("/etc/apt/auth.conf"), Path("/etc/apt/auth.conf.d")
_NAME = re.compile(r"[A-Za-z0-9_-]+|[A-Za-z0-9_.-]+\.conf")  # of files in a folder that apt reads
_VALUES = ("login", "password")


@dataclass(frozen=True, slots=True)
class Machine:
    """One entry. `scheme` is https where none is written. `path` begins with a slash, or is empty."""

    scheme: str
    host: str
    port: int | None
    path: str
    pair: str = field(repr=False)

    @classmethod
    def read(cls, name: str, pair: str) -> Self | None:
        """An entry by what follows `machine`; None if that is nothing that can be asked."""
        scheme, separator, rest = name.rpartition("://")
        host, slash, path = rest.partition("/")
        try:
            parts = urlsplit(f"//{host}")
            port, found = parts.port, (parts.hostname or "").removesuffix(".")
        except ValueError:
            return None
        return cls(scheme.lower() if separator else "https", found, port, f"{slash}{path}", pair) if found else None

    def matches(self, url: str) -> bool:
        """Whether it is for this address: for a front of its path, which need not end at a slash."""
        scheme, host, port = address_text.origin(url)
        if (scheme, host) != (self.scheme, self.host) or self.port not in {None, port}:
            return False
        return (urlsplit(url).path or "/").startswith(self.path or "/")


@dataclass(frozen=True, slots=True)
class AuthConf:
    """What stands in the files, in order."""

    machines: tuple[Machine, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read a file, or those of a folder; without a path, apt's own: the folder's first, as apt does.

        Raises LookupError with what to tell a person.
        """
        files = list(_files(path)) if path is not None else [*_files(FOLDER, needed=False), *_files(FILE, needed=False)]
        if not files:
            raise LookupError(f"there is no {path or f'{FILE}, and nothing in {FOLDER}'}")
        machines: list[Machine] = []
        for file in files:
            try:
                # What is no UTF-8 makes its entry unusable, and no other.
                machines += _machines(file.read_text(encoding="utf-8", errors="surrogateescape"))
            except OSError as error:
                raise LookupError(f"{file} cannot be read: {error.strerror}") from None
        return cls(tuple(machines))

    def pair(self, url: str) -> str | None:
        """`user:password` for an address: of the first entry for it."""
        return next((machine.pair for machine in self.machines if machine.matches(_plain(url))), None)

    def below(self, url: str) -> bool:
        """Whether there is an entry for an address, or for some below it."""
        url = _plain(url)
        return any(
            machine.matches(url)
            or (machine.path.startswith(urlsplit(url).path) and machine.matches(_joined(url, machine)))
            for machine in self.machines
        )


def _joined(url: str, machine: Machine) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{machine.path}"


def _plain(url: str) -> str:
    """An address whose path is as people write it."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{slash}{unquote(path)}"


def _files(path: Path, *, needed: bool = True) -> Iterator[Path]:
    try:
        if not path.is_dir():
            if needed or path.exists():
                yield path
            return
        yield from sorted(file for file in path.iterdir() if _NAME.fullmatch(file.name) and file.is_file())
    except OSError as error:
        raise LookupError(f"{path} cannot be read: {error.strerror}") from None


def _machines(text: str) -> Iterator[Machine]:
    """The entries of a file that have a user and a password. What is no word of the format is left out."""
    name, values = "", dict[str, str]()
    for word, value in [*_words(text), ("machine", "")]:
        if word != "machine":
            values.setdefault(word, value)
            continue
        pair = ":".join(values[key] for key in _VALUES) if values.keys() >= set(_VALUES) else ""
        machine = Machine.read(name, pair) if pair.isprintable() and pair else None
        if machine is not None:
            yield machine
        name, values = value, {}


def _words(text: str) -> Iterator[tuple[str, str]]:
    """Words of the format, each with what follows it. From a word that begins with `#` on, a line is a comment."""
    word = ""
    for line in text.splitlines():
        for token in line.split():
            if word:
                yield word, token
                word = ""
            elif token.startswith("#"):
                break
            elif token in {"machine", *_VALUES}:
                word = token
