"""The netrc file, as it is now: which host has which user and password.

Used by `credentials`, which reads it again when upstream refuses what stood there. Nothing of it is ever shown.
"""

from __future__ import annotations

import netrc
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Netrc:
    """Pairs `user:password` by host, in lower case; `default` is for hosts without an entry."""

    pairs: Mapping[str, str] = field(default_factory=dict, repr=False)
    default: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file. Entries without a password count as none. Raises LookupError with what to tell a person."""
        try:
            hosts = netrc.netrc(str(path)).hosts
        except OSError as error:
            raise LookupError(f"{path} cannot be read: {error.strerror}") from None
        except (netrc.NetrcParseError, UnicodeDecodeError):
            raise LookupError(f"{path} is no netrc file") from None  # the parser's words may hold the password
        pairs = {host.lower(): f"{user}:{password}" for host, (user, _, password) in hosts.items() if password}
        return cls(pairs, pairs.pop("default", None))


def path(environ: Mapping[str, str]) -> Path:
    """Where the file is: what $NETRC names, else `.netrc` in the home folder."""
    return Path(environ.get("NETRC") or Path(environ.get("HOME", "/")) / ".netrc")
