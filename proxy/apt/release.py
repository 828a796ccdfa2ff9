"""Release files: what a suite lists, read from `InRelease` or `Release` (Debian repository format, deb822).

`release_fetcher` and `suite_history` parse them here. Pure. Never checks a signature: apt does, and gets the file byte
for byte as it was signed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from types import MappingProxyType

from proxy.errors import UpstreamBroken
from proxy.model import Digest

MOST = 10_000_000  # bytes of a Release file: apt accepts no more (Acquire::MaxReleaseFileSize)

_BEGIN = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_END = "-----END PGP SIGNATURE-----"
_MARK = "-----"  # begins the lines around a signature, and none within: Radix-64 has no dash (RFC 9580 §6)
# In order of trust, as `model.ALGORITHMS`. A weak digest proves nothing, but it tells one state of a file from another.
_SECTIONS = {
    "sha256": "sha256",
    "sha512": "sha512",
    "sha384": "sha384",
    "sha224": "sha224",
    "sha1": "sha1",
    "md5": "md5sum",
}
_LINE = re.compile(r"\s+([0-9A-Fa-f]+)\s+([0-9]{1,18})\s+(\S+)\s*")
_TYPICAL = frozenset({"date", "suite", "codename", "origin", *_SECTIONS.values()})


@dataclass(frozen=True, slots=True)
class Listed:
    """What a Release file says of one of its suite's files."""

    size: int  # bytes
    digest: Digest  # the one that is checked: the first of `model.ALGORITHMS` that is given
    others: tuple[Digest, ...] = ()  # of further kinds

    @property
    def digests(self) -> tuple[Digest, ...]:
        """All of them: the file may be asked for by any (by-hash)."""
        return (self.digest, *self.others)


@dataclass(frozen=True, slots=True)
class Release:
    """A Release file. Times are in seconds since the epoch; paths are relative to its folder."""

    files: Mapping[str, Listed]
    by_hash: bool = False
    date: float | None = None
    valid_until: float | None = None


def parse(body: bytes, *, clearsigned: bool) -> Release:
    """Read a Release file, no more strictly than apt does.

    Raises UpstreamBroken for anything else, such as a login page, and for one that breaks off in its signature.
    """
    try:
        text = body.decode()
    except UnicodeError:
        text = body.decode("latin-1")  # perhaps of a label; what matters here is ASCII
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] == "<":
        raise _unreadable()
    # apt knows one line end. `splitlines` would also split at a form feed, say, within a field.
    lines = [line.rstrip("\r") for line in text.split("\n")]
    fields = _fields(_signed(lines) if clearsigned else lines)
    if not fields.keys() & _TYPICAL:
        raise _unreadable()
    return Release(
        files=MappingProxyType(_files(fields)),
        by_hash=fields.get("acquire-by-hash", "").strip().lower() == "yes",
        date=_time(fields.get("date")),
        valid_until=_time(fields.get("valid-until")),
    )


def digest(body: bytes) -> Digest:
    """The sha256 of a Release file, by which its snapshot is named."""
    return Digest("sha256", hashlib.sha256(body).hexdigest())


def check_signature(body: bytes) -> None:
    """Raise UpstreamBroken for a file that has no signature, or one that breaks off. Of a binary one nothing tells.

    An archive may have an empty file there for a moment, and a portal a page: neither takes the place of a signature.
    """
    if body[:1] >= b"\x80":  # a binary one begins with a packet, whose first bit is set (RFC 9580 §4.2)
        return
    lines = [line.rstrip() for line in body.decode("latin-1").split("\n")]
    _check_end(lines)
    if _SIGNATURE not in lines:
        raise UpstreamBroken("Upstream sent something other than the signature of a Release file.")


def _signed(lines: list[str]) -> list[str]:
    """The lines that a clearsigned message signs (RFC 9580 §7)."""
    plain = [line.rstrip() for line in lines]
    try:
        begin = plain.index(_BEGIN)
        start = plain.index("", begin + 1) + 1
        end = plain.index(_SIGNATURE, start)
    except ValueError:
        raise _unreadable() from None
    _check_end(plain[end:])
    return [line.removeprefix("- ") for line in lines[start:end]]


def _check_end(lines: Iterable[str]) -> None:
    """Raise UpstreamBroken if the last of the signatures in these lines, if there are any, breaks off."""
    marks = [line.rstrip() for line in lines if line.startswith(_MARK)]
    if marks and marks[-1] != _END:
        raise UpstreamBroken("Upstream sent a Release file whose signature breaks off.")


def _fields(lines: list[str]) -> dict[str, str]:
    """The fields under lower-case names; a value of several lines keeps its line ends. The first of a name counts.

    Lines that are no field are ignored, as apt does.
    """
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if line[:1] in {" ", "\t"}:
            current.append(line)
            continue
        name, colon, value = line.partition(":")
        current = []
        if colon:
            current = [value]
            parts.setdefault(name.strip().lower(), current)
    return {name: "\n".join(lines) for name, lines in parts.items()}


def _files(fields: Mapping[str, str]) -> dict[str, Listed]:
    files: dict[str, Listed] = {}
    for algorithm, name in _SECTIONS.items():
        for line in fields.get(name, "").split("\n"):
            match = _LINE.fullmatch(line)
            digest = Digest.parse(f"{algorithm}={match[1]}") if match else None
            if match is not None and digest is not None:
                path = match[3].removeprefix("./")
                known = files.get(path)
                if known is None:
                    files[path] = Listed(int(match[2]), digest)
                elif all(digest.algorithm != other.algorithm for other in known.digests):
                    files[path] = replace(known, others=(*known.others, digest))
    return files


def _time(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value.strip().replace("UTC", "+0000")).timestamp()
    except (ValueError, OverflowError):
        return None


def _unreadable() -> UpstreamBroken:
    return UpstreamBroken("Upstream sent something other than a Release file (a login page, perhaps).")
