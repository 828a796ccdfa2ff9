"""Events: what happened, as frozen values, for metrics and logs.

Every room passes them to a `ports.Observer`; `app` connects `metrics` and the access log.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.model import Kind, Outcome, Source


@dataclass(frozen=True, slots=True)
class Served:
    """One answered request. Sizes in bytes, time in seconds."""

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
    """Body bytes from upstream, reported as they arrive."""

    upstream: str
    size: int


@dataclass(frozen=True, slots=True)
class UpstreamFailed:
    """A request to upstream failed; `reason` as in `errors.UpstreamError`."""

    upstream: str
    reason: str


@dataclass(frozen=True, slots=True)
class StaleServed:
    """A stale copy was served, since upstream failed. `age`: seconds since upstream confirmed it."""

    upstream: str
    age: float


@dataclass(frozen=True, slots=True)
class Evicted:
    """A blob was removed to stay within the setting `disk`. Size in bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds after a change: bytes and blobs."""

    size: int
    blobs: int


@dataclass(frozen=True, slots=True)
class Flying:
    """The number of downloads under way changed."""

    count: int


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """Bytes that went through a tunnel, by direction, reported as they pass."""

    to_client: int = 0
    to_host: int = 0


Event = Served | Fetched | UpstreamFailed | StaleServed | Evicted | Stored | Flying | Tunnelled
