"""Files of user names and passwords that other programs have, too: netrc, and apt's auth.conf.

`credentials` reads them, and reads them again when upstream refuses what they held. Nothing of them is ever shown: a
message names the file only. A failed read is a LookupError, whose text says what to do.
"""

from __future__ import annotations

import netrc
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from proxy import address_text

# Where apt has them, apt_auth.conf(5).
AUTH_CONF, AUTH_CONF_FOLDER = Path("/etc/apt/auth.conf"), Path("/etc/apt/auth.conf.d")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]+|[A-Za-z0-9_.-]+\.conf")  # of the files in a folder that apt reads
_VALUES = ("login", "password")


def netrc_path(environ: Mapping[str, str]) -> Path:
    """Where the netrc file is: what $NETRC names, else `.netrc` in the home folder."""
    return Path(environ.get("NETRC") or Path(environ.get("HOME", "/")) / ".netrc")


@dataclass(frozen=True, slots=True)
class Netrc:
    """Pairs `user:password` by host, in lower case; `default` is for hosts without an entry."""

    pairs: Mapping[str, str] = field(default_factory=dict, repr=False)
    default: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file. An entry without a password counts as none. Raises LookupError."""
        try:
            hosts = netrc.netrc(str(path)).hosts
        except OSError as error:
            raise LookupError(f"{path} cannot be read: {error.strerror}") from None
        except (netrc.NetrcParseError, UnicodeDecodeError):
            raise LookupError(f"{path} is no netrc file") from None  # the parser's message may hold the password
        pairs = {host.lower(): f"{user}:{password}" for host, (user, _, password) in hosts.items() if password}
        return cls(pairs, pairs.pop("default", None))


@dataclass(frozen=True, slots=True)
class _Machine:
    """One entry of auth.conf. `scheme` is https where none is written. `path` begins with a slash, or is empty."""

    scheme: str
    host: str
    port: int | None
    path: str
    pair: str = field(repr=False)

    @classmethod
    def read(cls, name: str, pair: str) -> Self | None:
        """An entry by what follows `machine`; None if no request can have that address."""
        scheme, separator, rest = name.rpartition("://")
        host, slash, path = rest.partition("/")
        try:
            parts = urlsplit(f"//{host}")
            port, found = parts.port, (parts.hostname or "").removesuffix(".")
        except ValueError:
            return None
        return cls(scheme.lower() if separator else "https", found, port, f"{slash}{path}", pair) if found else None

    def matches(self, url: str) -> bool:
        """Whether the entry is for this address: its path is a prefix, which need not end at a slash."""
        scheme, host, port = address_text.origin(url)
        if (scheme, host) != (self.scheme, self.host) or self.port not in {None, port}:
            return False
        return (urlsplit(url).path or "/").startswith(self.path or "/")


@dataclass(frozen=True, slots=True)
class AuthConf:
    """The entries of apt's files, in order."""

    machines: tuple[_Machine, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read a file, or those of a folder; without a path, apt's own: the folder first, as apt does.

        Raises LookupError.
        """
        if path is not None:
            files = list(_files(path))
        else:
            files = [*_files(AUTH_CONF_FOLDER, needed=False), *_files(AUTH_CONF, needed=False)]
        if not files:
            raise LookupError(f"there is no {path or f'{AUTH_CONF}, and nothing in {AUTH_CONF_FOLDER}'}")
        machines: list[_Machine] = []
        for file in files:
            try:
                # An entry that is not UTF-8 cannot be used; all others can.
                machines += _machines(file.read_text(encoding="utf-8", errors="surrogateescape"))
            except OSError as error:
                raise LookupError(f"{file} cannot be read: {error.strerror}") from None
        return cls(tuple(machines))

    def pair(self, url: str) -> str | None:
        """`user:password` of the first entry for an address."""
        url = _unquoted(url)
        return next((machine.pair for machine in self.machines if machine.matches(url)), None)

    def below(self, url: str) -> bool:
        """Whether there is an entry for an address, or for one below it."""
        url = _unquoted(url)
        parts = urlsplit(url)
        return any(
            machine.matches(url)
            or (
                machine.path.startswith(parts.path)
                and machine.matches(f"{parts.scheme}://{parts.netloc}{machine.path}")
            )
            for machine in self.machines
        )


def _unquoted(url: str) -> str:
    """An address with its path decoded, as the file has it."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{slash}{unquote(path)}"


def _files(path: Path, *, needed: bool = True) -> Iterator[Path]:
    try:
        if not path.is_dir():
            if needed or path.exists():
                yield path
            return
        yield from sorted(file for file in path.iterdir() if _FILE_NAME.fullmatch(file.name) and file.is_file())
    except OSError as error:
        raise LookupError(f"{path} cannot be read: {error.strerror}") from None


def _machines(text: str) -> Iterator[_Machine]:
    """The entries of a file that have a user and a password. Words that are not of the format are skipped."""
    name, values = "", dict[str, str]()
    for word, value in [*_words(text), ("machine", "")]:
        if word != "machine":
            values.setdefault(word, value)
            continue
        pair = ":".join(values[key] for key in _VALUES) if values.keys() >= set(_VALUES) else ""
        machine = _Machine.read(name, pair) if pair.isprintable() and pair else None
        if machine is not None:
            yield machine
        name, values = value, {}


def _words(text: str) -> Iterator[tuple[str, str]]:
    """Words of the format, each with its value. A word that begins with `#` makes the rest of its line a comment."""
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
