"""Release files: what a suite lists, read from `InRelease` or `Release` (Debian repository format, deb822).

Read by `snapshots`. Pure. Never checks a signature: apt does, and the file reaches it byte for byte as it was signed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import MappingProxyType

from proxy.errors import UpstreamBroken
from proxy.model import Digest

MOST = 10_000_000  # bytes of a Release file: apt takes no more (Acquire::MaxReleaseFileSize)

_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
# In order of trust; md5 and sha1 are no promise any more.
_SECTIONS = (("sha256", "SHA256"), ("sha512", "SHA512"))
_LINE = re.compile(r"\s+([0-9A-Fa-f]+)\s+([0-9]{1,18})\s+(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Listed:
    """What a Release file says of one of its suite's files."""

    size: int  # bytes
    digest: Digest


@dataclass(frozen=True, slots=True)
class Release:
    """A Release file. Times are in seconds since the epoch; paths are relative to its folder."""

    files: Mapping[str, Listed]
    by_hash: bool = False
    date: float | None = None
    valid_until: float | None = None


def parse(body: bytes, *, clearsigned: bool) -> Release:
    """Read a Release file. Raises UpstreamBroken for what is none, such as the page of a portal."""
    try:
        text = body.decode()
    except UnicodeError:
        raise _unreadable() from None
    fields = _fields(_signed(text) if clearsigned else text)
    if not fields.keys() & {"date", "suite", "codename", "origin", "md5sum", "sha1", "sha256", "sha512"}:
        raise _unreadable()
    return Release(
        files=MappingProxyType(_files(fields)),
        by_hash=fields.get("acquire-by-hash", "").strip().lower() == "yes",
        date=_time(fields.get("date")),
        valid_until=_time(fields.get("valid-until")),
    )


def digest(body: bytes) -> Digest:
    """The sha256 of a Release file, which is its name."""
    return Digest("sha256", hashlib.sha256(body).hexdigest())


def _signed(text: str) -> str:
    """The text that a clearsigned message signs (RFC 9580 §7)."""
    lines = text.splitlines()
    try:
        begin = lines.index(_BEGIN)
        start = next(number for number in range(begin + 1, len(lines)) if not lines[number].strip()) + 1
        end = lines.index(_SIGNATURE, start)
    except (ValueError, StopIteration):
        raise _unreadable() from None
    return "\n".join(line.removeprefix("- ") for line in lines[start:end])


def _fields(text: str) -> dict[str, str]:
    """The fields of the one paragraph, under lower-case names; what goes on in further lines keeps its line ends."""
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line[:1] in {" ", "\t"}:
            current.append(line)
            continue
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise _unreadable()
        current = parts[name.lower()] = [value]
    return {name: "\n".join(lines) for name, lines in parts.items()}


def _files(fields: Mapping[str, str]) -> dict[str, Listed]:
    for algorithm, name in _SECTIONS:
        section = fields.get(name.lower())
        if section is None:
            continue
        files = {}
        for line in section.split("\n"):
            match = _LINE.fullmatch(line)
            digest = Digest.parse(f"{algorithm}={match[1]}") if match else None
            if match is not None and digest is not None:
                files[match[3].removeprefix("./")] = Listed(int(match[2]), digest)
        return files
    return {}


def _time(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value.strip().replace("UTC", "+0000")).timestamp()
    except (ValueError, OverflowError):
        return None


def _unreadable() -> UpstreamBroken:
    return UpstreamBroken("Upstream sent something else in place of a Release file (a login page, perhaps).")
