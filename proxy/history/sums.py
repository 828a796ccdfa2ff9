"""What the history adds up: by day, upstream and kind; by day, file and client. Days are UTC, counted from the epoch.

Gathered by `recorder`, kept by `database`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from proxy.user_agent import UNKNOWN, UserAgent


@dataclass(slots=True)
class Total:
    """What was sent and fetched on one day, of one upstream and kind. Sizes in bytes."""

    requests: int = 0
    hits: int = 0
    from_cache: int = 0
    from_flight: int = 0
    from_upstream: int = 0
    fetched: int = 0

    @property
    def sent(self) -> int:
        """What clients got, from wherever it came."""
        return self.from_cache + self.from_flight + self.from_upstream

    def add(self, other: Total) -> None:
        """Add what another one has."""
        self.requests += other.requests
        self.hits += other.hits
        self.from_cache += other.from_cache
        self.from_flight += other.from_flight
        self.from_upstream += other.from_upstream
        self.fetched += other.fetched


@dataclass(slots=True)
class ClientSum:
    """How often one client asked for one file on one day, and the bytes it got. Times: seconds since the epoch.

    `saved`: those of the bytes that came without a download of its own.
    """

    requests: int
    size: int
    first: float
    last: float
    saved: int = 0


@dataclass(frozen=True, slots=True)
class FileName:
    """A file of an upstream, and what its name tells. `sha256`: hexadecimal digits; empty where it was not known."""

    upstream: str
    name: str
    project: str | None = None
    version: str | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ClientName:
    """Who asked: an address, and what the program said of itself."""

    address: str
    agent: UserAgent = UNKNOWN


@dataclass(frozen=True, slots=True)
class DaySum:
    """What was sent and fetched on one day, in bytes. `day`: counted from the epoch."""

    day: int
    sent: int
    fetched: int


@dataclass(frozen=True, slots=True)
class ProjectSum:
    """What clients got of the files of a project without a download of their own, in bytes."""

    project: str
    saved: int


Totals: TypeAlias = Mapping[tuple[int, str, str], Total]  # by day, upstream, kind
Requests: TypeAlias = Mapping[tuple[int, FileName, ClientName], ClientSum]  # by day, file, client
