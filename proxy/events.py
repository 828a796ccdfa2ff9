"""Events: what happened, told to whoever counts. Frozen values, and no more.

Every room hands them to a `ports.Observer`; `metrics` is the one that the program has.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.model import Kind, Outcome, Source


@dataclass(frozen=True, slots=True)
class Served:
    """One answered request. Lengths in bytes, time in seconds."""

    upstream: str  # mount, or "-" for the program's own pages
    kind: Kind
    outcome: Outcome
    status: int
    sent: dict[Source, int]
    seconds: float
    method: str
    path: str
    client: str = "-"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Body bytes that upstream sent, reported as they arrive."""

    upstream: str
    size: int


@dataclass(frozen=True, slots=True)
class UpstreamFailed:
    """An attempt upstream that failed; `reason` as in `errors.UpstreamError`."""

    upstream: str
    reason: str


@dataclass(frozen=True, slots=True)
class StaleServed:
    """A copy was served past its life, since upstream gave none. `age`: seconds since upstream confirmed it."""

    upstream: str
    age: float


@dataclass(frozen=True, slots=True)
class Evicted:
    """A blob was removed to keep the bound."""

    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The store's present volume after a change, in bytes and blobs."""

    size: int
    blobs: int


@dataclass(frozen=True, slots=True)
class Flying:
    """The number of downloads under way changed."""

    count: int


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """Bytes that passed through a tunnel, by direction, reported as they pass."""

    to_client: int = 0
    to_host: int = 0


Event = Served | Fetched | UpstreamFailed | StaleServed | Evicted | Stored | Flying | Tunnelled
